"""``samplerkit check``: whether a backend, or a kind of worker, keeps the contract."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from samplerkit.cli.asked_files import refuse_unwritable
from samplerkit.cli.errors import FAILURE, UsageError
from samplerkit.cli.search_path import search_here
from samplerkit.errors import SamplerKitError
from samplerkit.plugins.option_words import parse_options

if TYPE_CHECKING:
    from samplerkit.contract import Clause, Verdict
    from samplerkit.contract.runner import Examination

_STYLES = {"held": "green", "not applicable": "dim", "notice": "yellow", "hung": "red", "failed": "red"}


def check(
    backend: str,
    *,
    only: Sequence[str] = (),
    profile: str = "quick",
    contract: str | None = None,
    report: Path | None = None,
    options: Sequence[str] = (),
) -> int:
    """Check a backend, and print what was found.

    Args:
        backend: a name, a composite, or ``module:Class``.
        only: ids of clauses, or beginnings of ids.
        profile: "quick", "ci" or "thorough".
        contract: act as the suite of this version did.
        report: a file for the report as JSON.
        options: of the backend, as ``key=value``.

    Returns:
        0 if every clause holds that applies, else 1.

    Raises:
        UsageError: if the backend cannot be found or loaded, or an argument makes no sense.
    """
    need_hypothesis()
    from samplerkit.contract.report import as_json, failures, header, summary, write_json

    refuse_unwritable("--report", report)
    with _examination(backend, only, profile, contract, options) as examination:
        display = Display()
        display.text(header(examination.subject, examination.profile, examination.version) + "\n")
        for it in examination.clauses:
            with display.busy(it):
                verdict = examination.examine(it)
            display.verdict(verdict)
        done = examination.report()
    for failure in failures(done):
        display.text("\n" + failure)
    display.text("\n" + summary(done), style="green" if done.green else "red")
    if report is not None:
        write_json(as_json(done), report)
    return 0 if done.green else FAILURE


def need_hypothesis() -> None:
    """Refuse to go on without the contract suite's own requirement.

    Raises:
        UsageError: if it is not installed.
    """
    if importlib.util.find_spec("hypothesis") is None:
        from samplerkit.contract import NEEDS_HYPOTHESIS

        raise UsageError(NEEDS_HYPOTHESIS)


def _examination(
    backend: str, only: Sequence[str], profile: str, contract: str | None, options: Sequence[str]
) -> Examination:
    from samplerkit.contract import find_subject
    from samplerkit.contract.runner import Examination, parse_version, select

    search_here()
    try:
        given = parse_options(options)
        version = None if contract is None else parse_version(contract)
    except ValueError as error:
        raise UsageError(str(error)) from error
    try:
        subject = find_subject(backend, given)
    except SamplerKitError as error:
        raise UsageError(str(error)) from error
    except (Exception, SystemExit) as error:  # whatever importing a stranger's module may raise
        raise UsageError(f"{backend} cannot be loaded: {type(error).__name__}: {error}") from error
    try:
        return Examination(subject, profile, clauses=select(only, version), version=version)
    except ValueError as error:
        raise UsageError(str(error)) from error


class Display:
    """Shows how far the suite is: with colours on a terminal, in plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, soft_wrap=True, emoji=False)

    def text(self, text: str, style: str = "") -> None:
        """Print text as it stands."""
        self._console.print(text, style=style)

    def busy(self, it: Clause) -> Any:
        """Return a context in which a clause is shown as being examined; nothing but on a terminal."""
        return self._console.status(f"{it.id}  {it.says}")

    def verdict(self, verdict: Verdict) -> None:
        """Print what became of a clause."""
        from samplerkit.contract.report import progress

        self.text(progress(verdict), style=_STYLES[verdict.state])
