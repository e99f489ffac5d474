"""Spaces and values of them, made up by hypothesis."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

LEAF_DTYPES = [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_]
SPECIAL = [np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324, 6e-8, 1e-45]


@st.composite
def leaf_spaces(draw):
    kind = draw(st.sampled_from(["box", "discrete", "binary", "multi"]))
    if kind == "discrete":
        return spaces.Discrete(draw(st.integers(1, 9)), start=draw(st.integers(-3, 3)))
    if kind == "binary":
        return spaces.MultiBinary(draw(st.integers(1, 3)))
    if kind == "multi":
        return spaces.MultiDiscrete(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    dtype = np.dtype(draw(st.sampled_from(LEAF_DTYPES)))
    shape = draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,)]))
    if dtype.kind == "f":
        return spaces.Box(-np.inf, np.inf, shape, dtype)
    if dtype.kind == "b":
        return spaces.Box(0, 1, shape, dtype)
    return spaces.Box(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype)


def nested_spaces(depth=2):
    if depth == 0:
        return leaf_spaces()
    inner = nested_spaces(depth - 1)
    keys = st.sampled_from(["a", "b", "наблюдение"])
    return (
        leaf_spaces()
        | st.dictionaries(keys, inner, max_size=3).map(spaces.Dict)
        | st.lists(inner, max_size=3).map(spaces.Tuple)
    )


@st.composite
def values_of(draw, space):
    if isinstance(space, spaces.Dict):
        return {key: draw(values_of(child)) for key, child in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(draw(values_of(child)) for child in space.spaces)
    if isinstance(space, spaces.Discrete):
        return int(space.start) + draw(st.integers(0, int(space.n) - 1))
    if isinstance(space, spaces.MultiDiscrete):
        return np.array([draw(st.integers(0, int(n) - 1)) for n in space.nvec], space.dtype)
    elements = None
    if np.dtype(space.dtype).kind == "f":
        width = np.dtype(space.dtype).itemsize * 8
        special = st.sampled_from([float(np.dtype(space.dtype).type(x)) for x in SPECIAL])
        elements = special | st.floats(width=width)
    if isinstance(space, spaces.MultiBinary):
        elements = st.integers(0, 1)
    return draw(hnp.arrays(space.dtype, space.shape, elements=elements))
