"""The reference worker: one environment, one episode a unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import gymnasium
import numpy as np

from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeRecorder, EpisodeSlice, Place, StepType
from samplerkit.interfaces import Env, EnvUpdate, Unit, UnitCancelled, Worker, close_replaced, is_policy


class DefaultWorker(Worker):
    """Steps one policy in one environment; a unit is a whole episode.

    Subclasses may override `start_episode`, `step_episode`, `collect_episode` or `rollout`.
    """

    stateful: ClassVar[bool] = False

    draws_from_global_random: ClassVar[bool] = False

    place: Callable[[int, EnvSpec], Place | None] | None = None
    """Set by whoever runs workers: says for a unit's number where its observations go, if not to memory of
    the worker's own."""

    def __init__(self, *, seed: int | None, max_episode_length: float, worker_number: int) -> None:
        super().__init__(seed=seed, max_episode_length=max_episode_length, worker_number=worker_number)
        self.agent: Any = None
        self.env: Any = None
        self._env_spec: EnvSpec | None = None
        self._recorder: EpisodeRecorder | None = None
        self._seed_agent: Callable[[Any], None] | None = None
        self._observation: Any = None
        self._last_step_type = StepType.TIMEOUT

    def update_agent(self, agent_update: Any) -> None:
        """Take a new policy, or weights for the present one."""
        if agent_update is None:
            return
        if is_policy(agent_update):
            self.agent = agent_update
            self._seed_agent = getattr(agent_update, "seed", None)
        else:
            self.agent.set_param_values(agent_update)

    def update_env(self, env_update: Any) -> None:
        """Take a new environment, or the result of an `EnvUpdate`.

        Raises:
            TypeError: if it is neither.
        """
        if env_update is None:
            return
        old: Env | None = self.env
        new = env_update(old) if isinstance(env_update, EnvUpdate) else env_update
        if not isinstance(new, gymnasium.Env):
            raise TypeError(_not_an_environment(env_update, new))
        if new is not old:
            self.env = new
            self._env_was_seeded = False
            close_replaced(old, new)
        spec = EnvSpec.from_env(new, self._max_episode_length)
        if self._recorder is None or spec != self._env_spec:
            self._env_spec = spec
            self._recorder = EpisodeRecorder(spec)

    def reset_env(self) -> tuple[Any, dict[str, Any]]:
        """Reset the environment, seeded by the unit where there is one.

        Returns:
            The first observation and the episode's infos.
        """
        observation, info = self.env.reset(seed=self.env_seed())
        return observation, info

    def reset_agent(self) -> None:
        """Reset the policy for one row, and seed it by the unit where it can be seeded."""
        self.agent.reset()
        if self._seed_agent is not None and self.unit is not None:
            self._seed_agent(np.array([self.unit.policy_seed], dtype=np.uint64))

    def start_episode(self) -> None:
        """Begin a new episode."""
        observation, info = self.reset_env()
        # As recorded: a policy sees what the learner will see, in the space's dtype.
        self._observation = self.recorder.start(observation, info)
        self.reset_agent()

    def step_episode(self) -> bool:
        """Take one step.

        Returns:
            True if the environment ended the episode or it reached ``max_episode_length``.
        """
        recorder = self.recorder
        action, agent_info = self.agent.get_action(self._observation)
        action = recorder.cast_action(action)
        observation, reward, terminated, truncated, env_info = self.env.step(action)
        self._observation = recorder.add(reward, observation, env_info, agent_info)
        if terminated:
            self._last_step_type = StepType.TERMINAL
        elif truncated or recorder.length >= self._max_episode_length:
            self._last_step_type = StepType.TIMEOUT
        else:
            return False
        return True

    def rollouts(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, EpisodeBatch | EpisodeSlice]]:
        """Run units as they are handed out and yield each with its episodes."""
        if self._runs_otherwise:
            yield from super().rollouts(units)
            return
        get_action, step = self.agent.get_action, self.env.step
        limit = self._max_episode_length
        beginnings, place = self._beginnings(units), self._placing()
        for episode in self.recorder.episodes(beginnings, get_action, step, limit, self, place):
            assert self.unit is not None, "it has just been run"
            yield self.unit, episode
        if self.cancelled:
            raise UnitCancelled

    def _beginnings(self, units: Iterable[Unit]) -> Iterator[tuple[Any, dict[str, Any]]]:
        for unit in units:
            self.unit = unit
            beginning = self.reset_env()
            self.reset_agent()
            yield beginning

    def _placing(self) -> Callable[[], Place | None] | None:
        """Return what says where the observations of the present unit go."""
        place, spec = self.place, self.recorder.env_spec
        return None if place is None else lambda: None if self.unit is None else place(self.unit.number, spec)

    _runs_otherwise: ClassVar[bool] = False

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        names = ("rollout", "start_episode", "step_episode", "collect_episode")
        cls._runs_otherwise = any(getattr(cls, name) is not getattr(DefaultWorker, name) for name in names)

    def collect_episode(self) -> EpisodeBatch:
        """Return the finished episode."""
        return self.recorder.finish(self._last_step_type)

    @property
    def recorder(self) -> EpisodeRecorder:
        """Where the current episode is recorded."""
        if self._recorder is None:
            raise RuntimeError("this worker has no environment yet: call update_env first")
        return self._recorder

    def shutdown(self) -> None:
        """Close the environment."""
        env, self.env = self.env, None
        if env is not None:
            env.close()


def _not_an_environment(update: Any, result: Any) -> str:
    if isinstance(update, EnvUpdate):
        return f"{type(update).__name__} returned {type(result).__name__}; it must return a gymnasium.Env"
    if isinstance(result, gymnasium.vector.VectorEnv):
        return "a vector environment needs a vectorized worker; pass a gymnasium.Env, or use '…+vectorized'"
    return f"env_update must be a gymnasium.Env or an EnvUpdate, not {type(result).__name__}"
