"""An exception as data, so that it can travel and wait for its turn."""

from __future__ import annotations

import inspect
import pickle
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import cloudpickle

from samplerkit.errors import WorkerError
from samplerkit.sampling.returned import explained


@dataclass(frozen=True)
class Failure:
    """What a worker raised, in a form that can always be pickled.

    It is the result of a unit like any other: raised only when admission reaches it.
    """

    worker: int
    unit: int | None
    error_type: str
    message: str
    remote_traceback: str
    pickled: bytes | None

    @classmethod
    def of(cls, error: BaseException, worker: int, unit: int | None) -> Failure:
        """Describe an exception that was just caught."""
        error = explained(_as_raised(error))
        kind = type(error)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        trace = "".join(traceback.format_exception(error))
        return cls(worker, unit, name, _text(error), trace, _pickled(error))

    def to_error(self) -> WorkerError:
        """Return the error to raise, with the original exception as its cause where that could travel."""
        error = WorkerError(self.worker, self.unit, self.error_type, self.message, self.remote_traceback)
        error.__cause__ = None if self.pickled is None else _unpickled(self.pickled)
        return error


def raise_first(failures: Sequence[Failure]) -> None:
    """Raise the failure of the lowest worker, if there is any.

    Raises:
        WorkerError: for it.
    """
    if failures:
        raise min(failures, key=lambda failure: failure.worker).to_error()


def _as_raised(error: BaseException) -> BaseException:
    """Return what a worker raised: generators make a RuntimeError of a StopIteration that leaves them.

    That of a generator which a step or a policy calls is its own.
    """
    stop, frames = error.__cause__, traceback.walk_tb(error.__traceback__)
    if not (isinstance(error, RuntimeError) and isinstance(stop, StopIteration)):
        return error
    straight = all(frame.f_code.co_flags & inspect.CO_GENERATOR for frame, _ in frames)
    return stop if straight else error


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as second:
        return f"(its text cannot be had: str() raised {type(second).__name__})"


def _pickled(error: BaseException) -> bytes | None:
    # Tried both ways here: an exception whose __init__ wants more arguments pickles but does not unpickle.
    try:
        data: bytes = cloudpickle.dumps(error)
        return data if isinstance(pickle.loads(data), BaseException) else None
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None


def _unpickled(data: bytes) -> BaseException | None:
    try:
        error: BaseException = pickle.loads(data)
    except KeyboardInterrupt:
        raise
    except BaseException:
        # It could be read where it was raised, but not here: a module, say, that only workers have.
        return None
    return error
