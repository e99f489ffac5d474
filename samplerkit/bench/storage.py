"""Arrays to store steps in, whatever the space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

Put = Callable[[int, Any], None]


def storage(space: spaces.Space[Any], n_rows: int) -> tuple[Any, Put]:
    """Allocate a column for values of a space, and touch its memory.

    Args:
        space: a Box, Discrete, MultiBinary or MultiDiscrete, or a Dict or Tuple of these.
        n_rows: how many values it holds.

    Returns:
        The column, an array or a dict or tuple of columns, and ``put(row, value)``, which copies a value in.

    Raises:
        TypeError: for a space of another kind.
    """
    if isinstance(space, spaces.Dict):
        return _dict_storage({key: storage(child, n_rows) for key, child in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        return _tuple_storage([storage(child, n_rows) for child in space.spaces])
    if space.shape is None or space.dtype is None:
        raise TypeError(f"values of a {type(space).__name__} space do not fit into an array")
    array = np.empty((n_rows, *space.shape), space.dtype)
    array.fill(0)
    return array, array.__setitem__


def first_rows(column: Any, n: int) -> Any:
    """Return the first n rows of a column: views of its arrays, in the same structure."""
    if isinstance(column, dict):
        return {key: first_rows(part, n) for key, part in column.items()}
    if isinstance(column, tuple):
        return tuple(first_rows(part, n) for part in column)
    return column[:n]


def _dict_storage(parts: dict[Any, tuple[Any, Put]]) -> tuple[Any, Put]:
    def put(row: int, value: Any) -> None:
        for key, (_, put_part) in parts.items():
            put_part(row, value[key])

    return {key: column for key, (column, _) in parts.items()}, put


def _tuple_storage(parts: list[tuple[Any, Put]]) -> tuple[Any, Put]:
    def put(row: int, value: Any) -> None:
        for (_, put_part), item in zip(parts, value, strict=True):
            put_part(row, item)

    return tuple(column for column, _ in parts), put
