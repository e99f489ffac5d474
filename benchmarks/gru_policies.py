"""Recurrent policies of the bandit with five arms: one that acts in TensorFlow, and samplerkit's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplerkit.policies import GRUPolicy
from samplerkit.policies.parameters import gru_parameters
from samplerkit.policies.rows import RowStreams
from samplerkit.rl2 import BanditEnv, RL2Env

HIDDEN = 64


def numpy_gru(observation_space: Any = None, action_space: Any = None) -> GRUPolicy:
    """The numpy twin by which `samplerkit.tf`'s recurrent policy samples."""
    del observation_space, action_space  # those of a vector environment are not those of a row
    env = RL2Env(BanditEnv(), episodes_per_trial=10)
    return GRUPolicy(env.observation_space, env.action_space, hidden_size=HIDDEN)


def tensorflow_gru(observation_space: Any = None, action_space: Any = None) -> TensorFlowGRU:
    """The same network, which acts by one call of a `tf.function` for all rows."""
    return TensorFlowGRU(observation_space, action_space)


class TensorFlowGRU:
    """A GRU of 64 units in TensorFlow; TensorFlow is imported where it acts, never to be sent."""

    draws_from_global_random = False

    def __init__(self, observation_space: Any = None, action_space: Any = None) -> None:
        del observation_space, action_space
        env = RL2Env(BanditEnv(), episodes_per_trial=10)
        self._n_actions = int(env.action_space.n)
        n_in = env.observation_space.shape[0]
        self._params = gru_parameters(n_in, HIDDEN, self._n_actions, seed=0)
        self._live: Any = None

    def reset(self, do_resets: Any = None) -> None:
        """Forget what rows remember."""
        mask = np.ones(1, np.bool_) if do_resets is None else np.asarray(do_resets)
        if self._live is None:
            self._live = _Live(self._params)
        self._live.reset(mask)

    def seed(self, seeds: Any) -> None:
        """Seed the rows that were reset last."""
        self._live.streams.seed(seeds, self._live.fresh)

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        """Act for one row."""
        actions, infos = self.get_actions(np.asarray(observation)[None])
        return actions[0], {"log_prob": infos["log_prob"][0]}

    def get_actions(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        """Act for all rows: one call of TensorFlow."""
        actions, log_probs = self._live.act(observations)
        return actions, {"log_prob": log_probs}

    def get_param_values(self) -> dict[str, Any]:
        """The weights, as arrays."""
        return {name: value.copy() for name, value in self._params.items()}

    def set_param_values(self, params: dict[str, Any]) -> None:
        """Take weights."""
        self._params = {name: np.array(value, np.float32) for name, value in params.items()}
        if self._live is not None:
            self._live.network.set_param_values(self._params)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_live": None}


class _Live:
    """What needs TensorFlow: variables, hidden states, the function."""

    def __init__(self, params: dict[str, Any]) -> None:
        import tensorflow as tf

        from samplerkit.tf.networks import GRUNetwork, gru_step

        self.network = GRUNetwork(params)
        self.streams = RowStreams(1)
        self.fresh = np.zeros(1, np.intp)
        self._tf = tf
        self._n_in = params["gru/kernel"].shape[0]
        weights = self.network.parameters

        def step(x: Any, hidden: Any, goes_on: Any, uniforms: Any) -> Any:
            x_part = tf.matmul(x, weights["gru/kernel"]) + weights["gru/bias"]
            recurrent = weights["gru/recurrent_kernel"], weights["gru/recurrent_bias"]
            hidden = gru_step(x_part, hidden * goes_on, *recurrent)
            logits = tf.matmul(hidden, weights["output/kernel"]) + weights["output/bias"]
            log_probs = tf.nn.log_softmax(logits)
            below = tf.cast(tf.cumsum(tf.exp(log_probs), axis=1) <= uniforms, tf.int64)
            actions = tf.minimum(tf.reduce_sum(below, axis=1), logits.shape[1] - 1)
            return actions, tf.gather(log_probs, actions, batch_dims=1), hidden

        self._function = tf.function(step)
        self._resize(1)

    def _resize(self, n: int) -> None:
        # Called as it is for one number of rows: a third faster than through the function's own dispatch.
        shapes = (n, self._n_in), (n, HIDDEN), (n, 1), (n, 1)
        specs = [self._tf.TensorSpec(shape, self._tf.float32) for shape in shapes]
        self._step = self._function.get_concrete_function(*specs)
        self.streams.resize(n)
        self._hidden = self._tf.zeros((n, HIDDEN))
        self._goes_on = np.ones((n, 1), np.float32)

    def reset(self, mask: Any) -> None:
        if len(mask) != self.streams.n_rows:
            self._resize(len(mask))
        self.fresh = np.flatnonzero(mask)
        self._goes_on[self.fresh] = 0.0

    def act(self, observations: Any) -> tuple[Any, Any]:
        tensor, uniforms = self._tf.constant, self.streams.uniform().astype(np.float32)
        actions, log_probs, self._hidden = self._step(
            tensor(observations), self._hidden, tensor(self._goes_on), tensor(uniforms)
        )
        self._goes_on.fill(1.0)
        return actions.numpy(), log_probs.numpy()
