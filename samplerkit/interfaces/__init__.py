"""The interfaces that algorithms depend on and backends implement."""

from samplerkit.interfaces.env_update import (
    Env,
    EnvUpdate,
    ExistingEnvUpdate,
    NewEnvUpdate,
    SetTaskUpdate,
    close_replaced,
)
from samplerkit.interfaces.policy import AgentInfo, Params, Policy, is_policy
from samplerkit.interfaces.sampler import Sampler, Statistics
from samplerkit.interfaces.unit import Unit
from samplerkit.interfaces.worker import UnitCancelled, Worker

__all__ = [
    "AgentInfo",
    "Env",
    "EnvUpdate",
    "ExistingEnvUpdate",
    "NewEnvUpdate",
    "Params",
    "Policy",
    "Sampler",
    "SetTaskUpdate",
    "Statistics",
    "Unit",
    "UnitCancelled",
    "Worker",
    "close_replaced",
    "is_policy",
]
