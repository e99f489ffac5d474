"""Reports for people, and for compliance tables."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from samplerkit.contract.clause import Clause
from samplerkit.contract.examine import State, Verdict
from samplerkit.contract.profiles import Profile
from samplerkit.contract.runner import Report, dotted
from samplerkit.contract.subject import Subject
from samplerkit.version import API

_WIDTH = 100
_PAGE = "docs/contract.md"
_WORDS = {
    State.HELD: "held",
    State.NOT_APPLICABLE: "not applicable",
    State.NOTICE: "NOTICE",
    State.HUNG: "HUNG",
    State.FAILED: "FAILED",
}
"""States in the order of a summary."""


# ---- text


def header(subject: Subject, profile: Profile, version: tuple[int, int]) -> str:
    """Say what is checked: the backend, where it comes from, what it declares, and how much is tried."""
    lacks = [f"{name} ({it.reason})" for name, it in sorted(subject.capabilities.items()) if not it]
    has = [name for name, support in sorted(subject.capabilities.items()) if support]
    lines = [
        f"Sampler contract {dotted(version)}, profile {profile.name}, {release('samplerkit')}",
        f"Backend {subject.name!r} ({origin(subject)})",
        *_wrapped("Declares: ", ", ".join(has) or "nothing", ""),
        *(_wrapped("Declares not to have: ", ", ".join(lacks), "") if lacks else ()),
    ]
    if subject.given:
        options = ", ".join(f"{key}={value!r}" for key, value in subject.given.items())
        lines += _wrapped("Options: ", options, "")
    return "\n".join(lines)


def progress(verdict: Verdict) -> str:
    """Say on one line what became of a clause."""
    reason = f"  ({verdict.what})" if verdict.state is State.NOT_APPLICABLE else ""
    return f"{verdict.clause:<36} {_WORDS[verdict.state]:<14} {verdict.seconds:6.2f} s{reason}"


def failure(it: Clause, verdict: Verdict, subject: Subject, profile: Profile) -> str:
    """Say on one screen what is wrong, what shows it, its usual causes, and how to see it again."""
    return "\n".join(
        [
            f"{_outcome(it, verdict)} by backend {subject.name!r} ({origin(subject)})",
            *_wrapped("  ", it.says, ""),
            *_newer(it, verdict, subject),
            *_wrapped(
                "  No answer: " if verdict.state is State.HUNG else "  Found: ", _found(verdict), "    "
            ),
            *_program(it, verdict, subject),
            *_details(verdict),
            *_output(verdict),
            *(_wrapped("  Usual causes: ", it.causes, "    ") if it.causes else ()),
            *_wrapped("  Why it matters: ", it.why, "    "),
            f"  Reproduce: samplerkit check {subject.name} --only {it.id}{_options(subject, profile)}",
            f"  See {_PAGE}#{anchor(it.id)}",
        ]
    )


def failures(report: Report) -> Iterator[str]:
    """Yield the report on each clause that is broken, notices last; a program that shows several, once."""
    shown: dict[tuple[str, str], str] = {}
    for verdict in (*report.of(State.FAILED, State.HUNG), *report.of(State.NOTICE)):
        first = shown.setdefault((verdict.what, verdict.code), verdict.clause)
        if verdict.code and first != verdict.clause:
            verdict = replace(verdict, code="", script=f"the same program as under {first}, above")
        yield failure(report.clause(verdict.clause), verdict, report.subject, report.profile)


def summary(report: Report) -> str:
    """Say what does not apply and who declared so, what is broken, and how many of each there are."""
    lines = []
    reasons: dict[str, list[str]] = {}
    for verdict in report.of(State.NOT_APPLICABLE):
        reasons.setdefault(verdict.what, []).append(verdict.clause)
    for reason, ids in reasons.items():
        lines += _wrapped(f"Not applicable, {reason}: ", ", ".join(ids), "  ")
    for state, word in ((State.FAILED, "Failed: "), (State.HUNG, "Hung: "), (State.NOTICE, "Notices: ")):
        if report.of(state):
            lines += _wrapped(word, ", ".join(verdict.clause for verdict in report.of(state)), "  ")
    return "\n".join([*lines, footer(report)])


def footer(report: Report) -> str:
    """Count: ``41 clauses: 36 held, 3 not applicable, 2 FAILED``."""
    counts = [(word, len(report.of(state))) for state, word in _WORDS.items()]
    counted = ", ".join(f"{count} {word}" for word, count in counts if count or word == "held")
    total = len(report.verdicts)
    return f"{total} {'clause' if total == 1 else 'clauses'}: {counted}"


def anchor(clause_id: str) -> str:
    """Return the place of a clause on the contract's page, as Markdown makes it of a heading."""
    return re.sub(r"[^\w-]", "", clause_id.lower())


def origin(subject: Subject) -> str:
    """Say where a subject comes from, and the API version that it was written for."""
    return f"{release(subject.distribution)}, API {dotted(subject.api)}"


def release(distribution: str) -> str:
    """Return a distribution and its version, if it has one."""
    return f"{distribution} {version_of(distribution)}".strip() or "of no distribution"


def version_of(distribution: str) -> str:
    """Return the version of an installed distribution; "" for one that is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""


def _outcome(it: Clause, verdict: Verdict) -> str:
    if verdict.state is State.HUNG:
        return f"CONTRACT {it.id} MADE TO HANG"
    return f"{'NOTICE: ' if verdict.state is State.NOTICE else ''}CONTRACT {it.id} VIOLATED"


def _newer(it: Clause, verdict: Verdict, subject: Subject) -> list[str]:
    if verdict.state is not State.NOTICE:
        return []
    text = (
        f"The clause came with contract {dotted(it.since)}, and this backend was written for "
        f"{dotted(subject.api)}: it counts from the next minor version on."
    )
    return _wrapped("  ", text, "")


def _program(it: Clause, verdict: Verdict, subject: Subject) -> list[str]:
    code, doing = verdict.code, verdict.script
    if not code and doing.startswith(f"{it.id}: Script("):
        doing = doing.removeprefix(f"{it.id}: ")
        options = f", options={dict(subject.given)!r}" if subject.given else ""
        code = (
            "from samplerkit.contract import replay\nfrom samplerkit.contract.script import Op, Script\n\n"
            f"replay({subject.name!r}, {doing}{options})"
        )
    if code:
        found = "  Smallest script found:" if verdict.script else "  Program:"
        title = "  It was running:" if verdict.state is State.HUNG else found
        return [title, textwrap.indent(code, " " * 6)]
    return _wrapped("  It was doing: ", doing, "    ") if doing else []


def _details(verdict: Verdict) -> list[str]:
    if not verdict.details:
        return []
    last = verdict.details.rstrip().splitlines()[-12:]
    return ["  The check itself raised; the end of its traceback:", *(f"      {line}" for line in last)]


def _output(verdict: Verdict, most: int = 8) -> list[str]:
    lines = verdict.output.rstrip().splitlines()
    if not lines:
        return []
    title = "  Printed meanwhile:" if len(lines) <= most else "  Printed meanwhile; the end of it:"
    return [title, *(f"      {line}" for line in lines[-most:])]


def _options(subject: Subject, profile: Profile) -> str:
    given = "".join(f" --option {key}={value}" for key, value in subject.given.items())
    return given if profile.name == "quick" else f" --profile {profile.name}{given}"


def _found(verdict: Verdict, most: int = 8) -> str:
    # What a check raised by itself may bring a traceback of its own along: the details have it.
    text = verdict.what.split("\n\n")[0] if verdict.details else verdict.what
    lines = text.splitlines()
    return "\n".join(lines[:most] + (["…"] if len(lines) > most else []))


def _wrapped(title: str, text: str, indent: str) -> list[str]:
    indent = indent or " " * (len(title) - len(title.lstrip())) or "  "
    wrapped: list[str] = []
    for line in text.splitlines() or [""]:
        wrapped += textwrap.wrap(
            line,
            _WIDTH,
            initial_indent=indent if wrapped else title,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [(indent if wrapped else title).rstrip()]
    return wrapped


# ---- JSON


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as plain data.

    Returns:
        ``format`` (1); ``green``; ``contract`` and ``api`` (versions, as text); ``versions`` of samplerkit,
        Python and the libraries; ``platform``; ``subject`` (name, distribution, version, api, worker,
        options, capabilities, each with ``yes`` and ``reason``); ``profile``; ``counts`` of verdicts by
        state; and ``verdicts``, each with ``clause``, ``since``, ``says``, ``state``, ``seconds``, ``what``,
        ``script``, ``code``, ``details`` and ``output``.
    """
    return {
        "format": 1,
        "green": report.green,
        "contract": dotted(report.version),
        "api": dotted(API),
        "versions": {
            "python": platform.python_version(),
            **{name: version_of(name) for name in ("samplerkit", "numpy", "gymnasium", "hypothesis")},
        },
        "platform": platform.platform(),
        "subject": _subject_as_json(report.subject),
        "profile": report.profile.name,
        "counts": {str(state): len(report.of(state)) for state in State},
        "verdicts": [verdict_as_json(report.clause(v.clause), v) for v in report.verdicts],
    }


def verdict_as_json(it: Clause, verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain data."""
    return {
        "clause": it.id,
        "since": dotted(it.since),
        "says": it.says,
        "state": str(verdict.state),
        "seconds": round(verdict.seconds, 3),
        "what": verdict.what,
        "script": verdict.script,
        "code": verdict.code,
        "details": verdict.details,
        "output": verdict.output,
    }


def write_json(report: Mapping[str, Any], path: str | Path) -> None:
    """Write a report, as `as_json` returns it, to a file."""
    Path(path).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _subject_as_json(subject: Subject) -> dict[str, Any]:
    return {
        "name": subject.name,
        "distribution": subject.distribution,
        "version": version_of(subject.distribution),
        "api": dotted(subject.api),
        "worker": subject.worker.__name__ if subject.worker is not None else None,
        "options": {key: _plain(value) for key, value in subject.given.items()},
        "capabilities": {
            name: {"yes": bool(support), "reason": support.reason}
            for name, support in sorted(subject.capabilities.items())
        },
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
