"""The settings of a program: what belongs to all of it, and so to none of its libraries."""

from __future__ import annotations

import contextlib
import gc
import locale
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import psutil
import threadpoolctl

Settings: TypeAlias = dict[str, Any]
"""What each setting is, by its name."""


_VARIABLE = "environment variable"


def settings() -> Settings:
    """Return the program's settings as they are now."""
    return {
        **{f"{_VARIABLE} {name}": value for name, value in os.environ.items()},
        **{f"handler of {number.name}": signal.getsignal(number) for number in _signals()},
        **_process(),
        **_interpreter(),
        **_logging(),
        **_libraries(),
    }


def changed(before: Settings) -> list[str]:
    """Return the names of the settings that are not as they were, in order."""
    now, nothing = settings(), object()
    # What comes with a library that was loaded meanwhile is its own.
    names = before.keys() | {name for name in now if name.startswith(_VARIABLE)}
    return sorted(name for name in names if before.get(name, nothing) != now.get(name, nothing))


def _signals() -> Iterator[signal.Signals]:
    for number in signal.valid_signals():
        with contextlib.suppress(ValueError):  # real-time signals have no names
            yield signal.Signals(number)


def _process() -> Settings:
    umask = os.umask(0)
    os.umask(umask)
    process = psutil.Process()
    affinity = process.cpu_affinity() if hasattr(process, "cpu_affinity") else None
    return {
        "working directory": os.getcwd(),
        "umask": umask,
        "priority": process.nice(),
        "processors that may be used": affinity,
    }


def _interpreter() -> Settings:
    return {
        "sys.stdin": sys.stdin,
        "sys.stdout": sys.stdout,
        "sys.stderr": sys.stderr,
        "sys.excepthook": sys.excepthook,
        "sys.unraisablehook": sys.unraisablehook,
        "threading.excepthook": threading.excepthook,
        "switch interval": sys.getswitchinterval(),
        "recursion limit": sys.getrecursionlimit(),
        "garbage collection": (gc.isenabled(), gc.get_threshold()),
        "locale": locale.setlocale(locale.LC_ALL),
        "start method of multiprocessing": _start_method(),
    }


def _start_method() -> str:
    # The first one is what is used where none was set.
    return multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]


def _logging() -> Settings:
    root = logging.getLogger()
    return {
        "level of the root logger": root.level,
        "handlers of the root logger": list(root.handlers),
        "logging.disable": root.manager.disable,
    }


def _libraries() -> Settings:
    threads = {
        f"threads of {each['user_api']} in {os.path.basename(each['filepath'])}": each["num_threads"]
        for each in threadpoolctl.threadpool_info()
    }
    return {"numpy.seterr": np.geterr(), **threads}
