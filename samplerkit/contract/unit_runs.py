"""Units run here on demand: alone, after others, after an interrupted one, or beside one in another copy."""

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
from samplerkit.interfaces import EnvUpdate, Unit, UnitCancelled
from samplerkit.sampling import boundary
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.host import WorkerHost
from samplerkit.sampling.numbering import UnitSeeds, update_seed
from samplerkit.sampling.packing import pack
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
    """A `DefaultWorker` that can be told to interrupt a unit, or to seed the environment otherwise.

    Args:
        script: what to run.
        beside: a unit that another worker runs, with copies of its own, step by step in turn with this
            one. What it draws from the global generators is not seen here.
    """

    stateful: ClassVar[bool] = False
    piece: Piece

    def __init__(self, *, script: Iterator[Piece], beside: Unit | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._script = script
        self._neighbour: DefaultWorker | None = None
        self._neighbour_runs = False
        if beside is not None:
            self._neighbour = DefaultWorker(**arguments)
            self._neighbour.unit = beside

    def update_agent(self, agent_update: Any) -> None:
        """Take a policy, and give the neighbour a copy."""
        if self._neighbour is not None:
            with GlobalRandomState():
                self._neighbour.update_agent(pack(agent_update, "the policy").load())
        super().update_agent(agent_update)

    def update_env(self, env_update: Any) -> None:
        """Make an environment, and another one for the neighbour."""
        if self._neighbour is not None:
            with GlobalRandomState():
                self._neighbour.update_env(pack(env_update, "the environment").load())
        super().update_env(env_update)

    def start_episode(self) -> None:
        """Begin the episode, and then the neighbour's."""
        super().start_episode()
        if self._neighbour is not None:
            with GlobalRandomState():
                self._neighbour.start_episode()
            self._neighbour_runs = True

    def step_episode(self) -> bool:
        """Take a step, and then the neighbour's."""
        over = super().step_episode()
        if self._neighbour is not None and self._neighbour_runs:
            with GlobalRandomState():
                self._neighbour_runs = not self._neighbour.step_episode()
        return over

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

    def shutdown(self) -> None:
        """Close the environments."""
        super().shutdown()
        if self._neighbour is not None:
            self._neighbour.shutdown()

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

    def in_one_copy(self, pieces: Sequence[Piece], beside: int | None = None) -> list[EpisodeBatch]:
        """Run pieces one after the other in one fresh copy of the environment.

        Args:
            pieces: what to run.
            beside: number of a unit that runs in another copy at the same time, step by step in turn.

        Returns:
            The episodes of those that were not cut.

        Raises:
            WorkerError: if the environment or the policy raised.
        """
        neighbour = None if beside is None else UnitSeeds(self.seed).unit(beside)
        factory = WorkerFactory(
            max_episode_length=self.max_episode_length,
            seed=self.seed,
            n_workers=1,
            worker_class=ScriptedWorker,
            worker_args={"script": iter(pieces), "beside": neighbour},
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
