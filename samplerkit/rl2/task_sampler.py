"""Where the tasks of an iteration come from: lists of `EnvUpdate`, one for each worker.

Their draws follow from a seed or a generator of their own, never from global state::

    tasks = SetTaskSampler(BanditEnv, wrapper=lambda env, task: RL2Env(env, episodes_per_trial=10), seed=3)
    batch = sampler.obtain_samples(epoch, 4_000, weights, env_update=tasks.sample(sampler.n_workers))

A vectorized worker plays a task in each of its slots: see `tasks_for_slots`.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from samplerkit.interfaces import Env, EnvUpdate, ExistingEnvUpdate, NewEnvUpdate, SetTaskUpdate
from samplerkit.sampling import check_count

Seed: TypeAlias = int | np.random.Generator | None


class TaskSampler(abc.ABC):
    """Samples tasks, as updates that turn a worker's environment into one that has the task."""

    @abc.abstractmethod
    def sample(self, n_tasks: int, with_replacement: bool = False) -> Sequence[EnvUpdate]:
        """Sample tasks.

        Args:
            n_tasks: how many; a sampler takes one for each of its workers.
            with_replacement: whether a task may come twice before every other came once.
        """

    @property
    def n_tasks(self) -> int | None:
        """How many different tasks there are; None if that is unknown or infinite."""
        return None


def tasks_for_slots(tasks: Sequence[EnvUpdate], n_envs: int) -> list[list[EnvUpdate]]:
    """Spread tasks over the slots of vectorized workers: a list of `n_envs` for each worker.

    Unit u plays task ``u % len(tasks)``, as it does where each task has a worker of its own. So forty tasks
    give the same batch from forty workers and from five with ``n_envs=8``, for a policy that is exact row by
    row.

    Raises:
        ValueError: if they do not fill the slots of any number of workers.
        TypeError: if `n_envs` is no integer.
    """
    n_workers, left = divmod(len(tasks), check_count("n_envs", n_envs))
    if left or not tasks:
        raise ValueError(
            f"{len(tasks)} tasks do not fill workers with n_envs={n_envs}: their number must be a multiple "
            "of n_envs"
        )
    return [list(tasks[worker::n_workers]) for worker in range(n_workers)]


class ConstructEnvsSampler(TaskSampler):
    """Each task is an environment constructor.

    Args:
        env_constructors: called without arguments where the worker is.
        seed: of the order in which they come.
    """

    def __init__(self, env_constructors: Sequence[Callable[[], Env]], *, seed: Seed = None) -> None:
        if not env_constructors:
            raise ValueError("env_constructors is empty: pass at least one constructor")
        self._env_constructors = list(env_constructors)
        self._generator = np.random.default_rng(seed)

    @property
    def n_tasks(self) -> int:
        """Number of constructors."""
        return len(self._env_constructors)

    def sample(self, n_tasks: int, with_replacement: bool = False) -> list[EnvUpdate]:
        """Sample constructors; without replacement every one comes before any comes again."""
        if with_replacement:
            order = self._generator.integers(self.n_tasks, size=n_tasks)
        else:
            rounds = [self._generator.permutation(self.n_tasks) for _ in range(-(-n_tasks // self.n_tasks))]
            order = np.concatenate([np.empty(0, dtype=np.int64), *rounds])[:n_tasks]
        return [NewEnvUpdate(self._env_constructors[index]) for index in order]


class SetTaskSampler(TaskSampler):
    """Tasks come from an environment that knows them: ``sample_tasks(n)`` and ``set_task(task)``.

    Args:
        env_constructor: the environment's class, callable without arguments.
        env: an instance to ask for tasks; constructed if None.
        wrapper: ``wrapper(env, task)`` returns the wrapped environment; made anew for every task.
        seed: of the tasks. The instance draws from its ``np_random``, which is set here.

    Raises:
        ValueError: `env_constructor` is no class.
    """

    def __init__(
        self,
        env_constructor: type[Any],
        *,
        env: Env | None = None,
        wrapper: Callable[[Any, Any], Env] | None = None,
        seed: Seed = None,
    ) -> None:
        if not isinstance(env_constructor, type):
            raise ValueError(
                f"env_constructor must be the environment's class, not {env_constructor!r}: workers tell "
                "the task to an environment of exactly that class. Make variants in subclasses, or in a "
                "ConstructEnvsSampler, which takes any callable"
            )
        self._env_constructor = env_constructor
        self._wrapper = wrapper
        self._env: Any = env_constructor() if env is None else env.unwrapped
        self._env.np_random = np.random.default_rng(seed)

    @property
    def n_tasks(self) -> int | None:
        """The environment's ``num_tasks``, if it has that."""
        return getattr(self._env, "num_tasks", None)

    def sample(self, n_tasks: int, with_replacement: bool = False) -> list[EnvUpdate]:
        """Sample tasks; the environment decides whether one can come twice."""
        del with_replacement
        tasks = self._env.sample_tasks(n_tasks)
        return [SetTaskUpdate(self._env_constructor, task, self._wrapper) for task in tasks]


class EnvPoolSampler(TaskSampler):
    """Each task is an environment that exists already; prefer the others, which send less.

    Args:
        envs: the pool.
        seed: of the order in which they come.
    """

    def __init__(self, envs: Sequence[Env], *, seed: Seed = None) -> None:
        self._envs = list(envs)
        self._generator = np.random.default_rng(seed)

    @property
    def n_tasks(self) -> int:
        """Size of the pool."""
        return len(self._envs)

    def sample(self, n_tasks: int, with_replacement: bool = False) -> list[EnvUpdate]:
        """Sample environments without replacement.

        Raises:
            ValueError: for more tasks than the pool holds, and for sampling with replacement.
        """
        if n_tasks > self.n_tasks:
            raise ValueError(
                f"cannot sample {n_tasks} tasks from a pool of {self.n_tasks} environments: "
                f"call grow_pool({n_tasks}) before"
            )
        if with_replacement:
            raise ValueError("EnvPoolSampler samples without replacement: pass with_replacement=False")
        return [ExistingEnvUpdate(self._envs[i]) for i in self._generator.permutation(self.n_tasks)[:n_tasks]]

    def grow_pool(self, new_size: int) -> None:
        """Add copies of environments of the pool, chosen at random, until it has the new size."""
        missing = new_size - self.n_tasks
        if missing <= 0:
            return
        chosen = self._generator.permutation(np.arange(missing) % self.n_tasks)
        self._envs += [copy.deepcopy(self._envs[i]) for i in chosen]
