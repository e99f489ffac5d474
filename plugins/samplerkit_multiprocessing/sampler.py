"""The multiprocessing sampler: a pool whose carriers are processes."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Any

import psutil

from samplerkit.sampling import PoolSampler
from samplerkit.sampling.boundary import check_count
from samplerkit_multiprocessing import launch
from samplerkit_multiprocessing.transport import ProcessCarrier, ProcessTransport

_TENSORFLOW = "samplerkit_multiprocessing.tensorflow_in_workers"


class MultiprocessingSampler(PoolSampler[ProcessCarrier]):
    """Runs units in processes of this machine.

    Options:
        n_processes: how many; None means the usable CPUs. Never seen in a batch.
        start_method: ``forkserver`` (default where there is one) or ``spawn``.
        max_restarts, unit_timeout: see `PoolSampler`.
    """

    @classmethod
    def _check_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        options = dict(options)
        checked: dict[str, Any] = {"n_processes": None, "start_method": None}
        if options.get("n_processes") is not None:
            checked["n_processes"] = check_count("n_processes", options["n_processes"])
        if options.get("start_method") is not None:
            checked["start_method"] = options["start_method"]
            launch.context(options["start_method"], ())
        rest = {name: value for name, value in options.items() if name not in checked}
        return {**checked, **super()._check_options(rest)}

    def make_transport(self) -> ProcessTransport:
        """Return processes and pipes."""
        _live.add(self)
        return ProcessTransport(
            self._options["n_processes"] or _usable_cpus(),
            self._options["start_method"] or launch.default_start_method(),
            (_TENSORFLOW,) if self.worker_factory.is_tf_worker else (),
        )


def _usable_cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return psutil.cpu_count() or 1


_live: weakref.WeakSet[MultiprocessingSampler] = weakref.WeakSet()


@atexit.register
def _close_live() -> None:
    """End what was never shut down: multiprocessing, whose own hook runs later, would wait for it."""
    for sampler in list(_live):
        sampler.shutdown_worker()
