"""``samplerkit check-env``: does an environment keep the promise that samplers build on?"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from samplerkit.cli.errors import FAILURE, UsageError
from samplerkit.cli.quiet import without_native_chatter

if TYPE_CHECKING:
    from samplerkit.contract.environment_report import PurityReport

_STYLES = {"good": "green", "bad": "red", "dim": "dim", "": ""}


def check_env(
    reference: str, *, seed: int, n_units: int, max_episode_length: int | None, as_json: bool
) -> int:
    """Check an environment and print the report.

    Returns:
        The exit status: 0 for a pure environment, else 1.

    Raises:
        UsageError: There is no such environment, or it cannot be constructed.
    """
    from samplerkit.contract.purity import check_purity

    env = find_environment(reference)
    try:
        report = check_purity(env, seed=seed, n_units=n_units, max_episode_length=max_episode_length)
    except Exception as error:
        raise UsageError(f"{reference} cannot be checked: {type(error).__name__}: {error}") from error
    (_show_json if as_json else _show)(report)
    return 0 if report.pure else FAILURE


def find_environment(reference: str) -> Any:
    """Return what a name stands for: a gymnasium id as it is, ``module:name`` imported.

    Raises:
        UsageError: The module cannot be imported, or has no such name.
    """
    module_name, colon, name = reference.partition(":")
    if not colon:
        return reference
    if os.getcwd() not in sys.path:  # as with `python -m`; last, so that nothing is hidden by it
        sys.path.append(os.getcwd())
    try:
        with without_native_chatter():
            module = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(f"{module_name} cannot be imported: {error}") from error
    found = getattr(module, name, None)
    if found is not None:
        return found
    if "-v" in name:
        return reference  # gymnasium's own form of an id, with the module that registers it
    raise UsageError(f"{module_name} has no {name!r}: write module:callable, or an id such as CartPole-v1")


def _show_json(report: PurityReport) -> None:
    sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n")


def _show(report: PurityReport) -> None:
    """Print a table; on a terminal it fits the width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 110)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for line in report.lines():
        style = _STYLES[line.tone]
        table.add_row(Text(line.label, style=style), Text(line.text, style=style))
    console.print(table)
