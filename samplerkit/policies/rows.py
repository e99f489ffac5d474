"""Random streams for rows: every row draws from its own counter-based stream, at array speed.

A row's n-th word is a function of its seed and n alone (SplitMix64: Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014), so neither the number of rows, nor a row's place among them,
nor what other rows draw can change its numbers. A second key word enters half-way through the finaliser: two
rows whose counters run over the same part of the SplitMix64 orbit still draw different numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Rows = npt.ArrayLike | slice | None

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_C1 = 0xBF58476D1CE4E5B9
_C2 = 0x94D049BB133111EB
_GAMMA_W, _C1_W, _C2_W = np.uint64(_GAMMA), np.uint64(_C1), np.uint64(_C2)
_ONE_AND_TWO_GAMMAS: Words = np.array([[_GAMMA], [2 * _GAMMA & _MASK]], np.uint64)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT = 2.0**-53
_ONE, _MINUS_TWO, _TWO_PI = np.float64(1.0), np.float64(-2.0), np.float64(2.0 * np.pi)
_QUARTER_TURNS = np.array([0.5 * np.pi, 0.0]).reshape(2, 1, 1)
# Up to this many words for one row plain integers are faster than the fixed cost of array calls.
_FEW_WORDS = 16


def _mix(z: int) -> int:
    """The SplitMix64 finaliser of one word."""
    z = ((z ^ (z >> 30)) * _C1) & _MASK
    z = ((z ^ (z >> 27)) * _C2) & _MASK
    return z ^ (z >> 31)


def _mix_array(z: Words) -> Words:
    """The SplitMix64 finaliser, element by element."""
    z = (z ^ (z >> _S30)) * _C1_W
    z = (z ^ (z >> _S27)) * _C2_W
    return z ^ (z >> _S31)


def _to_unit(words: Words) -> Floats:
    """The upper 53 bits as a number in [0, 1)."""
    numbers: Floats = np.multiply(words >> _S11, _TO_UNIT, dtype=np.float64)
    return numbers


def box_muller(uniforms: Floats, n_per_row: int) -> Floats:
    """(n, 2 * ceil(k / 2)) uniforms in [0, 1) -> (n, k) standard normals, row by row (Box, Muller 1958)."""
    n, half = uniforms.shape[0], uniforms.shape[1] // 2
    # Whole blocks of eight rows: vectorized loops then have no tail that could round differently.
    padded = np.zeros((2, -(-n // 8) * 8, half))
    padded[:, :n] = uniforms.reshape(n, 2, half).swapaxes(0, 1)
    radius, angle = padded
    np.subtract(_ONE, radius, radius)
    np.log(radius, radius)
    np.multiply(radius, _MINUS_TWO, radius)
    np.sqrt(radius, radius)
    # The cosine as a sine a quarter turn on: one call for both.
    angles = angle * _TWO_PI + _QUARTER_TURNS
    np.sin(angles, angles)
    np.multiply(angles, radius, angles)
    normals: Floats = angles[:, :n].swapaxes(0, 1).reshape(n, 2 * half)[:, :n_per_row]
    return normals


def as_seeds(seeds: npt.ArrayLike) -> Words:
    """Seeds as a one-dimensional uint64 array; a ValueError or TypeError says what was wrong with them."""
    array = np.asarray(seeds)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(
            f"seeds must be a one-dimensional array of integers, one for each row, "
            f"not an array of shape {array.shape} and dtype {array.dtype}"
        )
    if array.dtype.kind == "i" and array.size and int(array.min()) < 0:
        raise ValueError("seeds must not be negative: pass unsigned 64-bit integers")
    return array.astype(np.uint64)


class RowStreams:
    """One random stream for each of `n_rows` rows.

    Args:
        n_rows: how many rows.
        seed: what the streams start from until `seed(...)` is called; row i then uses `seed + i`.

    Not safe for use by several threads at once. Deep copies and pickles carry keys and counters.
    """

    __slots__ = ("_base", "_counts", "_keys", "_salts")

    def __init__(self, n_rows: int = 1, *, seed: int = 0) -> None:
        self._base = int(seed) & _MASK
        self._keys: Words = np.empty(0, np.uint64)
        self._salts: Words = np.empty(0, np.uint64)
        self._counts: Words = np.empty(0, np.uint64)
        self.resize(n_rows)

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(self._counts)

    def resize(self, n_rows: int) -> None:
        """Keep the first `n_rows` rows; new ones start from the constructor's seed."""
        old = self.n_rows
        if n_rows == old:
            return
        if n_rows < 1:
            raise ValueError(f"n_rows must be at least 1, not {n_rows}")
        kept = min(old, n_rows)
        keys, salts, counts = self._keys[:kept], self._salts[:kept], self._counts[:kept]
        self._keys, self._salts, self._counts = (np.zeros(n_rows, np.uint64) for _ in range(3))
        self._keys[:kept], self._salts[:kept], self._counts[:kept] = keys, salts, counts
        if n_rows > kept:
            new = np.arange(kept, n_rows)
            self.seed(new.astype(np.uint64) + np.full(len(new), self._base, np.uint64), new)

    def seed(self, seeds: npt.ArrayLike, rows: Rows = None) -> None:
        """Start streams anew: `seeds` is one unsigned 64-bit integer for each of `rows` (None: every row).

        With `rows=None` the number of rows becomes the number of seeds.
        """
        words = as_seeds(seeds)
        if rows is None:
            if len(words) != self.n_rows:
                self._keys, self._salts, self._counts = (np.zeros(len(words), np.uint64) for _ in range(3))
            rows = slice(None)
        if len(words) == 1:
            self._seed_one(int(words[0]), rows)
            return
        index: Any = rows
        self._keys[index], self._salts[index] = _mix_array(words + _ONE_AND_TWO_GAMMAS)
        self._counts[index] = 0

    def _seed_one(self, seed: int, index: Any) -> None:
        self._keys[index] = _mix((seed + _GAMMA) & _MASK)
        self._salts[index] = _mix((seed + 2 * _GAMMA) & _MASK)
        self._counts[index] = 0

    # -- every row at once -----------------------------------------------------------------------------------

    def words(self, n_per_row: int = 1) -> Words:
        """(n_rows, n_per_row) random 64-bit words; every row's count moves on by `n_per_row`."""
        if n_per_row < _FEW_WORDS and len(self._counts) == 1:
            return np.array([self._row_words(0, n_per_row)], np.uint64)
        steps = self._counts[:, None] + np.arange(n_per_row, dtype=np.uint64)
        self._counts += np.uint64(n_per_row)
        return self._finish(self._keys[:, None] + np.multiply(steps, _GAMMA_W), self._salts[:, None])

    @staticmethod
    def _finish(z: Words, salts: Words) -> Words:
        z ^= z >> _S30
        z *= _C1_W
        z ^= z >> _S27
        z += salts
        z *= _C2_W
        z ^= z >> _S31
        return z

    def uniform(self, n_per_row: int = 1) -> Floats:
        """(n_rows, n_per_row) float64 numbers, uniform in [0, 1), multiples of 2**-53."""
        return _to_unit(self.words(n_per_row))

    def normal(self, n_per_row: int = 1) -> Floats:
        """(n_rows, n_per_row) standard normal float64 numbers; takes two words for each pair begun."""
        return box_muller(self.uniform(n_per_row + n_per_row % 2), n_per_row)

    def integers(self, low: int, high: int, n_per_row: int = 1) -> npt.NDArray[np.int64]:
        """(n_rows, n_per_row) int64 numbers, uniform in [low, high)."""
        span = _span(low, high)
        return np.int64(low) + (self.uniform(n_per_row) * span).astype(np.int64)

    # -- one row alone ---------------------------------------------------------------------------------------

    def _row_words(self, row: int, n: int) -> list[int]:
        key, salt, count = self._keys.item(row), self._salts.item(row), self._counts.item(row)
        self._counts[row] = count + n
        words = []
        for step in range(count, count + n):
            z = (key + step * _GAMMA) & _MASK
            z = ((z ^ (z >> 30)) * _C1) & _MASK
            z = (((z ^ (z >> 27)) + salt) * _C2) & _MASK
            words.append(z ^ (z >> 31))
        return words

    def row_uniform(self, row: int = 0) -> float:
        """The next uniform number of one row: the same as `uniform(1)[row, 0]`; other rows do not move."""
        count = self._counts.item(row)
        self._counts[row] = count + 1
        z = (self._keys.item(row) + count * _GAMMA) & _MASK
        z = ((z ^ (z >> 30)) * _C1) & _MASK
        z = (((z ^ (z >> 27)) + self._salts.item(row)) * _C2) & _MASK
        return float((z ^ (z >> 31)) >> 11) * _TO_UNIT

    def row_uniforms(self, row: int, n: int) -> Floats:
        """(n,) uniform numbers of one row: the same as `uniform(n)[row]`; other rows do not move."""
        if n < _FEW_WORDS:
            return np.array([(word >> 11) * _TO_UNIT for word in self._row_words(row, n)], np.float64)
        steps = self._counts[row : row + 1] + np.arange(n, dtype=np.uint64)
        self._counts[row] = self._counts.item(row) + n
        orbit: Words = self._keys[row : row + 1] + np.multiply(steps, _GAMMA_W)
        words = self._finish(orbit, self._salts[row : row + 1])
        return _to_unit(words)

    def row_normals(self, row: int, n: int) -> Floats:
        """(n,) standard normal numbers of one row: the same as `normal(n)[row]`; other rows do not move."""
        normals: Floats = box_muller(self.row_uniforms(row, n + n % 2)[None], n)[0]
        return normals

    # -- state -----------------------------------------------------------------------------------------------

    def get_state(self, rows: Rows = None) -> dict[str, Words]:
        """Keys (k, 2) and counts (k,) of `rows` (None: all), as fresh uint64 arrays."""
        index: Any = slice(None) if rows is None else rows
        keys = np.stack([np.atleast_1d(self._keys[index]), np.atleast_1d(self._salts[index])], axis=1)
        return {"stream_keys": keys, "stream_counts": np.array(np.atleast_1d(self._counts[index]))}

    def set_state(self, rows: Rows, state: Mapping[str, npt.ArrayLike]) -> None:
        """Put what `get_state` gave into `rows` (None: all): the draws go on where they stood."""
        index: Any = slice(None) if rows is None else rows
        keys = np.asarray(state["stream_keys"], np.uint64)
        self._keys[index], self._salts[index] = keys[:, 0], keys[:, 1]
        self._counts[index] = np.asarray(state["stream_counts"], np.uint64)

    def __getstate__(self) -> tuple[int, Words, Words, Words]:
        return self._base, self._keys, self._salts, self._counts

    def __setstate__(self, state: tuple[int, Words, Words, Words]) -> None:
        self._base, self._keys, self._salts, self._counts = state


def _span(low: int, high: int) -> int:
    """The number of integers in [low, high), refused where there is none or more than doubles count."""
    if high <= low:
        raise ValueError(f"high must be greater than low, not low={low} and high={high}")
    if high - low > 1 << 53:
        raise ValueError(f"high - low must be at most 2**53, not {high - low}")
    return high - low


class RowRandom:
    """One row's random numbers, as a policy function sees them: `uniform`, `normal`, `integers`.

    `size=None` gives a plain number, an integer or a tuple an array.
    """

    __slots__ = ("_row", "_streams")

    def __init__(self, streams: RowStreams, row: int = 0) -> None:
        self._streams = streams
        self._row = row

    def uniform(self, low: float = 0.0, high: float = 1.0, size: int | Sequence[int] | None = None) -> Any:
        """float64, uniform in [low, high)."""
        if size is None:
            return low + (high - low) * self._streams.row_uniform(self._row)
        return low + (high - low) * self._streams.row_uniforms(self._row, _count(size)).reshape(size)

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: int | Sequence[int] | None = None) -> Any:
        """float64, normal with mean `loc` and standard deviation `scale`."""
        draws = self._streams.row_normals(self._row, 1 if size is None else _count(size))
        return loc + scale * (draws.item() if size is None else draws.reshape(size))

    def integers(self, low: int, high: int | None = None, size: int | Sequence[int] | None = None) -> Any:
        """int64, uniform in [low, high), or in [0, low) where `high` is None."""
        low, high = (0, low) if high is None else (low, high)
        span = _span(low, high)
        if size is None:
            return low + int(self._streams.row_uniform(self._row) * span)
        uniforms = self._streams.row_uniforms(self._row, _count(size)).reshape(size)
        return np.int64(low) + (uniforms * span).astype(np.int64)


def _count(size: int | Sequence[int]) -> int:
    return int(np.prod(size, dtype=np.int64))
