"""How info dicts become columns.

One dict per row (per step, or per episode) becomes a dict of columns, nested dicts nested. A column has the
dtype and the shape of its values; Python's bool, int and float become bool, int64 and float64. A key that
only some rows have is zero-filled (None among objects), and a boolean column ``_key`` beside it says which
rows had it, as in gymnasium's vector environments. Inside a nested dict that is itself missing from some
rows, the mask of the nested dict is enough.

Putting columns together again gives the same columns as building them from all rows at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from samplerkit.episodes.columns import Array, Column, Columns, rows_of, spread_rows
from samplerkit.episodes.dtypes import common_dtype, unify_numbers
from samplerkit.episodes.info_errors import mixed_dtypes, mixed_shapes, mixed_with_dict, refuse_clash
from samplerkit.episodes.info_table import InfoTable


def stack_infos(rows: Iterable[Mapping[str, Any]], name: str = "infos") -> Columns:
    """Return the columns of these info dicts, one row each; `name` is what errors call them.

    Raises:
        ValueError, TypeError: where values of one key do not fit into one column; the sentence names the key.
    """
    table = InfoTable(name)
    count = 0
    for count, info in enumerate(rows, start=1):
        if info:
            table.add(count - 1, info)
    return table.finish(count)


def concatenate_infos(parts: Sequence[Columns], rows: Sequence[int], name: str = "infos") -> Columns:
    """Return the columns of all parts, one after the other, in fresh arrays.

    Args:
        parts: dicts of columns, whose keys may differ.
        rows: the number of rows of each part.
        name: what errors call the infos.

    Raises:
        ValueError: where values of one key do not fit into one column; the sentence names the key.
    """
    if not any(parts):
        return {}
    if _alike(parts):
        return {key: _join([part[key] for part in parts], rows, f"{name}[{key!r}]") for key in parts[0]}
    own = [[key for key in part if not is_mask(key, part)] for part in parts]
    order = dict.fromkeys(key for keys in own for key in keys)
    columns: Columns = {}
    for key in order:
        refuse_clash(key, order.keys(), name)
        dense, counts, masks = [], [], []
        for part, keys, count in zip(parts, own, rows, strict=True):
            mask = _presence(key, part, count) if key in keys else np.zeros(count, np.bool_)
            masks.append(mask)
            if mask.any():  # the type of a column of which no row counts is somebody else's
                dense.append(part[key] if mask.all() else rows_of(part[key], mask))
                counts.append(int(mask.sum()))
        present = np.concatenate(masks)
        if not present.any():
            continue
        joined = _join(dense, counts, f"{name}[{key!r}]")
        if present.all():
            columns[key] = joined
        else:
            columns[key], columns["_" + key] = spread_rows(joined, present), present
    return columns


def in_order(columns: Columns) -> Columns:
    """Return the same columns with their keys in alphabetical order, each followed by its mask."""
    if len(columns) < 2 and not any(isinstance(column, dict) for column in columns.values()):
        return columns
    ordered: Columns = {}
    for key in sorted(key for key in columns if not is_mask(key, columns)):
        column = columns[key]
        ordered[key] = in_order(column) if isinstance(column, dict) else column
        if "_" + key in columns:
            ordered.setdefault("_" + key, columns["_" + key])
    return ordered


def is_mask(key: str, columns: Columns) -> bool:
    """Return whether a key of these columns is the mask of another one, not a key of the infos themselves."""
    if key[:1] != "_" or key[1:] not in columns or is_mask(key[1:], columns):
        return False
    column = columns[key]
    return isinstance(column, np.ndarray) and column.dtype == np.bool_ and column.ndim == 1


def _alike(parts: Sequence[Columns]) -> bool:
    """Return whether all parts have the same keys and no row lacks one: the common case."""
    keys = parts[0].keys()
    return not any(key[:1] == "_" for key in keys) and all(part.keys() == keys for part in parts)


def _presence(key: str, part: Columns, rows: int) -> Array:
    mask_key = "_" + key
    if mask_key in part and is_mask(mask_key, part):
        return cast("Array", part[mask_key])
    return np.ones(rows, np.bool_)


def _join(parts: Sequence[Column], rows: Sequence[int], path: str) -> Column:
    if all(isinstance(part, dict) for part in parts):
        return concatenate_infos(cast("Sequence[Columns]", parts), rows, path)
    if any(isinstance(part, dict) for part in parts):
        raise mixed_with_dict(path)
    arrays = cast("Sequence[Array]", parts)
    objects = any(array.dtype.hasobject for array in arrays)  # they take in everything, whatever comes first
    dtype, shape = np.dtype(object) if objects else arrays[0].dtype, arrays[0].shape[1:]
    for array in arrays[1:]:
        if array.shape[1:] != shape:
            raise mixed_shapes(path, shape, array.shape[1:])
        if array.dtype is not dtype and not objects:
            joint = common_dtype(dtype, array.dtype)
            if joint is None:
                raise mixed_dtypes(path, dtype, array.dtype)
            dtype = joint
    joined = np.concatenate(arrays, dtype=dtype, casting="unsafe")
    return unify_numbers(joined) if dtype.kind == "O" else joined
