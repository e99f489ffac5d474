"""Trainable networks: the formulas and parameter names of `samplerkit.policies`, in TensorFlow variables.

The cell is written out rather than taken from Keras: it must equal the numpy policies' to 1e-5, run inside a
`tf.while_loop` under XLA, and travel as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from gymnasium import spaces

from samplerkit.policies.flattening import flat_size
from samplerkit.policies.parameters import Parameters, checked_parameters, gru_parameters, mlp_parameters
from samplerkit.sampling import check_count

Tensor = Any  # tensorflow publishes no types
Space = spaces.Space[Any]


class TravellingModule(tf.Module):  # type: ignore[misc]
    """A module whose class builds it anew where a copy or a pickle of it arrives.

    What a subclass has set beside that travels along: see `__getstate__`. Such a class ends its `__init__`
    with `_built`, and gives `__getstate__()` as the third entry of what its `__reduce__` returns.
    """

    _rebuilt: frozenset[str] = frozenset()

    def _built(self, before: Iterable[str]) -> None:
        """Remember what this class has set, which is built anew; `before` it there were these attributes."""
        self._rebuilt = frozenset(vars(self).keys() - set(before) | {"_rebuilt"})

    def __getstate__(self) -> dict[str, Any]:
        """The attributes that a subclass added; to leave out what does not pickle, override this."""
        return {
            name: value
            for name, value in vars(self).items()
            if name not in self._rebuilt and not name.startswith("_self_")  # of TensorFlow's bookkeeping
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)  # one by one: TensorFlow keeps books of variables and modules


class Network(TravellingModule):
    """float32 variables under the numpy policies' parameter names; copies and pickles travel as arrays."""

    def __init__(self, params: Parameters) -> None:
        before = list(vars(self))
        super().__init__()
        self.parameters = {
            name: tf.Variable(value, name=name, dtype=tf.float32) for name, value in params.items()
        }
        self._built(before)

    def get_param_values(self) -> Parameters:
        """Fresh copies of the variables: name -> float32 array."""
        return {name: np.array(variable.numpy()) for name, variable in self.parameters.items()}

    def set_param_values(self, params: Mapping[str, npt.ArrayLike]) -> None:
        """Assign new values, all or none; a TypeError or ValueError names the key that does not fit."""
        shapes = {name: np.empty(variable.shape) for name, variable in self.parameters.items()}
        for name, value in checked_parameters(params, shapes).items():
            self.parameters[name].assign(value)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        return _rebuilt_network, (type(self), self.get_param_values()), self.__getstate__()


def _rebuilt_network(cls: type[Network], params: Parameters) -> Network:
    network = cls.__new__(cls)
    Network.__init__(network, params)
    return network


class MLPNetwork(Network):
    """tanh layers and a linear output: (..., n_in) -> (..., n_out)."""

    def __call__(self, x: Tensor) -> Tensor:
        """(..., n_in) float32 -> (..., n_out) float32."""
        params = self.parameters
        for i in range(sum(name.startswith("hidden_") for name in params) // 2):
            x = tf.tanh(tf.matmul(x, params[f"hidden_{i}/kernel"]) + params[f"hidden_{i}/bias"])
        return tf.matmul(x, params["output/kernel"]) + params["output/bias"]


class GRUNetwork(Network):
    """A reset-after GRU and a linear output, over whole sequences from a zero hidden state."""

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, T, n_in) float32 -> (batch, T, n_out) float32."""
        params = self.parameters
        hidden = gru_sequence(
            tf.matmul(x, params["gru/kernel"]) + params["gru/bias"],
            params["gru/recurrent_kernel"],
            params["gru/recurrent_bias"],
        )
        return tf.matmul(hidden, params["output/kernel"]) + params["output/bias"]


def gru_step(x_part: Tensor, h: Tensor, recurrent_kernel: Tensor, recurrent_bias: Tensor) -> Tensor:
    """One step: x_part (batch, 3h) = x @ kernel + bias, h (batch, h) -> the next hidden state (batch, h)."""
    x_r, x_z, x_n = tf.split(x_part, 3, axis=-1)
    h_r, h_z, h_n = tf.split(tf.matmul(h, recurrent_kernel) + recurrent_bias, 3, axis=-1)
    r, z = tf.sigmoid(x_r + h_r), tf.sigmoid(x_z + h_z)
    n = tf.tanh(x_n + r * h_n)
    return (1.0 - z) * n + z * h


def gru_sequence(x_parts: Tensor, recurrent_kernel: Tensor, recurrent_bias: Tensor) -> Tensor:
    """x_parts (batch, T, 3h) -> hidden states (batch, T, h), from zeros.

    A `tf.while_loop`, never unrolled: tracing and XLA compilation then take the same time for every T.
    """
    steps = x_parts.shape[1] if x_parts.shape[1] is not None else tf.shape(x_parts)[1]
    size = recurrent_kernel.shape[0]
    inputs = tf.TensorArray(x_parts.dtype, size=steps, element_shape=(None, 3 * size))
    inputs = inputs.unstack(tf.transpose(x_parts, (1, 0, 2)))
    outputs = tf.TensorArray(x_parts.dtype, size=steps, element_shape=(x_parts.shape[0], size))

    def body(step: Tensor, h: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = gru_step(inputs.read(step), h, recurrent_kernel, recurrent_bias)
        return step + 1, h, outputs.write(step, h)

    first = tf.zeros((tf.shape(x_parts)[0], size), x_parts.dtype)
    _, _, outputs = tf.while_loop(
        lambda step, h, outputs: step < steps,
        body,
        (tf.constant(0), first, outputs),
        shape_invariants=(
            tf.TensorShape(()),
            tf.TensorShape((x_parts.shape[0], size)),
            tf.TensorShape(None),
        ),
        maximum_iterations=steps,  # known to XLA, which can only then run the loop backwards
    )
    return tf.transpose(outputs.stack(), (1, 0, 2))


class TFMLPValue(MLPNetwork):
    """A value network of its own: flattened observations (..., obs_dim) -> values (...)."""

    def __init__(
        self, observation_space: Space, *, hidden_sizes: Sequence[int] = (32, 32), seed: int = 0
    ) -> None:
        sizes = tuple(check_count("each of hidden_sizes", size) for size in hidden_sizes)
        super().__init__(mlp_parameters(flat_size(observation_space), sizes, 1, seed=seed))

    def __call__(self, x: Tensor) -> Tensor:
        """(..., obs_dim) float32 -> (...) float32."""
        return tf.squeeze(super().__call__(x), axis=-1)


class TFGRUValue(GRUNetwork):
    """A recurrent value network of its own: whole sequences (batch, T, obs_dim) -> values (batch, T)."""

    def __init__(self, observation_space: Space, *, hidden_size: int = 64, seed: int = 0) -> None:
        size = check_count("hidden_size", hidden_size)
        super().__init__(gru_parameters(flat_size(observation_space), size, 1, seed=seed))

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, T, obs_dim) float32, from a zero hidden state -> (batch, T) float32."""
        return tf.squeeze(super().__call__(x), axis=-1)
