"""Pieces of streams become units: in the order of their numbers, and no more than were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.episodes import EnvSpec, EpisodeBatch, StepType
from samplerkit.sampling.admission import Rounds, Steps, Units
from samplerkit.sampling.streams import goal_of_pieces, units_of_pieces

SPEC = EnvSpec(spaces.Box(-np.inf, np.inf, (1,), np.float64), spaces.Discrete(2))


def episodes(names, lengths):
    """Return episodes whose observations are their names."""
    ends = np.cumsum(lengths)
    types = np.full(ends[-1], StepType.MID, np.int8)
    types[ends - lengths] = StepType.FIRST
    types[ends - 1] = StepType.TERMINAL
    return EpisodeBatch(
        env_spec=SPEC,
        episode_infos={},
        observations=np.repeat(np.array(names, np.float64), lengths)[:, None],
        last_observations=np.array(names, np.float64)[:, None],
        actions=np.zeros(ends[-1], np.int64),
        rewards=np.zeros(ends[-1]),
        env_infos={},
        agent_infos={},
        step_types=types,
        lengths=np.array(lengths),
    )


# Two workers, two rounds, three episodes a piece: worker a's are 0 to 5, worker b's 10 to 15.
NAMES = [0, 1, 2, 10, 11, 12, 3, 4, 5, 13, 14, 15]
LENGTHS = np.array([2, 1, 3, 1, 1, 4, 2, 2, 2, 1, 5, 1])


def names_of(batch):
    return batch.last_observations[:, 0].astype(int).tolist()


def test_units_of_several_workers_take_turns():
    batch, numbers = units_of_pieces(episodes(NAMES, LENGTHS), Steps(9), 2, 3, 7)
    assert names_of(batch) == [0, 10, 1, 11, 2, 12]  # 2 + 1 + 1 + 1 + 3 are not enough
    assert numbers.tolist() == [7, 8, 9, 10, 11, 12]
    for episode, name in zip(batch.split(), names_of(batch), strict=True):
        assert (episode.observations == name).all()


def test_exact_units_come_worker_by_worker():
    batch, numbers = units_of_pieces(episodes(NAMES, LENGTHS), Units(8), 2, 3, 7)
    # Unit 7 is the first, and worker 1's.
    assert numbers.tolist() == [8, 10, 12, 14, 7, 9, 11, 13]
    assert names_of(batch) == [10, 11, 12, 13, 0, 1, 2, 3]


@pytest.mark.parametrize(("least", "count"), [(1, 1), (2, 1), (3, 2), (7, 4), (8, 5)])
def test_one_worker_gives_the_shortest_run(least, count):
    batch, numbers = units_of_pieces(episodes(NAMES[:6], LENGTHS[:6]), Steps(least), 1, 3, 0)
    assert names_of(batch) == NAMES[:count]
    assert numbers.tolist() == list(range(count))


def test_pieces_of_another_size_are_noticed():
    with pytest.raises(RuntimeError, match="12 episodes came in pieces of 2 workers; each must have 5"):
        units_of_pieces(episodes(NAMES, LENGTHS), Steps(1), 2, 5, 0)


def test_whole_rounds_of_pieces_are_asked_for():
    goal = goal_of_pieces(Steps(100), 3, 4)
    assert isinstance(goal, Rounds)
    assert [goal.enough(units, 80, (5, 15, 25, 35)) for units in (1, 2, 3, 4)] == [2, None, 3, 2]
    assert [goal.enough(units, 100, (5, 15)) for units in (1, 2, 4, 5)] == [None, 1, None, 1]
    assert goal.enough(2, 99, (0, 1)) == 1
    assert goal.enough(2, 98, (0, 1)) is None
    assert [goal.in_full(units) for units in (1, 3, 4)] == [3, 3, 6]
    assert goal_of_pieces(Units(3 * 5), 3, 4) == Units(6)
