"""Between rows and columns: single values stacked to columns, infos of unlike rows merged.

What stands in a row is what the row alone would have given: nothing is cast to a dtype that it shares with
others, which a row has beside it by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from samplerkit.episodes.columns import arrays_of, spread_rows
from samplerkit.episodes.info_errors import refuse_clash


def rows_in(column: Any, otherwise: int) -> int:
    """The number of rows of a column (an array, a list of rows, or a dict or tuple of columns).

    That of an empty dict or tuple, where there is nothing to count, is `otherwise`.
    """
    return next((len(rows) for _, rows in arrays_of(column)), otherwise)


def stack_rows(values: Sequence[Any]) -> Any:
    """Values of n rows, arrays or numbers or dicts or tuples of such, as one column."""
    first = values[0]
    if isinstance(first, dict):
        if all(isinstance(value, dict) and value.keys() == first.keys() for value in values):
            return {key: stack_rows([value[key] for value in values]) for key in first}
    elif isinstance(first, tuple) and all(
        isinstance(value, tuple) and len(value) == len(first) for value in values
    ):
        return tuple(stack_rows(part) for part in zip(*values, strict=True))
    return _as_array(values)


def stack_infos(infos: Sequence[Mapping[str, Any]], name: str = "agent_infos") -> dict[str, Any]:
    """Info dicts of n rows as one dict of columns; `name` is what errors call them.

    A key that some rows lack is filled with zeros there (None among objects) and gets a boolean column "_key"
    that says who had it, as gymnasium's vector environments do.

    Raises:
        ValueError: where the infos themselves have such a key beside the other.
    """
    keys = dict.fromkeys(key for info in infos for key in info)
    merged: dict[str, Any] = {}
    for key in keys:
        refuse_clash(key, keys, name)
        values = [info[key] for info in infos if key in info]
        if isinstance(values[0], Mapping) and all(isinstance(value, Mapping) for value in values):
            column: Any = stack_infos(values, f"{name}[{key!r}]")
        else:
            column = _as_array(values)
        merged[key] = column
        if len(values) < len(infos):
            present = np.array([key in info for info in infos])
            merged[key], merged[f"_{key}"] = spread_rows(column, present), present
    return merged


def _as_array(values: Sequence[Any]) -> npt.NDArray[Any]:
    """Values of n rows as one array of their dtype and shape; where these differ, of objects as they are."""
    try:
        kinds = {(array.dtype, array.shape) for array in map(np.asarray, values)}
    except ValueError:  # a ragged list: whoever records it says whose it is
        kinds = set()
    dtype, shape = kinds.pop() if len(kinds) == 1 else (np.dtype(object), ())
    column = np.empty((len(values), *shape), dtype)
    for row, value in enumerate(values):
        column[row] = value
    return column
