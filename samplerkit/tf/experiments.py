"""Builders of the TensorFlow experiments in ``samplerkit/configs``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import samplerkit
from samplerkit.episodes import EnvSpec
from samplerkit.rl2 import BanditEnv, RL2Env, trial_returns
from samplerkit.tf.networks import TFGRUValue
from samplerkit.tf.policies import TFGRUPolicy
from samplerkit.tf.ppo import PPOSettings
from samplerkit.tf.rl2 import RL2PPO
from samplerkit.trainer import table_as
from samplerkit.trainer.experiment import Experiment, ExperimentConfig, SamplerSettings
from samplerkit.trainer.whole_episodes import require_whole_episodes

_STEPS_AT_ONCE = 100_000
"""Evaluation batches of this size keep memory small."""


@dataclass(frozen=True, kw_only=True)
class BanditOptions:
    """``[env]``: arms, and pulls of a trial."""

    n_arms: int = 5
    n_pulls: int = 10


@dataclass(frozen=True, kw_only=True)
class GRUOptions:
    """``[policy]``: width of the policy's and of the value function's hidden state."""

    hidden_size: int = 32


def rl2_bandit(config: ExperimentConfig) -> Experiment:
    """RL2 on the Bernoulli bandit of the paper's section 3.1; ``[algo]`` are `PPOSettings`."""
    bandit = table_as(BanditOptions, config.env, where="env")
    gru = table_as(GRUOptions, config.policy, where="policy")
    settings = table_as(PPOSettings, config.algo, where="algo")
    env = RL2Env(BanditEnv(bandit.n_arms), episodes_per_trial=bandit.n_pulls)
    policy = TFGRUPolicy(
        env.observation_space, env.action_space, hidden_size=gru.hidden_size, seed=config.seed
    )
    algo = RL2PPO(
        env_spec=EnvSpec.from_env(env),
        policy=policy,
        # Another seed, or its first layer would begin equal to the policy's.
        baseline=TFGRUValue(env.observation_space, hidden_size=gru.hidden_size, seed=config.seed + 1),
        episodes_per_trial=bandit.n_pulls,
        settings=settings,
        seed=config.seed,
    )
    return Experiment(
        algo=algo,
        env=env,
        trainer="samplerkit.tf:TFTrainer",
        evaluate=return_per_trial(config.sampler),
    )


def return_per_trial(sampler: SamplerSettings) -> Callable[..., Mapping[str, float]]:
    """An evaluation hook: the mean return of a fresh trial, of the policy as it samples.

    Args:
        sampler: the backend that collects the trials, the one of the run.
    """

    def evaluate(algo: Any, env: Any, /, *, trials: int, seed: int) -> Mapping[str, float]:
        options: dict[str, Any] = {**sampler.options, "seed": seed}
        if sampler.n_workers is not None:
            options["n_workers"] = sampler.n_workers
        steps = EnvSpec.from_env(env).max_episode_length or 1
        returns = np.empty(0)
        with samplerkit.make_sampler(sampler.name, agents=algo.policy, envs=env, **options) as running:
            require_whole_episodes(running, "The return of a trial")
            while len(returns) < trials:
                wanted = min(_STEPS_AT_ONCE, int((trials - len(returns)) * steps))
                returns = np.concatenate([returns, trial_returns(running.obtain_samples(0, wanted))])
        returns = returns[:trials]
        return {
            "mean return per trial": float(returns.mean()),
            "standard error": float(returns.std(ddof=1) / np.sqrt(len(returns))) if trials > 1 else 0.0,
        }

    return evaluate
