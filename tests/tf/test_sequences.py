from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.episodes import EnvSpec, EpisodeBatch, StepType
from samplerkit.tf.sequences import Sequences, filled, minibatches, padded_width, places


def batch_of(lengths, ends, *, agent_infos=True):
    total = sum(lengths)
    stops = np.cumsum(lengths)
    step_types = np.full(total, StepType.MID, np.int8)
    step_types[stops - lengths] = StepType.FIRST
    step_types[stops - 1] = ends
    return EpisodeBatch(
        env_spec=EnvSpec(spaces.Discrete(4), spaces.Discrete(3, start=1)),
        episode_infos={},
        observations=np.arange(total) % 4,
        last_observations=np.full(len(lengths), 3),
        actions=np.arange(total) % 3 + 1,
        rewards=np.arange(total, dtype=np.float64),
        env_infos={},
        agent_infos={"log_prob": -np.arange(total, dtype=np.float32)} if agent_infos else {},
        step_types=step_types,
        lengths=np.array(lengths),
    )


def test_episodes_become_rows_with_their_final_observation_behind_the_last_step():
    batch = batch_of([3, 1], [StepType.TERMINAL, StepType.TIMEOUT])
    got = Sequences.of(batch, encode_actions=lambda actions: actions - 1)
    assert got.observations.shape == (2, 4, 4)
    assert got.observations.dtype == np.float32
    assert got.observations[0].argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert got.observations[1, :2].argmax(axis=1).tolist() == [3, 3]
    assert not got.observations[1, 2:].any()
    assert got.actions.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert got.rewards.tolist() == [[0, 1, 2], [3, 0, 0]]
    assert got.log_probs.tolist() == [[0, -1, -2], [-3, 0, 0]]
    assert got.mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert got.terminated.tolist() == [True, False]


def test_a_policy_that_gives_no_log_probabilities_is_refused():
    with pytest.raises(ValueError, match='"log_prob"'):
        Sequences.of(batch_of([2], [StepType.TERMINAL], agent_infos=False), encode_actions=np.asarray)


@given(st.integers(1, 5000))
def test_widths_are_rounded_up_by_a_quarter_at_most(longest):
    width = padded_width(longest)
    assert longest <= width <= longest * 1.25
    assert padded_width(width) == width, "a rounded width stays"


def test_there_are_few_widths():
    assert len({padded_width(longest) for longest in range(1, 501)}) <= 4 * 9
    assert padded_width(10) == 10


def test_places_count_through_each_episode():
    rows, columns = places(np.array([2, 1, 3]))
    assert rows.tolist() == [0, 0, 1, 2, 2, 2]
    assert columns.tolist() == [0, 1, 0, 0, 1, 2]


@given(n=st.integers(1, 30), size=st.integers(1, 10), seed=st.integers(0, 99))
def test_minibatches_deal_every_row_once_in_parts_of_one_size(n, size, seed):
    columns = {"index": np.arange(1, n + 1), "row": np.arange(1, n + 1)[:, None] * np.ones((1, 3))}
    parts = list(minibatches(columns, size=size, generator=np.random.default_rng(seed)))
    assert all(part["index"].shape == (size,) and part["row"].shape == (size, 3) for part in parts)
    assert all((part["row"][:, 0] == part["index"]).all() for part in parts), "columns stay together"
    dealt = np.concatenate([part["index"] for part in parts])
    assert sorted(dealt[dealt > 0]) == list(range(1, n + 1))
    filling = [int((part["index"] == 0).sum()) for part in parts]
    assert max(filling) - min(filling) <= 1, "parts are nearly equal"


def test_filling_keeps_the_dtype():
    assert filled(np.ones(2, np.int32), 4).tolist() == [1, 1, 0, 0]
    assert filled(np.ones(2, np.int32), 4).dtype == np.int32
