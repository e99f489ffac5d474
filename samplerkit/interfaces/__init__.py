"""The interfaces that algorithms depend on and backends implement."""

from samplerkit.interfaces.capabilities import (
    CAPABILITIES,
    IN_CARRIERS,
    IN_PROCESS,
    YES,
    Capabilities,
    Support,
    check_capability,
    no,
)
from samplerkit.interfaces.continuing import CallShape, ContinuingWorker, OpenEpisode, Resumption
from samplerkit.interfaces.env_update import (
    Env,
    EnvUpdate,
    ExistingEnvUpdate,
    NewEnvUpdate,
    SetTaskUpdate,
    VectorEnv,
    close_others,
    close_replaced,
    layers_of,
)
from samplerkit.interfaces.observer import Observer
from samplerkit.interfaces.policy import AgentInfo, Params, Policy, is_policy
from samplerkit.interfaces.sampler import Sampler, Statistics
from samplerkit.interfaces.streaming import StreamingWorker
from samplerkit.interfaces.unit import Unit, Units
from samplerkit.interfaces.worker import UnitCancelled, Worker

__all__ = [
    "CAPABILITIES",
    "IN_CARRIERS",
    "IN_PROCESS",
    "YES",
    "AgentInfo",
    "CallShape",
    "Capabilities",
    "ContinuingWorker",
    "Env",
    "EnvUpdate",
    "ExistingEnvUpdate",
    "NewEnvUpdate",
    "Observer",
    "OpenEpisode",
    "Params",
    "Policy",
    "Resumption",
    "Sampler",
    "SetTaskUpdate",
    "Statistics",
    "StreamingWorker",
    "Support",
    "Unit",
    "UnitCancelled",
    "Units",
    "VectorEnv",
    "Worker",
    "check_capability",
    "close_others",
    "close_replaced",
    "is_policy",
    "layers_of",
    "no",
]
