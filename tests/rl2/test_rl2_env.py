from __future__ import annotations

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit.episodes import EnvSpec
from samplerkit.rl2 import BanditEnv, RL2Env, TabularMDPEnv


class CountingEnv(gymnasium.Env):
    """Observes (task, step); an episode terminates after `length` steps. The seed is the task."""

    def __init__(self, length=2, action_space=None, observation_space=None):
        self.length = length
        self.observation_space = observation_space or spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = action_space or spaces.Discrete(3)
        self.seeds = []
        self.task = 0
        self.count = 0

    def _observe(self):
        return np.array([self.task, self.count], dtype=np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        if seed is not None:
            self.task = seed
        self.count = 0
        return self._observe(), {"task": self.task}

    def step(self, action):
        self.count += 1
        return self._observe(), 10.0 + self.count, self.count == self.length, False, {"count": self.count}


def test_a_trial_begins_with_the_default_action_no_reward_and_done():
    observation, info = RL2Env(CountingEnv(), episodes_per_trial=2).reset(seed=7)
    np.testing.assert_array_equal(observation, np.array([7, 0, 1, 0, 0, 0, 1], np.float32))
    assert observation.dtype == np.float32
    assert info == {"task": 7, "trial": 7}


def test_a_step_within_an_episode_shows_its_action_and_reward():
    env = RL2Env(CountingEnv(), episodes_per_trial=2)
    env.reset(seed=7)
    observation, reward, terminated, truncated, info = env.step(2)
    np.testing.assert_array_equal(observation, np.array([7, 1, 0, 0, 1, 11, 0], np.float32))
    assert (reward, terminated, truncated) == (11.0, False, False)
    assert not info["inner_done"]
    np.testing.assert_array_equal(info["inner_final_observation"], [0, 0])


def test_the_end_of_an_inner_episode_delivers_the_next_ones_first_observation_with_the_last_reward():
    env = RL2Env(CountingEnv(), episodes_per_trial=2)
    env.reset(seed=7)
    env.step(2)
    observation, reward, terminated, _, info = env.step(1)
    np.testing.assert_array_equal(observation, np.array([7, 0, 0, 1, 0, 12, 1], np.float32))
    assert reward == 12.0
    assert not terminated, "the trial has another episode"
    assert info["inner_done"]
    assert not info["inner_truncated"]
    np.testing.assert_array_equal(info["inner_final_observation"], [7, 2])


def test_the_trial_terminates_with_its_last_episode_and_shows_how_that_ended():
    env = RL2Env(CountingEnv(), episodes_per_trial=2)
    env.reset(seed=7)
    for _ in range(3):
        env.step(0)
    observation, _, terminated, truncated, info = env.step(1)
    assert terminated
    assert not truncated
    np.testing.assert_array_equal(observation, np.array([7, 2, 0, 1, 0, 12, 1], np.float32))
    assert info["inner_done"]
    assert info["episode_index"] == 1


def test_every_step_has_the_same_infos():
    env = RL2Env(CountingEnv(), episodes_per_trial=3)
    env.reset(seed=1)
    steps = [env.step(0)[4] for _ in range(6)]
    keys = {"count", "inner_done", "inner_truncated", "inner_final_observation", "episode_index"}
    assert all(set(info) == keys for info in steps)
    assert [info["episode_index"] for info in steps] == [0, 0, 1, 1, 2, 2]
    assert [info["inner_done"] for info in steps] == [False, True] * 3


def test_only_the_outer_reset_passes_a_seed_to_the_inner_environment():
    inner = CountingEnv()
    env = RL2Env(inner, episodes_per_trial=2)
    for seed in (5, 6):
        env.reset(seed=seed)
        for _ in range(4):
            env.step(0)
    assert inner.seeds == [5, None, 6, None]


def test_an_inner_time_limit_ends_inner_episodes_as_truncated():
    env = RL2Env(CountingEnv(length=100), episodes_per_trial=2, max_inner_length=3)
    env.reset(seed=0)
    steps = [env.step(0) for _ in range(6)]
    assert [step[4]["inner_truncated"] for step in steps] == [False, False, True] * 2
    assert [step[2] for step in steps] == [False] * 5 + [True]


def test_termination_at_the_inner_limit_counts_as_termination():
    env = RL2Env(CountingEnv(length=3), episodes_per_trial=1, max_inner_length=3)
    env.reset(seed=0)
    info = [env.step(0)[4] for _ in range(3)][-1]
    assert info["inner_done"]
    assert not info["inner_truncated"]


def test_unseeded_trials_follow_from_the_last_seed_and_differ():
    def trials(env):
        return [env.reset(seed=3)[1]["trial"], *(env.reset()[1]["trial"] for _ in range(3))]

    first, second = (trials(RL2Env(BanditEnv(5), episodes_per_trial=2)) for _ in range(2))
    assert first == second
    assert len(set(first)) == 4


def play(env, seed, actions):
    trial = [env.reset(seed=seed)]
    for action in actions:
        trial.append(env.step(action))
        if trial[-1][2]:
            break
    return pickle.dumps(trial)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31 - 1), other=st.integers(0, 2**31 - 1), played=st.integers(0, 30), data=st.data()
)
def test_a_trial_is_a_function_of_its_seed_and_actions(seed, other, played, data):
    make, n_actions = data.draw(
        st.sampled_from([(lambda: BanditEnv(5), 5), (lambda: TabularMDPEnv(4, 3, horizon=5), 3)])
    )
    actions = data.draw(st.lists(st.integers(0, n_actions - 1), min_size=30, max_size=30))
    used, fresh = (RL2Env(make(), episodes_per_trial=6) for _ in range(2))
    play(used, other, actions[:played])
    assert play(used, seed, actions) == play(fresh, seed, actions)


def test_a_pickled_trial_goes_on_like_the_original():
    env = RL2Env(BanditEnv(5), episodes_per_trial=8)
    env.reset(seed=11)
    env.step(1)
    copy = pickle.loads(pickle.dumps(env))
    assert [pickle.dumps(env.step(a)) for a in (0, 1, 2)] == [pickle.dumps(copy.step(a)) for a in (0, 1, 2)]


def test_observations_fit_the_space_and_are_not_reused():
    env = RL2Env(TabularMDPEnv(), episodes_per_trial=2)
    first, _ = env.reset(seed=0)
    kept = first.copy()
    second = env.step(0)[0]
    assert env.observation_space.contains(second)
    assert env.observation_space.shape == (10 + 5 + 2,)
    env.step(1)
    np.testing.assert_array_equal(first, kept)


class DictEnv(CountingEnv):
    def __init__(self):
        super().__init__(action_space=spaces.Box(-1, 1, (2,), np.float32))
        self.observation_space = spaces.Dict(
            {"where": spaces.Box(-np.inf, np.inf, (2,)), "what": spaces.Discrete(3)}
        )

    def _observe(self):
        return {"where": np.array([self.task, self.count], np.float32), "what": np.int64(self.count)}


def test_dict_observations_are_flattened_and_box_actions_appended_as_they_are():
    env = RL2Env(DictEnv(), episodes_per_trial=1)
    first, _ = env.reset(seed=4)
    inner = spaces.flatten(env.env.observation_space, env.env._observe())
    np.testing.assert_array_equal(first, np.concatenate([inner, [0, 0, 0, 1]]).astype(np.float32))
    observation = env.step(np.array([0.5, -1], np.float32))[0]
    np.testing.assert_array_equal(observation[-4:], np.array([0.5, -1, 11, 0], np.float32))


def test_discrete_actions_count_from_their_start():
    env = RL2Env(CountingEnv(action_space=spaces.Discrete(3, start=5)), episodes_per_trial=1)
    env.reset(seed=0)
    np.testing.assert_array_equal(env.step(6)[0][2:5], [0, 1, 0])


def test_multi_discrete_actions_become_one_hot_groups():
    env = RL2Env(CountingEnv(action_space=spaces.MultiDiscrete([2, 3])), episodes_per_trial=1)
    np.testing.assert_array_equal(env.reset(seed=0)[0][2:7], [1, 0, 1, 0, 0])
    np.testing.assert_array_equal(env.step(np.array([1, 2]))[0][2:7], [0, 1, 0, 0, 1])


def test_dict_actions_are_refused_by_name():
    with pytest.raises(TypeError, match="Dict actions"):
        RL2Env(CountingEnv(action_space=spaces.Dict({"a": spaces.Discrete(2)})), episodes_per_trial=2)


def test_observations_without_a_flat_size_are_refused_by_name():
    with pytest.raises(TypeError, match="Sequence"):
        RL2Env(CountingEnv(observation_space=spaces.Sequence(spaces.Discrete(2))), episodes_per_trial=2)


def test_stepping_before_a_reset_and_after_the_trial_is_refused():
    env = RL2Env(CountingEnv(length=1), episodes_per_trial=1)
    with pytest.raises(RuntimeError, match=r"reset\(\)"):
        env.step(0)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(RuntimeError, match=r"reset\(\)"):
        env.step(0)


@pytest.mark.parametrize("bad", [{"episodes_per_trial": 0}, {"episodes_per_trial": 1, "max_inner_length": 0}])
def test_counts_below_one_are_refused(bad):
    with pytest.raises(ValueError, match="at least 1"):
        RL2Env(CountingEnv(), **bad)


def test_the_time_limit_is_that_of_a_whole_trial():
    assert EnvSpec.from_env(RL2Env(BanditEnv(5), episodes_per_trial=10)).max_episode_length == 10
    assert EnvSpec.from_env(RL2Env(TabularMDPEnv(horizon=7), episodes_per_trial=3)).max_episode_length == 21
    limited = RL2Env(gymnasium.wrappers.TimeLimit(CountingEnv(), 4), episodes_per_trial=5)
    assert EnvSpec.from_env(limited).max_episode_length == 20
    assert EnvSpec.from_env(RL2Env(CountingEnv(), episodes_per_trial=5)).max_episode_length is None


def test_a_set_task_is_played_in_every_trial():
    env = RL2Env(BanditEnv(2), episodes_per_trial=20)
    env.set_task({"means": np.array([0.0, 1.0])})
    for seed in (1, 2):
        env.reset(seed=seed)
        assert [env.step(arm)[1] for arm in (0, 1) * 5] == [0.0, 1.0] * 5


def test_it_is_a_gymnasium_environment():
    env = RL2Env(BanditEnv(3), episodes_per_trial=2)
    assert isinstance(env.unwrapped, BanditEnv)
    wrapped = gymnasium.wrappers.TimeLimit(env, 1)
    wrapped.reset(seed=0)
    assert wrapped.step(0)[3], "other wrappers go around it"
