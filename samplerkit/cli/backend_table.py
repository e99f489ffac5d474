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
    sys.stdout.write(json.dumps(rows, indent=2) + "\n")


def show_table(rows: list[dict[str, Any]]) -> None:
    """Print a table; on a terminal it fits the width, elsewhere no cell is cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table("backend", "state", "reason", "summary", "distribution", "api", box=None, pad_edge=False)
    for row in rows:
        style = "green" if row["state"] == "ok" else "red"
        cells = [Text(row[column]) for column in COLUMNS]
        cells[1].stylize(style)
        table.add_row(*cells)
    console.print(table)


def _row(backend: Any) -> dict[str, Any]:
    api = backend.api
    return {
        **{column: str(getattr(backend, column) or "") for column in COLUMNS},
        "api": "" if api is None else ".".join(str(part) for part in api),
        "capabilities": {name: _support(support) for name, support in backend.capabilities.items()},
    }


def _support(support: Any) -> dict[str, Any]:
    return {"yes": bool(support.yes), "reason": str(support.reason)}
