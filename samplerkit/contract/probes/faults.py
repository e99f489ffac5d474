"""Faults: what goes wrong in a probe, where, and when."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn


class UnpicklableError(Exception):
    """Cannot travel: it holds a lock."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class OddError(Exception):
    """Pickles, but does not unpickle: its `__init__` wants more than `args` holds."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def raise_value() -> NoReturn:
    raise ValueError("the probe raised this")


def raise_unpicklable() -> NoReturn:
    raise UnpicklableError("the probe raised this")


def raise_odd() -> NoReturn:
    raise OddError("this", "that")


def crash() -> NoReturn:
    os._exit(7)


@dataclass(frozen=True)
class Fault:
    """Calls `action` at a site of a probe.

    Args:
        site: ``construct``, ``reset``, ``step``, ``close``, ``set_task`` (environment); ``get_action``,
            ``reset_policy``, ``set_param_values`` (policy).
        action: raises, kills, hangs …
        key: only in the episode of this environment seed (see `unit_key`); None in every one.
        step: only at this step, from 0; None at every one.
        once: path of a marker file: only the first time, whoever comes first.
    """

    site: str
    action: Callable[[], Any] = raise_value
    key: int | None = None
    step: int | None = None
    once: str | None = None

    def strike(self, site: str, *, key: int | None = None, step: int | None = None) -> None:
        """Go off if this is the place and the time."""
        if site != self.site or self.key not in (None, key) or self.step not in (None, step):
            return
        if self.once is not None:
            try:
                os.close(os.open(self.once, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
        self.action()


@dataclass(frozen=True)
class Faults:
    """Several faults in one probe."""

    faults: tuple[Fault, ...]
    site: str = "several"

    def strike(self, site: str, *, key: int | None = None, step: int | None = None) -> None:
        """Let each go off if this is the place and the time."""
        for fault in self.faults:
            fault.strike(site, key=key, step=step)
