from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.episodes import InProgressEpisode, StepType


class Counter(gymnasium.Env):
    """Counts its steps in one buffer, and ends after `length` of them."""

    observation_space = spaces.Box(0, 100, (1,), np.float64)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, length=100):
        self.length = length
        self.resets = 0
        self.buffer = np.zeros(1)

    def reset(self, *, seed=None, options=None):
        self.resets += 1
        self.buffer[:] = 0
        return self.buffer, {"resets": self.resets}

    def step(self, action):
        assert action.dtype == np.float32, "actions are cast before the step"
        self.buffer += 1
        action[:] = 7  # an environment that writes to what it gets
        return (
            self.buffer,
            float(self.buffer[0]),
            self.buffer[0] >= self.length,
            False,
            {"t": int(self.buffer[0])},
        )


ACTION = np.zeros(2, np.float32)


def test_it_resets_the_environment_unless_that_was_done():
    env = Counter()
    episode = InProgressEpisode(env)
    assert env.resets == 1
    assert episode.episode_info == {"resets": 1}
    InProgressEpisode(env, *env.reset())
    assert env.resets == 2


@pytest.mark.parametrize("given", [{"initial_observation": np.zeros(1)}, {"episode_info": {}}])
def test_half_a_reset_is_refused(given):
    with pytest.raises(ValueError, match="given without"):
        InProgressEpisode(Counter(), **given)


def test_the_batch_holds_every_step_though_the_environment_reuses_its_buffer():
    episode = InProgressEpisode(Counter(3))
    while episode.step_type is None or episode.step_type < StepType.TERMINAL:
        observation = episode.step(ACTION, {"p": 0.5})
    assert observation is episode.last_obs
    batch = episode.to_batch().replace()
    assert batch.observations[:, 0].tolist() == [0, 1, 2]
    assert batch.last_observations.tolist() == [[3]]
    assert batch.actions.tolist() == [[0, 0]] * 3, (
        "what was recorded is what the environment got, before its change"
    )
    assert batch.env_infos["t"].tolist() == [1, 2, 3]
    assert batch.agent_infos["p"].tolist() == [0.5] * 3
    assert batch.episode_infos_by_episode["resets"].tolist() == [1]
    assert batch.step_types.tolist() == [0, 1, 2]


def test_an_open_episode_can_be_had_as_a_batch_and_goes_on():
    episode = InProgressEpisode(Counter(5))
    episode.step(ACTION, {})
    first = episode.to_batch()
    episode.step(ACTION, {})
    assert first.step_types.tolist() == [0]
    assert episode.to_batch().step_types.tolist() == [0, 1]


def test_the_environments_own_limit_is_a_timeout():
    episode = InProgressEpisode(gymnasium.wrappers.TimeLimit(Counter(), 2))
    episode.step(ACTION, {})
    episode.step(ACTION, {})
    assert episode.to_batch().step_types.tolist() == [0, 3]


def test_stepping_past_the_end_is_refused():
    episode = InProgressEpisode(Counter(1))
    episode.step(ACTION, {})
    with pytest.raises(RuntimeError, match="ended TERMINAL after 1 steps"):
        episode.step(ACTION, {})


def test_no_steps_make_no_batch():
    with pytest.raises(AssertionError, match="no steps yet"):
        InProgressEpisode(Counter()).to_batch()
