"""``samplerkit backends``: what is installed, and why something does not work."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

COLUMNS = ("name", "state", "reason", "summary", "distribution", "api")

_HOOKS = "hooks"

_LEAST_WIDTH = 80
"""Columns without which words would be cut: in a narrower terminal lines are broken instead."""


def backend_rows() -> list[dict[str, Any]]:
    """One dict for each installed backend, and for each plugin of hooks after them.

    Keys are those in `COLUMNS`, ``capabilities``, and ``kind``: ``sampler``, ``worker`` or ``hooks``. The
    summary of a plugin of hooks says which of them it implements.
    """
    import samplerkit
    from samplerkit.plugins.hooks import hook_plugins

    return [*map(_row, samplerkit.backends()), *map(_hooks_row, hook_plugins())]


def show_json(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a JSON array."""
    sys.stdout.write(json.dumps(rows, indent=2) + "\n")


def show_table(rows: list[dict[str, Any]]) -> None:
    """Print a table, and another for plugins of hooks; it fits a terminal of 80 columns or more."""
    hooks = [row for row in rows if row["kind"] == _HOOKS]
    _show("backend", COLUMNS, [row for row in rows if row not in hooks])
    if hooks:
        sys.stdout.write("\n")
        _show("plugin of hooks", COLUMNS[:-1], hooks)


def _show(title: str, columns: Sequence[str], rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # No cell is cut where nobody looks at a width.
    console = Console()
    console.width = max(console.width, _LEAST_WIDTH) if sys.stdout.isatty() else 200
    table = Table(box=None, pad_edge=False)
    for column in columns:
        # A name is what one types: others give way to it where there is little room.
        table.add_column(title if column == "name" else column, no_wrap=column in ("name", "state"))
    for row in rows:
        cells = [Text(row[column]) for column in columns]
        cells[1].stylize("green" if row["state"] == "ok" else "red")
        table.add_row(*cells)
    console.print(table)


def _row(backend: Any) -> dict[str, Any]:
    api, spec = backend.api, backend.spec
    return {
        **{column: str(getattr(backend, column) or "") for column in COLUMNS},
        "kind": "worker" if spec is not None and spec.is_worker else "sampler",
        "api": "" if api is None else ".".join(str(part) for part in api),
        "capabilities": {name: _support(support) for name, support in backend.capabilities.items()},
    }


def _hooks_row(plugin: Any) -> dict[str, Any]:
    given = {column: str(getattr(plugin, column, "") or "") for column in COLUMNS}
    return {**given, "kind": _HOOKS, "summary": ", ".join(plugin.hooks), "capabilities": {}}


def _support(support: Any) -> dict[str, Any]:
    return {"yes": bool(support.yes), "reason": str(support.reason)}
