"""Life: what is left behind, closed twice, never closed, printed, or usable after its end."""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from multiprocessing.shared_memory import SharedMemory
from types import TracebackType
from typing import Any
from unittest import mock

from samplerkit.contract.mutants.anything import AnyPool, AnySampler
from samplerkit.contract.mutants.bases import EVERYWHERE, LOCAL, PROCESSES
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import EpisodeBatch
from samplerkit.errors import SamplerClosed
from samplerkit.sampling import host
from samplerkit.sampling.admission import Goal
from samplerkit.sampling.packing import Packed
from samplerkit.sampling.recipes import Record
from samplerkit.workers import DefaultWorker

SHARED_PREFIX = "samplerkit-mutant-"
"""Of the names of shared memory that a mutant leaves behind, before its class; `self_test` removes it."""


class Leak(AnySampler):
    """Leaves something behind each time that it starts."""

    def leak(self) -> None:
        raise NotImplementedError

    def _start(self, record: Record) -> None:
        self.leak()
        super()._start(record)


@mutant("leaks-process", "E3.dropped", "E3")
class LeaksProcess(Leak):
    """A process is left after the shutdown."""

    def leak(self) -> None:
        self._left = subprocess.Popen(["sleep", "120"])


@mutant("leaks-process-of-worker", "E3.dropped", "E3", bases=(PROCESSES,))
class LeaksProcessOfWorker(DefaultWorker):
    """A worker starts a process that outlives it."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        subprocess.Popen(["sleep", "120"], stdin=subprocess.DEVNULL)


@mutant("leaks-thread", "E3.dropped", "E3")
class LeaksThread(Leak):
    """A thread is left after the shutdown."""

    def leak(self) -> None:
        threading.Thread(target=threading.Event().wait, daemon=True, name="left-behind").start()


@mutant("leaks-descriptor", "E3.dropped", "E3", bases=EVERYWHERE)
class LeaksDescriptor(Leak):
    """A file descriptor is left after the shutdown."""

    def leak(self) -> None:
        os.open(os.devnull, os.O_RDONLY)


@mutant("leaks-descriptor-per-call", "E3.dropped", "E3", bases=(LOCAL, PROCESSES))
class LeaksDescriptorPerCall(AnySampler):
    """Each call leaves a file descriptor."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        os.open(os.devnull, os.O_RDONLY)
        return super()._obtain(goal, agent_update, env_update)


@mutant("leaks-file", "E3.dropped", "E3", bases=(LOCAL, PROCESSES))
class LeaksFile(Leak):
    """A temporary file is left after the shutdown."""

    def leak(self) -> None:
        file, self._path = tempfile.mkstemp(prefix="samplerkit-left-behind-")
        os.close(file)


@mutant("leaks-shared-memory", "E3.nothing-left", "E3", bases=(LOCAL, PROCESSES))
class LeaksSharedMemory(Leak):
    """A segment of shared memory is left after the shutdown."""

    def leak(self) -> None:
        # Mapped until the process ends, so that a census elsewhere can tell whose it is.
        name = f"{SHARED_PREFIX}{type(self).__name__}-{secrets.token_hex(8)}"
        self._memory = SharedMemory(create=True, size=4096, name=name)


@mutant("leaks-on-bad-start", "E1.constructor", "E1", bases=(LOCAL, PROCESSES))
class LeaksOnBadStart(AnySampler):
    """If a worker cannot start, those that were started already are left."""

    def _bring_up(self) -> None:
        self._process = os.getpid()
        self._start(self._record)
        self._started = self._to_stop = True


@mutant("bad-start-unreported", "E1", "D1", bases=(LOCAL, PROCESSES))
class BadStartUnreported(AnySampler):
    """Workers start at the first call, so the constructor does not say that they cannot."""

    def _begin(self) -> None:
        self._closed = None


@mutant("second-shutdown-raises", "E2", bases=EVERYWHERE)
class SecondShutdownRaises(AnySampler):
    """A second shutdown raises."""

    def shutdown_worker(self) -> None:
        self._check_open()
        super().shutdown_worker()


@mutant("second-shutdown-closes", "E2", bases=(LOCAL,))
class SecondShutdownCloses(AnySampler):
    """A second shutdown closes the environments once more."""

    _again: Any = None

    def _stop(self) -> None:
        host = getattr(self, "_host", None)
        if host is not None:
            self._again = [seat.worker.env for seat in host._seats.values() if seat.worker is not None]
        super()._stop()

    def shutdown_worker(self) -> None:
        done = self._closed is not None
        super().shutdown_worker()
        if done:
            for env in self._again or ():
                env.close()


@mutant("closes-twice", "E2", bases=EVERYWHERE)
class ClosesTwice(DefaultWorker):
    """Environments are closed twice."""

    def shutdown(self) -> None:
        if self.env is not None:
            self.env.close()
        super().shutdown()


@mutant("never-closes", "E2", bases=EVERYWHERE)
class NeverCloses(DefaultWorker):
    """Environments are not closed at the shutdown."""

    def shutdown(self) -> None:
        self.env = None


@mutant("closes-later", "E2", "E3", bases=(LOCAL, PROCESSES))
class ClosesLater(AnySampler):
    """The shutdown returns before the environments are closed."""

    def _stop(self) -> None:
        if not self._started:
            super()._stop()
            return
        timer = threading.Timer(1.0, super()._stop)
        timer.daemon = True
        timer.start()


@mutant("shutdown-ignored", "E2", "E3", "D6", bases=EVERYWHERE)
class ShutdownIgnored(AnySampler):
    """The shutdown does nothing."""

    def shutdown_worker(self) -> None:
        return


@mutant("usable-after-shutdown", "D6", bases=(LOCAL, PROCESSES))
class UsableAfterShutdown(AnySampler):
    """A sampler that was shut down starts again when it is called."""

    def shutdown_worker(self) -> None:
        super().shutdown_worker()
        self._closed = None
        self._started = False


@mutant("closed-as-runtime-error", "D6", bases=(LOCAL, PROCESSES))
class ClosedAsRuntimeError(AnySampler):
    """A call after the shutdown raises something else than SamplerClosed."""

    def _check_open(self) -> None:
        try:
            super()._check_open()
        except SamplerClosed as error:
            raise RuntimeError(str(error)) from None


@mutant("closed-returns-none", "D6", bases=(LOCAL,))
class ClosedReturnsNone(AnySampler):
    """A call after the shutdown returns None."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> Any:
        return super()._obtain(goal, agent_update, env_update) if self._closed is None else None


@mutant("closed-hangs", "D6.closed", "D6", bases=(LOCAL,))
class ClosedHangs(AnySampler):
    """A call after the shutdown waits for an answer for ever."""

    def _check_open(self) -> None:
        while self._closed is not None:
            time.sleep(0.05)


@mutant("slow-shutdown", "E2.shutdown-whatever-comes", bases=(LOCAL,))
class SlowShutdown(AnySampler):
    """The shutdown takes nine seconds."""

    def _stop(self) -> None:
        super()._stop()
        if self._started:
            time.sleep(9)


@mutant("no-context", "E2", bases=(LOCAL, PROCESSES))
class NoContext(AnySampler):
    """The end of a with block does not shut the sampler down."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return


@mutant("context-swallows", "E2", "D", bases=(LOCAL,))
class ContextSwallows(AnySampler):
    """The end of a with block swallows exceptions."""

    def __exit__(  # type: ignore[override]
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self.shutdown_worker()
        return True


@mutant("dropped-silently", "E3", bases=(LOCAL, PROCESSES))
class DroppedSilently(AnySampler):
    """A sampler that is dropped without a shutdown does not warn."""

    def __del__(self) -> None:
        if getattr(self, "_closed", "") is None and self._started:
            self.shutdown_worker()


@mutant("prints-at-start", "E6", bases=EVERYWHERE)
class PrintsAtStart(Leak):
    """The constructor prints."""

    def leak(self) -> None:
        sys.stdout.write("starting workers\n")
        sys.stdout.flush()


@mutant("prints-progress", "E6", bases=(LOCAL, PROCESSES))
class PrintsProgress(AnySampler):
    """A call writes its progress to stderr."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        sys.stderr.write("sampling ...\n")
        sys.stderr.flush()
        return super()._obtain(goal, agent_update, env_update)


@mutant("worker-prints", "E6")
class WorkerPrints(DefaultWorker):
    """Workers print."""

    def shutdown(self) -> None:
        sys.stdout.write("worker: bye\n")
        sys.stdout.flush()
        super().shutdown()


@mutant("takes-signals", "D4", "E3", bases=(LOCAL,))
class TakesSignals(Leak):
    """The handler of SIGINT is replaced."""

    def leak(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)


@mutant("hears-ctrl-c", "D4.whole-group", bases=(PROCESSES,))
class HearsCtrlC(DefaultWorker):
    """Workers hear Ctrl-C as well, and say so."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, lambda number, frame: traceback.print_stack())


@mutant("worker-class-by-name", "E7", bases=(PROCESSES,))
class WorkerClassByName(AnyPool):
    """The worker's class is sent by its name, and processes do not have the main module."""

    def _start(self, record: Record) -> None:
        with mock.patch.object(host, "pack", lambda value, what: Packed(pickle.dumps(value))):
            super()._start(record)


@mutant("needs-main-guard", "E7", bases=(PROCESSES,))
class NeedsMainGuard(AnySampler):
    """Workers run the program's main module again."""

    @property
    def _setup(self) -> Any:
        main = sys.modules.get("__main__")
        path = getattr(main, "__file__", None)
        if path is not None and os.path.exists(path) and main is not None and main.__name__ == "__main__":
            subprocess.run(
                [
                    sys.executable,
                    "-c",
                    "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__mp_main__')",
                    path,
                ],
                check=True,
                timeout=20,
                env={**os.environ, "SAMPLERKIT_MAIN_AGAIN": "1"},
            )
        return super()._setup
