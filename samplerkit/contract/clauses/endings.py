"""Clauses D6 and E3: ends that come from a signal's handler, and samplers that a forked process inherits."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from samplerkit.contract.attempts import attempt, fails_with, returned
from samplerkit.contract.clause import NotApplicable, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.contract.views import require_same_units
from samplerkit.errors import SamplerClosed

_SLOW = partial(TattooEnv, lengths=(3,), infos="none", delays=(0.02,))
_UNDER_WAY = 0.15
"""Seconds until a call is under way."""

_TO_ANSWER = 5.0
"""Seconds that a forked process has for its one call."""


@clause(
    "D6.signal",
    says="A shutdown by a signal's handler ends the call that it interrupts with SamplerClosed.",
    why="Batch systems send SIGTERM some seconds before they kill; a handler then closes what is open.",
    causes="waiting for a lock that the call itself holds; tearing down what the call is using.",
)
def signal_handler(lab: Lab) -> None:
    """Let a handler shut the sampler down in the middle of a call that would not end."""
    if threading.current_thread() is not threading.main_thread():
        raise NotApplicable("only a program's main thread handles signals, and this is another one")
    with lab.sampler(ProbePolicy(1), _SLOW) as sampler:
        sampler.obtain_samples(0, 1)
        before = signal.signal(signal.SIGUSR1, lambda number, frame: sampler.shutdown_worker())
        main = threading.main_thread().ident or 0
        sender = threading.Timer(_UNDER_WAY, signal.pthread_kill, (main, signal.SIGUSR1))
        sender.start()
        try:
            outcome = attempt(
                "a call that a signal's handler ends by shutdown_worker()",
                lambda: sampler.obtain_samples(1, 10**9),
            )
        finally:
            sender.join()
            signal.signal(signal.SIGUSR1, before)
        fails_with(outcome, SamplerClosed, "a call during which a signal's handler calls shutdown_worker()")
        fails_with(
            attempt("a call", lambda: sampler.obtain_samples(2, 1)), SamplerClosed, "the call after it"
        )


@clause(
    "E3.forked",
    says="A process that is forked from the sampler's own cannot use it (SamplerClosed), nor do it any harm.",
    why="A data loader that forks would read the replies to its parent's calls, and close its workers.",
    causes="the process's number not looked at; a __del__ or an exit handler that runs in the child too.",
)
def forked(lab: Lab) -> None:
    """Let a forked process call, shut down, and end; then go on."""
    if not hasattr(os, "fork"):
        raise NotApplicable("processes cannot be forked on this system")
    with lab.sampler(ProbePolicy(1), partial(TattooEnv, infos="none")) as sampler:
        state = sampler.get_state()
        wanted = sampler.obtain_samples(0, 9)
        sampler.set_state(state)
        said = _in_a_fork(lambda: _tried(sampler))
        require(
            said == SamplerClosed.__name__,
            f"obtain_samples in a forked process: expected SamplerClosed, {said or 'it did not answer'}",
        )
        after = "after a forked process tried to use it and shut it down"
        again = returned(attempt("a call", lambda: sampler.obtain_samples(0, 9)), after)
        require_same_units(after, again, wanted)


def _tried(sampler: Any) -> str:
    outcome = attempt("obtain_samples", lambda: sampler.obtain_samples(1, 1), seconds=_TO_ANSWER / 2)
    with contextlib.suppress(Exception):
        sampler.shutdown_worker()
    return type(outcome.error).__name__ if isinstance(outcome.error, SamplerClosed) else str(outcome)


def _in_a_fork(call: Callable[[], str]) -> str:
    """Return what a function returns in a forked process; "" if it does not."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Of threads that the child does not have: it uses nothing of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.write(writer, call().encode()[:1000])
        finally:
            os._exit(0)
    os.close(writer)
    until = time.monotonic() + _TO_ANSWER
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    with open(reader, "rb") as file:
        return file.read().decode()
