"""A worker whose unit is a trial of several episodes, between which the policy is not reset."""

from __future__ import annotations

from typing import Any, ClassVar

from samplerkit.episodes import EpisodeBatch, StepType
from samplerkit.interfaces import UnitCancelled
from samplerkit.rl2.env import RL2Env
from samplerkit.workers import DefaultWorker


class RL2Worker(DefaultWorker):
    """Runs trials: n episodes, each an episode of the batch, with one reset of the policy at the beginning.

    With an `RL2Env` the trial is that environment's, cut where its inner episodes end, so that the policy
    sees what it does when a `DefaultWorker` runs the trial in one piece; the limit on the length of an
    episode then applies to the inner ones. Any other environment is reset between episodes without a seed:
    the unit's seed, given to the first reset, decides the whole trial, and a task drawn from it stays.

    Episode infos carry ``"trial"``, the number of the unit, and ``"episode_index"``.

    Args:
        seed: as for `DefaultWorker`.
        max_episode_length: of one episode, not of the trial.
        worker_number: as for `DefaultWorker`.
        n_episodes_per_trial: episodes of a trial.
    """

    stateful: ClassVar[bool] = False

    def __init__(
        self,
        *,
        seed: int | None,
        max_episode_length: float,
        worker_number: int,
        n_episodes_per_trial: int = 2,
    ) -> None:
        super().__init__(seed=seed, max_episode_length=max_episode_length, worker_number=worker_number)
        if n_episodes_per_trial < 1:
            raise ValueError(f"n_episodes_per_trial must be at least 1, not {n_episodes_per_trial}")
        self._n_episodes_per_trial = n_episodes_per_trial
        self._trial_env: RL2Env | None = None
        self._trial = -1
        self._episode_index = 0
        self._trial_info: dict[str, Any] = {}

    def update_env(self, env_update: Any) -> None:
        """Take a new environment, or the result of an `EnvUpdate`.

        Raises:
            ValueError: if it is an `RL2Env` with another number of episodes in a trial.
        """
        super().update_env(env_update)
        trial_env = _find_trial_env(self.env)
        if trial_env is not None:
            if trial_env.episodes_per_trial != self._n_episodes_per_trial:
                raise ValueError(
                    f"RL2Worker runs trials of {self._n_episodes_per_trial} episodes, but the RL2Env has "
                    f"episodes_per_trial={trial_env.episodes_per_trial}: give both the same number"
                )
            trial_env.limit_inner_length(self._max_episode_length)
        self._trial_env = trial_env

    def rollout(self) -> EpisodeBatch:
        """Run a trial; its episodes in the order of play."""
        self._trial = self._trial + 1 if self.unit is None else self.unit.number
        episodes = []
        for index in range(self._n_episodes_per_trial):
            self._episode_index = index
            self.start_episode()
            while not self.step_episode():
                if self.cancelled:
                    raise UnitCancelled
            episodes.append(self.collect_episode())
        return EpisodeBatch.concatenate(*episodes)

    def reset_agent(self) -> None:
        """Reset and seed the policy where a trial begins."""
        if self._episode_index == 0:
            super().reset_agent()

    def reset_env(self) -> tuple[Any, dict[str, Any]]:
        """Begin the trial, or its next episode.

        Returns:
            The first observation and the episode's infos.
        """
        if self._episode_index == 0:
            observation, self._trial_info = super().reset_env()
        elif self._trial_env is None:
            observation, self._trial_info = self.env.reset()
        else:
            # It began the next episode with the step that ended the last one.
            observation = self._observation
        ids = {"trial": self._trial, "episode_index": self._episode_index}
        return observation, {**self._trial_info, **ids}

    def step_episode(self) -> bool:
        """Take one step.

        Returns:
            True if the (inner) episode is over.
        """
        over = super().step_episode()
        if self._trial_env is None or self._trial_env.inner_end is None:
            return over
        ended_by_limit = self._trial_env.inner_end == "truncated"
        self._last_step_type = StepType.TIMEOUT if ended_by_limit else StepType.TERMINAL
        return True


def _find_trial_env(env: Any) -> RL2Env | None:
    while env is not None and not isinstance(env, RL2Env):
        env = getattr(env, "env", None)
    return env
