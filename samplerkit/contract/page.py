"""The contract's page: introductions are written by hand, the lists of clauses come from the code.

``python -m samplerkit.contract.page docs/contract.md`` brings a page up to date, in place: what stands
between ``<!-- clauses of A -->`` and ``<!-- end of A -->`` is replaced.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from samplerkit.contract.clause import Clause, all_clauses
from samplerkit.contract.runner import dotted

_PLACE = re.compile(r"<!-- clauses of (?P<section>\w) -->\n.*?<!-- end of (?P=section) -->", re.DOTALL)


def render(page: str, clauses: Sequence[Clause] | None = None) -> str:
    """Return a page with its lists of clauses as the code has them.

    Args:
        page: Markdown.
        clauses: all clauses; None means the contract's own.

    Raises:
        ValueError: if a section has clauses, but no place on the page.
    """
    chosen = own_clauses() if clauses is None else clauses
    places = {match["section"] for match in _PLACE.finditer(page)}
    homeless = sorted({it.section for it in chosen} - places)
    if homeless:
        raise ValueError(f"the page has no place for the clauses of {', '.join(homeless)}")
    return _PLACE.sub(lambda match: _section(match["section"], chosen), page)


def own_clauses() -> list[Clause]:
    """Return the clauses that samplerkit itself brings."""
    return [
        it for it in all_clauses() if getattr(it.check, "__module__", "samplerkit.").startswith("samplerkit.")
    ]


def _section(section: str, clauses: Sequence[Clause]) -> str:
    entries = [_entry(it) for it in clauses if it.section == section]
    return "\n\n".join([f"<!-- clauses of {section} -->", *entries, f"<!-- end of {section} -->"])


def _entry(it: Clause) -> str:
    notes = [f"Since {dotted(it.since)}."]
    if it.needs:
        notes.append(f"Needs {', '.join(f'`{name}`' for name in sorted(it.needs))}.")
    if it.unless:
        notes.append(f"Not with {', '.join(f'`{name}`' for name in sorted(it.unless))}.")
    lines = [f"### {it.id}", "", it.says, "", f"- Why: {it.why}"]
    if it.causes:
        lines.append(f"- Usual causes where it is broken: {it.causes}")
    return "\n".join([*lines, f"- {' '.join(notes)}"])


def main(arguments: Sequence[str]) -> None:
    """Bring pages up to date."""
    for name in arguments or ("docs/contract.md",):
        path = Path(name)
        path.write_text(render(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
