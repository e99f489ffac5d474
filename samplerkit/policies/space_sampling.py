"""Random actions by the row: for every kind of space a small object that turns streams into a column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from samplerkit.policies.rows import Floats, RowStreams

Space = spaces.Space[Any]
RowSampler = Callable[[RowStreams], Any]


def row_sampler(space: Space) -> RowSampler:
    """The sampler of `space`: streams of n rows -> a column of n samples. A TypeError names a space without
    one.
    """
    if isinstance(space, spaces.Discrete):
        return _IntegerSampler(np.array(space.n), np.array(space.start), space.dtype)
    if isinstance(space, spaces.MultiDiscrete):
        return _IntegerSampler(space.nvec, space.start, space.dtype)
    if isinstance(space, spaces.MultiBinary):
        return _IntegerSampler(np.full(space.shape, 2), np.zeros(space.shape, np.int64), space.dtype)
    if isinstance(space, spaces.Box):
        return _BoxSampler(space)
    if isinstance(space, spaces.Dict):
        return _DictSampler(space)
    if isinstance(space, spaces.Tuple):
        return _TupleSampler(space)
    raise TypeError(
        f"RandomPolicy samples Box, Discrete, MultiBinary, MultiDiscrete, Dict and Tuple spaces, not {space}"
    )


class _IntegerSampler:
    """Discrete, MultiDiscrete and MultiBinary: one uniform for each element."""

    def __init__(self, sizes: npt.NDArray[Any], start: npt.NDArray[Any], dtype: npt.DTypeLike) -> None:
        self._sizes, self._start, self._dtype = sizes, start.astype(dtype), dtype

    def __call__(self, streams: RowStreams) -> npt.NDArray[Any]:
        # Never -1 for the number of rows: numpy does not know it where a row has no elements.
        uniforms = streams.uniform(self._sizes.size).reshape(streams.n_rows, *self._sizes.shape)
        column: npt.NDArray[Any] = (uniforms * self._sizes).astype(self._dtype) + self._start
        return column


class _BoxSampler:
    """Box: uniform between two bounds, exponential beyond one, normal without any; integers are floored."""

    def __init__(self, space: spaces.Box) -> None:
        self._shape, self._dtype = space.shape, np.dtype(space.dtype)
        below, above = space.bounded_below.ravel(), space.bounded_above.ravel()
        self._low_only, self._high_only = below & ~above, above & ~below
        self._neither = ~below & ~above
        self._integer = self._dtype.kind in "iub"
        # Python floats on the way: an integer's own bounds may not survive arithmetic in its dtype.
        low, high = (bound.ravel().astype(np.float64) for bound in (space.low, space.high))
        self._low = np.where(below, low, 0.0)
        self._high = np.where(above, high, 0.0)
        with np.errstate(over="ignore"):
            span = self._high - self._low + (1.0 if self._integer else 0.0)
        self._span = np.where(below & above, np.minimum(span, np.finfo(np.float64).max), 0.0)
        self._bounds = (space.low, space.high)
        self._exponential = bool((self._low_only | self._high_only).any())
        self._normal = bool(self._neither.any())

    def __call__(self, streams: RowStreams) -> npt.NDArray[Any]:
        uniforms = streams.uniform(len(self._low))
        values = self._low + uniforms * self._span
        if self._exponential:
            tail = _exponential(uniforms)
            values = np.where(self._low_only, self._low + tail, values)
            values = np.where(self._high_only, self._high - tail, values)
        if self._normal:
            values = np.where(self._neither, streams.normal(len(self._low)), values)
        if self._integer:
            values = np.floor(values)
        return self._in_bounds(values).reshape(streams.n_rows, *self._shape)

    def _in_bounds(self, values: Floats) -> npt.NDArray[Any]:
        # Rounding, of wide integers above all, may leave the box by one step: clip once in each dtype.
        low, high = (bound.ravel() for bound in self._bounds)
        if self._integer and self._dtype.itemsize == 8:
            bits = 63 if self._dtype.kind == "i" else 64
            lowest = -(2.0**63) if self._dtype.kind == "i" else 0.0
            inside = np.clip(values, lowest, np.nextafter(2.0**bits, 0.0))
            return np.clip(inside.astype(self._dtype), low, high)
        return np.clip(values, low.astype(np.float64), high.astype(np.float64)).astype(self._dtype)


def _exponential(uniforms: Floats) -> Floats:
    """Standard exponentials (n, k) by inverse CDF, over whole blocks of eight rows."""
    n = len(uniforms)
    padded = np.zeros((-(-n // 8) * 8, uniforms.shape[1]))
    padded[:n] = uniforms
    return -np.log(1.0 - padded)[:n]


class _DictSampler:
    def __init__(self, space: spaces.Dict) -> None:
        self._parts = {key: row_sampler(part) for key, part in space.spaces.items()}

    def __call__(self, streams: RowStreams) -> dict[str, Any]:
        return {key: part(streams) for key, part in self._parts.items()}


class _TupleSampler:
    def __init__(self, space: spaces.Tuple[Any]) -> None:
        self._parts = [row_sampler(part) for part in space.spaces]

    def __call__(self, streams: RowStreams) -> tuple[Any, ...]:
        return tuple(part(streams) for part in self._parts)
