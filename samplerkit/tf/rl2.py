"""RL2 (Duan et al., arXiv:1611.02779): a fast learner, trained by a slow one.

The recurrent policy sees what it did and what came of it, so acting well over a whole trial means learning
within it. The slow learner is an ordinary policy optimiser for which a trial is one long episode: returns and
advantages run across the inner episodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from samplerkit.rl2 import NoResetPolicy, RL2AdaptedPolicy, inner_returns, join_trials, tasks_for_slots
from samplerkit.sampling import check_count
from samplerkit.tf.ppo import PPO, PPOSettings
from samplerkit.trainer import log_performance

if TYPE_CHECKING:
    from samplerkit.episodes import EnvSpec, EpisodeBatch
    from samplerkit.rl2 import TaskSampler
    from samplerkit.trainer import Trainer


class RL2:
    """The outer loop, around an inner algorithm with ``policy``, ``discount`` and ``learn(episodes)``.

    Args:
        inner_algo: what learns from the trials, `PPO` for one.
        env_spec: of what the sampler runs: of a trial with an `RL2Env`.
        episodes_per_trial: inner episodes of a trial.
        meta_batch_size: how many tasks `task_sampler` is asked for in each epoch; a sampler takes one for
            each of its workers, so it must equal ``n_workers``, times `n_envs` where that is given.
        task_sampler: where the workers' environments come from, anew in each epoch; None: the environment
            draws a task for each trial itself.
        n_envs: of a vectorized sampler, whose workers then play a task in each of their slots; None for
            others.
        sampler: for a trainer that is given none.

    Attributes:
        inner_algo: what learns.
        policy: its policy.

    Raises:
        ValueError: one of `meta_batch_size` and `task_sampler` is given without the other; a count below 1.
        TypeError: a count that is no integer.
    """

    def __init__(
        self,
        inner_algo: Any,
        *,
        env_spec: EnvSpec,
        episodes_per_trial: int,
        meta_batch_size: int | None = None,
        task_sampler: TaskSampler | None = None,
        n_envs: int | None = None,
        sampler: Any = None,
    ) -> None:
        if (meta_batch_size is None) != (task_sampler is None):
            raise ValueError(
                "meta_batch_size is the number of tasks that task_sampler gives: pass both or neither"
            )
        self.policy = inner_algo.policy
        self.inner_algo = inner_algo
        self._env_spec = env_spec
        self._episodes_per_trial = check_count("episodes_per_trial", episodes_per_trial)
        self._meta_batch_size = _checked("meta_batch_size", meta_batch_size)
        self._task_sampler = task_sampler
        self._n_envs = _checked("n_envs", n_envs)
        self._sampler = sampler

    @property
    def discount(self) -> float:
        """The inner algorithm's; it runs across inner episodes."""
        discount: float = self.inner_algo.discount
        return discount

    @property
    def max_episode_length(self) -> float | None:
        """The limit on the length of an inner episode; None if there is none."""
        limit = self._env_spec.max_episode_length
        return None if limit is None else limit / self._episodes_per_trial

    def train(self, trainer: Trainer) -> float:
        """Sample trials, learn, record, epoch by epoch; returns the last average return of a trial."""
        average_return = float("nan")
        for epoch in trainer.step_epochs():
            episodes = trainer.obtain_episodes(epoch, env_update=self._tasks())
            average_return = self.train_once(epoch, episodes, trainer=trainer)
        return average_return

    def _tasks(self) -> list[Any] | None:
        """Return the tasks of an epoch, one for each worker, or a list for each; None: it has none."""
        if self._task_sampler is None or self._meta_batch_size is None:
            return None
        tasks = self._task_sampler.sample(self._meta_batch_size)
        return list(tasks) if self._n_envs is None else list(tasks_for_slots(tasks, self._n_envs))

    def train_once(self, itr: int, episodes: EpisodeBatch, *, trainer: Trainer | None = None) -> float:
        """Learn from one batch.

        Args:
            itr: the epoch, not used.
            episodes: whole trials, from an `RL2Env` or an `RL2Worker`.
            trainer: gets the figures.

        Returns:
            The average return of a trial.
        """
        del itr
        trials = join_trials(episodes)
        figures = self.inner_algo.learn(trials)
        if trainer is None:
            return float(trials.rewards.sum() / len(trials.lengths))
        by_index = np.nanmean(inner_returns(episodes), axis=0)
        trainer.record(figures, prefix="PPO/")
        trainer.record({"FirstEpisodeReturn": by_index[0], "LastEpisodeReturn": by_index[-1]}, prefix="RL2/")
        return float(log_performance(trainer, trials, discount=self.discount).mean())

    def get_exploration_policy(self) -> NoResetPolicy:
        """A policy to explore one task with: a copy, reset once, whose memory then lives on.

        A sampler that is given it needs ``stateful=True``: see `NoResetPolicy`.
        """
        policy = self.policy.for_sampling()
        policy.reset()
        return NoResetPolicy(policy)

    def adapt_policy(
        self, exploration_policy: NoResetPolicy, exploration_episodes: EpisodeBatch
    ) -> RL2AdaptedPolicy:
        """Freeze what the exploration policy has learned of its task.

        Args:
            exploration_policy: from `get_exploration_policy`; it acted in the task's environment itself, not
                through a copy.
            exploration_episodes: what it saw; not needed, its memory holds what it made of it.
        """
        del exploration_episodes
        return RL2AdaptedPolicy(exploration_policy.policy)


class RL2PPO(RL2):
    """RL2 with `PPO` inside.

    Args:
        policy: a `TFGRUPolicy`.
        baseline: a `TFGRUValue` of its own.
        settings: of PPO.
        seed: of PPO.
        env_spec, episodes_per_trial, meta_batch_size, task_sampler, n_envs, sampler: as for
            `RL2`.
    """

    def __init__(
        self,
        *,
        env_spec: EnvSpec,
        policy: Any,
        baseline: Any,
        episodes_per_trial: int,
        settings: PPOSettings | None = None,
        seed: int = 0,
        meta_batch_size: int | None = None,
        task_sampler: TaskSampler | None = None,
        n_envs: int | None = None,
        sampler: Any = None,
    ) -> None:
        super().__init__(
            PPO(policy, baseline, settings, seed=seed),
            env_spec=env_spec,
            episodes_per_trial=episodes_per_trial,
            meta_batch_size=meta_batch_size,
            task_sampler=task_sampler,
            n_envs=n_envs,
            sampler=sampler,
        )


def _checked(name: str, count: int | None) -> int | None:
    return None if count is None else check_count(name, count)
