from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeRecorder, Provenance, StepType

SPEC = EnvSpec(spaces.Box(-np.inf, np.inf, (1,), np.float64), spaces.Discrete(9), 20)


def piece(unit, start, stop, end, version=0):
    """Return steps start to stop of a unit's episode, as recorded by a worker that was cut at both."""
    recorder = EpisodeRecorder(SPEC)
    first = StepType.FIRST if start == 0 else StepType.MID
    recorder.start(observation(unit, start), {"unit": unit}, first_step_type=first)
    for t in range(start, stop):
        recorder.cast_action(t % 9)
        info = {"t": t} if t % 3 else {}
        recorder.add(unit + t / 100, observation(unit, t + 1), info, {"p": np.float32(t)})
    origin = Provenance([unit], [0], [version], [0])
    return recorder.finish(end).replace(provenance=origin)


def observation(unit, t):
    return np.array([unit * 100.0 + t])


def whole(unit, length, end=StepType.TERMINAL):
    return piece(unit, 0, length, end)


def with_abandoned(batch, *units):
    origin = batch.provenance
    return batch.replace(
        provenance=Provenance(
            origin.units, origin.workers, origin.agent_versions, origin.env_versions, True, units
        )
    )


def test_fragments_of_one_unit_become_its_episode():
    cut = EpisodeBatch.concatenate(
        piece(0, 0, 2, StepType.MID),
        piece(1, 0, 3, StepType.TERMINAL),
        piece(0, 2, 5, StepType.MID),
        piece(0, 5, 6, StepType.TIMEOUT),
    )
    uncut = EpisodeBatch.concatenate(whole(0, 6, StepType.TIMEOUT), whole(1, 3))
    stitched = cut.stitch().replace()
    assert stitched.difference(uncut) is None
    assert stitched.provenance.units.tolist() == [0, 1]


def test_versions_are_known_for_each_step():
    cut = EpisodeBatch.concatenate(
        piece(0, 0, 2, StepType.MID, version=3), piece(0, 2, 5, StepType.TERMINAL, version=4)
    )
    stitched = cut.stitch()
    assert stitched.provenance.agent_versions.tolist() == [3]
    assert stitched.provenance.step_agent_versions.tolist() == [3, 3, 4, 4, 4]


def test_stitching_again_changes_nothing():
    cut = EpisodeBatch.concatenate(piece(0, 0, 2, StepType.MID), piece(0, 2, 5, StepType.TERMINAL))
    once = cut.stitch()
    assert once.stitch().equals(once)
    assert once.stitch().provenance.step_agent_versions.tolist() == [0] * 5


def test_unfinished_units_stay_open():
    cut = EpisodeBatch.concatenate(piece(0, 0, 1, StepType.MID), piece(0, 1, 3, StepType.MID))
    assert cut.stitch().step_types.tolist() == [0, 1, 1]


def test_a_unit_whose_start_is_elsewhere_starts_with_mid():
    assert piece(0, 4, 6, StepType.TERMINAL).stitch().step_types.tolist() == [1, 2]


def test_abandoned_units_end_in_a_timeout():
    cut = EpisodeBatch.concatenate(
        piece(0, 0, 2, StepType.MID),
        piece(1, 0, 2, StepType.MID),
        piece(2, 0, 2, StepType.TERMINAL),
        piece(0, 2, 4, StepType.MID),
        piece(3, 0, 1, StepType.MID),
    )
    stitched = with_abandoned(cut, 0, 2, 3, 99).stitch()
    assert stitched.step_types.tolist() == [0, 1, 1, 3, 0, 1, 0, 2, 3]
    assert stitched.provenance.abandoned == (0, 2, 3, 99)
    assert cut.step_types.tolist()[:2] == [0, 1], "the batch itself is left as it was"


def test_without_provenance_it_is_refused():
    with pytest.raises(ValueError, match="this batch has none"):
        whole(0, 3).replace(provenance=None).stitch()


@pytest.mark.parametrize(
    "parts",
    [
        (whole(0, 2), piece(0, 2, 4, StepType.MID)),
        (piece(0, 0, 2, StepType.MID), whole(0, 2)),
        (piece(0, 2, 4, StepType.TERMINAL), piece(0, 0, 2, StepType.MID)),
    ],
)
def test_fragments_that_do_not_fit_are_refused(parts):
    with pytest.raises(ValueError, match=r"Unit 0 has a fragment \(episode 0 of this batch\)"):
        EpisodeBatch.concatenate(*parts).stitch()


@pytest.mark.parametrize(
    "parts",
    [
        (piece(0, 0, 2, StepType.MID), piece(0, 4, 5, StepType.MID), piece(0, 2, 4, StepType.MID)),
        (piece(0, 0, 2, StepType.MID), piece(1, 0, 2, StepType.MID), piece(0, 3, 5, StepType.TERMINAL)),
        (piece(0, 0, 2, StepType.MID), piece(0, 2, 4, StepType.MID), piece(0, 2, 4, StepType.MID)),
    ],
    ids=["in another order", "without the one between", "twice"],
)
def test_fragments_that_do_not_go_on_where_the_last_one_stood_are_refused(parts):
    with pytest.raises(ValueError, match=r"Unit 0 has a fragment .* whose last observation is not the first"):
        EpisodeBatch.concatenate(*parts).stitch()


def test_a_gap_behind_many_fragments_is_named_by_its_unit_and_costs_no_copy_of_the_batch():
    missing = 700
    steps = [piece(3, t, t + 1, StepType.MID) for t in range(800) if t != missing]
    with pytest.raises(ValueError, match=rf"Unit 3 .* \(episode {missing - 1} .* \(episode {missing}\)"):
        EpisodeBatch.concatenate(*steps).stitch()
    spec = EnvSpec(spaces.Box(0, 255, (1 << 14,), np.uint8), spaces.Discrete(9), math.inf)
    n = 2_000
    frames = np.zeros((n, 1 << 14), np.uint8)
    cuts = EpisodeBatch.unchecked(
        env_spec=spec,
        episode_infos={},
        observations=frames,
        last_observations=frames,
        actions=np.zeros(n, np.int64),
        rewards=np.zeros(n),
        env_infos={},
        agent_infos={},
        step_types=np.full(n, StepType.MID, np.int8),
        lengths=np.ones(n, np.int64),
        provenance=Provenance([0] * n, [0] * n, [0] * n, [0] * n),
    )
    tracemalloc.start()
    try:
        cuts.stitch()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.7 * frames.nbytes, "what is stitched is a copy, and no other is made"


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4), cut_every=st.integers(1, 5), data=st.data()
)
def test_stitched_episodes_equal_uncut_ones(lengths, cut_every, data):
    """Cut episodes at a fixed interval, in an order drawn as slots would finish, and join them again."""
    queues = []
    for unit, length in enumerate(lengths):
        bounds = [*range(0, length, cut_every), length]
        ends = [StepType.MID] * (len(bounds) - 2) + [StepType.TERMINAL]
        queues.append([piece(unit, a, b, e) for a, b, e in zip(bounds, bounds[1:], ends, strict=False)])
    parts, order = [], []
    while any(queues):
        index = data.draw(st.sampled_from([i for i, queue in enumerate(queues) if queue]))
        parts.append(queues[index].pop(0))
        if index not in order:
            order.append(index)
    uncut = EpisodeBatch.concatenate(*(whole(unit, lengths[unit]) for unit in order))
    assert EpisodeBatch.concatenate(*parts).stitch().difference(uncut) is None
