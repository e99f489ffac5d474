"""Telling observers, and surviving them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from samplerkit.interfaces import Observer

log = logging.getLogger(__name__)


class Isolation:
    """Calls what others wrote; what that raises is logged, as a warning the first time.

    A KeyboardInterrupt is the user's, and goes through.
    """

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def call(self, who: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function, and go on whatever it raises."""
        try:
            function(*arguments)
        except (Exception, SystemExit) as error:
            if who in self._reported:
                log.debug("%s raised again", who, exc_info=True)
                return
            self._reported.add(who)
            log.warning(
                "%s raised %s: %s. The sampler goes on; further errors of it are logged at level DEBUG only.",
                who,
                type(error).__name__,
                error,
                exc_info=True,
            )

    def forgive(self, who: str) -> None:
        """Let the next error of `who` be a warning again."""
        self._reported.discard(who)


_isolation = Isolation()


def tell_observers(observers: Iterable[Observer], event: str, *arguments: Any) -> None:
    """Tell each observer of an event, one after another, whatever the others raise.

    Args:
        observers: who is told.
        event: the name of a method of `Observer`.
        arguments: of that method.
    """
    for observer in observers:
        who = f"observer {type(observer).__module__}.{type(observer).__qualname__}.{event}"
        _isolation.call(who, getattr(observer, event), *arguments)
