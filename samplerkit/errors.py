"""Every error that samplerkit raises of its own accord: classes with fields and one sentence each."""

from __future__ import annotations

import signal as _signal


class SamplerKitError(Exception):
    """Base of all errors of this package."""


class SamplerError(SamplerKitError):
    """A sampler could not do what was asked."""


class WorkerError(SamplerError):
    """An exception in an environment, a policy, a worker or a factory.

    Attributes:
        worker: number of the logical worker.
        unit: number of the unit it was running (of the call, for workers whose episodes go on from call to
            call), None outside units (construction, updates).
        error_type: qualified name of the original exception's class.
        message: text of the original exception.
        remote_traceback: the formatted traceback of the place where it was raised.

    The original exception is the ``__cause__`` where it could be transported.
    """

    def __init__(
        self, worker: int, unit: int | None, error_type: str, message: str, remote_traceback: str
    ) -> None:
        self.worker = worker
        self.unit = unit
        self.error_type = error_type
        self.message = message
        self.remote_traceback = remote_traceback
        where = "while it was built or updated" if unit is None else f"in unit {unit}"
        super().__init__(
            f"worker {worker} raised {error_type} {where}: {message}\n\n"
            f"--- traceback in the worker ---\n{remote_traceback.rstrip()}"
        )

    def __reduce__(self) -> tuple[type[WorkerError], tuple[int, int | None, str, str, str]]:
        return type(self), (self.worker, self.unit, self.error_type, self.message, self.remote_traceback)


class WorkerDied(SamplerError):
    """A carrier of workers (a process, an actor) died, and restarting it did not help or was not possible.

    Attributes:
        worker: number of the logical worker whose unit was running.
        unit: number of that unit, None if it died while workers were built or updated.
        exitcode: the exit status; the negative signal number where a signal ended it; None if unknown.
        deaths: how many carriers died over that unit.
    """

    def __init__(self, worker: int, unit: int | None, exitcode: int | None, deaths: int, hint: str) -> None:
        self.worker = worker
        self.unit = unit
        self.exitcode = exitcode
        self.deaths = deaths
        self.hint = hint
        what = "while it was built or updated" if unit is None else f"while it ran unit {unit}"
        times = f" ({deaths} deaths)" if deaths > 1 else ""
        super().__init__(f"worker {worker} died {what}: {describe_exit(exitcode)}{times}. {hint}")

    def __reduce__(self) -> tuple[type[WorkerDied], tuple[int, int | None, int | None, int, str]]:
        return type(self), (self.worker, self.unit, self.exitcode, self.deaths, self.hint)


class SamplerBusy(SamplerError):
    """A sampler was called while another call of it was still running."""


class SamplerClosed(SamplerError):
    """A sampler was used after its shutdown, or in a process that was forked from its own."""


class UnsupportedFeature(SamplerError):
    """A backend was asked for something that it declares not to support."""


class BackendError(SamplerKitError):
    """A backend could not be found or loaded."""


class UnknownBackend(BackendError, LookupError):
    """No installed distribution offers a backend of this name."""


class BackendUnavailable(BackendError, ImportError):
    """A backend is installed but something that it requires is not."""


class BackendIncompatible(BackendError):
    """A backend was written for another version of the sampler API."""


class BackendBroken(BackendError):
    """A backend's description cannot be loaded or makes no sense."""


class AmbiguousBackend(BackendError):
    """Two distributions offer a backend of the same name."""


def describe_exit(exitcode: int | None) -> str:
    """Say in words how a process ended."""
    if exitcode is None:
        return "it vanished"
    if exitcode >= 0:
        return f"it exited with status {exitcode}"
    try:
        return f"it was killed by {_signal.Signals(-exitcode).name}"
    except ValueError:
        return f"it was killed by signal {-exitcode}"
