"""Batches of worker processes equal the local sampler's, bit for bit, whatever happens."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from equal_batches import assert_equal
from fault_probes import DictEnv, FaultyEnv, TwoLengthsEnv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import samplerkit
from samplerkit.policies import MLPPolicy, RandomPolicy


def sampler(name: str, agents, envs, **arguments):
    arguments = {"seed": 11, "max_episode_length": 600, "n_workers": 3, **arguments}
    return samplerkit.make_sampler(name, agents=agents, envs=envs, **arguments)


@pytest.fixture(scope="module")
def cartpole_policy():
    env = gymnasium.make("CartPole-v1")
    return MLPPolicy(env.observation_space, env.action_space, seed=3)


@pytest.mark.parametrize("n_processes", [1, 2, 3])
def test_cartpole_gives_the_local_batches_over_several_calls(cartpole_policy, n_processes):
    weights = {name: value * 0.5 for name, value in cartpole_policy.get_param_values().items()}
    calls = [
        lambda s: s.obtain_samples(0, 3000),
        lambda s: s.obtain_exact_episodes(3, agent_update=weights),
        lambda s: s.obtain_samples(2, 1),
        lambda s: s.obtain_samples(3, 700, env_update="CartPole-v0"),
    ]
    with (
        sampler("local", cartpole_policy, "CartPole-v1") as local,
        sampler("multiprocessing", cartpole_policy, "CartPole-v1", n_processes=n_processes) as remote,
    ):
        for call in calls:
            assert_equal(call(remote), call(local))
        assert remote.total_env_steps == local.total_env_steps


@pytest.mark.parametrize("n_processes", [1, 2])
def test_nested_observations_and_actions_give_the_local_batches(n_processes):
    policy = RandomPolicy(DictEnv.action_space)
    with (
        sampler("local", policy, DictEnv) as local,
        sampler("multiprocessing", policy, DictEnv, n_processes=n_processes) as remote,
    ):
        expected = local.obtain_samples(0, 500)
        assert expected.observations["state"][0].dtype == np.float32
        assert_equal(remote.obtain_samples(0, 500), expected)


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_either_start_method_gives_the_local_batch(start_method):
    policy = RandomPolicy(FaultyEnv.action_space)
    with (
        sampler("local", policy, FaultyEnv) as local,
        sampler("multiprocessing", policy, FaultyEnv, n_processes=2, start_method=start_method) as remote,
    ):
        assert_equal(remote.obtain_samples(0, 200), local.obtain_samples(0, 200))


@pytest.mark.slow
def test_a_process_killed_in_mid_call_leaves_no_trace_in_the_batch(cartpole_policy):
    with (
        sampler("local", cartpole_policy, "CartPole-v1") as local,
        sampler("multiprocessing", cartpole_policy, "CartPole-v1", n_processes=2) as remote,
    ):
        victim = next(p for p in multiprocessing.active_children() if p.name.startswith("samplerkit"))
        timer = threading.Timer(0.15, os.kill, (victim.pid, signal.SIGKILL))
        timer.start()
        batch = remote.obtain_samples(0, 20_000)
        timer.join()
        assert remote.statistics().restarts == 1, "the process was not killed while the call was running"
        assert_equal(batch, local.obtain_samples(0, 20_000))
        assert_equal(remote.obtain_samples(0, 100), local.obtain_samples(0, 100))


def test_an_environment_that_kills_its_process_once_leaves_no_trace_in_the_batch(tmp_path: Path):
    policy = RandomPolicy(FaultyEnv.action_space)
    with (
        sampler("local", policy, FaultyEnv) as local,
        sampler(
            "multiprocessing", policy, lambda: FaultyEnv("kill", once=tmp_path / "killed"), n_processes=2
        ) as remote,
    ):
        batch = remote.obtain_samples(0, 150)
        assert remote.statistics().restarts == 1, "nothing was killed"
        assert_equal(batch, local.obtain_samples(0, 150))


def test_a_process_killed_between_calls_leaves_no_trace(cartpole_policy):
    with (
        sampler("local", cartpole_policy, "CartPole-v1") as local,
        sampler("multiprocessing", cartpole_policy, "CartPole-v1", n_processes=2, max_restarts=0) as remote,
    ):
        assert_equal(remote.obtain_samples(0, 300), local.obtain_samples(0, 300))
        for process in multiprocessing.active_children():
            if process.name.startswith("samplerkit"):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.1)
        weights = cartpole_policy.get_param_values()
        assert_equal(remote.obtain_samples(0, 300, weights), local.obtain_samples(0, 300, weights))


def test_the_batch_does_not_depend_on_the_number_of_logical_workers(cartpole_policy):
    with (
        sampler("multiprocessing", cartpole_policy, "CartPole-v1", n_processes=2, n_workers=1) as one,
        sampler("multiprocessing", cartpole_policy, "CartPole-v1", n_processes=2, n_workers=4) as four,
    ):
        assert one.obtain_samples(0, 2000).equals(four.obtain_samples(0, 2000))


def test_a_loaded_machine_gives_the_same_batch(cartpole_policy):
    with (
        sampler("local", cartpole_policy, "CartPole-v1") as local,
        sampler("multiprocessing", cartpole_policy, "CartPole-v1", n_processes=2) as remote,
    ):
        expected = local.obtain_samples(0, 2000)
        stop = threading.Event()
        context = multiprocessing.get_context("spawn")
        load = [context.Process(target=_burn, daemon=True) for _ in range(3)]
        for process in load:
            process.start()
        try:
            assert_equal(remote.obtain_samples(0, 2000), expected)
        finally:
            stop.set()
            for process in load:
                process.kill()
                process.join()


def _burn() -> None:
    while True:
        pass


@pytest.mark.parametrize("num_samples", [500, 4000])
def test_long_episodes_are_as_frequent_as_the_environment_makes_them(num_samples):
    policy = RandomPolicy(TwoLengthsEnv.action_space)
    layouts = [
        ("local", {}),
        ("multiprocessing", {"n_processes": 2}),
        ("multiprocessing", {"n_processes": 3}),
    ]
    shares = []
    for name, options in layouts:
        with sampler(name, policy, TwoLengthsEnv, n_workers=8, **options) as s:
            lengths = np.concatenate([s.obtain_samples(i, num_samples).lengths for i in range(12)])
        shares.append(float((lengths == 500).mean()))
    assert shares[1] == shares[2] == shares[0], f"the layout changes the share of long episodes: {shares}"
    tolerance = 4 * 0.5 / np.sqrt(len(lengths)) + 0.1  # consecutive episodes, but for the last of each call
    assert abs(shares[0] - 0.5) < tolerance, f"{shares[0]:.2f} of {len(lengths)} episodes are long"


class TaggedEnv(FaultyEnv):
    """Knows which one it is."""

    def __init__(self, tag: int) -> None:
        super().__init__()
        self.tag = tag

    def reset(self, *, seed=None, options=None):
        observation, _ = super().reset(seed=seed)
        return observation, {"tag": self.tag}


def test_forty_different_environments_live_on_two_processes():
    policy = RandomPolicy(TaggedEnv.action_space)
    envs = [lambda tag=tag: TaggedEnv(tag) for tag in range(40)]
    with (
        sampler("local", policy, envs, n_workers=None) as local,
        sampler("multiprocessing", policy, envs, n_workers=None, n_processes=2) as remote,
    ):
        assert remote.n_workers == 40
        expected = local.obtain_exact_episodes(2)
        batch = remote.obtain_exact_episodes(2)
        assert_equal(batch, expected)
        assert batch.episode_infos_by_episode["tag"].tolist() == [t for t in range(40) for _ in range(2)]
        swapped = list(reversed(envs))
        assert_equal(
            remote.obtain_samples(0, 300, env_update=swapped),
            local.obtain_samples(0, 300, env_update=swapped),
        )
        assert_equal(
            remote.obtain_samples(0, 300, env_update=FaultyEnv),
            local.obtain_samples(0, 300, env_update=FaultyEnv),
        )


operation = st.one_of(
    st.tuples(st.just("samples"), st.integers(1, 40), st.sampled_from([None, "new", "list"])),
    st.tuples(st.just("exact"), st.integers(1, 3), st.sampled_from([None, "new", "list"])),
)


@pytest.mark.slow
@settings(max_examples=15, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    n_workers=st.integers(1, 4),
    n_processes=st.integers(1, 3),
    seed=st.integers(0, 2**40),
    limit=st.integers(1, 9),
    script=st.lists(operation, min_size=1, max_size=4),
)
def test_any_script_gives_the_local_batches(n_workers, n_processes, seed, limit, script):
    policy = RandomPolicy(TaggedEnv.action_space)
    arguments = {"n_workers": n_workers, "seed": seed, "max_episode_length": limit}
    with (
        sampler("local", policy, lambda: TaggedEnv(0), **arguments) as local,
        sampler(
            "multiprocessing", policy, lambda: TaggedEnv(0), n_processes=n_processes, **arguments
        ) as remote,
    ):
        for i, (kind, count, update) in enumerate(script):
            tag = 10 * i + 1
            env_update = {
                None: None,
                "new": lambda tag=tag: TaggedEnv(tag),
                "list": [lambda tag=tag + w: TaggedEnv(tag) for w in range(n_workers)],
            }[update]
            if kind == "samples":
                batches = [s.obtain_samples(i, count, None, env_update) for s in (remote, local)]
            else:
                batches = [s.obtain_exact_episodes(count, None, env_update) for s in (remote, local)]
            assert_equal(*batches)


def test_a_state_moves_between_backends(cartpole_policy):
    with (
        sampler("local", cartpole_policy, "CartPole-v1") as local,
        sampler("multiprocessing", cartpole_policy, "CartPole-v1", n_processes=2, seed=99) as remote,
    ):
        weights = {name: value * 0.5 for name, value in cartpole_policy.get_param_values().items()}
        local.obtain_samples(0, 500, weights)
        state = local.get_state()
        remote.obtain_samples(0, 100)
        remote.set_state(state)
        assert remote.get_state() == state, "the state is not the same on every backend"
        assert_equal(remote.obtain_samples(1, 500), local.obtain_samples(1, 500))
