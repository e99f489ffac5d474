"""Batches of actors equal the local sampler's, bit for bit."""

from __future__ import annotations

import functools
import itertools
import threading

import gymnasium
import numpy as np
import pytest
from equal_batches import assert_equal
from fault_probes import DictEnv

import samplerkit
from samplerkit.contract.probes import EndlessEnv, ProbePolicy
from samplerkit.policies import MLPPolicy, RandomPolicy
from samplerkit.sampling.numbering import UnitSeeds

pytestmark = pytest.mark.usefixtures("standing_ray")


def sampler(name: str, agents, envs, **arguments):
    arguments = {"seed": 11, "max_episode_length": 600, "n_workers": 3, **arguments}
    return samplerkit.make_sampler(name, agents=agents, envs=envs, **arguments)


@pytest.fixture(scope="module")
def cartpole_policy():
    env = gymnasium.make("CartPole-v1")
    return MLPPolicy(env.observation_space, env.action_space, seed=3)


@pytest.mark.parametrize("kind", ["", "+vectorized", "+fragment"])
@pytest.mark.parametrize("n_actors", [1, 2])
def test_cartpole_gives_the_local_batches_over_several_calls(cartpole_policy, kind, n_actors):
    weights = {name: value * 0.5 for name, value in cartpole_policy.get_param_values().items()}
    calls = [
        lambda s: s.obtain_samples(0, 3000),
        lambda s: s.obtain_samples(1, 500, agent_update=weights),
        lambda s: s.obtain_samples(2, 1),
        lambda s: s.obtain_samples(3, 700, env_update="CartPole-v0"),
    ]
    with (
        sampler("local" + kind, cartpole_policy, "CartPole-v1") as local,
        sampler("ray" + kind, cartpole_policy, "CartPole-v1", n_actors=n_actors) as remote,
    ):
        for call in calls:
            assert_equal(call(remote), call(local))
        assert remote.total_env_steps == local.total_env_steps


def test_each_worker_its_own_policy_gives_the_local_batches():
    env = gymnasium.make("CartPole-v1")
    policies = [MLPPolicy(env.observation_space, env.action_space, seed=number) for number in range(3)]
    with (
        sampler("local", policies, "CartPole-v1") as local,
        sampler("ray", policies, "CartPole-v1", n_actors=2) as remote,
    ):
        assert_equal(remote.obtain_samples(0, 500), local.obtain_samples(0, 500))
        assert_equal(remote.obtain_exact_episodes(2), local.obtain_exact_episodes(2))


class Frames(gymnasium.Env):
    """Large observations, from its own generator."""

    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 20
        return self._frame(), {}

    def step(self, action):
        self.left -= 1
        return self._frame(), float(action), self.left == 0, False, {}

    def _frame(self):
        return self.np_random.integers(0, 255, (84, 84, 4), np.uint8)


def test_frames_travel_by_the_object_store_and_give_the_local_batches():
    with (
        sampler("local", RandomPolicy(Frames.action_space), Frames) as local,
        sampler("ray", RandomPolicy(Frames.action_space), Frames, n_actors=2) as remote,
    ):
        first = remote.obtain_samples(0, 300)
        kept = first.observations.copy()
        assert_equal(first, local.obtain_samples(0, 300))
        assert_equal(remote.obtain_samples(1, 300), local.obtain_samples(1, 300))
        np.testing.assert_array_equal(first.observations, kept)
    np.testing.assert_array_equal(first.observations, kept)  # and after the shutdown
    first.observations[:] = 0


def test_nested_observations_give_the_local_batches():
    policy = RandomPolicy(DictEnv().action_space)
    with sampler("local", policy, DictEnv) as local, sampler("ray", policy, DictEnv, n_actors=2) as remote:
        assert_equal(remote.obtain_samples(0, 100), local.obtain_samples(0, 100))


@pytest.mark.parametrize("kind", ["", "+vectorized"])
def test_a_call_that_has_enough_does_not_wait_for_units_without_end(tmp_path, kind):
    stop = tmp_path / "stop"
    seeds = (UnitSeeds(seed) for seed in itertools.count())
    seed = next(it.seed for it in seeds if [it.unit(n).env_seed % 2 for n in range(3)] == [1, 0, 0])
    envs = functools.partial(EndlessEnv, str(stop), odd_keys_end=True)
    given = {"seed": seed, "n_workers": 2, "n_actors": 2, "max_episode_length": float("inf")}
    with sampler("ray" + kind, ProbePolicy(1), envs, **given) as remote:
        gives_up = threading.Timer(20.0, stop.touch)
        gives_up.start()
        batch = remote.obtain_samples(0, 1)
        assert not stop.exists()
        gives_up.cancel()
        assert batch.provenance.units.tolist() == [0]
