"""Between rows and columns: single values stacked to columns, infos of unlike rows merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def rows_in(column: Any) -> int:
    """The number of rows of a column (an array, a list of rows, or a dict or tuple of columns)."""
    while isinstance(column, dict | tuple):
        column = next(iter(column.values())) if isinstance(column, dict) else column[0]
    return len(column)


def stack_rows(values: Sequence[Any]) -> Any:
    """Values of n rows, arrays or numbers or dicts or tuples of such, as one column."""
    first = values[0]
    if isinstance(first, dict):
        return {key: stack_rows([value[key] for value in values]) for key in first}
    if isinstance(first, tuple):
        return tuple(stack_rows([value[i] for value in values]) for i in range(len(first)))
    return np.stack([np.asarray(value) for value in values])


def stack_infos(infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Info dicts of n rows as one dict of columns.

    A key that some rows lack is filled with zeros there and gets a boolean column "_key" that says who had
    it, as gymnasium's vector environments do.
    """
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos for key in info):
        present = [key in info for info in infos]
        example = next(info[key] for info in infos if key in info)
        values = [
            info[key] if has else _zeros_like(example) for info, has in zip(infos, present, strict=True)
        ]
        merged[key] = stack_infos(values) if isinstance(example, dict) else stack_rows(values)
        if not all(present):
            merged[f"_{key}"] = np.array(present)
    return merged


def _zeros_like(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _zeros_like(part) for key, part in value.items()}
    return np.zeros_like(np.asarray(value))
