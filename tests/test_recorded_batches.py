"""Known batches, recorded once: these tests fail when a bit of a batch changes.

They may be recorded anew only when the change is meant: `docs/reproducibility.md` says when that may be.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import samplerkit
from samplerkit.policies import RandomPolicy
from samplerkit.rl2 import BanditEnv, RL2Env, RL2Worker


class IntegerEnv(gymnasium.Env):
    """Whole numbers only, so that no processor and no library rounds otherwise."""

    observation_space = spaces.Box(0, 2**40, (2,), np.int64)
    action_space = spaces.Discrete(6)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.hash = 0, int(self.np_random.integers(2**31))
        self.length = 1 + self.hash % 9
        return np.array([self.hash, 0]), {"length": self.length}

    def step(self, action):
        self.t += 1
        self.hash = (self.hash * 6364136223846793005 + int(action) + 1) % 2**40
        info = {"even": self.hash % 2 == 0} if self.t > 1 else {}
        return np.array([self.hash, self.t]), self.hash % 7, self.t >= self.length, False, info


def batch_of(name: str, **arguments):
    arguments = {
        "agents": RandomPolicy(IntegerEnv.action_space),
        "envs": IntegerEnv,
        "max_episode_length": 7,
        "n_workers": 3,
        "seed": 20_261_120,
        **arguments,
    }
    with samplerkit.make_sampler(name, **arguments) as sampler:
        return samplerkit.EpisodeBatch.concatenate(
            sampler.obtain_samples(0, 100), sampler.obtain_exact_episodes(2, env_update=arguments["envs"])
        )


WORKERS = {
    "default": {},
    "rl2": {
        "worker_class": RL2Worker,
        "worker_args": {"n_episodes_per_trial": 3},
    },
    "default in trials": {
        "envs": lambda: RL2Env(BanditEnv(6), episodes_per_trial=4),
    },
}

RECORDED = {
    "default": "3a51acde6f60cc74b0ed88ed7a44326fb3aac0aa6eab5bbcb19cb383d9920ed8",
    "rl2": "836bdbf28f96f23b8480d2f29a67b2a7a226c3d627d60b22363d25bcc8cca39b",
    "default in trials": "f6989a0615de886a08954ca920132602558d26ec429b58c9b4ea8b50583b34d8",
}


@pytest.mark.parametrize("backend", ["local", "multiprocessing"])
@pytest.mark.parametrize("worker", WORKERS)
def test_the_known_batch_has_not_changed_a_bit(backend, worker):
    assert batch_of(backend, **WORKERS[worker]).digest() == RECORDED[worker]


FRAGMENTS = "9f32c62357554dc67e503ce8ac39941bb4c9223f09a8348fce2ddc77f8bff661"


def fragments_of(name: str):
    """Calls, an update that goes on and one that abandons, with nothing stitched."""
    policy = RandomPolicy(IntegerEnv.action_space)
    with samplerkit.make_sampler(
        name,
        agents=policy,
        envs=IntegerEnv,
        max_episode_length=7,
        n_workers=3,
        seed=20_261_120,
        n_envs=4,
        timesteps_per_call=2,
    ) as sampler:
        return samplerkit.EpisodeBatch.concatenate(
            sampler.obtain_samples(0, 100),
            sampler.obtain_samples(1, 20, policy.get_param_values()),
            sampler.obtain_samples(2, 60, env_update=IntegerEnv),
        )


@pytest.mark.parametrize("backend", ["fragment", "multiprocessing+fragment"])
def test_the_known_fragments_have_not_changed_a_bit(backend):
    batch = fragments_of(backend)
    assert batch.provenance.units[-5:].tolist() == [34, 26, 53, 44, 47]
    assert batch.digest() == FRAGMENTS
