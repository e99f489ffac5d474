from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from benchmarks.peers import peers
from benchmarks.peers.chunks import Pipes, Pool
from benchmarks.peers.gymnasium_vector import Vector
from benchmarks.plain import plain_policy
from benchmarks.policies import steady
from samplerkit.bench import Skipped

COMMON = {"env": "CartPole-v1", "num_samples": 300, "n_processes": 2}


def test_names_of_peers_are_distinct_and_their_classes_exist():
    import importlib

    found = peers(2)
    assert len({peer.name for peer in found}) == len(found)
    for peer in found:
        assert hasattr(importlib.import_module(f"benchmarks.peers.{peer.module}"), peer.factory)


def test_a_vector_environment_delivers_every_step_with_last_observations():
    it = Vector(kind="SyncVectorEnv", n_envs=4, policy="plain", **COMMON)
    try:
        assert it.start() > 0
        assert it.batch() == 300
        ends = it._rollout.terminated | it._rollout.truncated
        assert ends.sum() > 0
        assert len(it._rollout.last_observations) == ends.any(axis=1).sum()
        after = it._rollout.observations[1:][ends[:-1]]
        assert (np.abs(after) < 0.051).all(), "the step after an end is a first one"
    finally:
        it.stop()


def test_a_pool_delivers_chunks_of_the_bare_loop():
    it = Pool(chunks=2, policy="mlp", **COMMON)
    try:
        it.start()
        assert it.batch() == 300
        assert [len(columns["rewards"]) for columns in it._latest] == [75] * 4
        assert it._latest[0]["observations"].shape == (75, 4)
    finally:
        it.stop()


def test_pipes_deliver_a_chunk_of_the_bare_loop_for_each_process():
    it = Pipes(policy="mlp", **COMMON)
    try:
        it.start()
        assert it.batch() == 300
        assert [columns["observations"].shape for columns in it._latest] == [(150, 4)] * 2
        assert not np.array_equal(*[columns["observations"] for columns in it._latest])
    finally:
        it.stop()
    assert [process.exitcode for process in it._processes] == [0, 0]


def test_a_peer_that_is_not_installed_is_skipped_with_its_name():
    class Missing(Vector):
        def begin(self):
            import no_such_framework  # noqa: F401

    with pytest.raises(Skipped, match="not installed: No module named 'no_such_framework'"):
        Missing(kind="SyncVectorEnv", n_envs=1, policy="plain", **COMMON).start()


@pytest.mark.parametrize(
    ("name", "action_space"),
    [
        ("plain", spaces.Discrete(2)),
        ("steady", spaces.Discrete(2)),
        ("constant", spaces.Discrete(2)),
        ("gaussian", spaces.Box(-1, 1, (3,), np.float32)),
    ],
)
def test_plain_policies_act_on_a_batch(name, action_space):
    observation_space = spaces.Box(-1, 1, (4,), np.float32)
    actions = plain_policy(name, observation_space, action_space)(np.zeros((5, 4), np.float32))
    assert len(actions) == 5
    assert all(action in action_space for action in actions)


def test_the_steady_policies_keep_the_pole_up_for_about_250_steps():
    env = gymnasium.make("CartPole-v1")
    ours = steady(env.observation_space, env.action_space)
    plain = plain_policy("steady", env.observation_space, env.action_space)

    def one(observation):
        return plain(observation[None])[0]

    for act in (lambda observation: ours.get_action(observation)[0], one):
        lengths = [episode(env, act, seed) for seed in range(60)]
        assert 200 < np.mean(lengths) < 320


def episode(env, act, seed):
    observation, _ = env.reset(seed=seed)
    for t in range(1, 501):
        observation, _, terminated, truncated, _ = env.step(act(observation))
        if terminated or truncated:
            return t
    raise AssertionError("CartPole ends after 500 steps")
