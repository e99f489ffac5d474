"""Row-exact products: a row's bits depend neither on how many rows there are nor on where it stands.

A plain float32 product `x @ W` may give a row other bits in another batch size or position, because the BLAS
picks another kernel for another shape. Here every product is of one shape: eight rows (a *tile*), rows padded
to a multiple of eight. That a tile's rows are all treated alike on this processor is checked once for each
shape; where they are not, a sum of products that never meets the BLAS takes over.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

TILE = 8


def tiles_for(n_rows: int) -> int:
    """How many tiles hold `n_rows` rows."""
    return -(-n_rows // TILE)


def rows_buffer(n_tiles: int, width: int) -> Array:
    """Zeros for `n_tiles` tiles: (8, width) where one is enough, else (n_tiles, 8, width)."""
    shape = (TILE, width) if n_tiles == 1 else (n_tiles, TILE, width)
    return np.zeros(shape, np.float32)


@cache
def blas_is_row_exact(n_in: int, n_out: int) -> bool:
    """Whether (8, n_in) @ (n_in, n_out) gives a row the same bits at every place, alone or in a stack."""
    random = np.random.default_rng(n_in * 65537 + n_out)
    kernel = random.standard_normal((n_in, n_out)).astype(np.float32)
    row = random.standard_normal(n_in).astype(np.float32)
    # Tile i holds the row at place i, among others; the last tile stands for "many tiles".
    tiles = random.standard_normal((TILE, TILE, n_in)).astype(np.float32)
    tiles[np.arange(TILE), np.arange(TILE)] = row
    stacked = np.matmul(tiles, kernel)[np.arange(TILE), np.arange(TILE)]
    alone = np.stack([tiles[i].dot(kernel)[i] for i in range(TILE)])
    return bool((stacked == stacked[0]).all() and (alone == stacked[0]).all())


def row_exact_sum(x: Array, kernel: Array, out: Array) -> None:
    """The same product without the BLAS: (..., 8, n_in) and (n_in, n_out) into (..., 8, n_out)."""
    for tile, result in zip(x.reshape(-1, *x.shape[-2:]), out.reshape(-1, *out.shape[-2:]), strict=True):
        np.add.reduce(tile[:, :, None] * kernel, axis=1, out=result)


class TiledDense:
    """x @ kernel + bias over tiles; kernel (n_in, n_out) and bias (n_out,) are copied."""

    __slots__ = ("_bias", "_blas", "_kernel")

    def __init__(self, kernel: Array, bias: Array) -> None:
        self._kernel: Array = np.array(kernel, np.float32, order="C")
        # A whole tile of biases: adding arrays of equal shape costs a third of a broadcast.
        self._bias: Array = np.tile(np.asarray(bias, np.float32), (TILE, 1))
        self._blas = blas_is_row_exact(*self._kernel.shape)

    def apply(self, x: Array, out: Array) -> Array:
        """(8, n_in) -> (8, n_out), or (n_tiles, 8, n_in) -> (n_tiles, 8, n_out), into C-contiguous `out`."""
        if not self._blas:
            row_exact_sum(x, self._kernel, out)
        elif x.ndim == 2:
            x.dot(self._kernel, out)
        else:
            np.matmul(x, self._kernel, out)
        return np.add(out, self._bias, out)


class TiledGates:
    """Several products of the same rows: kernels (n_gates, n_in, n_out) -> (n_gates, ..., 8, n_out)."""

    __slots__ = ("_blas", "_kernels", "_stacked")

    def __init__(self, kernels: Array) -> None:
        self._kernels: Array = np.array(kernels, np.float32, order="C")
        self._stacked = self._kernels[:, None]
        self._blas = blas_is_row_exact(*self._kernels.shape[1:])

    def apply(self, x: Array, out: Array) -> Array:
        """(8, n_in) -> (n_gates, 8, n_out), or (t, 8, n_in) -> (n_gates, t, 8, n_out), into `out`."""
        if self._blas:
            return np.matmul(x, self._kernels if x.ndim == 2 else self._stacked, out)
        for kernel, result in zip(self._kernels, out, strict=True):
            row_exact_sum(x, kernel, result)
        return out
