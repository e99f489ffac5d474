"""Comparing and hashing columns bit for bit: keys, dtypes, shapes, NaN payloads, the sign of zero."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from samplerkit.episodes.columns import Array, Column
from samplerkit.episodes.objects import encode, plain_bytes


class Hash(Protocol):
    """What `hashlib` objects offer."""

    def update(self, data: bytes, /) -> None:
        """Take in some bytes."""


@dataclass(frozen=True)
class Difference:
    """Where two columns differ.

    Args:
        path: the array, such as ``observations['camera'][0]``.
        row: the first row that differs; None where the structure, dtype or shape does.
        reason: what is here and what is there.
    """

    path: str
    row: int | None
    reason: str


def column_differences(one: Column, other: Column, path: str) -> Iterator[Difference]:
    """Yield how the arrays of two columns differ, at most one difference for each array."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            yield Difference(path, None, f"has the keys {_sorted(one)} here and {_sorted(other)} there")
            return
        for key in one:
            yield from column_differences(one[key], other[key], f"{path}[{key!r}]")
    elif isinstance(one, tuple) and isinstance(other, tuple):
        if len(one) != len(other):
            yield Difference(path, None, f"has {len(one)} entries here and {len(other)} there")
            return
        for index in range(len(one)):
            yield from column_differences(one[index], other[index], f"{path}[{index}]")
    elif isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        difference = array_difference(one, other, path)
        if difference is not None:
            yield difference
    elif type(one) is not type(other) or encode(one) != encode(other):  # of a batch that was made unchecked
        yield Difference(path, None, f"is of type {type(one).__name__} here and {type(other).__name__} there")


def array_difference(one: Array, other: Array, path: str) -> Difference | None:
    """Return how two arrays differ, or None where every bit is the same."""
    if one.dtype != other.dtype:
        return Difference(path, None, f"has dtype {one.dtype} here and {other.dtype} there")
    if one.shape != other.shape:
        return Difference(path, None, f"has shape {one.shape} here and {other.shape} there")
    if array_bytes(one) == array_bytes(other):
        return None
    row = next(row for row in range(len(one)) if array_bytes(one[row]) != array_bytes(other[row]))
    return Difference(path, row, _both(one[row], other[row]))


def update_hash(digest: Hash, path: str, column: Column) -> None:
    """Feed a column into a hash: keys in sorted order, each array with its path, dtype and shape."""
    if isinstance(column, dict):
        digest.update(f"{path}: dict of {len(column)}\n".encode())
        for key in _sorted(column):
            update_hash(digest, f"{path}[{key!r}]", column[key])
    elif isinstance(column, tuple):
        digest.update(f"{path}: tuple of {len(column)}\n".encode())
        for index, child in enumerate(column):
            update_hash(digest, f"{path}[{index}]", child)
    else:
        data = array_bytes(column)
        digest.update(f"{path}: {column.dtype.str} {column.shape} {len(data)}\n".encode())
        digest.update(data)


def _sorted(keys: Iterable[Any]) -> list[Any]:
    """Return keys in order; those of a Dict space may be of several types."""
    return sorted(keys, key=lambda key: (type(key).__name__, key))


def array_bytes(array: Array) -> bytes:
    """Return the bits of an array in C order; objects are encoded by their types and values."""
    array = np.asarray(array)
    if array.dtype.hasobject or array.dtype.kind == "T":
        return b"".join(encode(item) for item in array.reshape(-1).tolist())
    return plain_bytes(array)


def _both(one: Any, other: Any) -> str:
    here, there = _shown(one), _shown(other)
    if here == there:  # NaNs with different payloads print alike
        here, there = (
            f"{text} (bits {array_bytes(value).hex()})" for text, value in ((here, one), (there, other))
        )
    return f"is {here} here and {there} there"


def _shown(value: Any) -> str:
    text = np.array2string(np.asarray(value), threshold=12, edgeitems=3, floatmode="unique")
    return " ".join(text.split())
