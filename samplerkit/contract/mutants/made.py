"""Mutants as attributes: ``made.local__reversed_list`` is the sampler class of ``local:reversed-list``.

So they have an address: they can be pickled, and ``samplerkit check`` can be pointed at one.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    base, _, rest = name.replace("_", "-").partition("--")
    cls = _odd(rest) if base == "odd" else _mutant(f"{base}:{rest}")
    cls.__module__, cls.__name__, cls.__qualname__ = __name__, name, name
    globals()[name] = cls
    return cls


def _mutant(name: str) -> type[Any]:
    from samplerkit.contract.mutants.catalogue import catalogue

    if name not in (mutants := catalogue()):
        raise AttributeError(f"there is no mutant {name!r}")
    return mutants[name].make_class()


def _odd(name: str) -> type[Any]:
    from samplerkit.contract.mutants.odd import odd_backends

    if name not in (backends := odd_backends()):
        raise AttributeError(f"there is no odd backend {name!r}")
    return backends[name].make_class()
