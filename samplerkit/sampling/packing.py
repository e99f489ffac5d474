"""Objects on their way to workers: pickled once, when the caller hands them over.

Pickling at the boundary is what makes the caller's objects their own: changing them later changes
nothing inside, on any backend, in process or not. Their classes stay what they are in the caller's process.
"""

from __future__ import annotations

import io
import operator
import pickle
import sys
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, SupportsIndex, cast
from weakref import WeakSet

import cloudpickle
import gymnasium
import numpy as np

from samplerkit.attributes import set_attributes
from samplerkit.sampling.framing import BUFFERS_FOLLOW, buffers_of, head_of, with_buffers

_LARGE = 1 << 16


class Packed:
    """A pickled object. Each `load` makes a copy of its own, unless it is asked to read it in place.

    Identity is meaningful: two workers that hold the same `Packed` hold equal objects.
    """

    __slots__ = ("_checksum", "data")

    def __init__(self, data: bytes, checksum: int | None = None) -> None:
        self.data = data
        self._checksum = checksum

    @property
    def checksum(self) -> int:
        """CRC-32 of the bytes; worked out once, wherever the object goes."""
        if self._checksum is None:
            self._checksum = zlib.crc32(self.data)
        return self._checksum

    def load(self, *, in_place: bool = False) -> Any:
        """Return a fresh copy of the object.

        Args:
            in_place: whether large arrays of weights may be views of these bytes, which nobody can write to.
        """
        if self.data[:1] != BUFFERS_FOLLOW:
            return pickle.loads(self.data)
        head, offset = head_of(self.data)
        buffers = buffers_of(self.data, offset)
        return pickle.loads(head, buffers=buffers if in_place else map(bytearray, buffers))

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[type[Packed], tuple[Any, int]]:
        # Large ones can be left out of the pickle, so that one copy serves all processes.
        large = operator.index(protocol) >= 5 and len(self.data) >= _LARGE
        return type(self), (pickle.PickleBuffer(self.data) if large else self.data, self.checksum)


_at_home: WeakSet[type] = WeakSet()
"""Classes of this process that travelled from here by value."""

_arrived: WeakSet[type] = WeakSet()
"""Classes that came here by value, and may do so again, changed."""


def _fill_class(fill: Callable[[type, Any], type], cls: type, state: Any) -> type:
    """Fill a class that was made of a pickle; one that is at home here stays as its owner left it."""
    if cls in _at_home:
        return cls
    _arrived.add(cls)
    return fill(cls, state)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Sees to it that environments are as quick after the journey as before: 7% of CartPole's step.

    And that the caller's classes stay the caller's. A class that travels by value and is known already where
    it arrives is filled again, which in this process would give the methods of a script's, or a notebook's,
    own classes copies of the global names that they use: they would never see a change of these again.
    """

    def reducer_override(self, obj: Any) -> Any:
        """Let environments be filled attribute by attribute, and classes only where they are not at home."""
        kind = type(obj)
        if issubclass(kind, type):
            by_value = super().reducer_override(obj)
            if not (isinstance(by_value, tuple) and len(by_value) == 6):
                return by_value
            if obj not in _arrived:
                _at_home.add(obj)
            return (*by_value[:5], partial(_fill_class, by_value[5]))
        if isinstance(obj, gymnasium.Env) and _is_pickled_as_usual(kind):
            reduced = obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
            if isinstance(reduced, tuple) and len(reduced) >= 3 and type(reduced[2]) is dict:
                return (*reduced[:3], None, None, set_attributes)
        return super().reducer_override(obj)


def _is_pickled_as_usual(kind: type) -> bool:
    names = ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__", "__setattr__")
    return all(getattr(kind, name, None) is getattr(object, name, None) for name in names)


def _bytes_of_arrays(value: object) -> int | None:
    """Return how large weights are; None for what is something else, and perhaps hard to pickle."""
    kind = type(value)
    if kind is np.ndarray:
        array = cast("np.ndarray[Any, Any]", value)
        return None if array.dtype.hasobject else array.nbytes
    if kind is dict:
        items = cast("dict[object, object]", value)
        if not all(type(key) is str for key in items):
            return None
        sizes = [_bytes_of_arrays(item) for item in items.values()]
    elif kind is tuple:
        sizes = [_bytes_of_arrays(item) for item in cast("tuple[object, ...]", value)]
    else:
        return None
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _weights(value: object, size: int) -> bytes:
    if size < _LARGE:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
    return b"".join(with_buffers(head, buffers))


def let_main_travel_by_value() -> None:
    """Have cloudpickle take the main module for one that others do not have, whatever it is called here.

    It knows ``__main__`` only; in children of multiprocessing the same module has another name.
    """
    main = sys.modules.get("__mp_main__")
    if main is not None:
        cloudpickle.register_pickle_by_value(main)


_INSTEAD = {
    "the policy": "Leave out the part that cannot: in __getstate__, or in what for_sampling() returns.",
    "the weights": "Pass an array, a tuple or a dict of arrays.",
}
"""What to do about things that cannot be given as callables."""


def pack(value: object, what: str) -> Packed:
    """Pickle a caller's object; what comes from the main module travels by value.

    Raises:
        TypeError: if it cannot be pickled; it says what to pass instead.
    """
    size = _bytes_of_arrays(value)
    if size is not None:
        return Packed(_weights(value, size))
    let_main_travel_by_value()
    try:
        file = io.BytesIO()
        _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(value)
        return Packed(file.getvalue())
    except Exception as error:
        raise TypeError(
            f"{what} ({type(value).__name__}) cannot be pickled, so no worker can get a copy of it: {error}. "
            f"{_INSTEAD.get(what, 'Pass a callable that constructs it where the worker is.')}"
        ) from error
