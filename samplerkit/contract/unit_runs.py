"""Units run here on demand: alone, after others, after an interrupted one, always in a fresh copy."""

from __future__ import annotations

import contextlib
import itertools
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import threadpoolctl

from samplerkit.episodes import EpisodeBatch
from samplerkit.global_random import GlobalRandomState
from samplerkit.interfaces import EnvUpdate, UnitCancelled
from samplerkit.sampling import boundary
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.host import WorkerHost
from samplerkit.sampling.numbering import update_seed
from samplerkit.sampling.recipes import Recipe
from samplerkit.sampling.seating import HostSetup
from samplerkit.workers import DefaultWorker, WorkerFactory


@dataclass(frozen=True)
class Piece:
    """One thing to run in a copy of an environment.

    Args:
        unit: number of the unit.
        cut: interrupt it after so many steps; None runs it to its end.
        other_seed: give the environment another seed than the unit's, and the policy its usual one.
    """

    unit: int
    cut: int | None = None
    other_seed: bool = False


class ScriptedWorker(DefaultWorker):
    """A `DefaultWorker` that can be told to interrupt a unit, or to seed the environment otherwise."""

    stateful: ClassVar[bool] = False
    piece: Piece

    def __init__(self, *, script: Iterator[Piece], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._script = script

    def rollout(self) -> EpisodeBatch:
        """Run the next piece of the script.

        Raises:
            UnitCancelled: where it says to interrupt the unit.
        """
        self.piece = next(self._script)
        if self.piece.cut is None:
            return super().rollout()
        self.start_episode()
        for _ in range(self.piece.cut):
            self.step_episode()
        raise UnitCancelled

    def env_seed(self) -> int | None:
        """The unit's seed, or its neighbour."""
        seed = super().env_seed()
        return seed ^ 1 if seed is not None and self.piece.other_seed else seed


@dataclass(frozen=True)
class UnitRuns:
    """Runs units of one environment and policy in this process, as the local sampler would.

    Args:
        env: how each copy comes to be.
        policy: chooses the actions; every copy of the environment gets a copy of its own.
        seed: of the units.
        max_episode_length: most steps of an episode.
        reseed: whether each unit seeds the environment.
        ticking: let the clock tick by the call instead of by the second, and start anew with each piece.

    Raises:
        TypeError: if environment or policy cannot be pickled.
    """

    env: EnvUpdate
    policy: Any
    seed: int
    max_episode_length: float
    reseed: bool = True
    ticking: bool = False

    def __post_init__(self) -> None:
        agent = boundary.agent_change(self.policy)
        env = boundary.env_change(self.env, update_seed(self.seed, 0, 0))
        if agent is None or env is None or not agent.is_policy:
            raise TypeError("policy must be an object with get_action (see samplerkit.Policy)")
        object.__setattr__(self, "_recipe", Recipe(agent.packed, None, (env,)))

    def in_one_copy(self, pieces: Sequence[Piece]) -> list[EpisodeBatch]:
        """Run pieces one after the other in one fresh copy of the environment.

        Returns:
            The episodes of those that were not cut.

        Raises:
            WorkerError: if the environment or the policy raised.
        """
        factory = WorkerFactory(
            max_episode_length=self.max_episode_length,
            seed=self.seed,
            n_workers=1,
            worker_class=ScriptedWorker,
            worker_args={"script": iter(pieces)},
        )
        setup = HostSetup.of(factory, 1, self.reseed)
        host = WorkerHost(setup, catch_interrupts=False)
        with undisturbed():
            try:
                return list(self._run(host, pieces))
            finally:
                host.close()

    def _run(self, host: WorkerHost, pieces: Sequence[Piece]) -> Iterator[EpisodeBatch]:
        recipe: Recipe = self._recipe  # type: ignore[attr-defined]
        clock = ticking_clock if self.ticking else contextlib.nullcontext
        with clock():
            _raise_failures(host.configure(self.seed, {0: recipe}))
        for piece in pieces:
            with clock():
                results = [result for _, result in host.run([piece.unit], (0,))]
            for result in results:
                if isinstance(result, Failure):
                    raise result.to_error()
                yield result.view()

    def alone(self, unit: int, **how: Any) -> EpisodeBatch:
        """Run one unit in a fresh copy; `how` goes to `Piece`."""
        return self.in_one_copy([Piece(unit, **how)])[0]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put the global generators back, calm linear algebra down to one thread, and hold warnings back."""
    with GlobalRandomState(), threadpoolctl.threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


_CLOCKS = ("time", "monotonic", "perf_counter", "process_time")
_TICK = 1 / 1024


@contextmanager
def ticking_clock() -> Iterator[None]:
    """Replace the clocks of the module `time` by counters of their calls.

    They go on, so that nobody waits forever, and two equal runs read equal times.
    """
    names = [*_CLOCKS, *(f"{name}_ns" for name in _CLOCKS)]
    real = {name: getattr(time, name) for name in names}
    ticks = itertools.count(1)

    def seconds() -> float:
        return next(ticks) * _TICK

    def nanoseconds() -> int:
        return next(ticks) * 1_000_000

    try:
        for name in names:
            setattr(time, name, nanoseconds if name.endswith("_ns") else seconds)
        yield
    finally:
        for name, function in real.items():
            setattr(time, name, function)


def _raise_failures(failures: Sequence[Failure]) -> None:
    for failure in failures:
        raise failure.to_error()
