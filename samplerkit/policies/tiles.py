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

# The largest kernel for one BLAS call. OpenBLAS spreads a product over its threads, and then sums in another
# order, from n_rows * n_in * n_out = 2**18 on; half of that stays on one thread, however many there are.
MAX_PRODUCT = 2**17 // TILE


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
    # Tile i holds the row at place i, among others; a stack of eight tiles stands for "many tiles".
    tiles = random.standard_normal((TILE, TILE, n_in)).astype(np.float32)
    tiles[np.arange(TILE), np.arange(TILE)] = row
    stacked = np.matmul(tiles, kernel)[np.arange(TILE), np.arange(TILE)]
    alone = np.stack([tiles[i].dot(kernel)[i] for i in range(TILE)])
    return bool((stacked == stacked[0]).all() and (alone == stacked[0]).all())


class TiledProduct:
    """x @ kernel over tiles; the kernel (n_in, n_out) is copied.

    A product too large for one BLAS thread is cut into pieces, always the same ones: by columns, and along
    the sum where `n_in` alone is too large.
    """

    __slots__ = ("_pieces", "kernel", "small")

    def __init__(self, kernel: Array) -> None:
        self.kernel: Array = np.array(kernel, np.float32, order="C")
        #: One call of the BLAS does it.
        self.small = self.kernel.size <= MAX_PRODUCT and blas_is_row_exact(*self.kernel.shape)
        self._pieces = [] if self.small else _cut(self.kernel)

    def into(self, x: Array, out: Array) -> None:
        """(8, n_in) -> (8, n_out), or (n_tiles, 8, n_in) -> (n_tiles, 8, n_out), into C-contiguous `out`."""
        if not self.small:
            self._by_pieces(x, out)
        elif x.ndim == 2:
            x.dot(self.kernel, out)
        else:
            np.matmul(x, self.kernel, out)

    def _by_pieces(self, x: Array, out: Array) -> None:
        for rows, columns, piece in self._pieces:
            product = _piece_product(np.ascontiguousarray(x[..., rows]), piece)
            if rows.start == 0:
                out[..., columns] = product
            else:
                out[..., columns] += product


def _cut(kernel: Array) -> list[tuple[slice, slice, Array]]:
    """Cut an (n_in, n_out) kernel: its rows, columns and numbers, piece by piece, the first rows first."""
    n_in, n_out = kernel.shape
    deep = min(n_in, MAX_PRODUCT)
    wide = max(1, MAX_PRODUCT // deep)
    places = [
        (slice(row, min(row + deep, n_in)), slice(column, min(column + wide, n_out)))
        for row in range(0, n_in, deep)
        for column in range(0, n_out, wide)
    ]
    return [(rows, columns, np.ascontiguousarray(kernel[rows, columns])) for rows, columns in places]


def _piece_product(x: Array, kernel: Array) -> Array:
    """(..., 8, k) @ (k, m), by the BLAS where that is row-exact for this shape, else by plain sums."""
    if blas_is_row_exact(*kernel.shape):
        product: Array = np.matmul(x, kernel)
        return product
    out = np.empty((*x.shape[:-1], kernel.shape[1]), np.float32)
    tiles, results = x.reshape(-1, *x.shape[-2:]), out.reshape(-1, *out.shape[-2:])
    for tile, result in zip(tiles, results, strict=True):
        np.add.reduce(tile[:, :, None] * kernel, axis=1, out=result)
    return out


class TiledDense:
    """x @ kernel + bias over tiles; kernel (n_in, n_out) and bias (n_out,) are copied."""

    __slots__ = ("_bias", "_kernel", "_product")

    def __init__(self, kernel: Array, bias: Array) -> None:
        self._product = TiledProduct(kernel)
        self._kernel = self._product.kernel if self._product.small else None
        # A whole tile of biases: adding arrays of equal shape costs a third of a broadcast.
        self._bias: Array = np.empty((TILE, len(bias)), np.float32)
        self._bias[:] = bias

    def apply(self, x: Array, out: Array) -> Array:
        """(8, n_in) -> (8, n_out), or (n_tiles, 8, n_in) -> (n_tiles, 8, n_out), into C-contiguous `out`."""
        if self._kernel is not None and x.ndim == 2:  # the common case, one call less
            x.dot(self._kernel, out)
        else:
            self._product.into(x, out)
        return np.add(out, self._bias, out)


class TiledGates:
    """Several products of the same rows: kernels (n_gates, n_in, n_out) -> (n_gates, ..., 8, n_out)."""

    __slots__ = ("_kernels", "_products", "_small", "_stacked")

    def __init__(self, kernels: Array) -> None:
        self._products = [TiledProduct(kernel) for kernel in kernels]
        self._small = all(product.small for product in self._products)
        self._kernels: Array = np.stack([product.kernel for product in self._products])
        self._stacked = self._kernels[:, None]

    def apply(self, x: Array, out: Array) -> Array:
        """(8, n_in) -> (n_gates, 8, n_out), or (t, 8, n_in) -> (n_gates, t, 8, n_out), into `out`."""
        if self._small:
            return np.matmul(x, self._kernels if x.ndim == 2 else self._stacked, out)
        for product, result in zip(self._products, out, strict=True):
            product.into(x, result)
        return out
