from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.episodes import StepType, get_step_type


def test_the_first_step_of_a_longer_episode_is_first():
    assert get_step_type(1, 10, False) is StepType.FIRST


def test_a_one_step_episode_ends_terminal():
    assert get_step_type(1, 10, True) is StepType.TERMINAL


def test_a_one_step_episode_ends_in_timeout_at_the_limit():
    assert get_step_type(1, 1, False) is StepType.TIMEOUT


def test_termination_wins_over_the_limit():
    assert get_step_type(10, 10, True) is StepType.TERMINAL


def test_termination_wins_over_truncation_by_the_environment():
    assert get_step_type(3, None, True, True) is StepType.TERMINAL


def test_truncation_by_the_environment_is_a_timeout():
    assert get_step_type(3, 10, False, True) is StepType.TIMEOUT


@pytest.mark.parametrize("limit", [None, math.inf])
def test_an_episode_without_a_limit_goes_on(limit):
    assert get_step_type(10**9, limit, False) is StepType.MID


def test_step_counts_below_one_are_refused():
    with pytest.raises(ValueError, match="step_count is 0"):
        get_step_type(0, 10, False)


def test_the_enum_offers_the_function_too():
    assert StepType.get_step_type(2, 10, False) is StepType.MID


@given(count=st.integers(1, 12), limit=st.integers(1, 12) | st.none(), done=st.booleans(), cut=st.booleans())
def test_an_episode_ends_exactly_when_it_is_over_or_full(count, limit, done, cut):
    step_type = get_step_type(count, limit, done, cut)
    over = done or cut or (limit is not None and count >= limit)
    assert (step_type >= StepType.TERMINAL) is over
    assert (step_type is StepType.TERMINAL) is done
    assert (step_type is StepType.FIRST) is (count == 1 and not over)
