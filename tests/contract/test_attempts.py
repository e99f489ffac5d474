"""Attempts are bounded, catch everything, and can be interrupted as by a user."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from samplerkit.contract import Violation
from samplerkit.contract.attempts import attempt, attempt_interrupted, fails_with, within


def test_what_hangs_is_a_violation_that_says_what_it_was() -> None:
    started = time.monotonic()
    with pytest.raises(Violation, match=r"the nap did not end within 0\.1 s"):
        attempt("the nap", lambda: time.sleep(30), seconds=0.1)
    assert time.monotonic() - started < 5


@pytest.mark.slow
def test_the_alarm_goes_off_again_where_the_first_was_swallowed() -> None:
    def stubborn() -> None:
        for _ in range(2):
            try:
                time.sleep(30)
            except BaseException:
                continue
        time.sleep(30)

    started = time.monotonic()
    with pytest.raises(Violation):
        attempt("a stubborn call", stubborn, seconds=0.1)
    assert time.monotonic() - started < 10


def test_an_alarm_that_was_swallowed_counts() -> None:
    def deaf() -> None:
        try:
            time.sleep(30)
        except BaseException:
            return

    with pytest.raises(Violation):
        attempt("a deaf call", deaf, seconds=0.1)


def test_a_block_in_time_leaves_no_alarm_behind() -> None:
    with within(0.05, "a quick block"):
        pass
    time.sleep(0.1)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_whatever_is_raised_is_an_outcome() -> None:
    assert isinstance(attempt("an exit", sys.exit).error, SystemExit)
    outcome = attempt("a sum", lambda: 1 + 1)
    assert (outcome.value, outcome.error) == (2, None)


def test_an_interrupted_call_raises_keyboard_interrupt_and_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    outcome = attempt_interrupted("the nap", lambda: time.sleep(30), after=0.05)
    assert isinstance(outcome.error, KeyboardInterrupt)
    assert outcome.seconds < 5
    assert signal.getsignal(signal.SIGINT) is before


def test_a_call_that_ends_before_ctrl_c_is_not_interrupted_later() -> None:
    assert attempt_interrupted("a sum", lambda: 1 + 1, after=0.05).value == 2
    time.sleep(0.1)


def test_an_error_must_have_the_type_the_words_and_the_name() -> None:
    def refuse() -> None:
        raise ValueError("num_samples must be at least 1, not 0")

    outcome = attempt("a call", refuse)
    fails_with(outcome, ValueError, "a call", naming="num_samples")
    with pytest.raises(Violation, match="expected TypeError"):
        fails_with(outcome, TypeError, "a call")
    with pytest.raises(Violation, match="that names 'n_eps'"):
        fails_with(outcome, ValueError, "a call", naming="n_eps")
    with pytest.raises(Violation, match="nothing was raised"):
        fails_with(attempt("a sum", lambda: 2), ValueError, "a sum")
    with pytest.raises(Violation, match="says what to pass"):
        fails_with(attempt("a key", lambda: {}[0]), KeyError, "a key")
