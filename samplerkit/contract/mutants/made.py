"""Mutants as attributes: ``made.local__reversed_list`` is the sampler class of ``local:reversed-list``.

So they have an address: they can be pickled, and ``samplerkit check`` can be pointed at one.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from samplerkit.contract.mutants.catalogue import catalogue

    base, _, defect = name.partition("__")
    full = f"{base.replace('_', '-')}:{defect.replace('_', '-')}"
    if full not in (mutants := catalogue()):
        raise AttributeError(f"there is no mutant {full!r}")
    cls = mutants[full].make_class()
    cls.__module__, cls.__name__, cls.__qualname__ = __name__, name, name
    globals()[name] = cls
    return cls
