"""Bytes that stand for the value of a Python object, the same in every process."""

from __future__ import annotations

import copyreg
import struct
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

_LONG = np.dtype(np.longdouble).itemsize
_LONG_USED = 10 if np.finfo(np.longdouble).nmant == 63 else _LONG
"""Bytes that hold the value of a long double; what stands in the others is by chance."""


def encode(value: Any) -> bytes:
    """Return bytes that two objects share exactly when they have the same types and values.

    Floats count bit for bit. Objects that numpy stores as they are (in info columns of dtype object) are
    taken apart as pickle does, but without its memory of which parts are shared, which differs between a copy
    and its original.
    """
    return _encode(value, ())


def plain_bytes(array: npt.NDArray[Any]) -> bytes:
    """Return the bits of an array without objects, in C order, with zeros where no value has any."""
    return _without_gaps(array).tobytes()


def _without_gaps(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    dtype = array.dtype
    if dtype.names is not None:
        clean = np.zeros(array.shape, dtype)
        for name in dtype.names:
            clean[name] = _without_gaps(array[name])
        return clean
    if dtype.char in "gG" and _LONG_USED < _LONG:
        clean = np.array(array, dtype.newbyteorder("="), order="C")
        clean.reshape(-1).view(np.uint8).reshape(-1, _LONG)[:, _LONG_USED:] = 0
        return clean
    return array


def _encode(value: Any, above: tuple[int, ...]) -> bytes:
    if value is None or isinstance(value, (bool, int, str, bytes, type)):
        return _tagged(value, (value.__qualname__ if isinstance(value, type) else repr(value)).encode())
    if isinstance(value, FunctionType):  # cannot be taken apart; like a class it is what its name says
        return _tagged(value, f"{value.__module__}.{value.__qualname__}".encode())
    if isinstance(value, float):
        return _tagged(value, struct.pack("<d", value))
    if isinstance(value, complex):
        return _tagged(value, struct.pack("<dd", value.real, value.imag))
    if id(value) in above:
        return f"<cycle {len(above) - above.index(id(value))}>".encode()
    above = (*above, id(value))
    if isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
        return _tagged(value, f"{value.dtype.str}{value.shape}".encode() + plain_bytes(np.asarray(value)))
    return _tagged(value, _encode_parts(value, above))


def _encode_parts(value: Any, above: tuple[int, ...]) -> bytes:
    if type(value) in (list, tuple) or isinstance(value, np.ndarray):
        shape = f"{value.shape}".encode() if isinstance(value, np.ndarray) else b""
        items = value.reshape(-1).tolist() if isinstance(value, np.ndarray) else value
        return shape + b"".join(_encode(item, above) for item in items)
    if type(value) in (set, frozenset):
        return b"".join(sorted(_encode(item, above) for item in value))
    if type(value) is dict:
        return b"".join(_encode(key, above) + _encode(item, above) for key, item in value.items())
    registered = copyreg.dispatch_table.get(type(value))
    reduced = value.__reduce_ex__(4) if registered is None else registered(value)
    if isinstance(reduced, str):
        return reduced.encode()
    constructor, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    parts = (getattr(constructor, "__qualname__", ""), arguments, state, list(items or ()), list(pairs or ()))
    return b"".join(_encode(part, above) for part in parts)


def _tagged(value: Any, content: bytes) -> bytes:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}[{len(content)}]:".encode() + content
