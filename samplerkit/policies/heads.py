"""Action heads: from the rows of a network's output to sampled actions and their log-probabilities.

A head's arithmetic is row-exact: reductions run in sequence along a row (`accumulate`), elementwise functions
run over whole tiles, and each row draws from its own stream.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from samplerkit.attributes import set_attributes
from samplerkit.policies.rows import RowStreams
from samplerkit.policies.tiles import TILE

Array = npt.NDArray[np.float32]
Actions = npt.NDArray[Any]
LOG_2PI = float(np.log(2.0 * np.pi))


class Head(Protocol):
    """What a network policy asks of its action head. `outputs` are (8 * n_tiles, width), padding rows
    included.
    """

    width: int
    has_log_std: bool

    def one(self, outputs: Array, streams: RowStreams, deterministic: bool) -> tuple[Any, np.float32]:
        """The action and log-probability of row 0, fresh."""

    def many(self, outputs: Array, streams: RowStreams, deterministic: bool) -> tuple[Actions, Array]:
        """The actions (n, *shape) and log-probabilities (n,) of the first n = streams.n_rows rows, fresh."""

    def set_log_std(self, log_std: Array) -> None:
        """Take over new log standard deviations (Gaussian heads)."""


def make_head(space: spaces.Space[Any]) -> CategoricalHead | MultiCategoricalHead | GaussianHead:
    """The head for an action space; a TypeError names one that has none."""
    if isinstance(space, spaces.Discrete):
        return CategoricalHead(space)
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) == 1:
        return MultiCategoricalHead(space)
    if isinstance(space, spaces.Box) and np.dtype(space.dtype).kind == "f":
        return GaussianHead(space)
    raise TypeError(
        f"network policies act in Discrete, flat MultiDiscrete and floating-point Box spaces, not {space}; "
        f"use from_callable or wrap the environment"
    )


class _Softmax:
    """Row-exact softmax pieces of (n_padded, width) logits in preallocated arrays."""

    __slots__ = ("cumulative", "exponentials", "log_total", "maxima", "row", "shifted", "total")

    def __init__(self, n_padded: int, width: int) -> None:
        self.maxima = np.empty((n_padded, 1), np.float32)
        self.shifted = np.empty((n_padded, width), np.float32)
        self.exponentials = np.empty((n_padded, width), np.float32)
        self.cumulative = np.empty((n_padded, width), np.float32)
        self.log_total = np.empty(n_padded, np.float32)
        self.total = self.cumulative[:, -1]
        self.row = self.cumulative[0]

    def compute(self, logits: Array) -> None:
        """Fill shifted = logits - max, cumulative = running sum of exp(shifted), log_total = log(sum)."""
        np.maximum.reduce(logits, 1, None, out=self.maxima, keepdims=True)
        np.subtract(logits, self.maxima, self.shifted)
        np.exp(self.shifted, self.exponentials)
        np.add.accumulate(self.exponentials, 1, None, self.cumulative)
        np.log(self.total, self.log_total)


class _Categorical:
    """One categorical factor: inverse-CDF sampling with one uniform a row."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._tile = _Softmax(TILE, width)

    def __reduce__(self) -> tuple[type[_Categorical], tuple[int]]:
        # The tile's arrays are views of each other: made anew in a copy, they are again.
        return _Categorical, (self._width,)

    def one(self, logits: Array, uniform: float | None) -> tuple[int, float]:
        """Class and log-probability of row 0; `uniform=None` takes the most probable class."""
        tile = self._tile
        tile.compute(logits)
        if uniform is None:
            choice = int(tile.shifted[0].argmax())
        else:
            cumulative = tile.row.tolist()
            choice = bisect_right(cumulative, uniform * cumulative[-1])
            if choice == self._width:  # only where logits are NaN; `many` gives 0 there too
                choice = 0
        # A double difference of two float32 numbers, rounded once more, is their float32 difference.
        return choice, tile.shifted.item(0, choice) - tile.log_total.item(0)

    def many(
        self, logits: Array, uniforms: npt.NDArray[np.float64] | None, n: int
    ) -> tuple[npt.NDArray[np.intp], Array]:
        """Classes (n,) and log-probabilities (n,); `uniforms` (n,) or None for the most probable class."""
        tile = self._tile if len(logits) == TILE else _Softmax(len(logits), self._width)
        tile.compute(logits)
        if uniforms is None:
            choices = tile.shifted[:n].argmax(axis=1)
        else:
            thresholds = uniforms * tile.total[:n]
            choices = (tile.cumulative[:n] > thresholds[:, None]).argmax(axis=1)
        return choices, tile.shifted[np.arange(n), choices] - tile.log_total[:n]


class CategoricalHead:
    """Discrete actions: logits (n, space.n)."""

    has_log_std = False

    def __init__(self, space: spaces.Discrete) -> None:
        self.width = int(space.n)
        self._start = int(space.start)
        self._dtype = np.dtype(space.dtype)
        self._scalar = self._dtype.type
        self._factor = _Categorical(self.width)

    def one(self, outputs: Array, streams: RowStreams, deterministic: bool) -> tuple[Any, np.float32]:
        """A scalar of the space's dtype, and its log-probability."""
        choice, log_prob = self._factor.one(outputs, None if deterministic else streams.row_uniform())
        return self._scalar(choice + self._start), np.float32(log_prob)

    def many(self, outputs: Array, streams: RowStreams, deterministic: bool) -> tuple[Actions, Array]:
        """Actions (n,) in the space's dtype, log-probabilities (n,)."""
        uniforms = None if deterministic else streams.uniform()[:, 0]
        choices, log_probs = self._factor.many(outputs, uniforms, streams.n_rows)
        return (choices + self._start).astype(self._dtype), log_probs

    def set_log_std(self, log_std: Array) -> None:
        """Never called: no log_std here."""

    __setstate__ = set_attributes


class MultiCategoricalHead:
    """Flat MultiDiscrete actions: independent factors, their logits side by side (n, sum(nvec))."""

    has_log_std = False

    def __init__(self, space: spaces.MultiDiscrete) -> None:
        sizes = [int(size) for size in space.nvec]
        ends = np.cumsum(sizes).tolist()
        self.width = int(ends[-1])
        self._dtype = np.dtype(space.dtype)
        self._start = np.asarray(space.start)
        self._slices = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        self._factors = [_Categorical(size) for size in sizes]

    def one(self, outputs: Array, streams: RowStreams, deterministic: bool) -> tuple[Any, np.float32]:
        """An array (n_factors,) in the space's dtype, and its log-probability."""
        actions, log_probs = self._sample(outputs, streams, deterministic, 1)
        return actions[0], log_probs[0]

    def many(self, outputs: Array, streams: RowStreams, deterministic: bool) -> tuple[Actions, Array]:
        """Actions (n, n_factors) in the space's dtype, log-probabilities (n,)."""
        return self._sample(outputs, streams, deterministic, streams.n_rows)

    def _sample(
        self, outputs: Array, streams: RowStreams, deterministic: bool, n: int
    ) -> tuple[Actions, Array]:
        uniforms = None if deterministic else streams.uniform(len(self._factors))
        actions = np.empty((n, len(self._factors)), self._dtype)
        total = np.zeros(n, np.float32)
        for i, (factor, columns) in enumerate(zip(self._factors, self._slices, strict=True)):
            logits = np.ascontiguousarray(outputs[:, columns])
            choices, log_probs = factor.many(logits, None if uniforms is None else uniforms[:, i], n)
            actions[:, i] = choices
            total += log_probs
        return actions + self._start.astype(self._dtype), total

    def set_log_std(self, log_std: Array) -> None:
        """Never called: no log_std here."""

    __setstate__ = set_attributes


class GaussianHead:
    """Box actions: means (n, size) from the network, a log standard deviation for each that no observation
    moves.

    Samples are not clipped to the box: their log-probability would no longer be the Gaussian's. Clip in the
    environment or in a wrapper (`gymnasium.wrappers.ClipAction`).
    """

    has_log_std = True

    def __init__(self, space: spaces.Box) -> None:
        self.width = int(np.prod(space.shape, dtype=np.int64))
        self._shape = space.shape
        self._dtype = np.dtype(space.dtype)
        self.set_log_std(np.zeros(self.width, np.float32))

    def set_log_std(self, log_std: Array) -> None:
        """log_std (width,): the standard deviations and the normaliser are computed here, once."""
        self._std = np.exp(log_std)
        self._constant = (
            -float(np.add.accumulate(log_std.astype(np.float64))[-1]) - 0.5 * LOG_2PI * self.width
        )

    __setstate__ = set_attributes

    @property
    def _rounds(self) -> bool:
        """Whether an action has fewer digits than the sum of mean and noise that it is made of."""
        return self._dtype.itemsize < 4

    def _noise_of(self, actions: Actions, means: Array) -> Array:
        """The noise that would have given these very actions, rounded as they are."""
        noise: Array = np.divide(actions.astype(np.float32) - means, self._std, dtype=np.float32)
        return noise

    def one(self, outputs: Array, streams: RowStreams, deterministic: bool) -> tuple[Any, np.float32]:
        """An array of the space's shape and dtype, and its log-probability."""
        means = outputs[0]
        if deterministic:
            action = means.astype(self._dtype)
            if not self._rounds:
                return action.reshape(self._shape), np.float32(self._constant)
        else:
            noise = streams.row_normals(0, self.width).astype(np.float32)
            action = (means + self._std * noise).astype(self._dtype, copy=False)
        if self._rounds:
            noise = self._noise_of(action, means)
        squares = np.add.accumulate(np.square(noise, dtype=np.float64)).item(-1)
        return action.reshape(self._shape), np.float32(self._constant - 0.5 * squares)

    def many(self, outputs: Array, streams: RowStreams, deterministic: bool) -> tuple[Actions, Array]:
        """Actions (n, *shape) in the space's dtype, log-probabilities (n,)."""
        n = streams.n_rows
        means = outputs[:n]
        if deterministic:
            actions = means.astype(self._dtype)
            if not self._rounds:
                return actions.reshape(n, *self._shape), np.full(n, self._constant, np.float32)
        else:
            noise = streams.normal(self.width).astype(np.float32)
            actions = (means + self._std * noise).astype(self._dtype, copy=False)
        if self._rounds:
            noise = self._noise_of(actions, means)
        squares = np.add.accumulate(np.square(noise, dtype=np.float64), axis=1)[:, -1]
        return actions.reshape(n, *self._shape), (self._constant - 0.5 * squares).astype(np.float32)
