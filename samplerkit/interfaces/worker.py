"""The worker: runs a policy in an environment, a unit at a time."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NoReturn

from samplerkit.episodes import EpisodeBatch, EpisodeSlice
from samplerkit.interfaces.capabilities import Capabilities
from samplerkit.interfaces.unit import Unit


class UnitCancelled(Exception):
    """Raised inside a unit that is no longer wanted; never seen by a sampler's caller."""


class Worker(abc.ABC):
    """Runs a policy in an environment. The life of a worker, as a sampler sees it::

        worker = factory(worker_number)
        worker.update_agent(policy)
        worker.update_env(env_update)
        for unit, batch in worker.rollouts(units):
            ...
        worker.update_agent(weights)
        ...
        worker.shutdown()

    A subclass implements at least `update_agent`, `update_env`, `rollout` (or `start_episode`,
    `step_episode` and `collect_episode`) and `shutdown`.

    Args:
        seed: the sampler's seed; for reference only, since every unit brings its own seeds.
        max_episode_length: a whole number of steps, at least 1, or infinity.
        worker_number: which logical worker this is.
    """

    stateful: ClassVar[bool] = True
    """Whether anything but agent, environment and the unit's seeds can change what a unit yields.

    A stateless worker's units may be run by any copy of it, in any order, ahead of time and again after
    a crash. The safe default for a class that does not say is True: its units then run in order, in one
    place, nothing runs ahead, and its death cannot be repaired.
    """

    capabilities: ClassVar[Capabilities] = {}
    """Where this kind of worker offers something else than samplers do: only what it changes."""

    takes_vector_envs: ClassVar[bool] = False
    """Whether `update_env` takes a `gymnasium.vector.VectorEnv` too."""

    unit: Unit | None = None
    """The unit that is running; set before `rollout` is called."""

    reseed: bool = True
    """Whether each unit seeds the environment; False for one that is seeded once and never again."""

    n_workers: int = 1
    """How many logical workers the sampler has: unit u belongs to worker ``u % n_workers``."""

    one_at_a_time: bool = False
    """Whether units must run one after another, because worker or environment remember earlier ones."""

    cancelled: bool = False
    """Whether the running unit should end between two steps; see `cancel`."""

    _env_was_seeded: bool = False

    def __init__(self, *, seed: int | None, max_episode_length: float, worker_number: int) -> None:
        self._seed = seed
        self._max_episode_length = max_episode_length
        self._worker_number = worker_number

    @classmethod
    def overlap(cls, **worker_args: Any) -> int:
        """Return how many units a worker with these arguments runs at once, at most.

        One that overlaps units is handed so many, and more as they end. Its `units` may have more after
        ``next`` said that there are none: it should go on with those under way, and ask again.

        Raises:
            TypeError, ValueError: for arguments that make no sense.
        """
        del worker_args
        return 1

    @classmethod
    def native_slots(cls, **worker_args: Any) -> int | None:
        """Return how many slots the vector environment is to have that a gymnasium id stands for.

        None where an id stands for single environments.
        """
        del worker_args
        return None

    @property
    def worker_number(self) -> int:
        """Which logical worker this is."""
        return self._worker_number

    @abc.abstractmethod
    def update_agent(self, agent_update: Any) -> None:
        """Take a new policy (an object with ``get_action``) or new weights for the present one.

        None alone means no update.
        """

    @abc.abstractmethod
    def update_env(self, env_update: Any) -> None:
        """Take a new environment (a `gymnasium.Env`) or an `EnvUpdate`. None means no update.

        A replaced environment is closed, unless the new one is it or contains it.
        """

    def start_episode(self) -> None:
        """Begin a new episode."""
        raise NotImplementedError(f"{type(self).__name__} does not step episodes one by one")

    def step_episode(self) -> bool:
        """Take one step of the current episode.

        Returns:
            True if the episode is over.
        """
        raise NotImplementedError(f"{type(self).__name__} does not step episodes one by one")

    def collect_episode(self) -> EpisodeBatch:
        """Return the finished episode and forget it."""
        raise NotImplementedError(f"{type(self).__name__} does not step episodes one by one")

    def rollout(self) -> EpisodeBatch:
        """Run the unit in `self.unit` and return it."""
        self.start_episode()
        while not self.step_episode():
            if self.cancelled:
                raise UnitCancelled
        return self.collect_episode()

    def rollouts(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, EpisodeBatch | EpisodeSlice]]:
        """Run units as they are handed out and yield each with its episodes.

        Samplers call this; a worker that overlaps units (a vectorized one) overrides it. One that keeps
        the episodes of many units in one place yields slices of it, whose rows must not change any more.
        Units that `InGroups` handed out may be yielded as a list, where they have
        an episode each and a slice has all of these.
        """
        for unit in units:
            self.unit = unit
            yield unit, self.rollout()

    def env_seed(self) -> int | None:
        """Return what the running unit passes to ``env.reset(seed=…)``.

        None outside a sampler, and, without `reseed`, from the second unit on.
        """
        if self.unit is None or (self._env_was_seeded and not self.reseed):
            return None
        self._env_was_seeded = True
        return self.unit.env_seed

    def cancel(self) -> None:
        """Ask, from any thread, that the running unit end between two steps with `UnitCancelled`."""
        self.cancelled = True

    def resume(self) -> None:
        """Withdraw a request to cancel."""
        self.cancelled = False

    @abc.abstractmethod
    def shutdown(self) -> None:
        """Close the environments. Called once."""

    def __getstate__(self) -> NoReturn:
        """Refuse: workers are built where they run.

        Raises:
            TypeError: always.
        """
        raise TypeError("workers are not picklable: pickle the WorkerFactory and build the worker there")
