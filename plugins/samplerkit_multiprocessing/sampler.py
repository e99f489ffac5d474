"""The multiprocessing sampler: a pool whose carriers are processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

import psutil

from samplerkit.sampling import Option, Options, PoolSampler, check_count, check_flag
from samplerkit_multiprocessing import launch
from samplerkit_multiprocessing.transport import ProcessCarrier, ProcessTransport, refusals_explained


def _check_pin(name: str, value: Any) -> bool:
    """Return whether to pin processes.

    Raises:
        ValueError: where the operating system cannot.
    """
    if check_flag(name, value) and not hasattr(os, "sched_setaffinity"):
        raise ValueError(f"{name}=True: this operating system has no way to keep a process on a CPU")
    return bool(value)


class MultiprocessingSampler(PoolSampler[ProcessCarrier]):
    """Runs units in processes of this machine.

    Batches of large observations may be in memory that is shared with the processes, which write there
    before the batch is returned and never after. A program that forks shares such a batch with its child, as
    it shares any shared memory: copy what both would write to.

    Options:
        n_processes: how many; None means the usable CPUs. Never seen in a batch.
        start_method: ``forkserver`` (default where there is one) or ``spawn``.
        pin: whether each process stays on one CPU of those that this program may use (default False; for
            machines that run nothing else, where the operating system can say so).
        max_restarts, unit_timeout: see `PoolSampler`.
    """

    options: ClassVar[Options] = {
        **PoolSampler.options,
        "n_processes": Option(None, check_count),
        "start_method": Option(None, launch.check_start_method),
        "pin": Option(False, _check_pin),
    }

    layouts: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"n_processes": 2},
        {"n_processes": 1},
        {"n_processes": 3},
    )

    def make_transport(self) -> ProcessTransport:
        """Return processes and pipes."""
        with refusals_explained():
            return ProcessTransport(
                self.option("n_processes") or _n_usable_cpus(),
                self.option("start_method") or launch.default_start_method(),
                _usable_cpus(),
                self.option("pin"),
                self.needs,
            )


def _usable_cpus() -> list[int]:
    """Return the CPUs that this program may use; none where the operating system has no way to say so."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []


def _n_usable_cpus() -> int:
    return len(_usable_cpus()) or psutil.cpu_count() or 1
