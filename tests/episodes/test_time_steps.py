from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.episodes import EnvSpec, EnvStep, StepType, TimeStep, TimeStepBatch

SPEC = EnvSpec(spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(3), 10)


def fields(rows=3, **changes):
    return {
        "env_spec": SPEC,
        "episode_infos": {"e": np.arange(rows)},
        "observations": np.arange(rows * 2, dtype=np.float32).reshape(rows, 2),
        "actions": np.arange(rows) % 3,
        "rewards": np.arange(rows) + 0.5,
        "next_observations": -np.arange(rows * 2, dtype=np.float32).reshape(rows, 2),
        "agent_infos": {"a": np.ones(rows)},
        "env_infos": {"x": {"y": np.ones((rows, 2))}},
        "step_types": np.array([0, 2, 3][:rows], np.int8),
        **changes,
    }


def batch_of(rows=3, **changes):
    return TimeStepBatch(**fields(rows, **changes))


def test_steps_of_any_order_make_a_batch():
    batch = batch_of(step_types=np.array([2, 0, 0]))
    assert batch.step_types.dtype == np.int8
    assert batch.terminals.tolist() == [True, False, False]
    assert repr(batch) == "<TimeStepBatch of 3 steps>"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"next_observations": np.zeros((2, 2))},
            "next_observations has batch size 2, but must have batch size 3",
        ),
        ({"next_observations": np.zeros((3, 4))}, r"Each observation has shape \(4,\) in next_observations"),
        ({"episode_infos": {"e": np.zeros(1)}}, "Entry 'e' in episode_infos has batch size 1"),
        ({"step_types": np.zeros(3, np.float32)}, "step_types has dtype float32"),
        ({"observations": 3}, "observations is not of type"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        batch_of(**changes)


def test_split_gives_one_batch_for_each_step():
    parts = batch_of().split()
    assert [part.rewards.tolist() for part in parts] == [[0.5], [1.5], [2.5]]
    assert parts[1].env_infos["x"]["y"].shape == (1, 2)
    assert TimeStepBatch.concatenate(*parts).difference(batch_of()) is None


def test_concatenating_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one TimeStepBatch"):
        TimeStepBatch.concatenate()


def test_what_is_no_batch_is_not_concatenated():
    with pytest.raises(TypeError, match="one is of type NoneType"):
        TimeStepBatch.concatenate(batch_of(), None)


def test_a_dict_that_lacks_a_column_is_refused_by_its_place():
    steps = batch_of().to_time_step_list()
    del steps[2]["actions"], steps[2]["rewards"]
    with pytest.raises(ValueError, match="time step 2 lacks actions, rewards: it has observations, "):
        TimeStepBatch.from_time_step_list(SPEC, steps)


def test_keys_may_differ_between_batches():
    joined = TimeStepBatch.concatenate(batch_of(1), batch_of(2, agent_infos={}))
    assert joined.agent_infos["_a"].tolist() == [True, False, False]


def test_lists_of_dicts_go_both_ways():
    steps = batch_of().to_time_step_list()
    assert steps[2]["observations"].shape == (1, 2)
    assert TimeStepBatch.from_time_step_list(SPEC, steps).difference(batch_of()) is None
    with pytest.raises(ValueError, match="at least one dict"):
        TimeStepBatch.from_time_step_list(SPEC, [])


def test_difference_names_the_step():
    other = batch_of(rewards=np.array([0.5, 7, 2.5]))
    assert batch_of().difference(other) == "rewards at step 1 is 1.5 here and 7. there."
    assert batch_of().digest() != other.digest()


def test_a_time_step_batch_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch_of().rewards = None


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_step_knows_its_place_also_when_the_type_is_a_plain_integer(number):
    for step_type in (number, StepType(number), np.int8(number)):
        step = EnvStep(SPEC, 1, 0.5, np.zeros(2), {}, step_type)
        assert [step.first, step.mid, step.terminal, step.timeout] == [number == i for i in range(4)]
        assert step.last == (number >= 2)


def test_a_time_step_is_made_of_an_env_step_and_what_came_before():
    step = EnvStep(SPEC, 1, 0.5, np.ones(2), {"i": 1}, StepType.FIRST)
    time_step = TimeStep.from_env_step(step, np.zeros(2), {"p": 1}, {"e": 1})
    assert time_step.observation.tolist() == [0, 0]
    assert time_step.next_observation.tolist() == [1, 1]
    assert time_step.first
    assert time_step.episode_info == {"e": 1}
    with pytest.raises(dataclasses.FrozenInstanceError):
        time_step.reward = 1
