"""The sampler: what an algorithm sees of everything in this package."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces.observer import Observer


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What a sampler has done so far. Counts of discarded work depend on timing; batches never do."""

    calls: int = 0
    """Calls of `obtain_samples` and `obtain_exact_episodes` that returned a batch."""
    units: int = 0
    """Units admitted to a batch; of workers whose episodes go on from call to call, their calls."""
    env_steps: int = 0
    """Steps admitted to a batch: `Sampler.total_env_steps`."""
    units_discarded: int = 0
    """Units that ran to their end and were not admitted."""
    env_steps_discarded: int = 0
    """Steps of those units."""
    restarts: int = 0
    """Carriers of workers that died and were replaced."""


class Sampler(abc.ABC):
    """Owns ``n_workers`` logical workers and gathers their units. The loop that it lives in::

        with make_sampler("multiprocessing", agents=policy, envs="CartPole-v1", seed=1) as sampler:
            for epoch in range(100):
                batch = sampler.obtain_samples(epoch, 4_000, policy.get_param_values())
                learn(policy, batch)

    A batch is a function of the seed, the cursor, the worker factory, the agents, the environments and
    the updates: it does not depend on the backend, on how many processes carry the workers, on timing,
    or on workers that crashed and were restarted. The cursor is the number of the next unit; it moves by
    admitted units only.

    A call that raises, for whatever reason, has not happened: cursor, versions, counts, agents and
    environments are as before.
    """

    observers: tuple[Observer, ...] = ()
    """Who is told what happens. `make_sampler` adds the plugins of group ``samplerkit.hooks``; a copy and an
    unpickled sampler have none."""

    @property
    @abc.abstractmethod
    def n_workers(self) -> int:
        """Number of logical workers."""

    @property
    @abc.abstractmethod
    def seed(self) -> int:
        """The seed, as given or as drawn at construction."""

    @property
    @abc.abstractmethod
    def total_env_steps(self) -> int:
        """Steps in all batches returned so far."""

    @abc.abstractmethod
    def obtain_samples(
        self, itr: int, num_samples: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        """Collect the shortest run of consecutive units that holds at least `num_samples` steps.

        Never "whoever finished first", which would be biased towards short episodes: whether a unit is
        admitted depends only on the lengths of the units before it.

        Workers whose episodes go on from call to call make the fixed number of calls that yields enough, and
        no unit is waited for: the batch holds fragments, which `EpisodeBatch.stitch` joins.

        Args:
            itr: the caller's iteration; not used, kept for code that passes it.
            num_samples: least number of steps, at least 1.
            agent_update: a policy, or weights for the present ones; a list of ``n_workers`` gives one
                to each worker; None alone means no update.
            env_update: an environment, an `EnvUpdate`, a gymnasium id or a callable; a list of
                ``n_workers`` gives one to each worker; None means no update.

        Returns:
            The units in the order of their numbers.

        Raises:
            TypeError, ValueError: for a bad argument; nothing was sent.
            WorkerError: for an exception in an environment, policy or worker, lowest unit first.
            WorkerDied: if a carrier of workers died and could not be replaced.
            SamplerBusy: if another call is running.
            SamplerClosed: after, or because of, a shutdown.
        """

    @abc.abstractmethod
    def obtain_exact_episodes(
        self, n_eps_per_worker: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        """Collect exactly `n_eps_per_worker` units of every worker.

        Args:
            n_eps_per_worker: at least 1.
            agent_update: as for `obtain_samples`.
            env_update: as for `obtain_samples`.

        Returns:
            Worker 0's units first, then worker 1's, and so on, each in the order of their numbers.

        Raises:
            Exception: as `obtain_samples`.
        """

    @abc.abstractmethod
    def shutdown_worker(self) -> None:
        """Stop the workers and close their environments. May be called any number of times.

        From another thread, or from a signal's handler, it ends a running call with `SamplerClosed`. Called
        inside the call, by such a handler or an observer, it returns at once: the workers are stopped when
        the call has ended.
        """

    @abc.abstractmethod
    def get_state(self) -> dict[str, Any]:
        """Return cursor, seed, versions, weights and the record of the environments.

        The same on every backend; picklable. It contains pickled policies and environments: set only
        states that you trust.
        """

    @abc.abstractmethod
    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to where `get_state` was called, on this or on any other backend.

        The next batch is the one that would have come.

        Raises:
            ValueError: if the state belongs to a sampler with another number of workers, or to a newer
                version; nothing was changed.
        """

    @abc.abstractmethod
    def supports(self, capability: str) -> bool:
        """Whether this sampler, with these workers and environments, offers a capability.

        Raises:
            ValueError: for a name that is no capability.
        """

    @abc.abstractmethod
    def statistics(self) -> Statistics:
        """Return counts over the sampler's life."""

    def start_worker(self) -> None:
        """Do nothing: workers are up when the constructor returns. Kept for code that calls it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown_worker()
