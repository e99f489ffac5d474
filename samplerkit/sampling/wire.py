"""Batches as bytes: a description that is made once, and the columns' own memory behind it.

Pickling a dozen arrays and two spaces takes longer than an episode of CartPole. What a batch looks like
(its spaces, the names, dtypes and shapes of its columns) changes rarely, so it is encoded, and decoded, once
for all batches that look alike; what remains is one copy of the rows.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cloudpickle
import numpy as np

from samplerkit.episodes import EnvSpec, EpisodeBatch
from samplerkit.episodes.finals import Finals

_FIELDS = (
    "observations",
    "last_observations",
    "actions",
    "rewards",
    "env_infos",
    "agent_infos",
    "step_types",
    "lengths",
    "episode_infos_by_episode",
)
_AMONG, _APART = "\0among", "\0apart"
"""Names that no space has, for `Finals`."""

_PLAIN = frozenset("?bBhHiIlLqQefd")
"""Types that Python knows, too."""

_SIZE = struct.Struct("q")
_ALIGNMENT = 8


class NotPlain(Exception):
    """A column holds what is more than its bytes: Python objects, or records, whose fields have names."""


def dump_batch(batch: EpisodeBatch) -> list[Any]:
    """Return a batch, without its provenance, as bytes-like parts to be sent one after the other.

    Raises:
        NotPlain: where a column holds objects or records.
    """
    arrays: list[np.ndarray[Any, Any]] = []
    layout = tuple(_layout(_field(batch, field), arrays) for field in _FIELDS)
    rows = np.array([len(array) for array in arrays], np.int64)
    look, spec = _layout_bytes(layout), _spec_bytes(batch.env_spec)
    parts: list[Any] = [_SIZE.pack(len(look)), look, _SIZE.pack(len(spec)), spec, rows.data.cast("B")]
    for array in arrays:
        data = _bytes_of(array)
        parts.append(data)
        if len(data) % _ALIGNMENT:
            parts.append(bytes(-len(data) % _ALIGNMENT))
    return parts


def _bytes_of(array: np.ndarray[Any, Any]) -> memoryview:
    if array.size and array.dtype.char in _PLAIN:
        with contextlib.suppress(TypeError):  # rows that do not lie side by side
            return array.data.cast("B")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def load_batch(data: bytes | memoryview, offset: int) -> EpisodeBatch:
    """Return the batch whose parts begin at an offset; its columns are read-only views of the bytes."""
    look, offset = _sized(data, offset)
    spec, offset = _sized(data, offset)
    layout, n_arrays = _layout_of(look)
    rows = np.frombuffer(data, np.int64, n_arrays, offset).tolist()
    arrays = _arrays(layout, data, offset + 8 * n_arrays, iter(rows))
    columns = {field: _column(part, arrays) for field, part in zip(_FIELDS, layout, strict=True)}
    columns["episode_infos"] = columns.pop("episode_infos_by_episode")
    batch = EpisodeBatch.unchecked(env_spec=_spec_of(spec), **columns)
    last = columns["last_observations"]
    if isinstance(last, dict) and _AMONG in last:
        return batch.with_finals(Finals(last[_AMONG], last[_APART]))
    return batch


def _field(batch: EpisodeBatch, field: str) -> Any:
    """Return a column; of final observations, where most stand among the others, only what does not."""
    finals: Finals | None = batch.__dict__.get("finals") if field == "last_observations" else None
    return getattr(batch, field) if finals is None else {_AMONG: finals.rows, _APART: finals.apart}


# -- what a batch looks like: nested tuples, which can be hashed -----------------------------------


def _layout(column: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """Describe a column, and append its arrays."""
    if isinstance(column, dict):
        return ("dict", *((key, _layout(child, arrays)) for key, child in column.items()))
    if isinstance(column, tuple):
        return ("tuple", *(_layout(child, arrays) for child in column))
    dtype = column.dtype
    if dtype.hasobject or dtype.kind in "TV":
        raise NotPlain
    arrays.append(column)
    return (dtype.str, column.shape[1:])


def _arrays(
    layout: Any, data: bytes | memoryview, offset: int, rows: Iterator[int]
) -> Iterator[np.ndarray[Any, Any]]:
    for dtype, shape, row_items, row_bytes in _leaves(layout):
        n = next(rows)
        yield np.frombuffer(data, dtype, n * row_items, offset).reshape(n, *shape)
        offset += -(-n * row_bytes // _ALIGNMENT) * _ALIGNMENT


def _column(layout: Any, arrays: Iterator[np.ndarray[Any, Any]]) -> Any:
    """Put a column together again, from as many arrays as it takes."""
    if layout[0] == "dict":
        return {key: _column(child, arrays) for key, child in layout[1:]}
    if layout[0] == "tuple":
        return tuple(_column(child, arrays) for child in layout[1:])
    return next(arrays)


@functools.lru_cache(maxsize=64)
def _leaves(layout: Any) -> list[tuple[np.dtype[Any], tuple[int, ...], int, int]]:
    found: list[tuple[np.dtype[Any], tuple[int, ...], int, int]] = []
    for part in layout:
        _collect(part, found)
    return found


def _collect(layout: Any, found: list[tuple[np.dtype[Any], tuple[int, ...], int, int]]) -> None:
    if layout[0] == "dict":
        for _, child in layout[1:]:
            _collect(child, found)
    elif layout[0] == "tuple":
        for child in layout[1:]:
            _collect(child, found)
    else:
        dtype = np.dtype(layout[0])
        items = int(np.prod(layout[1], dtype=np.int64))
        found.append((dtype, layout[1], items, items * dtype.itemsize))


@functools.lru_cache(maxsize=64)
def _layout_bytes(layout: Any) -> bytes:
    return _padded(pickle.dumps((layout, len(_leaves(layout)))))


@functools.lru_cache(maxsize=64)
def _layout_of(data: bytes) -> tuple[Any, int]:
    layout: tuple[Any, int] = pickle.loads(data)
    return layout


class _Specs:
    """The bytes of the specs that were sent last, found by identity: hashing a space takes too long."""

    def __init__(self) -> None:
        self._known: list[tuple[EnvSpec, bytes]] = []

    def __call__(self, spec: EnvSpec) -> bytes:
        for known, data in self._known:
            if known is spec:
                return data
        # The bounds of a space of pictures are arrays as large as a picture, of a few numbers.
        data = _padded(zlib.compress(cloudpickle.dumps(spec), 1))
        self._known = [(spec, data), *self._known[:15]]
        return data


_spec_bytes = _Specs()


@functools.lru_cache(maxsize=64)
def _spec_of(data: bytes) -> EnvSpec:
    spec: EnvSpec = pickle.loads(zlib.decompressobj().decompress(data))
    return spec


def _sized(data: bytes | memoryview, offset: int) -> tuple[bytes, int]:
    (size,) = _SIZE.unpack_from(data, offset)
    start = offset + _SIZE.size
    return bytes(data[start : start + size]), start + size


def _padded(data: bytes) -> bytes:
    # A pickle ends with its STOP, compressed data with a mark: what follows is not read.
    return data + bytes(-len(data) % _ALIGNMENT)
