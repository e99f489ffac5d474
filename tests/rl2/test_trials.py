from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.episodes import EnvSpec, EpisodeBatch, Provenance, StepType
from samplerkit.rl2 import group_trials, inner_returns, join_trials, trial_returns

SPEC = EnvSpec(spaces.Box(-np.inf, np.inf, (1,), np.float64), spaces.Discrete(5), 10)


def batch_of(lengths, *, episode_infos=None, env_infos=None, workers=None):
    """Rewards and observations count the steps 0, 1, 2, …; final observations are -1, -2, …"""
    total, n = sum(lengths), len(lengths)
    ends = np.cumsum(lengths)
    step_types = np.full(total, StepType.MID, np.int8)
    step_types[ends - lengths] = StepType.FIRST
    step_types[ends - 1] = StepType.TIMEOUT
    units = np.arange(n)
    return EpisodeBatch(
        env_spec=SPEC,
        episode_infos={key: np.array(value) for key, value in (episode_infos or {}).items()},
        observations=np.arange(total, dtype=np.float64)[:, None],
        last_observations=-np.arange(1, n + 1, dtype=np.float64)[:, None],
        actions=np.arange(total) % 5,
        rewards=np.arange(total, dtype=np.float64),
        env_infos={key: np.array(value) for key, value in (env_infos or {}).items()},
        agent_infos={"log_prob": np.arange(total, dtype=np.float32)},
        step_types=step_types,
        lengths=np.array(lengths),
        provenance=Provenance(
            units, np.zeros(n, int) if workers is None else np.array(workers), units, units
        ),
    )


def lists(groups):
    return [group.tolist() for group in groups]


def test_episodes_are_grouped_by_trial_in_the_order_of_play():
    batch = batch_of([1] * 5, episode_infos={"trial": [8, 3, 8, 3, 9], "episode_index": [1, 0, 0, 1, 0]})
    assert lists(group_trials(batch)) == [[2, 0], [1, 3], [4]]


def test_the_worker_plays_no_part():
    infos = {"trial": [1, 1, 2, 2], "episode_index": [0, 1, 0, 1]}
    one = group_trials(batch_of([1] * 4, episode_infos=infos, workers=[0, 0, 0, 0]))
    assert lists(one) == lists(group_trials(batch_of([1] * 4, episode_infos=infos, workers=[3, 1, 0, 0])))


def test_episodes_without_an_index_are_whole_trials_even_with_equal_ids():
    assert lists(group_trials(batch_of([1, 2], episode_infos={"trial": [7, 7]}))) == [[0], [1]]


@pytest.mark.parametrize("indices", [[0, 0], [0, 2], [1, 2]])
def test_incomplete_trials_are_refused(indices):
    with pytest.raises(ValueError, match="trial 5 has episodes"):
        group_trials(batch_of([1, 1], episode_infos={"trial": [5, 5], "episode_index": indices}))


def test_an_index_without_an_id_is_refused():
    with pytest.raises(ValueError, match='no "trial"'):
        group_trials(batch_of([1], episode_infos={"episode_index": [0]}))


def test_joined_trials_are_long_episodes_that_terminate():
    batch = batch_of([1, 2, 2, 1], episode_infos={"trial": [4, 6, 4, 6], "episode_index": [0, 1, 1, 0]})
    joined = join_trials(batch)
    assert joined.lengths.tolist() == [3, 3]
    assert joined.observations.ravel().tolist() == [0, 3, 4, 5, 1, 2]
    assert joined.rewards.tolist() == [0, 3, 4, 5, 1, 2]
    assert joined.agent_infos["log_prob"].tolist() == [0, 3, 4, 5, 1, 2]
    assert joined.last_observations.ravel().tolist() == [-3, -2]
    first, mid, terminal = StepType.FIRST, StepType.MID, StepType.TERMINAL
    assert joined.step_types.tolist() == [first, mid, terminal] * 2
    assert joined.episode_infos_by_episode["trial"].tolist() == [4, 6]
    assert joined.provenance.units.tolist() == [0, 3]


def test_whole_trials_are_left_alone():
    batch = batch_of([3, 2])
    assert join_trials(batch) is batch


def test_returns_of_trials_and_of_their_episodes():
    batch = batch_of([1, 2, 2, 1], episode_infos={"trial": [4, 6, 4, 6], "episode_index": [0, 1, 1, 0]})
    assert trial_returns(batch).tolist() == [7, 8]
    assert inner_returns(batch).tolist() == [[0, 7], [5, 3]]


def test_inner_returns_of_whole_trials_come_from_the_steps():
    batch = batch_of([4, 3], env_infos={"episode_index": [0, 0, 1, 2, 0, 1, 1]})
    np.testing.assert_array_equal(inner_returns(batch), [[1, 2, 3], [4, 11, np.nan]])
