"""Surroundings: samplers that meddle with what belongs to the whole program, or to the caller."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import threadpoolctl

from samplerkit.contract.mutants.anything import AnySampler
from samplerkit.contract.mutants.bases import LOCAL
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.contract.mutants.life import Leak
from samplerkit.episodes import EpisodeSlice
from samplerkit.sampling.admission import Goal
from samplerkit.sampling.recipes import Record


@mutant("ends-all-children", "E4.not-ours")
class EndsAllChildren(AnySampler):
    """The shutdown kills every child of the program."""

    def _stop(self) -> None:
        super()._stop()
        for child in psutil.Process().children():
            child.kill()


@mutant("ends-all-workers", "E4.not-ours")
class EndsAllWorkers(AnySampler):
    """The shutdown ends every process of multiprocessing."""

    def _stop(self) -> None:
        super()._stop()
        for child in multiprocessing.active_children():
            child.kill()
            child.join()


@mutant("ends-all-pools", "E4.not-ours")
class EndsAllPools(AnySampler):
    """The shutdown ends every pool of threads."""

    def _stop(self) -> None:
        super()._stop()
        for thing in gc.get_objects():
            if type(thing) is ThreadPoolExecutor:
                thing.shutdown()


@mutant("sets-environment", "E4.settings")
class SetsEnvironment(Leak):
    """An environment variable is set for the workers' sake, and stays."""

    def leak(self) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"


@mutant("configures-logging", "E4.settings")
class ConfiguresLogging(Leak):
    """Logging is configured for the whole program."""

    def leak(self) -> None:
        logging.basicConfig(level=logging.ERROR)


@mutant("changes-folder", "E4.settings")
class ChangesFolder(Leak):
    """The working directory is another one afterwards."""

    def leak(self) -> None:
        os.chdir(tempfile.gettempdir())


@mutant("keeps-handler", "E4.settings")
class KeepsHandler(Leak):
    """A handler of SIGTERM stays."""

    def leak(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda number, frame: self.shutdown_worker())


@mutant("keeps-one-thread", "E4.settings")
class KeepsOneThread(Leak):
    """BLAS is limited to one thread, and stays so."""

    def leak(self) -> None:
        threadpoolctl.threadpool_limits(1)


@mutant("sets-start-method", "E4.settings")
class SetsStartMethod(Leak):
    """The program's start method of processes is set."""

    def leak(self) -> None:
        multiprocessing.set_start_method("spawn", force=True)


_open: weakref.WeakSet[AnySampler] = weakref.WeakSet()


class OfAll(AnySampler):
    """Knows of all samplers of its kind that are open."""

    _place = 0

    def _start(self, record: Record) -> None:
        super()._start(record)
        self._place = 1 + max((it._place for it in self.others()), default=0)
        _open.add(self)

    def others(self) -> list[Any]:
        """Return them, the latest first."""
        found = [it for it in _open if it is not self and type(it) is type(self) and it._closed is None]
        return sorted(found, key=lambda it: -it._place)


@mutant("latest-seed-for-all", "A6.side-by-side")
class LatestSeedForAll(OfAll):
    """Samplers that are open at the same time have the seed of the latest."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        own = self._seed
        self._seed = next((it._seed for it in self.others() if it._place > self._place), own)
        try:
            return super()._run(record, goal)
        finally:
            self._seed = own


@mutant("ends-other-samplers", "A6.side-by-side", bases=(LOCAL,))
class EndsOtherSamplers(OfAll):
    """The shutdown of a sampler shuts down all those that were made after it."""

    def shutdown_worker(self) -> None:
        was_open = self._closed is None
        super().shutdown_worker()
        for it in self.others() if was_open else ():
            if it._place > self._place:
                it.shutdown_worker()
