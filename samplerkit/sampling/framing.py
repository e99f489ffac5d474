"""Pickles with large arrays behind them: in one piece, and what is large can be read where it lies."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from samplerkit.episodes import RecycledMemory

BUFFERS_FOLLOW = b"P"
"""First byte of a pickle with its buffers behind it; a pickle alone begins with 0x80."""

_WORD = struct.Struct("q8x")
"""As wide as arrays are aligned."""

_LARGE = 1 << 20
"""Bytes from which on memory that is touched for the first time costs more than the message."""


def padding(size: int) -> bytes:
    """Return what brings so many bytes to where the next array may begin."""
    return bytes(-size % _WORD.size)


def framed(kind: bytes, head: bytes) -> list[bytes]:
    """Return the parts of a message of some kind that begins with a pickle."""
    padded = head + padding(len(head))
    return [kind.ljust(_WORD.size), _WORD.pack(len(padded)), padded]


def head_of(data: bytes | memoryview) -> tuple[memoryview, int]:
    """Return the pickle at the front, and where what follows begins."""
    (size,) = _WORD.unpack_from(data, _WORD.size)
    start = 2 * _WORD.size
    return memoryview(data)[start : start + size], start + size


def with_buffers(head: bytes, buffers: Sequence[pickle.PickleBuffer]) -> list[Any]:
    """Return the parts of a pickle with its buffers, which are not yet copied."""
    parts: list[Any] = [*framed(BUFFERS_FOLLOW, head), _WORD.pack(len(buffers))]
    for buffer in buffers:
        data = buffer.raw()
        parts += [_WORD.pack(len(data)), data, padding(len(data))]
    return parts


def buffers_of(data: bytes | memoryview, offset: int) -> Iterator[memoryview]:
    """Yield the buffers that begin at an offset, as views that nobody can write to."""
    (count,) = _WORD.unpack_from(data, offset)
    offset += _WORD.size
    for _ in range(count):
        (size,) = _WORD.unpack_from(data, offset)
        offset += _WORD.size
        yield memoryview(data)[offset : offset + size].toreadonly()
        offset += size + -size % _WORD.size


def joined(parts: Sequence[Any], memory: RecycledMemory | None = None) -> bytes | memoryview:
    """Return the parts of a message in one piece.

    Args:
        parts: bytes, or views of bytes.
        memory: where a large message is put, which is then a view; None for bytes in any case.
    """
    size = sum(map(len, parts))
    if memory is None or size < _LARGE:
        return b"".join(parts)
    message: memoryview = memory.array((size,), np.dtype(np.uint8)).data
    start = 0
    for part in parts:
        message[start : start + len(part)] = part
        start += len(part)
    return message
