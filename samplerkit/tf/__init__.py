"""Trainable policies, value networks and algorithms in TensorFlow.

Names are loaded when they are used; all of them need TensorFlow. Samplers and their workers do not: what is
trained here acts there through its numpy twin.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samplerkit.tf.networks import TFGRUValue, TFMLPValue
    from samplerkit.tf.policies import TFGRUPolicy, TFMLPPolicy, TFPolicy
    from samplerkit.tf.ppo import PPO, PPOSettings
    from samplerkit.tf.rl2 import RL2, RL2PPO
    from samplerkit.tf.trainer import TFTrainer

_MODULES = {
    "PPO": "ppo",
    "RL2": "rl2",
    "RL2PPO": "rl2",
    "PPOSettings": "ppo",
    "TFGRUPolicy": "policies",
    "TFGRUValue": "networks",
    "TFMLPPolicy": "policies",
    "TFMLPValue": "networks",
    "TFPolicy": "policies",
    "TFTrainer": "trainer",
}

__all__ = [
    "PPO",
    "RL2",
    "RL2PPO",
    "PPOSettings",
    "TFGRUPolicy",
    "TFGRUValue",
    "TFMLPPolicy",
    "TFMLPValue",
    "TFPolicy",
    "TFTrainer",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
