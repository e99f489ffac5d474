"""What goes to the sandbox: by reference where the sandbox can import it, by value where it cannot.

A class in a test module that pytest imported by its path, or in a notebook, cannot be imported by another
process, whatever ``sys.path`` says there.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import cloudpickle

# Which modules travel by value is a setting of the whole process.
_LOCK = threading.Lock()


def pack(message: Any, *about: Any) -> bytes:
    """Pickle a message.

    Args:
        message: anything that cloudpickle takes.
        about: the classes and functions in it that may come from a module that cannot be imported again.
    """
    with _LOCK, contextlib.ExitStack() as stack:
        for module in _modules(about):
            if not importable(module):
                stack.enter_context(_by_value(module))
        data: bytes = cloudpickle.dumps(message)
    return data


def importable(module: ModuleType) -> bool:
    """Whether a process with the same ``sys.path`` gets the same module when it imports its name."""
    path: Iterable[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.__name__.split(".")
    for index in range(len(parts)):
        spec = _find(".".join(parts[: index + 1]), path)
        if spec is None:
            return False
        path = spec.submodule_search_locations
    return spec is not None and spec.origin == getattr(module.__spec__, "origin", None)


def _find(name: str, path: Any) -> ModuleSpec | None:
    # `importlib.util.find_spec` would answer from `sys.modules`, which says nothing about another process.
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path) if hasattr(finder, "find_spec") else None
        if spec is not None:
            return spec
    return None


def _modules(about: Iterable[Any]) -> Iterator[ModuleType]:
    names: dict[str, None] = {}
    for each in about:
        for part in getattr(each, "__mro__", (each,)):
            names.setdefault(getattr(part, "__module__", None) or "", None)
    for name in names:
        # cloudpickle sends what comes from the main module by value as it is.
        if name not in ("", "__main__", "builtins") and name in sys.modules:
            yield sys.modules[name]


@contextlib.contextmanager
def _by_value(module: ModuleType) -> Iterator[None]:
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)
