"""Final observations that stand among a batch's others are made when they are asked for."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.episodes import EnvSpec, EpisodeBatch
from samplerkit.episodes.finals import Finals, as_slice, picked

SPEC = EnvSpec(spaces.Box(-np.inf, np.inf, (1,), np.float64), spaces.Discrete(2))


def batch(last_observations) -> EpisodeBatch:
    """Three fragments of one step each: two of the same episode, and another's end."""
    return EpisodeBatch.unchecked(
        env_spec=SPEC,
        episode_infos={},
        observations=np.array([[1.0], [2.0], [7.0]]),
        last_observations=last_observations,
        actions=np.zeros(3, np.int64),
        rewards=np.zeros(3),
        env_infos={},
        agent_infos={},
        step_types=np.array([1, 1, 2], np.int8),
        lengths=np.array([1, 1, 1]),
    )


@pytest.fixture
def waiting() -> EpisodeBatch:
    return batch(()).with_finals(Finals(np.array([1, -1, -2]), np.array([[3.0], [8.0]])))


def test_they_are_found_among_the_others_and_apart(waiting):
    assert waiting.last_observations.tolist() == [[2], [3], [8]]


@pytest.mark.parametrize(
    "through",
    [
        lambda it: it,
        lambda it: pickle.loads(pickle.dumps(it)),
        lambda it: it.with_provenance(None),
        lambda it: it.replace(rewards=np.zeros(3)),
        lambda it: it.view(slice(0, 3), slice(0, 3)),
        lambda it: EpisodeBatch.concatenate(it),
        lambda it: EpisodeBatch.concatenate(*it.split()),
    ],
    ids=["as-it-is", "pickled", "with-provenance", "replaced", "viewed", "joined", "split"],
)
def test_a_batch_that_has_not_made_them_is_like_one_that_has(waiting, through):
    assert through(waiting).difference(batch(np.array([[2.0], [3.0], [8.0]]))) is None


def test_other_attributes_are_still_missing(waiting):
    with pytest.raises(AttributeError, match="has no attribute 'finals_of'"):
        waiting.finals_of  # noqa: B018
    with pytest.raises(AttributeError, match="last_observations"):
        object.__new__(EpisodeBatch).last_observations  # noqa: B018


@pytest.mark.parametrize("rows", [[2, 0], [-1, 1], [-2, -1], [0, -2]], ids=str)
def test_rows_of_two_columns_are_picked_into_fresh_arrays(rows):
    every, apart = np.arange(3.0), np.array([10.0, 11.0])
    found = picked({"a": every}, {"a": apart}, np.array(rows))["a"]
    assert found.tolist() == [every[row] if row >= 0 else apart[-1 - row] for row in rows]
    assert not np.may_share_memory(found, every)


def test_of_a_column_without_rows_only_those_apart_can_be_picked():
    assert picked(np.zeros(0), np.array([5.0]), np.array([-1])).tolist() == [5]


@pytest.mark.parametrize("rows", [[4], [2, 3, 4], [1, 5, 9]], ids=str)
def test_rows_that_are_evenly_apart_are_a_slice(rows):
    assert np.arange(12)[as_slice(np.array(rows))].tolist() == rows
    assert isinstance(as_slice(np.array(rows)), slice)


@pytest.mark.parametrize("rows", [[3, 2], [1, 1], [0, 1, 3], [0, 3, 1, 2, 6]], ids=str)
def test_other_rows_are_left_as_they_are(rows):
    assert as_slice(np.array(rows)).tolist() == rows
