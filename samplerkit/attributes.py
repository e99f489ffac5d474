"""Attributes that are found as fast as those of a new object.

CPython keeps attributes that were set one by one in the instance itself. Pickling, unpickling, copying and
`vars` make a dictionary of them, which shares its keys with others of the class, and before 3.13 nothing is
found there the short way: a step of CartPole takes a tenth longer, one of a small network as well.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def set_attributes(instance: object, state: Mapping[str, Any]) -> None:
    """Do what unpickling does with a state, but attribute by attribute."""
    kind = type(instance)
    for name, value in state.items():
        if hasattr(getattr(kind, name, None), "__set__"):
            instance.__dict__[name] = value  # unpickling calls no setter of a property either
        else:
            object.__setattr__(instance, name, value)


def quicken(instance: object) -> None:
    """Give an object that will be pickled, or has been, a dictionary with keys of its own.

    Pickling a space makes each `contains` slower, which is 1% of a step of CartPole.
    """
    attributes = getattr(instance, "__dict__", None)
    if type(attributes) is dict and sys.version_info < (3, 13):
        # In one go, for other threads may be looking.
        object.__setattr__(instance, "__dict__", dict(attributes))
