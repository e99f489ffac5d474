"""A multilayer perceptron policy in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from samplerkit.policies.network import NetworkPolicy, Space, Workspace
from samplerkit.policies.parameters import initial_log_std, mlp_parameters
from samplerkit.policies.tiles import TiledDense, rows_buffer, tiles_for
from samplerkit.sampling import check_count

Array = npt.NDArray[np.float32]


class MLPPolicy(NetworkPolicy):
    """tanh layers, then a categorical (Discrete, flat MultiDiscrete) or diagonal Gaussian (Box) action.

    Args:
        observation_space: any nesting of Box, Discrete, MultiBinary, MultiDiscrete, Dict and Tuple;
        flattened. action_space: Discrete, flat MultiDiscrete or a floating-point Box. hidden_sizes: the width
        of each hidden layer. seed: draws the initial weights. init_std: the initial standard deviation of
        Gaussian actions. deterministic: act with the most probable class or the mean.

    Parameters: "hidden_i/kernel" (n_in, n_out), "hidden_i/bias" (n_out,), "output/kernel", "output/bias", and
    for Box actions "log_std" (action size,). See `NetworkPolicy` for what all network policies do.
    """

    draws_from_global_random: ClassVar[bool] = False

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        *,
        hidden_sizes: Sequence[int] = (32, 32),
        seed: int = 0,
        init_std: float = 1.0,
        deterministic: bool = False,
    ) -> None:
        super().__init__(observation_space, action_space, seed=seed, deterministic=deterministic)
        self.hidden_sizes = tuple(check_count("each of hidden_sizes", size) for size in hidden_sizes)
        params = mlp_parameters(self._n_in, self.hidden_sizes, self._head.width, seed=seed)
        if self._head.has_log_std:
            params["log_std"] = initial_log_std(self._head.width, init_std)
        self._start(params)

    def _pack(self) -> None:
        layers = [f"hidden_{i}" for i in range(len(self.hidden_sizes))]
        self._hidden = [
            TiledDense(self._params[f"{layer}/kernel"], self._params[f"{layer}/bias"]) for layer in layers
        ]
        self._output = TiledDense(self._params["output/kernel"], self._params["output/bias"])
        if self._head.has_log_std:
            self._head.set_log_std(self._params["log_std"])

    def _allocate(self, n_rows: int) -> None:
        n_tiles = tiles_for(n_rows)
        self._work = Workspace(rows_buffer(n_tiles, self._n_in))
        self._activations = [rows_buffer(n_tiles, size) for size in self.hidden_sizes]
        self._result = rows_buffer(n_tiles, self._head.width)
        self._result_rows = self._result.reshape(-1, self._head.width)

    def _forward(self) -> Array:
        x = self._work.x
        for layer, out in zip(self._hidden, self._activations, strict=True):
            layer.apply(x, out)
            x = np.tanh(out, out)
        self._output.apply(x, self._result)
        return self._result_rows

    _derived: ClassVar[frozenset[str]] = frozenset(
        {"_work", "_hidden", "_output", "_activations", "_result", "_result_rows"}
    )
