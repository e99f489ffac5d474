"""Parameters as dicts of float32 arrays: initial values and the check that guards every load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from samplerkit.policies.rows import RowStreams

Array = npt.NDArray[np.float32]
Parameters = dict[str, Array]

# Nearly uniform action probabilities at the start: the usual advice for policy gradients.
OUTPUT_SCALE = 0.01


def glorot(streams: RowStreams, n_in: int, n_out: int, *, scale: float = 1.0) -> Array:
    """(n_in, n_out) uniform in +-scale * sqrt(6 / (n_in + n_out)) (Glorot and Bengio, 2010)."""
    limit = scale * float(np.sqrt(6.0 / (n_in + n_out)))
    uniforms = streams.row_uniforms(0, n_in * n_out).reshape(n_in, n_out)
    return ((2.0 * uniforms - 1.0) * limit).astype(np.float32)


def orthogonal(streams: RowStreams, n: int) -> Array:
    """(n, n) random orthogonal: Gram-Schmidt on normal rows, twice over, the same on any LAPACK."""
    rows = streams.row_normals(0, n * n).reshape(n, n)
    for i in range(n):
        for _ in range(2):
            shares = np.add.reduce(rows[:i] * rows[i], axis=1)
            rows[i] -= np.add.reduce(shares[:, None] * rows[:i], axis=0)
        rows[i] /= np.sqrt(np.add.reduce(rows[i] ** 2))
    return rows.astype(np.float32)


def mlp_parameters(n_in: int, hidden_sizes: tuple[int, ...], n_out: int, *, seed: int) -> Parameters:
    """Initial "hidden_i/kernel", "hidden_i/bias" and a small "output/kernel" with "output/bias"."""
    streams = RowStreams(1, seed=seed)
    values: Parameters = {}
    for i, size in enumerate(hidden_sizes):
        values[f"hidden_{i}/kernel"] = glorot(streams, n_in, size)
        values[f"hidden_{i}/bias"] = np.zeros(size, np.float32)
        n_in = size
    values.update(_output_parameters(streams, n_in, n_out))
    return values


def gru_parameters(n_in: int, hidden_size: int, n_out: int, *, seed: int) -> Parameters:
    """Initial parameters of a reset-after GRU (gates r, z, n side by side) with a small output layer."""
    streams = RowStreams(1, seed=seed)
    gates = [glorot(streams, n_in, hidden_size) for _ in range(3)]
    recurrent = [orthogonal(streams, hidden_size) for _ in range(3)]
    return {
        "gru/kernel": np.concatenate(gates, axis=1),
        "gru/recurrent_kernel": np.concatenate(recurrent, axis=1),
        "gru/bias": np.zeros(3 * hidden_size, np.float32),
        "gru/recurrent_bias": np.zeros(3 * hidden_size, np.float32),
        **_output_parameters(streams, hidden_size, n_out),
    }


def _output_parameters(streams: RowStreams, n_in: int, n_out: int) -> Parameters:
    return {
        "output/kernel": glorot(streams, n_in, n_out, scale=OUTPUT_SCALE),
        "output/bias": np.zeros(n_out, np.float32),
    }


def copy_parameters(values: Mapping[str, npt.NDArray[Any]]) -> Parameters:
    """Fresh float32 copies, under the same names."""
    return {name: np.array(value, np.float32) for name, value in values.items()}


def checked_parameters(new: Any, current: Mapping[str, npt.NDArray[Any]]) -> Parameters:
    """Copies of `new` as float32, once names, shapes and dtypes are those of `current`.

    Raises:
        TypeError: `new` is no dict, or one of its arrays holds no floating-point numbers.
        ValueError: a name is missing or unknown, or an array has another shape. The message names the key.
    """
    if not isinstance(new, Mapping):
        raise TypeError(
            f"parameters must be a dict of arrays named {sorted(current)}, not {type(new).__name__}; "
            f"pass what get_param_values() of such a policy returned"
        )
    for name in new.keys() - current.keys():
        raise ValueError(f"unknown parameter {name!r}: this policy has {sorted(current)}")
    checked: Parameters = {}
    for name, old in current.items():
        if name not in new:
            raise ValueError(f"parameter {name!r} is missing: pass all of {sorted(current)}")
        value = np.asarray(new[name])
        if value.dtype.kind != "f":
            raise TypeError(f"parameter {name!r} must hold floating-point numbers, not dtype {value.dtype}")
        if value.shape != old.shape:
            raise ValueError(f"parameter {name!r} must have shape {old.shape}, not {value.shape}")
        checked[name] = np.array(value, np.float32)
    return checked


def initial_log_std(size: int, init_std: float) -> Array:
    """(size,) log standard deviations; a ValueError where `init_std` is not positive."""
    if not init_std > 0:
        raise ValueError(f"init_std must be greater than 0, not {init_std}")
    return np.full(size, np.log(init_std), np.float32)
