"""The files with the results: one for each key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from samplerkit.bench.machine import machine, versions

FOLDER = Path(__file__).parent / "results"


def save(folder: Path, figures: dict[str, Any], arguments: dict[str, Any]) -> Path:
    """Write the figures of one key, with the machine, the versions and the arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{figures['key']}.json"
    whole = {"machine": machine(), "versions": versions(), "arguments": arguments, **figures}
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return path


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what was saved, by key."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return {figures["key"]: figures for figures in found}
