"""The files with the results: one for each key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from samplerkit.bench.machine import machine, versions

FOLDER = Path(__file__).parent / "results"


def save(folder: Path, figures: dict[str, Any], arguments: dict[str, Any], *, add: bool = False) -> Path:
    """Write the figures of one key, with the machine, the versions and the arguments.

    Args:
        folder: where.
        figures: of the key.
        arguments: of the run.
        add: whether contestants that are in the file already, and did not take part this time, stay there.
            Each was compared with the limit of its own run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{figures['key']}.json"
    whole = {"machine": machine(), "versions": versions(), "arguments": arguments, **figures}
    if add and path.exists() and "contestants" in figures:
        whole = _added(json.loads(path.read_text()), whole)
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return path


def _added(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the old figures with the rows of new ones, bare loops left out."""
    loops = {
        new["limit"],
        *(row["name"] for row in new["contestants"] if row["name"].startswith("bare loop")),
    }
    rows = {row["name"]: row for row in old["contestants"]}
    # Who could not run this time is none the worse for it.
    stay = {name for name in rows if name in loops} | {
        row["name"] for row in new["contestants"] if row.get("skipped") and row["name"] in rows
    }
    rows |= {row["name"]: row for row in new["contestants"] if row["name"] not in stay}
    n_runs = old.get("runs", 1) + 1
    whole = {**old, "versions": new["versions"], "runs": n_runs, "contestants": list(rows.values())}
    if "limits" in old and "limits" in new:
        whole["limits"] = [*old["limits"], *new["limits"]]
    return whole


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what was saved, by key."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return {figures["key"]: figures for figures in found}
