"""A worker whose unit is a trial of several episodes, between which the policy is not reset."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import UnitCancelled
from samplerkit.rl2.env import RL2Env
from samplerkit.rl2.trials import cut_trials
from samplerkit.sampling import check_count
from samplerkit.workers import DefaultWorker


class RL2Worker(DefaultWorker):
    """Runs trials: n episodes, each an episode of the batch, with one reset of the policy at the beginning.

    With an `RL2Env` a trial is one episode like any other, and `cut_trials` divides it when it is over: the
    batch is what `cut_trials` makes of the trials of a `DefaultWorker` or a vectorized worker, where these
    are faster. The limit on the length of an episode applies to the inner ones.

    Any other environment is reset between episodes without a seed: the unit's seed, given to the first
    reset, decides the whole trial, and a task drawn from it stays.

    Episode infos carry ``"trial"``, the number of the unit, and ``"episode_index"``.

    Args:
        seed: as for `DefaultWorker`.
        max_episode_length: of one episode, not of the trial.
        worker_number: as for `DefaultWorker`.
        n_episodes_per_trial: episodes of a trial, at least 1.

    Raises:
        TypeError, ValueError: where that is no integer of at least 1.
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
        self._n_episodes_per_trial = check_count("n_episodes_per_trial", n_episodes_per_trial)
        self._inner_limit = max_episode_length
        self._in_one_piece = False
        self._trial = -1
        self._episode_index = 0

    def update_env(self, env_update: Any) -> None:
        """Take a new environment, or the result of an `EnvUpdate`.

        Raises:
            ValueError: if it is an `RL2Env` with another number of episodes in a trial.
        """
        self._max_episode_length = self._inner_limit
        super().update_env(env_update)
        trial_env = _find_trial_env(self.env)
        self._in_one_piece = trial_env is not None
        if trial_env is None:
            return
        if trial_env.episodes_per_trial != self._n_episodes_per_trial:
            raise ValueError(
                f"RL2Worker runs trials of {self._n_episodes_per_trial} episodes, but the RL2Env has "
                f"episodes_per_trial={trial_env.episodes_per_trial}: give both the same number"
            )
        trial_env.limit_inner_length(self._inner_limit)
        self._max_episode_length = math.inf

    def rollout(self) -> EpisodeBatch:
        """Run a trial; its episodes in the order of play."""
        self._trial = self._trial + 1 if self.unit is None else self.unit.number
        self._episode_index = 0
        if self._in_one_piece:
            return cut_trials(super().rollout(), [self._trial])
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
        observation, infos = super().reset_env() if self._episode_index == 0 else self.env.reset()
        if self._in_one_piece:
            return observation, infos
        return observation, {**infos, "trial": self._trial, "episode_index": self._episode_index}


def _find_trial_env(env: Any) -> RL2Env | None:
    while env is not None and not isinstance(env, RL2Env):
        env = getattr(env, "env", None)
    return env
