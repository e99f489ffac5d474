"""What the trainable policies share: variables to learn with, and a numpy twin of themselves to act with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from gymnasium import spaces

from samplerkit.policies.flattening import Array, as_column, flatten_observations
from samplerkit.policies.network import NetworkPolicy
from samplerkit.policies.parameters import Parameters
from samplerkit.policies.rows import Rows
from samplerkit.tf.networks import GRUNetwork, MLPNetwork, TravellingModule
from samplerkit.tf.policies.distributions import (
    Categorical,
    DiagonalGaussian,
    Distribution,
    MultiCategorical,
)

Tensor = Any
Twin = TypeVar("Twin", bound=NetworkPolicy)


class TFPolicy(TravellingModule, Generic[Twin]):
    """A policy trained in TensorFlow that acts through a numpy twin with the same weights.

    For learning: `distribution`, `encode_observations`, `encode_actions`, `trainable_variables`. For
    sampling: the Policy protocol, by the twin, which reads the variables at each `reset`: an optimiser's step
    shows from the next episode on. `for_sampling()` gives a twin to ship, which needs no TensorFlow.

    Copies and pickles carry the class, arrays and spaces, never live TensorFlow objects; and the attributes
    that a subclass adds, as its `__getstate__` gives them.
    """

    network_class: ClassVar[type[MLPNetwork] | type[GRUNetwork]]

    def __init__(self, twin: Twin) -> None:
        before = list(vars(self))
        super().__init__()
        params = twin.get_param_values()
        log_std = params.pop("log_std", None)
        self._twin = twin
        self.network = self.network_class(params)
        self.log_std = None if log_std is None else tf.Variable(log_std, name="log_std", dtype=tf.float32)
        self._built(before)

    @property
    def observation_space(self) -> spaces.Space[Any]:
        """The space of one observation."""
        return self._twin.observation_space

    @property
    def action_space(self) -> spaces.Space[Any]:
        """The space of one action."""
        return self._twin.action_space

    @property
    def deterministic(self) -> bool:
        """Whether the policy acts with the most probable class or the mean instead of a sample."""
        return self._twin.deterministic

    @deterministic.setter
    def deterministic(self, value: bool) -> None:
        self._twin.deterministic = value

    # -- learning --------------------------------------------------------------------------------------------

    def distribution(self, observations: Tensor) -> Distribution:
        """Flattened observations -> the actions' distribution, differentiable in the variables.

        (batch, obs_dim) for an MLP; for a GRU (batch, T, obs_dim), whole sequences from a zero hidden state.
        """
        outputs = self.network(tf.convert_to_tensor(observations, tf.float32))
        space = self.action_space
        if isinstance(space, spaces.Discrete):
            return Categorical(outputs)
        if isinstance(space, spaces.MultiDiscrete):
            return MultiCategorical(tuple(tf.split(outputs, [int(n) for n in space.nvec], axis=-1)))
        return DiagonalGaussian(outputs, self.log_std)

    def encode_observations(self, column: Any) -> Array:
        """A batch's observations column -> float32 (T, obs_dim), as `distribution` takes them."""
        return flatten_observations(self.observation_space, column)

    def encode_actions(self, column: Any) -> npt.NDArray[Any]:
        """A batch's actions column as `log_prob` takes it.

        Discrete: int32 (T,), MultiDiscrete: int32 (T, n_factors), both counted from 0; Box: float32 (T,
        size).
        """
        space = self.action_space
        actions = np.asarray(as_column(space, column))
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            return (actions - space.start).astype(np.int32)
        return actions.astype(np.float32).reshape(len(actions), -1)

    # -- weights ---------------------------------------------------------------------------------------------

    def get_param_values(self) -> Parameters:
        """Fresh copies of the variables: name -> float32 array, named as the numpy twin's."""
        values = self.network.get_param_values()
        if self.log_std is not None:
            values["log_std"] = np.array(self.log_std.numpy())
        return values

    def set_param_values(self, params: Mapping[str, npt.ArrayLike]) -> None:
        """Assign new values, all or none; a TypeError or ValueError names the key that does not fit."""
        self._twin.set_param_values(params)
        checked = self._twin.get_param_values()
        if self.log_std is not None:
            self.log_std.assign(checked.pop("log_std"))
        self.network.set_param_values(checked)

    def sync(self) -> None:
        """Give the numpy twin the variables' present values; `reset` does it too."""
        self._twin.set_param_values(self.get_param_values())

    def as_numpy(self) -> Twin:
        """A numpy policy with the same weights, its own from here on."""
        self.sync()
        return copy.deepcopy(self._twin)

    def for_sampling(self) -> Twin:
        """What samplers ship to their workers: `as_numpy()`."""
        return self.as_numpy()

    # -- sampling, by the twin -------------------------------------------------------------------------------

    @property
    def n_rows(self) -> int:
        """How many rows the policy acts on."""
        return self._twin.n_rows

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        """One observation -> (action, {"log_prob": float32}), with the weights read at the last reset."""
        return self._twin.get_action(observation)

    def get_actions(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        """A column of n observations -> (actions, {"log_prob": float32 (n,)})."""
        return self._twin.get_actions(observations)

    def reset(self, do_resets: npt.ArrayLike | None = None) -> None:
        """Begin new episodes, with the present variables: None for one row, else a boolean per row."""
        self.sync()
        self._twin.reset(do_resets)

    def seed(self, seeds: npt.ArrayLike) -> None:
        """Start the random streams of the rows reset last."""
        self._twin.seed(seeds)

    def get_state(self, rows: Rows = None) -> dict[str, npt.NDArray[Any]]:
        """Streams and hidden state of `rows` (None: all)."""
        return self._twin.get_state(rows)

    def set_state(self, rows: Rows, state: Mapping[str, npt.ArrayLike]) -> None:
        """Put what `get_state` gave into `rows` (None: all)."""
        self._twin.set_state(rows, state)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        return _rebuilt_policy, (type(self), self.as_numpy()), self.__getstate__()


def _rebuilt_policy(cls: type[TFPolicy[Any]], twin: NetworkPolicy) -> TFPolicy[Any]:
    policy = cls.__new__(cls)
    TFPolicy.__init__(policy, twin)
    return policy
