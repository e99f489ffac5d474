"""The machine and the versions that figures belong to; nothing that names whose machine it is."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from samplerkit.bench.processes import usable_cpus


def machine() -> dict[str, Any]:
    """Return processor, cores, memory (GB) and system."""
    return {
        "cpu": _cpu_model(),
        "cpus_usable": usable_cpus(),
        "cpus_logical": psutil.cpu_count() or 1,
        "cpus_physical": psutil.cpu_count(logical=False) or 1,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions(distributions: Iterable[str] = ("samplerkit", "numpy", "gymnasium")) -> dict[str, str]:
    """Return Python's version and those of the distributions that are installed."""
    found = {"python": platform.python_version()}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
