"""Objects on their way to workers: pickled once, when the caller hands them over.

Pickling at the boundary is what makes the caller's objects their own: changing them later changes
nothing inside, on any backend, in process or not.
"""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle


class Packed:
    """A pickled object. Each `load` makes a copy of its own.

    Identity is meaningful: two workers that hold the same `Packed` hold equal objects.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def load(self) -> Any:
        """Return a fresh copy of the object."""
        return pickle.loads(self.data)

    def __reduce__(self) -> tuple[type[Packed], tuple[bytes]]:
        return type(self), (self.data,)


def pack(value: object, what: str) -> Packed:
    """Pickle a caller's object; what comes from ``__main__`` travels by value.

    Raises:
        TypeError: if it cannot be pickled; it says what to pass instead.
    """
    try:
        return Packed(cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))
    except Exception as error:
        raise TypeError(
            f"{what} ({type(value).__name__}) cannot be pickled, so no worker can get a copy of it: {error}. "
            "Pass a callable that constructs it where the worker is."
        ) from error
