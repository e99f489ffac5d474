from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.episodes import EnvSpec, EpisodeBatch

BOX = spaces.Box(-1, 1, (2,), np.float32)


def batch_of(lengths, limit, observation_space=BOX):
    rows, n = sum(lengths), len(lengths)

    def column(count):
        array = np.arange(1, count * 2 + 1, dtype=np.float32).reshape(count, 2)
        return array if observation_space is BOX else {"a": (array,)}

    return EpisodeBatch(
        env_spec=EnvSpec(observation_space, spaces.Discrete(9), limit),
        episode_infos={},
        observations=column(rows),
        last_observations=column(n),
        actions=np.arange(rows),
        rewards=np.arange(rows) + 1.0,
        env_infos={"n": {"s": np.full(rows, "x")}, "o": np.full(rows, 1, object)},
        agent_infos={"p": np.ones((rows, 3), np.float16)},
        step_types=np.concatenate([[0] + [1] * (k - 2) + [2] if k > 1 else [2] for k in lengths]).astype(
            np.int8
        ),
        lengths=np.array(lengths),
    )


def test_the_width_is_the_limit():
    assert batch_of([2, 3], 5).padded_rewards.tolist() == [[1, 2, 0, 0, 0], [3, 4, 5, 0, 0]]


@pytest.mark.parametrize("limit", [None, math.inf])
def test_without_a_finite_limit_the_width_is_the_longest_episode(limit):
    assert batch_of([2, 3], limit).padded_rewards.tolist() == [[1, 2, 0], [3, 4, 5]]


def test_a_longer_episode_widens_the_arrays_with_a_warning():
    with pytest.warns(UserWarning, match="longer length than requested"):
        assert batch_of([2, 3], 2).valids.shape == (2, 3)


def test_padded_columns_keep_dtype_and_structure():
    space = spaces.Dict({"a": spaces.Tuple([BOX])})
    batch = batch_of([2, 1], 4, space)
    assert batch.padded_observations["a"][0].shape == (2, 4, 2)
    assert batch.padded_observations["a"][0].dtype == np.float32
    assert batch.padded_next_observations["a"][0][0, :, 0].tolist() == [3, 1, 0, 0]
    assert batch.padded_actions.dtype == np.int64
    assert batch.padded_agent_infos["p"].shape == (2, 4, 3)
    assert batch.padded_agent_infos["p"].dtype == np.float16
    assert batch.padded_env_infos["n"]["s"].tolist() == [["x", "x", "", ""], ["x", "", "", ""]]
    assert batch.padded_env_infos["o"].tolist() == [[1, 1, None, None], [1, None, None, None]]


def test_padding_of_step_types_is_no_step_type():
    assert batch_of([2, 1], 3).padded_step_types.tolist() == [[0, 2, -1], [2, -1, -1]]
    assert batch_of([2, 1], 3).padded_step_types.dtype == np.int8


def test_valids_are_ones_in_the_dtype_of_rewards():
    valids = batch_of([2, 1], 3).valids
    assert valids.tolist() == [[1, 1, 0], [1, 0, 0]]
    assert valids.dtype == np.float64


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=6), limit=st.integers(6, 9) | st.none())
def test_padded_rows_are_the_rows_in_order(lengths, limit):
    batch = batch_of(lengths, limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        valid = batch.valids.astype(bool)
    assert batch.padded_rewards[valid].tolist() == batch.rewards.tolist()
    assert not batch.padded_rewards[~valid].any()
    assert valid.sum(axis=1).tolist() == lengths
    assert batch.padded_observations[valid].tolist() == batch.observations.tolist()
