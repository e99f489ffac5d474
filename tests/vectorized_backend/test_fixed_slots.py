"""Policies that are not exact row by row: with fixed slots a row's place is a matter of the unit alone."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from equal_batches import assert_equal
from fault_probes import FaultyEnv

import samplerkit
from samplerkit.contract.probes import TattooEnv
from samplerkit.interfaces import NewEnvUpdate
from samplerkit.policies import MLPPolicy

LAYOUTS = [("multiprocessing+vectorized", {"n_processes": n}) for n in (1, 2, 3)]


class ByPlace:
    """Acts, and reports, by the number of rows and the row's place among them: what products may do."""

    def __init__(self, n_actions):
        self._n_actions = n_actions

    def reset(self, do_resets=None):
        pass

    def get_action(self, observation):
        raise AssertionError("a vectorized worker asks for actions of all rows")

    def get_actions(self, observations):
        n = len(next(iter(observations.values())) if isinstance(observations, dict) else observations)
        places = np.arange(n)
        return (places + n) % self._n_actions, {"place": places, "n": np.full(n, n)}

    def get_param_values(self):
        return {}

    def set_param_values(self, params):
        pass


class Plain:
    """A perceptron in plain float32 products, which round by the size of the batch and the place in it."""

    def __init__(self):
        random = np.random.default_rng(0)
        self.kernels = [random.standard_normal(shape).astype(np.float32) for shape in ((4, 61), (61, 1))]

    def reset(self, do_resets=None):
        pass

    def get_action(self, observation):
        raise AssertionError("a vectorized worker asks for actions of all rows")

    def get_actions(self, observations):
        score = (np.tanh(observations @ self.kernels[0]) @ self.kernels[1])[:, 0]
        return (score > 0).astype(np.int64), {"score": score}

    def get_param_values(self):
        return {"kernels": tuple(self.kernels)}

    def set_param_values(self, params):
        self.kernels = list(params["kernels"])


def sampler(name, policy, envs, **arguments):
    arguments = {"seed": 11, "max_episode_length": 60, "n_workers": 2, "n_envs": 5, **arguments}
    return samplerkit.make_sampler(name, agents=policy, envs=envs, **arguments)


CALLS = [
    lambda s: s.obtain_samples(0, 250),
    lambda s: s.obtain_exact_episodes(7),
    lambda s: s.obtain_samples(1, 1),
    lambda s: s.obtain_samples(2, 400),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), LAYOUTS, ids=["1", "2", "3"])
@pytest.mark.parametrize("kind", ["by place", "plain products"])
def test_the_batch_is_the_same_on_every_layout(kind, name, options):
    policy, env = (
        (ByPlace(TattooEnv().action_space.n), TattooEnv) if kind == "by place" else (Plain(), "CartPole-v1")
    )
    with (
        sampler("vectorized", policy, env, fixed_slots=True) as local,
        sampler(name, policy, env, fixed_slots=True, **options) as processes,
    ):
        for call in CALLS:
            assert_equal(call(processes), call(local))


def test_a_unit_runs_in_the_slot_that_its_number_says():
    policy = ByPlace(TattooEnv().action_space.n)
    with sampler("multiprocessing+vectorized", policy, TattooEnv, fixed_slots=True) as processes:
        batch = processes.obtain_samples(0, 300)
    starts = np.cumsum(batch.lengths) - batch.lengths
    np.testing.assert_array_equal(batch.agent_infos["place"][starts], batch.provenance.units // 2 % 5)
    assert (batch.agent_infos["n"] == 5).all()


def test_a_death_changes_nothing(tmp_path):
    policy = ByPlace(FaultyEnv.action_space.n)
    with (
        sampler("vectorized", policy, FaultyEnv, fixed_slots=True) as local,
        sampler(
            "multiprocessing+vectorized",
            policy,
            NewEnvUpdate(lambda: FaultyEnv("kill", once=tmp_path / "died")),
            fixed_slots=True,
            n_processes=2,
        ) as processes,
    ):
        assert_equal(processes.obtain_samples(0, 200), local.obtain_samples(0, 200))
        assert processes.statistics().restarts == 1


def test_policies_that_are_exact_row_by_row_need_no_fixed_slots_and_lose_nothing_by_them():
    env = gymnasium.make("CartPole-v1")
    policy = MLPPolicy(env.observation_space, env.action_space)
    with (
        samplerkit.make_sampler("local", agents=policy, envs="CartPole-v1", seed=11, n_workers=2) as local,
        sampler("vectorized", policy, "CartPole-v1", fixed_slots=True, max_episode_length=500) as slots,
    ):
        assert_equal(slots.obtain_samples(0, 600), local.obtain_samples(0, 600))


def test_environments_that_remember_run_one_at_a_time_all_the_same():
    policy = ByPlace(TattooEnv().action_space.n)
    with (
        sampler("vectorized", policy, TattooEnv, reseed=False, fixed_slots=True) as fixed,
        sampler("vectorized", policy, TattooEnv, reseed=False) as free,
    ):
        assert_equal(fixed.obtain_samples(0, 60), free.obtain_samples(0, 60))


def test_fixed_slots_are_a_yes_or_a_no():
    with pytest.raises((TypeError, samplerkit.WorkerError), match="fixed_slots must be True or False"):
        sampler("vectorized", Plain(), "CartPole-v1", fixed_slots=3)
