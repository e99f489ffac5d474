from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import samplerkit
from samplerkit.episodes import EpisodeSlice, StepType
from samplerkit.interfaces import Unit
from samplerkit.rl2 import BanditEnv, RL2Env, RL2Worker, TabularMDPEnv
from samplerkit.workers import DefaultWorker


class Diary(gymnasium.Env):
    """Episodes of two steps; the observation counts resets. Notes the seeds it is reset with."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = spaces.Discrete(4)

    def __init__(self):
        self.seeds = []
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.steps = 0
        return np.array([float(len(self.seeds))]), {"attempt": len(self.seeds)}

    def step(self, action):
        self.steps += 1
        return np.array([float(len(self.seeds))]), 1.0, self.steps == 2, False, {}


class Counter:
    """Acts with the number of its steps since the reset, modulo 4."""

    def __init__(self):
        self.resets, self.seeds, self.count = 0, [], 0

    def get_action(self, observation):
        self.count += 1
        return (self.count - 1) % 4, {}

    def get_actions(self, observations):
        raise NotImplementedError

    def reset(self, do_resets=None):
        self.resets += 1
        self.count = 0

    def seed(self, seeds):
        self.seeds.append(seeds.tolist())

    def get_param_values(self):
        return {}

    def set_param_values(self, params):
        pass


def run(worker, *, agent, env, numbers=(0,)):
    worker.update_agent(agent)
    worker.update_env(env)
    units = (Unit(number, 100 + number, 200 + number, 300 + number) for number in numbers)
    results = [result for _, result in worker.rollouts(units)]
    return [result.view() if isinstance(result, EpisodeSlice) else result for result in results]


def make(n=3, length=np.inf):
    return RL2Worker(seed=0, max_episode_length=length, worker_number=0, n_episodes_per_trial=n)


def test_a_unit_is_a_trial_of_n_episodes():
    [batch] = run(make(3), agent=Counter(), env=Diary())
    assert batch.lengths.tolist() == [2, 2, 2]
    assert batch.observations.ravel().tolist() == [1, 1, 2, 2, 3, 3]
    assert batch.episode_infos_by_episode["attempt"].tolist() == [1, 2, 3]


def test_the_policy_is_reset_and_seeded_once_a_trial():
    agent = Counter()
    batches = run(make(2), agent=agent, env=Diary(), numbers=(4, 9))
    assert agent.resets == 2
    assert agent.seeds == [[204], [209]]
    assert [batch.actions.tolist() for batch in batches] == [[0, 1, 2, 3]] * 2


def test_the_environment_is_seeded_where_the_trial_begins_and_goes_on_from_there():
    env = Diary()
    run(make(3), agent=Counter(), env=env, numbers=(4, 9))
    assert env.seeds == [104, None, None, 109, None, None]


def test_episodes_carry_the_trial_and_their_place_in_it():
    batches = run(make(2), agent=Counter(), env=Diary(), numbers=(4, 9))
    infos = [batch.episode_infos_by_episode for batch in batches]
    assert [info["trial"].tolist() for info in infos] == [[4, 4], [9, 9]]
    assert [info["episode_index"].tolist() for info in infos] == [[0, 1], [0, 1]]


def test_it_is_stateless():
    assert RL2Worker.stateful is False
    once, again = (
        run(make(2), agent=Counter(), env=TabularMDPEnv(horizon=3), numbers=n)[-1] for n in ((0, 7), (7,))
    )
    assert once.equals(again)


def test_a_trial_of_one_task_is_played_in_all_its_episodes():
    env = BanditEnv(4)
    run(make(3), agent=Counter(), env=env, numbers=(5,))
    means = list(env._means)
    env.reset(seed=105)
    assert env._means == means


def whole(env, *, numbers):
    worker = DefaultWorker(seed=0, max_episode_length=np.inf, worker_number=0)
    return run(worker, agent=Counter(), env=env, numbers=numbers)


@pytest.mark.parametrize("inner", [lambda: BanditEnv(4), lambda: TabularMDPEnv(5, 4, horizon=3)])
def test_the_policy_sees_what_it_sees_in_a_trial_in_one_piece(inner):
    cut = run(make(3), agent=Counter(), env=RL2Env(inner(), episodes_per_trial=3), numbers=(6,))[0]
    [trial] = whole(RL2Env(inner(), episodes_per_trial=3), numbers=(6,))
    np.testing.assert_array_equal(cut.observations, trial.observations)
    np.testing.assert_array_equal(cut.actions, trial.actions)
    np.testing.assert_array_equal(cut.rewards, trial.rewards)
    np.testing.assert_array_equal(cut.last_observations[-1], trial.last_observations[0])
    assert len(cut.lengths) == 3
    assert cut.episode_infos_by_episode["trial"].tolist() == [6, 6, 6], "the unit's number, not the seed"


def test_inner_episodes_end_as_they_ended_inside():
    ends = {}
    for name, inner in (("bandit", BanditEnv(4)), ("mdp", TabularMDPEnv(5, 4, horizon=3))):
        [batch] = run(make(2), agent=Counter(), env=RL2Env(inner, episodes_per_trial=2))
        ends[name] = batch.step_types[np.cumsum(batch.lengths) - 1].tolist()
    assert ends == {"bandit": [StepType.TERMINAL] * 2, "mdp": [StepType.TIMEOUT] * 2}


def test_the_limit_is_on_the_inner_episodes():
    env = RL2Env(TabularMDPEnv(5, 4, horizon=50), episodes_per_trial=3)
    [batch] = run(make(3, length=4), agent=Counter(), env=env)
    assert batch.lengths.tolist() == [4, 4, 4]
    assert batch.observations[[0, 4, 8], -1].tolist() == [1, 1, 1], (
        "the trial itself went on to its next episode"
    )
    plain = run(make(3, length=4), agent=Counter(), env=TabularMDPEnv(5, 4, horizon=50))[0]
    assert plain.lengths.tolist() == [4, 4, 4]


def test_an_rl2env_of_another_number_of_episodes_is_refused():
    with pytest.raises(ValueError, match="episodes_per_trial=5"):
        make(3).update_env(RL2Env(BanditEnv(2), episodes_per_trial=5))


def test_no_trial_without_episodes():
    with pytest.raises(ValueError, match="at least 1"):
        make(0)


def test_batches_of_a_sampler_do_not_depend_on_the_number_of_workers():
    def sample(n_workers):
        env = RL2Env(TabularMDPEnv(5, 3, horizon=4), episodes_per_trial=2)
        policy = samplerkit.policies.GRUPolicy(env.observation_space, env.action_space, hidden_size=8)
        with samplerkit.make_sampler(
            "local",
            agents=policy,
            envs=env,
            seed=3,
            n_workers=n_workers,
            worker_class=RL2Worker,
            worker_args={"n_episodes_per_trial": 2},
        ) as sampler:
            return sampler.obtain_samples(0, 60)

    one, three = sample(1), sample(3)
    assert one.equals(three), one.difference(three)
    assert len(one.lengths) == 16, "trials of 8 steps: eight of them hold 60 steps"
