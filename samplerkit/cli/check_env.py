"""``samplerkit check-env``: does an environment keep the promise that samplers build on?"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from samplerkit.bench.workload import environment_named
from samplerkit.cli.errors import FAILURE, UsageError
from samplerkit.cli.quiet import prints_on_stderr, without_native_chatter
from samplerkit.cli.search_path import search_here

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

    with prints_on_stderr():
        env = _find_environment(reference)
        try:
            report = check_purity(env, seed=seed, n_units=n_units, max_episode_length=max_episode_length)
        except (Exception, SystemExit) as error:  # whatever a stranger's environment may raise
            raise _unchecked(reference, error) from error
    (_show_json if as_json else _show)(report)
    return 0 if report.pure else FAILURE


def _find_environment(reference: str) -> Any:
    """Return what a name stands for.

    Raises:
        UsageError: The module cannot be imported, or has no such name.
    """
    search_here()
    try:
        with without_native_chatter():
            return environment_named(reference)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except (Exception, SystemExit) as error:  # whatever importing a stranger's module may raise
        raise _unchecked(reference, error) from error


def _unchecked(reference: str, error: BaseException) -> UsageError:
    return UsageError(f"{reference} cannot be checked: {type(error).__name__}: {error}")


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
