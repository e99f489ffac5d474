"""Which infos of episodes may stand in one column."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.episodes import EnvSpec, StepType, TickRecorder
from samplerkit.episodes.info_types import InfoTypes, agree

SPEC = EnvSpec(spaces.Box(-np.inf, np.inf, (2,), np.float32), spaces.Discrete(2))

NOTHING, WHOLE, REAL = {}, {"a": 1}, {"a": 1.5}


def episodes(*infos, of_policy=None):
    """Record an episode of one step in each slot; their infos: of the reset, of the step."""
    n = len(infos)
    recorder = TickRecorder(SPEC, n)
    for slot, (of_reset, _) in enumerate(infos):
        recorder.begin(slot, np.zeros(2, np.float32), of_reset)
    given = recorder.act(np.zeros(n, np.int64), of_policy or {}, range(n))
    steps = [
        lambda action, info=of_step: (np.zeros(2, np.float32), 0.0, True, False, info) for _, of_step in infos
    ]
    recorder.step(steps, given, range(n), 9)
    return [recorder.keep(slot, StepType.TERMINAL) for slot in range(n)]


def test_episodes_without_infos_of_their_own_agree():
    assert agree(episodes((NOTHING, NOTHING), (NOTHING, NOTHING), of_policy={"p": np.zeros(2)}))


@pytest.mark.parametrize("infos", [[(WHOLE, NOTHING), (REAL, NOTHING)], [(NOTHING, REAL), (NOTHING, WHOLE)]])
def test_episodes_whose_infos_differ_do_not_agree_in_either_order(infos):
    parts = episodes(*infos)
    assert not agree(parts)
    assert not agree(parts[::-1])
    assert agree(parts[:1])


_OF_ONE = st.tuples(st.sampled_from([NOTHING, WHOLE, REAL]), st.sampled_from([NOTHING, WHOLE, REAL]))


@given(st.lists(_OF_ONE, min_size=1, max_size=5), st.booleans(), st.randoms(use_true_random=False))
def test_that_nothing_can_differ_is_seen_only_where_nothing_does(infos, policy_tells, random):
    parts = episodes(*infos, of_policy={"p": np.zeros(len(infos))} if policy_tells else None)
    random.shuffle(parts)
    types = InfoTypes()
    assert agree(parts) == all(map(types.agree, parts))
