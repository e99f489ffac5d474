"""Attempts: calls that may fail or hang, bounded by an alarm in this process's main thread."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from samplerkit.contract.clause import Violation
from samplerkit.errors import SamplerKitError

_AGAIN = 2.0
"""Seconds after which the alarm goes off once more: whoever cleans up may hang as well."""


PATIENCE = 8.0
"""Seconds that a call may take: many times more than it should."""


class Overdue(BaseException):
    """Time is up. No Exception, so that nobody takes it for an error of theirs."""


@contextlib.contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    """Let a block take so many seconds at most.

    Outside the main thread, where no alarm can be set, the sandbox's own deadline must do.

    Raises:
        Violation: if it took longer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    rang = False

    def ring(number: int, frame: FrameType | None) -> None:
        nonlocal rang
        rang = True
        raise Overdue

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    except Overdue:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # Also where it was swallowed, as what is raised in a __del__ is.
    if rang:
        raise Violation(f"{what} did not end within {seconds:g} s")


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        value: what it returned.
        error: what it raised.
        seconds: how long it took.
    """

    value: Any
    error: BaseException | None
    seconds: float

    def __str__(self) -> str:
        return "nothing was raised" if self.error is None else f"got {sentence_of(self.error)}"


def attempt(what: str, call: Callable[[], Any], *, seconds: float = PATIENCE) -> Outcome:
    """Make a call and catch whatever it raises.

    Args:
        what: in words, for the report.
        call: what to call.
        seconds: how long it may take.

    Raises:
        Violation: if it takes longer.
    """
    started = time.monotonic()
    with within(seconds, what):
        try:
            value = call()
        except (Overdue, Violation):
            raise
        except BaseException as error:
            return Outcome(None, error, time.monotonic() - started)
        return Outcome(value, None, time.monotonic() - started)
    raise AssertionError("the block above returns or raises")


def attempt_interrupted(
    what: str, call: Callable[[], Any], *, after: float, seconds: float = PATIENCE
) -> Outcome:
    """Make a call and press Ctrl-C meanwhile, as a terminal does: SIGINT for the whole group.

    Args:
        what: in words, for the report.
        call: what to call.
        after: seconds from the beginning of the call.
        seconds: how long it may take.

    Raises:
        Violation: if it takes longer.
    """
    begun, over = threading.Event(), threading.Event()
    main = threading.main_thread().ident or 0

    def press() -> None:
        begun.wait()
        if over.wait(after):
            return
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGINT)
        else:
            signal.pthread_kill(main, signal.SIGINT)

    def begin() -> Any:
        begun.set()
        return call()

    # Where the tests run in the background, Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    presser = threading.Thread(target=press, daemon=True)
    presser.start()
    try:
        return attempt(what, begin, seconds=seconds)
    finally:
        over.set()
        begun.set()
        with contextlib.suppress(KeyboardInterrupt):
            presser.join()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def sentence_of(error: BaseException) -> str:
    """Return an exception's type and the first line of its text."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def returned(outcome: Outcome, what: str, wanted: str = "a batch") -> Any:
    """Return what a call returned.

    Args:
        outcome: of the call.
        what: the call, in words.
        wanted: what it returns, in words.

    Raises:
        Violation: if it raised something.
    """
    if outcome.error is not None:
        raise Violation(f"{what}: expected {wanted}, {outcome}") from outcome.error
    return outcome.value


def fails_with(outcome: Outcome, kind: type[BaseException], what: str, *, naming: str = "") -> None:
    """Raise a `Violation` unless a call raised an error of a type.

    Args:
        outcome: of the call.
        kind: the type.
        what: the call, in words.
        naming: something that its text must contain.
    """
    if not isinstance(outcome.error, kind):
        raise Violation(f"{what}: expected {kind.__name__}, {outcome}") from outcome.error
    if naming not in str(outcome.error):
        raise Violation(f"{what}: expected an error that names {naming!r}, {outcome}") from outcome.error
    if not isinstance(outcome.error, SamplerKitError) and len(str(outcome.error).split()) < 4:
        raise Violation(f"{what}: expected a sentence that says what to pass, {outcome}") from outcome.error
