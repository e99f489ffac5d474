"""A recurrent policy in numpy: one gated recurrent unit layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from samplerkit.policies.base import RowIndex, State
from samplerkit.policies.network import NetworkPolicy, Space, Workspace
from samplerkit.policies.parameters import gru_parameters, initial_log_std
from samplerkit.policies.rows import Rows
from samplerkit.policies.tiles import TILE, TiledDense, TiledGates, rows_buffer, tiles_for
from samplerkit.sampling import check_count

Array = npt.NDArray[np.float32]


class GRUPolicy(NetworkPolicy):
    """A GRU (Cho et al., 2014; reset-after form), then a categorical or diagonal Gaussian action.

        r = sigmoid(x Wr + br + h Ur + cr),  z = sigmoid(x Wz + bz + h Uz + cz)
        n = tanh(x Wn + bn + r * (h Un + cn)),  h' = (1 - z) * n + z * h,  h = 0 after a reset

    Args:
        observation_space, action_space, seed, init_std, deterministic: as for `MLPPolicy`.
        hidden_size: the width of the hidden state.

    Parameters, gates in the order r, z, n: "gru/kernel" (n_in, 3h), "gru/recurrent_kernel" (h, 3h),
    "gru/bias" (3h,), "gru/recurrent_bias" (3h,), "output/kernel" (h, n_out), "output/bias", and for Box
    actions "log_std".
    """

    draws_from_global_random: ClassVar[bool] = False

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        *,
        hidden_size: int = 64,
        seed: int = 0,
        init_std: float = 1.0,
        deterministic: bool = False,
    ) -> None:
        super().__init__(observation_space, action_space, seed=seed, deterministic=deterministic)
        self.hidden_size = check_count("hidden_size", hidden_size)
        params = gru_parameters(self._n_in, self.hidden_size, self._head.width, seed=seed)
        if self._head.has_log_std:
            params["log_std"] = initial_log_std(self._head.width, init_std)
        self._start(params)

    def get_state(self, rows: Rows = None) -> State:
        """Streams and "hidden" (k, hidden_size) of `rows` (None: all), fresh."""
        index: Any = slice(None) if rows is None else rows
        hidden = np.atleast_2d(self._hidden_rows[: self.n_rows][index])
        return {**super().get_state(rows), "hidden": np.array(hidden)}

    def set_state(self, rows: Rows, state: Mapping[str, npt.ArrayLike]) -> None:
        """Put what `get_state` gave into `rows` (None: all)."""
        index: Any = slice(None) if rows is None else rows
        self._hidden_rows[: self.n_rows][index] = np.asarray(state["hidden"], np.float32)
        super().set_state(rows, state)

    def _clear(self, rows: RowIndex) -> None:
        self._hidden_rows[rows] = 0.0

    def _pack(self) -> None:
        h = self.hidden_size
        kernel, recurrent = self._params["gru/kernel"], self._params["gru/recurrent_kernel"]
        bias, recurrent_bias = self._params["gru/bias"], self._params["gru/recurrent_bias"]
        # sigmoid(a) = (1 + tanh(a / 2)) / 2. Halving the sums of r and z, and h Un + cn which r multiplies,
        # is exact in binary and leaves r * (h Un + cn) = tanh(a_r) * m + m for the halved m.
        x_scale = np.array([0.5, 0.5, 1.0], np.float32)
        x_kernels = kernel.reshape(-1, 3, h).swapaxes(0, 1) * x_scale[:, None, None]
        h_kernels = recurrent.reshape(h, 3, h).swapaxes(0, 1) * np.float32(0.5)
        self._from_x = TiledGates(x_kernels)
        self._from_h = TiledGates(h_kernels)
        biases = bias.reshape(3, h) * x_scale[:, None]
        biases[:2] += recurrent_bias.reshape(3, h)[:2] * np.float32(0.5)
        self._biases = np.repeat(biases[:, None], TILE, axis=1)
        self._stack_biases = self._biases[:, None]
        self._n_bias = np.tile(recurrent_bias[2 * h :] * np.float32(0.5), (TILE, 1))
        self._half = np.full((TILE, h), 0.5, np.float32)
        self._output = TiledDense(self._params["output/kernel"], self._params["output/bias"])
        if self._head.has_log_std:
            self._head.set_log_std(self._params["log_std"])

    def _allocate(self, n_rows: int) -> None:
        n_tiles, h = tiles_for(n_rows), self.hidden_size
        self._work = Workspace(rows_buffer(n_tiles, self._n_in))
        self._hidden = rows_buffer(n_tiles, h)
        self._hidden_rows = self._hidden.reshape(-1, h)
        self._x_gates = np.zeros((3, *self._hidden.shape), np.float32)
        self._h_gates = np.zeros((3, *self._hidden.shape), np.float32)
        self._gates = np.zeros((2, *self._hidden.shape), np.float32)
        self._x_gate_pair, self._x_new = self._x_gates[:2], self._x_gates[2]
        self._h_gate_pair, self._h_new = self._h_gates[:2], self._h_gates[2]
        self._r, self._z = self._gates
        self._result = rows_buffer(n_tiles, self._head.width)
        self._result_rows = self._result.reshape(-1, self._head.width)

    def _forward(self) -> Array:
        x_gates, h, h_new, r, z, new = (
            self._x_gates, self._hidden, self._h_new, self._r, self._z, self._x_new,
        )  # fmt: skip
        self._from_x.apply(self._work.x, x_gates)
        np.add(x_gates, self._biases if h.ndim == 2 else self._stack_biases, x_gates)
        self._from_h.apply(h, self._h_gates)
        np.add(h_new, self._n_bias, h_new)
        np.add(self._x_gate_pair, self._h_gate_pair, self._gates)
        np.tanh(self._gates, self._gates)
        np.multiply(r, h_new, r)
        np.add(r, h_new, r)
        np.add(new, r, new)
        np.tanh(new, new)
        np.multiply(z, self._half, z)
        np.add(z, self._half, z)
        np.subtract(h, new, h)
        np.multiply(h, z, h)
        np.add(h, new, h)
        self._output.apply(h, self._result)
        return self._result_rows

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_saved_hidden": self._hidden_rows[: self.n_rows].copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        hidden = state["_saved_hidden"]
        super().__setstate__({name: value for name, value in state.items() if name != "_saved_hidden"})
        self._hidden_rows[: self.n_rows] = hidden

    _derived: ClassVar[frozenset[str]] = frozenset(
        {
            *("_work", "_hidden", "_hidden_rows", "_x_gates", "_h_gates", "_gates", "_x_gate_pair", "_x_new"),
            *("_h_gate_pair", "_h_new", "_r", "_z", "_stack_biases", "_result", "_result_rows"),
            *("_from_x", "_from_h", "_biases", "_n_bias", "_half", "_output"),
        }
    )
