"""The reference worker: what an episode holds, how it ends, how it is seeded."""

from __future__ import annotations

import math

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from samplerkit import (
    DefaultWorker,
    EnvUpdate,
    InProgressEpisode,
    NewEnvUpdate,
    SetTaskUpdate,
    StepType,
    Unit,
)
from samplerkit.contract.probes import ProbePolicy, TattooEnv, assert_whole, mark_of, read_ledger
from samplerkit.contract.probes.oracle import unit_seeds

FIRST, MID, TERMINAL, TIMEOUT = StepType


def worker(env=None, policy=None, limit=math.inf, reseed=True):
    it = DefaultWorker(seed=0, max_episode_length=limit, worker_number=0)
    it.reseed = reseed
    it.update_agent(ProbePolicy() if policy is None else policy)
    it.update_env(TattooEnv() if env is None else env)
    return it


def unit(number, seed=0):
    return Unit(number, *unit_seeds(seed, number))


def episode(it, number=0):
    it.unit = unit(number)
    return it.rollout()


def types(batch):
    return [StepType(int(kind)) for kind in batch.step_types]


class FixedEnd(TattooEnv):
    """Sets both flags, or one, at a given step; goes on for ever otherwise."""

    def __init__(self, at, terminated, truncated):
        super().__init__(lengths=(1000,))
        self.at, self.flags = at, (terminated, truncated)

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, *(self.flags if self.t == self.at else (False, False)), info


# -- what an episode holds -----------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["flat", "dict", "tuple"])
def test_an_episode_holds_all_its_steps_in_order(layout):
    env = TattooEnv(layout=layout, lengths=range(1, 90))
    it = worker(env)
    for number in range(8):
        assert_whole(episode(it, number), env, ProbePolicy(), seed=0, numbers=[number])


def test_observations_are_copies_of_a_buffer_that_the_environment_overwrites():
    env = TattooEnv(lengths=(5,))
    batch = episode(worker(env))
    assert mark_of(batch.observations)[:, 2].tolist() == [0, 1, 2, 3, 4]
    env._buffer[:] = -1
    env._info_buffer[:] = -1
    assert mark_of(batch.observations)[:, 2].tolist() == [0, 1, 2, 3, 4]
    assert batch.env_infos["nested"]["array"][:, 0].tolist() == [1, 2, 3, 4, 5]


def test_an_episode_is_not_written_to_by_the_next():
    it = worker()
    first = episode(it, 0)
    before = first.digest()
    episode(it, 1)
    assert first.digest() == before


def test_the_last_observation_is_the_one_after_the_last_step():
    batch = episode(worker(TattooEnv(lengths=(3,))))
    assert mark_of(batch.last_observations)[:, 2].tolist() == [3]


def test_infos_are_kept_under_their_keys():
    batch = episode(worker(TattooEnv(lengths=(3,))))
    assert batch.env_infos["action"].tolist() == batch.actions.tolist()
    assert batch.env_infos["nested"]["array"].dtype == np.float32
    assert batch.env_infos["_at_odd_steps"].tolist() == [True, False, True]
    assert batch.env_infos["at_odd_steps"].tolist() == [0.25, 0.0, 0.75]
    assert batch.episode_infos_by_episode["length"].tolist() == [3]
    assert batch.agent_infos["count"].tolist() == [0, 1, 2]
    assert batch.agent_infos["seed"].dtype == np.uint64


def test_infos_may_be_empty():
    class Silent(ProbePolicy):
        def get_action(self, observation):
            return super().get_action(observation)[0], {}

    batch = episode(worker(TattooEnv(infos="none"), Silent()))
    assert (batch.env_infos, batch.agent_infos, batch.episode_infos_by_episode) == ({}, {}, {})


def test_negative_zero_and_nan_come_through():
    class Special(TattooEnv):
        def step(self, action):
            observation, _, *rest = super().step(action)
            observation[1:] = np.nan, -0.0, np.inf
            return observation, -0.0, *rest

    class Blind(ProbePolicy):
        def get_action(self, observation):
            return 0, {}

    batch = episode(worker(Special(lengths=(2,)), Blind()))
    assert np.signbit(batch.rewards).all()
    last = batch.last_observations[0]
    assert np.isnan(last[1])
    assert np.signbit(last[2])
    assert last[3] == np.inf


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_observations_have_the_dtype_of_the_space(dtype):
    batch = episode(worker(TattooEnv(dtype=dtype)))
    assert batch.observations.dtype == np.dtype(dtype)
    assert batch.last_observations.dtype == np.dtype(dtype)


def test_the_recorded_action_is_the_one_the_environment_was_given():
    class Greedy(TattooEnv):
        """Writes to the action array that it is given."""

        def __init__(self):
            super().__init__(lengths=(3,))
            self.action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
            self.seen = []

        def step(self, action):
            assert action.dtype == np.float32
            self.seen.append(action.copy())
            action[:] = 0
            return super().step(1)

    class Constant(ProbePolicy):
        def get_action(self, observation):
            return np.array([0.5, 3.0], np.float32), {}

    env = Greedy()
    batch = episode(worker(env, Constant()))
    assert batch.actions.tolist() == np.array(env.seen).tolist() == [[0.5, 3.0]] * 3


# -- how an episode ends -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terminated", "truncated", "last"),
    [(True, False, TERMINAL), (False, True, TIMEOUT), (True, True, TERMINAL)],
)
def test_the_environment_s_end(terminated, truncated, last):
    batch = episode(worker(FixedEnd(3, terminated, truncated)))
    assert types(batch) == [FIRST, MID, last]


@pytest.mark.parametrize(("terminated", "last"), [(True, TERMINAL), (False, TIMEOUT)])
def test_termination_at_the_limit_wins_over_the_limit(terminated, last):
    batch = episode(worker(FixedEnd(3, terminated, False), limit=3))
    assert types(batch) == [FIRST, MID, last]


def test_an_environment_that_would_end_after_the_limit_times_out_at_the_limit():
    batch = episode(worker(FixedEnd(4, True, False), limit=3))
    assert types(batch) == [FIRST, MID, TIMEOUT]


@pytest.mark.parametrize(("terminated", "truncated"), [(True, False), (False, True), (False, False)])
def test_a_one_step_episode_ends_terminal_or_with_a_timeout(terminated, truncated):
    batch = episode(worker(FixedEnd(1, terminated, truncated), limit=1))
    assert types(batch) == [TERMINAL if terminated else TIMEOUT]


def test_a_one_step_episode_is_followed_by_a_whole_one():
    it = worker(FixedEnd(1, True, False))
    episode(it, 0)
    it.env.at = 3
    assert types(episode(it, 1)) == [FIRST, MID, TERMINAL]
    it.env.flags = (False, True)
    assert types(episode(it, 2)) == [FIRST, MID, TIMEOUT], "the end of the episode before must not stick"


def test_no_limit_is_a_limit():
    batch = episode(worker(TattooEnv(lengths=(700,)), limit=math.inf))
    assert batch.lengths.tolist() == [700]


def test_a_time_limit_wrapper_gives_a_timeout():
    batch = episode(worker(TimeLimit(TattooEnv(lengths=(9,)), 4)))
    assert types(batch) == [FIRST, MID, MID, TIMEOUT]


def test_no_step_is_taken_after_the_end():
    it = worker(TattooEnv(lengths=range(1, 4)))  # it asserts that nobody does
    for number in range(20):
        episode(it, number)


# -- seeding -------------------------------------------------------------------------------------


class Diary:
    """Notes the calls that a policy gets."""

    def __init__(self):
        self.calls = []

    def reset(self, do_resets=None):
        self.calls.append(("reset", do_resets))

    def seed(self, seeds):
        self.calls.append(("seed", seeds))

    def get_action(self, observation):
        self.calls.append(("get_action", None))
        return 0, {}

    def get_param_values(self):
        return {}

    def set_param_values(self, params):
        self.calls.append(("set_param_values", params))


def test_the_policy_is_seeded_right_after_its_reset_with_one_number():
    policy = Diary()
    episode(worker(TattooEnv(lengths=(1,)), policy), 5)
    assert [name for name, _ in policy.calls] == ["reset", "seed", "get_action"]
    seeds = policy.calls[1][1]
    assert policy.calls[0][1] is None, "a single row is reset by None"
    assert seeds.dtype == np.uint64
    assert seeds.tolist() == [unit_seeds(0, 5)[1]]


def test_outside_a_sampler_nothing_is_seeded(tmp_path):
    policy = Diary()
    it = worker(TattooEnv(ledger=tmp_path / "l", lengths=(1,)), policy)
    it.rollout()
    assert "seed" not in [name for name, _ in policy.calls]
    assert [event.detail for event in read_ledger(tmp_path / "l", "reset")] == ["unseeded"]


def test_a_new_policy_is_asked_for_its_own_seed_method():
    unseedable = type("Unseedable", (Diary,), {"seed": None})
    old, new = Diary(), unseedable()
    it = worker(TattooEnv(lengths=(1,)), old)
    it.update_agent(new)
    episode(it)
    assert old.calls == []
    assert [name for name, _ in new.calls] == ["reset", "get_action"]


def test_each_unit_seeds_the_environment(tmp_path):
    it = worker(TattooEnv(ledger=tmp_path / "l"))
    for number in (3, 0, 3):
        episode(it, number)
    expected = [str(unit_seeds(0, number)[0]) for number in (3, 0, 3)]
    assert [event.detail for event in read_ledger(tmp_path / "l", "reset")] == expected


def test_a_unit_is_the_same_whatever_ran_before():
    fresh, used = worker(), worker()
    for number in (9, 2, 7):
        episode(used, number)
    assert episode(used, 4).equals(episode(fresh, 4))


def test_without_reseed_the_environment_is_seeded_once(tmp_path):
    it = worker(TattooEnv(ledger=tmp_path / "l"), reseed=False)
    for number in range(3):
        episode(it, number)
    resets = [event.detail for event in read_ledger(tmp_path / "l", "reset")]
    assert resets == [str(unit_seeds(0, 0)[0]), "unseeded", "unseeded"]


def test_without_reseed_a_new_environment_is_seeded_once_too(tmp_path):
    it = worker(reseed=False)
    episode(it, 0)
    it.update_env(TattooEnv(ledger=tmp_path / "l"))
    episode(it, 1)
    episode(it, 2)
    resets = [event.detail for event in read_ledger(tmp_path / "l", "reset")]
    assert resets == [str(unit_seeds(0, 1)[0]), "unseeded"]


# -- updates -------------------------------------------------------------------------------------


def test_none_is_no_update():
    it = worker()
    agent, env = it.agent, it.env
    it.update_agent(None)
    it.update_env(None)
    assert (it.agent, it.env) == (agent, env)


@pytest.mark.parametrize("weights", [0, {}, (), np.zeros(0), False, ""])
def test_all_else_that_is_no_policy_is_weights(weights):
    policy = Diary()
    it = worker(policy=policy)
    it.update_agent(weights)
    assert it.agent is policy
    assert [name for name, _ in policy.calls] == ["set_param_values"]
    assert policy.calls[0][1] is weights


def test_a_policy_replaces_the_agent():
    it = worker()
    new = ProbePolicy(8)
    it.update_agent(new)
    assert it.agent is new
    assert set(episode(it).agent_infos["version"]) == {8}


class ReturnsNothing(EnvUpdate):
    def __call__(self, old_env=None):
        return None


@pytest.mark.parametrize(
    ("nonsense", "message"),
    [
        (ReturnsNothing(), "ReturnsNothing returned NoneType"),
        (3, "not int"),
        ("CartPole-v1", "not str"),
        ([TattooEnv()], "not list"),
        (TattooEnv, "not type"),
        (gymnasium.vector.SyncVectorEnv([TattooEnv]), "vector"),
    ],
    ids=["update returns None", "int", "id", "list", "class", "vector environment"],
)
def test_an_environment_update_of_another_type_changes_nothing(nonsense, message):
    it = worker()
    env = it.env
    with pytest.raises(TypeError, match=message):
        it.update_env(nonsense)
    assert it.env is env
    episode(it)


def test_a_replaced_environment_is_closed_and_a_kept_one_is_not(tmp_path):
    it = worker(TattooEnv(ledger=tmp_path / "l"))
    it.update_env(SetTaskUpdate(TattooEnv, 4))
    it.update_env(TimeLimit(it.env, 5))
    assert read_ledger(tmp_path / "l", "close") == []
    it.update_env(NewEnvUpdate(TattooEnv))
    assert len(read_ledger(tmp_path / "l", "close")) == 1


def test_an_environment_with_other_spaces_takes_over():
    it = worker(TattooEnv())
    episode(it)
    it.update_env(TattooEnv(layout="dict", tag=6))
    batch = episode(it, 1)
    assert set(batch.observations) == {"mark", "more"}
    assert set(mark_of(batch.observations)[:, 0]) == {6}


def test_a_space_that_cannot_be_recorded_is_refused_by_name():
    env = TattooEnv()
    env.observation_space = gymnasium.spaces.Text(5)
    with pytest.raises(TypeError, match="Text"):
        worker(env)


def test_a_worker_without_an_environment_says_what_to_do():
    it = DefaultWorker(seed=0, max_episode_length=3, worker_number=0)
    with pytest.raises(RuntimeError, match="update_env"):
        it.recorder  # noqa: B018


def test_shutdown_closes_the_environment_once(tmp_path):
    it = worker(TattooEnv(ledger=tmp_path / "l"))
    it.shutdown()
    it.shutdown()
    assert len(read_ledger(tmp_path / "l", "close")) == 1


# -- by hand -------------------------------------------------------------------------------------


def test_start_step_collect_equals_rollout():
    it = worker()
    it.unit = unit(3)
    it.start_episode()
    while not it.step_episode():
        pass
    assert it.collect_episode().equals(episode(it, 3))


def test_an_episode_that_was_given_up_leaves_nothing_behind():
    it = worker(TattooEnv(lengths=(6,)))
    it.unit = unit(2)
    it.start_episode()
    it.step_episode()
    assert_whole(episode(it, 3), it.env, ProbePolicy(), seed=0, numbers=[3])


def test_an_episode_stepped_by_hand_is_the_same():
    env, policy = TattooEnv(lengths=(5,)), ProbePolicy()
    key, policy_seed, _ = unit_seeds(0, 3)
    observation, info = env.reset(seed=key)
    progress = InProgressEpisode(env, observation, info)
    policy.reset()
    policy.seed(np.array([policy_seed], np.uint64))
    while progress.step_type not in (TERMINAL, TIMEOUT):
        progress.step(*policy.get_action(progress.last_obs))
    expected = episode(worker(TattooEnv(lengths=(5,))), 3)
    assert progress.to_batch().replace(env_spec=expected.env_spec).difference(expected) is None
