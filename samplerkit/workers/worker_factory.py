"""The factory: everything that it takes to build a worker where it will run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any, Self

from samplerkit.interfaces import CallShape, ContinuingWorker, StreamingWorker, Worker
from samplerkit.workers.default_worker import DefaultWorker


@dataclass(frozen=True, kw_only=True)
class WorkerFactory:
    """Builds workers. Picklable; workers are not.

    Args:
        max_episode_length: most steps of an episode, at least 1; `math.inf` is legal; None leaves it to
            the sampler, which takes the environment's own limit.
        is_tf_worker: whether the policy runs TensorFlow inside the worker; carriers then import it once
            and give it one thread.
        seed: of the sampler that uses this factory; None draws one there.
        n_workers: number of logical workers; None leaves it to the sampler.
        worker_class: a subclass of `Worker`.
        worker_args: further keyword arguments of the class; workers get copies of them.

    Raises:
        TypeError, ValueError: if an argument is not what it should be.
    """

    max_episode_length: float | None = None
    is_tf_worker: bool = False
    seed: int | None = None
    n_workers: int | None = None
    worker_class: type[Worker] = DefaultWorker
    worker_args: Mapping[str, Any] | None = field(default=None)

    def __post_init__(self) -> None:
        _check_worker_class(self.worker_class)
        if not isinstance(self.is_tf_worker, bool):
            raise TypeError(f"is_tf_worker must be True or False, not {self.is_tf_worker!r}")
        checked = {
            "max_episode_length": _checked_max_episode_length(self.max_episode_length),
            "seed": _checked_integer("seed", self.seed, 0),
            "n_workers": _checked_integer("n_workers", self.n_workers, 1),
            "worker_args": _checked_arguments(self.worker_args),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __call__(self, worker_number: int) -> Worker:
        """Build a worker.

        Args:
            worker_number: from 0 to ``n_workers - 1``.

        Raises:
            TypeError: if the number is no integer.
            ValueError: if there is no worker of this number.
        """
        if isinstance(worker_number, bool) or not isinstance(worker_number, Integral):
            raise TypeError(f"worker_number must be an integer, not {worker_number!r}")
        worker_number = int(worker_number)
        if worker_number < 0 or (self.n_workers is not None and worker_number >= self.n_workers):
            raise ValueError(
                f"there is no worker {worker_number}: numbers go from 0 to n_workers - 1 "
                f"(n_workers={self.n_workers})"
            )
        length = math.inf if self.max_episode_length is None else self.max_episode_length
        return self.worker_class(
            seed=self.seed,
            max_episode_length=length,
            worker_number=worker_number,
            **self._arguments,
        )

    @property
    def overlap(self) -> int:
        """How many units a worker runs at once: see `Worker.overlap`."""
        return self.worker_class.overlap(**self._arguments)

    @property
    def native_slots(self) -> int | None:
        """See `Worker.native_slots`."""
        return self.worker_class.native_slots(**self._arguments)

    @property
    def call_shape(self) -> CallShape | None:
        """What a call of a `ContinuingWorker` yields; None for all other workers."""
        cls = self.worker_class
        return cls.call_shape(**self._arguments) if issubclass(cls, ContinuingWorker) else None

    @property
    def piece_size(self) -> int:
        """How many units a piece of a worker's stream has: see `StreamingWorker`; 1 for all other workers."""
        cls = self.worker_class
        return cls.piece_size(**self._arguments) if issubclass(cls, StreamingWorker) else 1

    @property
    def _arguments(self) -> Mapping[str, Any]:
        assert self.worker_args is not None, "made a dict when it was checked"
        return self.worker_args

    def completed(self, **fields: Any) -> Self:
        """Return a copy with some fields filled in."""
        return replace(self, **fields)

    def prepare_worker_messages(
        self, objs: Any, preprocess: Callable[[Any], Any] = lambda obj: obj
    ) -> list[Any]:
        """Spread an object over the workers.

        Args:
            objs: a list of ``n_workers`` objects, one for each, or one object for all. Tuples count as
                one object.
            preprocess: applied once to each distinct object.

        Raises:
            ValueError: if a list has another length; it names both numbers.
        """
        if self.n_workers is None:
            raise ValueError("this factory does not know n_workers yet")
        if not isinstance(objs, list):
            return [preprocess(objs)] * self.n_workers
        if len(objs) != self.n_workers:
            raise ValueError(
                f"Length of list doesn't match number of workers: got {len(objs)} items for "
                f"{self.n_workers} workers; pass one item for each worker, or one object for all of them"
            )
        prepared = {key: preprocess(obj) for key, obj in {id(obj): obj for obj in objs}.items()}
        return [prepared[id(obj)] for obj in objs]


def _check_worker_class(worker_class: object) -> None:
    if not (isinstance(worker_class, type) and issubclass(worker_class, Worker)):
        raise TypeError(f"worker_class must be a subclass of samplerkit.Worker, not {worker_class!r}")


def _checked_max_episode_length(length: Any) -> float | None:
    if isinstance(length, float) and length == math.inf:
        return math.inf
    if length is not None and (isinstance(length, bool) or not isinstance(length, Integral)):
        raise TypeError(
            f"max_episode_length must be a whole number or math.inf, not {length!r}; "
            "None takes the environment's own limit"
        )
    return _checked_integer("max_episode_length", length, 1)


def _checked_integer(name: str, value: Any, least: int) -> int | None:
    """Return an integer, numpy's too, as an int."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number or None, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    return int(value)


def _checked_arguments(arguments: Any) -> dict[str, Any]:
    if arguments is not None and not isinstance(arguments, Mapping):
        raise TypeError(f"worker_args must be a dict of keyword arguments, not {arguments!r}")
    return dict(arguments or {})
