"""samplerkit: pluggable sampler backends for reinforcement learning.

A batch is a pure function of seed, policy and environment: bit for bit the same on every backend.

>>> import samplerkit
>>> with samplerkit.make_sampler("local", agents=policy, envs="CartPole-v1", seed=1) as sampler:
...     batch = sampler.obtain_samples(0, 4_000)

Names are imported when they are first used; type checkers read `__init__.pyi`.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

# Silent until the program that uses it says where logs go.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_HOMES = {
    "samplerkit.version": ("API",),
    "samplerkit.errors": (
        "AmbiguousBackend",
        "BackendBroken",
        "BackendError",
        "BackendIncompatible",
        "BackendUnavailable",
        "SamplerBusy",
        "SamplerClosed",
        "SamplerError",
        "SamplerKitError",
        "UnknownBackend",
        "UnsupportedFeature",
        "WorkerDied",
        "WorkerError",
    ),
    "samplerkit.episodes": (
        "EnvSpec",
        "EpisodeBatch",
        "InProgressEpisode",
        "Provenance",
        "StepType",
        "TimeStep",
        "TimeStepBatch",
    ),
    "samplerkit.interfaces": (
        "EnvUpdate",
        "ExistingEnvUpdate",
        "NewEnvUpdate",
        "Policy",
        "Sampler",
        "SetTaskUpdate",
        "Statistics",
        "Unit",
        "Worker",
    ),
    "samplerkit.workers": ("DefaultWorker", "WorkerFactory"),
    "samplerkit.local": ("LocalSampler",),
    "samplerkit.plugins": (
        "Backend",
        "BackendSpec",
        "backends",
        "get_backend",
        "make_sampler",
        "register_backend",
        "register_hooks",
        "unregister_hooks",
    ),
    "samplerkit.trainer": ("Trainer",),
    "samplerkit.tf": ("TFTrainer",),
}

_PACKAGES = (
    "bench",
    "cli",
    "contract",
    "episodes",
    "interfaces",
    "plugins",
    "policies",
    "rl2",
    "sampling",
    "tf",
    "trainer",
    "workers",
)

_HOME = {name: module for module, names in _HOMES.items() for name in names}

# A star import should not need TensorFlow.
__all__ = sorted([name for name in _HOME if name != "TFTrainer"] + ["__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("samplerkit")
    elif name in _PACKAGES:
        return importlib.import_module(f"samplerkit.{name}")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'samplerkit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *_PACKAGES, "TFTrainer"]
