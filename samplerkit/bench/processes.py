"""What the operating system tells of a process and its descendants."""

from __future__ import annotations

from pathlib import Path

import psutil

from samplerkit.bench.contestant import Memory

_MB = 1e6


def usable_cpus() -> int:
    """Return how many processors this process may use."""
    try:
        return len(psutil.Process().cpu_affinity())
    except AttributeError:  # not on every platform
        return psutil.cpu_count() or 1


def peak_memory(pid: int) -> Memory | None:
    """Return the peak memory of a process, and of the largest of its descendants; None once it is gone."""
    family = _family(pid)
    if not family:
        return None
    peaks = [_peak(process) for process in family]
    return Memory(peaks[0], max(peaks[1:], default=0.0), len(peaks) - 1)


def cpu_seconds(pid: int) -> float | None:
    """Return the processor time of a process and its living descendants; None once it is gone."""
    total = 0.0
    for process in _family(pid):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total or None


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _peak(process: psutil.Process) -> float:
    """The kernel's own account of the peak where there is one, else what is resident now."""
    try:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / _MB
    except OSError:
        pass
    try:
        return float(process.memory_info().rss) / _MB
    except psutil.Error:
        return 0.0
