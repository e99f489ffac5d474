"""``samplerkit backends``: what is installed, and why something does not work."""

from __future__ import annotations

import json
import sys
from typing import Any

COLUMNS = ("name", "state", "reason", "summary", "distribution", "api")


def backend_rows() -> list[dict[str, Any]]:
    """One dict for each installed backend, keys as in `COLUMNS` plus ``capabilities``."""
    import samplerkit

    return [_row(backend) for backend in samplerkit.backends()]


def show_json(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a JSON array."""
    sys.stdout.write(json.dumps(rows, indent=2, default=str) + "\n")


def show_table(rows: list[dict[str, Any]]) -> None:
    """Print a table; on a terminal it fits the width, elsewhere no cell is cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table("backend", "state", "reason", "summary", "distribution", "api", box=None, pad_edge=False)
    for row in rows:
        style = "green" if row["state"] == "ok" else "red"
        cells = [Text(str(row[column] or "")) for column in COLUMNS]
        cells[1].stylize(style)
        table.add_row(*cells)
    console.print(table)


def _row(backend: Any) -> dict[str, Any]:
    row = {column: _plain(getattr(backend, column)) for column in COLUMNS}
    row["capabilities"] = _plain(getattr(backend, "capabilities", None))
    return row


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        return ".".join(str(part) for part in value)
    if isinstance(value, (set, frozenset)):
        return sorted(str(entry) for entry in value)
    return getattr(value, "value", value)
