"""RL2 (Duan et al., arXiv:1611.02779): trials as environments, its tasks, worker and policies.

Nothing here needs TensorFlow, so that worker processes need none; `samplerkit.tf` trains.
"""

from samplerkit.rl2.bandit import BanditEnv
from samplerkit.rl2.bayes import bayes_optimal_value, greedy_value, random_value
from samplerkit.rl2.env import RL2Env
from samplerkit.rl2.policies import NoResetPolicy, RL2AdaptedPolicy
from samplerkit.rl2.stream_bandit import BanditVectorEnv, StreamBanditEnv
from samplerkit.rl2.tabular_mdp import TabularMDPEnv
from samplerkit.rl2.task_env import TaskEnv
from samplerkit.rl2.task_sampler import (
    ConstructEnvsSampler,
    EnvPoolSampler,
    SetTaskSampler,
    TaskSampler,
    tasks_for_slots,
)
from samplerkit.rl2.trials import cut_trials, group_trials, inner_returns, join_trials, trial_returns
from samplerkit.rl2.worker import RL2Worker

__all__ = [
    "BanditEnv",
    "BanditVectorEnv",
    "ConstructEnvsSampler",
    "EnvPoolSampler",
    "NoResetPolicy",
    "RL2AdaptedPolicy",
    "RL2Env",
    "RL2Worker",
    "SetTaskSampler",
    "StreamBanditEnv",
    "TabularMDPEnv",
    "TaskEnv",
    "TaskSampler",
    "bayes_optimal_value",
    "cut_trials",
    "greedy_value",
    "group_trials",
    "inner_returns",
    "join_trials",
    "random_value",
    "tasks_for_slots",
    "trial_returns",
]
