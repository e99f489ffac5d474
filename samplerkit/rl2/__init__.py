"""RL2 (Duan et al., arXiv:1611.02779): trials as environments, its tasks, worker and policies.

Nothing here needs TensorFlow, so that worker processes need none; `samplerkit.tf` trains.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samplerkit.rl2.bandit import BanditEnv
    from samplerkit.rl2.bayes import bayes_optimal_value, greedy_value, random_value
    from samplerkit.rl2.env import RL2Env
    from samplerkit.rl2.policies import NoResetPolicy, RL2AdaptedPolicy
    from samplerkit.rl2.tabular_mdp import TabularMDPEnv
    from samplerkit.rl2.task_env import TaskEnv
    from samplerkit.rl2.task_sampler import (
        ConstructEnvsSampler,
        EnvPoolSampler,
        SetTaskSampler,
        TaskSampler,
    )
    from samplerkit.rl2.trials import group_trials, inner_returns, join_trials, trial_returns
    from samplerkit.rl2.worker import RL2Worker

_MODULES = {
    "BanditEnv": "bandit",
    "ConstructEnvsSampler": "task_sampler",
    "EnvPoolSampler": "task_sampler",
    "NoResetPolicy": "policies",
    "RL2AdaptedPolicy": "policies",
    "RL2Env": "env",
    "RL2Worker": "worker",
    "SetTaskSampler": "task_sampler",
    "TabularMDPEnv": "tabular_mdp",
    "TaskEnv": "task_env",
    "TaskSampler": "task_sampler",
    "bayes_optimal_value": "bayes",
    "greedy_value": "bayes",
    "group_trials": "trials",
    "inner_returns": "trials",
    "join_trials": "trials",
    "random_value": "bayes",
    "trial_returns": "trials",
}

__all__ = [
    "BanditEnv",
    "ConstructEnvsSampler",
    "EnvPoolSampler",
    "NoResetPolicy",
    "RL2AdaptedPolicy",
    "RL2Env",
    "RL2Worker",
    "SetTaskSampler",
    "TabularMDPEnv",
    "TaskEnv",
    "TaskSampler",
    "bayes_optimal_value",
    "greedy_value",
    "group_trials",
    "inner_returns",
    "join_trials",
    "random_value",
    "trial_returns",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
