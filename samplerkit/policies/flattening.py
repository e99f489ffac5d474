"""Observations as rows of float32 numbers, in the order of `gymnasium.spaces.flatten`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Array = npt.NDArray[np.float32]
Space = spaces.Space[Any]


def flat_size(space: Space) -> int:
    """How many numbers an observation of `space` flattens to; a TypeError names a space that cannot be."""
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return int(np.prod(space.shape, dtype=np.int64))
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    return sum(flat_size(part) for _, part in _parts(space))


def flatten_observations(space: Space, column: Any) -> Array:
    """A column of observations, (n, *shape) or a dict/tuple of such columns, as a fresh (n, flat_size)
    float32.

    Numbers are cast, Discrete and MultiDiscrete become one-hot rows, Dict and Tuple are laid side by side in
    the space's own order. A list is taken as one observation each.

    Raises:
        ValueError: where the column does not have the space's shape, or a number lies outside a discrete
        space.
    """
    column = as_column(space, column)
    out = np.zeros((column_length(space, column), flat_size(space)), np.float32)
    write_flat(space, column, out)
    return out


def as_column(space: Space, observations: Any) -> Any:
    """Observations as a column: a list of single observations is stacked, a column is returned as it is."""
    if not isinstance(observations, list):
        return observations
    if isinstance(space, spaces.Dict):
        return {key: as_column(part, [o[key] for o in observations]) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(as_column(part, [o[i] for o in observations]) for i, part in enumerate(space.spaces))
    return np.asarray(observations)


def column_length(space: Space, column: Any) -> int:
    """The number of rows of a column."""
    while isinstance(space, spaces.Dict | spaces.Tuple):
        key, space = _parts(space)[0]
        column = column[key]
    return len(column)


def write_flat(space: Space, column: Any, out: Array) -> None:
    """Write a column into the zeroed (n, flat_size) array `out`."""
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        array = np.asarray(column)
        _check_shape(space, array)
        out[...] = array.reshape(len(array), -1)
    elif isinstance(space, spaces.Discrete):
        _write_one_hot(np.asarray(column).reshape(-1, 1) - space.start, np.array([space.n]), space, out)
    elif isinstance(space, spaces.MultiDiscrete):
        array = np.asarray(column)
        _check_shape(space, array)
        index = (array - space.start).reshape(len(array), -1)
        _write_one_hot(index, space.nvec.reshape(-1), space, out)
    else:
        position = 0
        for key, part in _parts(space):
            width = flat_size(part)
            write_flat(part, column[key], out[:, position : position + width])
            position += width


def _parts(space: Space) -> list[tuple[Any, Space]]:
    if isinstance(space, spaces.Dict) and len(space.spaces):
        return list(space.spaces.items())
    if isinstance(space, spaces.Tuple) and len(space.spaces):
        return list(enumerate(space.spaces))
    raise TypeError(
        f"policies take Box, Discrete, MultiBinary, MultiDiscrete, Dict and Tuple observations, not {space}; "
        f"flatten this space in a wrapper"
    )


def _check_shape(space: Space, array: npt.NDArray[Any]) -> None:
    if array.shape[1:] != space.shape:
        raise ValueError(
            f"observations of shape {array.shape} do not fit the space {space}: "
            f"expected (n_rows, *{space.shape})"
        )


def _write_one_hot(index: npt.NDArray[Any], sizes: npt.NDArray[Any], space: Space, out: Array) -> None:
    if ((index < 0) | (index >= sizes)).any():
        raise ValueError(f"an observation lies outside {space}")
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)
    out[np.arange(len(index))[:, None], index.astype(np.intp) + offsets] = 1.0


def single_row_writer(space: Space) -> Callable[[Any, Array], None]:
    """A function that writes one observation into a row (flat_size,) of a tile, fast for flat Boxes."""
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return _BoxWriter(space)
    return _AnyWriter(space)


class _BoxWriter:
    """One observation of a flat Box: a checked, casting assignment."""

    def __init__(self, space: spaces.Box) -> None:
        self._shape = space.shape

    def __call__(self, observation: Any, row: Array) -> None:
        if getattr(observation, "shape", None) != self._shape:
            observation = np.asarray(observation)
            if observation.shape != self._shape:
                raise ValueError(
                    f"an observation of shape {observation.shape} does not fit a Box of shape {self._shape}"
                )
        row[...] = observation


class _AnyWriter:
    """One observation of any space: a column of length one."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def __call__(self, observation: Any, row: Array) -> None:
        row[...] = 0.0
        write_flat(self._space, as_column(self._space, [observation]), row[None])
