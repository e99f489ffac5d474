"""Row-exact products: a row's bits are the same in every batch, at every place, on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from samplerkit.policies import tiles
from samplerkit.policies.tiles import TILE, TiledDense, TiledGates, rows_buffer, tiles_for

sizes, widths = st.integers(1, 40), st.integers(1, 128)


def dense_product(layer, rows, n_out):
    """Rows (n, n_in) through a layer, laid out in tiles."""
    x, out = rows_buffer(tiles_for(len(rows)), rows.shape[1]), rows_buffer(tiles_for(len(rows)), n_out)
    x.reshape(-1, rows.shape[1])[: len(rows)] = rows
    return layer.apply(x, out).reshape(-1, n_out)[: len(rows)]


def random_layer(seed, n_in, n_out):
    random = np.random.default_rng(seed)
    return TiledDense(
        random.normal(size=(n_in, n_out)).astype(np.float32), random.normal(size=n_out).astype(np.float32)
    )


@settings(max_examples=150)
@given(sizes, widths, widths, st.data())
def test_a_rows_product_is_the_same_alone_and_anywhere_in_a_batch(n, n_in, n_out, data):
    place = data.draw(st.integers(0, n - 1))
    layer = random_layer(n_in, n_in, n_out)
    rows = np.random.default_rng(n).normal(size=(n, n_in)).astype(np.float32)
    together = dense_product(layer, rows, n_out)[place]
    np.testing.assert_array_equal(together, dense_product(layer, rows[place : place + 1], n_out)[0])


@settings(max_examples=60)
@given(sizes, widths, widths, st.data())
def test_gates_are_row_exact_too(n, n_in, n_out, data):
    place = data.draw(st.integers(0, n - 1))
    random = np.random.default_rng(n_in)
    gates = TiledGates(random.normal(size=(3, n_in, n_out)).astype(np.float32))
    rows = random.normal(size=(n, n_in)).astype(np.float32)

    def product(rows):
        x = rows_buffer(tiles_for(len(rows)), n_in)
        x.reshape(-1, n_in)[: len(rows)] = rows
        out = np.zeros((3, *x.shape[:-1], n_out), np.float32)
        return gates.apply(x, out).reshape(3, -1, n_out)

    np.testing.assert_array_equal(product(rows)[:, place], product(rows[place : place + 1])[:, 0])


@settings(max_examples=60)
@given(st.integers(1, 40), widths, st.sampled_from([np.tanh, np.exp, np.log]))
def test_elementwise_functions_are_row_exact_over_tiles(n, width, function):
    values = np.random.default_rng(n).exponential(size=(n, width)).astype(np.float32)
    padded = np.ones((tiles_for(n) * TILE, width), np.float32)
    padded[:n] = values
    together = function(padded)[:n]
    for row in range(n):
        alone = np.ones((TILE, width), np.float32)
        alone[0] = values[row]
        np.testing.assert_array_equal(function(alone)[0], together[row])


@pytest.mark.parametrize(
    ("n_in", "n_out"), [(4, 32), (64, 192), (128, 128), (256, 768), (2000, 30), (20_000, 3)]
)
def test_a_product_does_not_depend_on_the_number_of_blas_threads(n_in, n_out):
    layer = random_layer(0, n_in, n_out)
    rows = np.random.default_rng(1).normal(size=(17, n_in)).astype(np.float32)
    with threadpool_limits(1, user_api="blas"):
        one_thread = dense_product(layer, rows, n_out).copy()
    with threadpool_limits(2, user_api="blas"):
        np.testing.assert_array_equal(dense_product(layer, rows, n_out), one_thread)


@pytest.mark.parametrize(("n_in", "n_out"), [(256, 300), (20_000, 3)])
def test_products_cut_into_pieces_are_row_exact(n_in, n_out):
    layer = random_layer(0, n_in, n_out)
    rows = np.random.default_rng(1).normal(size=(19, n_in)).astype(np.float32)
    together = dense_product(layer, rows, n_out)
    for place in (0, 7, 8, 18):
        alone = dense_product(layer, rows[place : place + 1], n_out)[0]
        np.testing.assert_array_equal(alone, together[place], err_msg=f"row {place}")


def test_gates_cut_into_pieces_are_right():
    random = np.random.default_rng(0)
    kernels, rows = random.normal(size=(3, 200, 150)), random.normal(size=(8, 200))
    out = TiledGates(kernels.astype(np.float32)).apply(
        rows.astype(np.float32), np.zeros((3, 8, 150), np.float32)
    )
    np.testing.assert_allclose(out, rows @ kernels, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("n_in", "n_out"), [(7, 5), (300, 290), (20_000, 3)])
def test_products_are_right(n_in, n_out):
    random = np.random.default_rng(0)
    kernel, bias = random.normal(size=(n_in, n_out)).astype(np.float32), np.ones(n_out, np.float32)
    rows = random.normal(size=(11, n_in)).astype(np.float32)
    expected = rows.astype(np.float64) @ kernel + bias
    result = dense_product(TiledDense(kernel, bias), rows, n_out)
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.sqrt(n_in))


@pytest.mark.parametrize("n", [1, 8, 20])
def test_without_a_row_exact_blas_plain_sums_take_over(monkeypatch, n):
    monkeypatch.setattr(tiles, "blas_is_row_exact", lambda n_in, n_out: False)
    random = np.random.default_rng(0)
    kernel, bias = random.normal(size=(7, 5)).astype(np.float32), random.normal(size=5).astype(np.float32)
    layer, rows = TiledDense(kernel, bias), random.normal(size=(n, 7)).astype(np.float32)
    monkeypatch.setattr(np, "matmul", None)
    result = dense_product(layer, rows, 5)
    monkeypatch.undo()
    np.testing.assert_allclose(result, rows @ kernel + bias, atol=1e-5)
    monkeypatch.setattr(tiles, "blas_is_row_exact", lambda n_in, n_out: False)
    np.testing.assert_array_equal(dense_product(TiledDense(kernel, bias), rows[-1:], 5)[0], result[-1])


def test_weights_are_copied():
    kernel, bias = np.ones((2, 2), np.float32), np.ones(2, np.float32)
    layer = TiledDense(kernel, bias)
    kernel[:], bias[:] = 5, 5
    assert dense_product(layer, np.ones((1, 2), np.float32), 2).tolist() == [[3, 3]]
