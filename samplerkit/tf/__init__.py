"""Trainable policies, value networks and algorithms in TensorFlow.

Importing this imports TensorFlow. Samplers and their workers do not: what is
trained here acts there through its numpy twin.
"""

import importlib

try:
    importlib.import_module("tensorflow")  # before all else, to say what is missing
except ModuleNotFoundError as error:
    if error.name != "tensorflow":
        raise
    raise ModuleNotFoundError("samplerkit.tf needs TensorFlow: run `pip install 'samplerkit[tf]'`") from error

from samplerkit.tf.networks import TFGRUValue, TFMLPValue
from samplerkit.tf.policies import TFGRUPolicy, TFMLPPolicy, TFPolicy
from samplerkit.tf.ppo import PPO, PPOSettings
from samplerkit.tf.rl2 import RL2, RL2PPO
from samplerkit.tf.trainer import TFTrainer

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
