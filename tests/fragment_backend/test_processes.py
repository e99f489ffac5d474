"""Fragments from worker processes equal those of this process, bit for bit, whatever happens."""

from __future__ import annotations

import functools
import multiprocessing
import os
import pickle
import signal
import threading
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from equal_batches import assert_equal
from fault_probes import FaultyEnv, TellsOnce
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import samplerkit
from samplerkit import EpisodeBatch, NewEnvUpdate
from samplerkit.contract.probes import Fault, GlobalDrawEnv, GlobalDrawPolicy, ProbePolicy, TattooEnv
from samplerkit.policies import GRUPolicy, MLPPolicy, RandomPolicy

PROCESSES = "multiprocessing+fragment"


def sampler(
    name: str, agents, envs="CartPole-v1", *, n_envs: int = 3, timesteps_per_call: int = 7, **arguments
):
    given = {
        "seed": 11,
        "n_workers": 3,
        "max_episode_length": 60,
        "worker_args": {"n_envs": n_envs, "timesteps_per_call": timesteps_per_call},
        **arguments,
    }
    return samplerkit.make_sampler(name, agents=agents, envs=envs, **given)


def kill_all() -> None:
    for process in multiprocessing.active_children():
        if process.name.startswith("samplerkit"):
            os.kill(process.pid, signal.SIGKILL)
    time.sleep(0.1)


@pytest.fixture(scope="module")
def policy():
    env = gymnasium.make("CartPole-v1")
    return MLPPolicy(env.observation_space, env.action_space, seed=3)


@pytest.fixture(scope="module")
def calls(policy):
    weights = {name: value * 0.5 for name, value in policy.get_param_values().items()}
    return [
        lambda s: s.obtain_samples(0, 300),
        lambda s: s.obtain_samples(1, 1),
        lambda s: s.obtain_samples(2, 100, agent_update=weights),
        lambda s: s.obtain_samples(3, 200, env_update="CartPole-v0"),
        lambda s: s.obtain_samples(4, 100, agent_update=[None, policy, None]),
    ]


@pytest.fixture(scope="module")
def expected(policy, calls):
    with sampler("fragment", policy) as local:
        return [call(local) for call in calls]


@pytest.mark.parametrize("n_processes", [1, 2, 3])
def test_any_number_of_processes_gives_the_same_fragments_over_calls_and_updates(
    policy, calls, expected, n_processes
):
    with sampler(PROCESSES, policy, n_processes=n_processes) as s:
        for call, wanted in zip(calls, expected, strict=True):
            assert_equal(call(s), wanted)


def test_what_draws_from_the_global_generators_is_the_same_in_processes():
    def batches(name, **arguments):
        with sampler(name, GlobalDrawPolicy(), GlobalDrawEnv, **arguments) as s:
            return [s.obtain_samples(0, 50) for _ in range(3)]

    wanted = batches("fragment")
    for n_processes in (1, 2):
        for one, other in zip(batches(PROCESSES, n_processes=n_processes), wanted, strict=True):
            assert_equal(one, other)


class MakeVector:
    def __init__(self, mode: AutoresetMode) -> None:
        self.mode = mode

    def __call__(self) -> SyncVectorEnv:
        return SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 3, autoreset_mode=self.mode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", AutoresetMode, ids=lambda mode: mode.name)
def test_a_native_vector_environment_gives_the_same_fragments_and_comes_back_after_a_death(policy, mode):
    with (
        sampler("fragment", policy) as looped,
        sampler("fragment", policy, MakeVector(mode)) as native,
        sampler(PROCESSES, policy, MakeVector(mode), n_processes=1) as remote,
    ):
        for _ in range(4):
            wanted = looped.obtain_samples(0, 150)
            assert_equal(native.obtain_samples(0, 150), wanted)
            assert_equal(remote.obtain_samples(0, 150), wanted)
            kill_all()
        assert remote.statistics().restarts == 3


@pytest.mark.slow
def test_processes_that_are_killed_between_calls_leave_no_trace(policy, calls, expected):
    with sampler(PROCESSES, policy, n_processes=2, max_restarts=0) as s:
        for call, wanted in zip(calls, expected, strict=True):
            assert_equal(call(s), wanted)
            kill_all()
        assert s.statistics().restarts >= 6


def test_a_recurrent_policy_goes_on_over_deaths_and_new_weights():
    env = gymnasium.make("CartPole-v1")
    recurrent = GRUPolicy(env.observation_space, env.action_space, seed=1)
    weights = recurrent.get_param_values()

    def batches(name, after_each, **arguments):
        with sampler(name, recurrent, **arguments) as s:
            for index in range(9):
                scaled = {key: value * (1 + 0.05 * index) for key, value in weights.items()}
                yield s.obtain_samples(index, 60, scaled if index % 3 == 1 else None)
                if index % 3 == 2:
                    after_each()

    pairs = zip(batches("fragment", lambda: None), batches(PROCESSES, kill_all, n_processes=1), strict=True)
    for wanted, got in pairs:
        assert_equal(got, wanted)


@pytest.mark.slow
def test_a_process_killed_in_mid_call_leaves_no_trace(policy):
    with sampler("fragment", policy) as local, sampler(PROCESSES, policy, n_processes=2) as remote:
        assert_equal(remote.obtain_samples(0, 100), local.obtain_samples(0, 100))
        victim = next(p for p in multiprocessing.active_children() if p.name.startswith("samplerkit"))
        timer = threading.Timer(0.15, os.kill, (victim.pid, signal.SIGKILL))
        timer.start()
        batch = remote.obtain_samples(0, 30_000)
        timer.join()
        assert remote.statistics().restarts == 1, "the process was not killed while the call was running"
        assert_equal(batch, local.obtain_samples(0, 30_000))
        assert_equal(remote.obtain_samples(0, 100), local.obtain_samples(0, 100))


def test_an_environment_that_kills_its_process_in_a_call_leaves_no_trace(tmp_path: Path):
    policy = RandomPolicy(FaultyEnv.action_space)
    kills = lambda: FaultyEnv("kill", at=6, once=tmp_path / "killed")  # noqa: E731
    with (
        sampler("fragment", policy, FaultyEnv) as local,
        sampler(PROCESSES, policy, kills, n_processes=2) as s,
    ):
        for _ in range(4):
            assert_equal(s.obtain_samples(0, 100), local.obtain_samples(0, 100))
        assert s.statistics().restarts == 1, "nothing was killed"


def test_a_process_that_dies_while_it_tells_of_several_calls_leaves_no_trace(tmp_path: Path):
    # The first calls could be told; the last one takes the policy's state along, with which all go on.
    arguments = {"n_workers": 1, "n_envs": 2, "timesteps_per_call": 3}
    policy = RandomPolicy(TellsOnce.action_space)
    batches = []
    for name, more in (("fragment", {}), (PROCESSES, {"n_processes": 1})):
        envs = functools.partial(TellsOnce, 11, str(tmp_path / "died"))
        with sampler(name, policy, envs, **arguments, **more) as s:
            batches.append(
                [s.obtain_samples(i, size).with_columns(env_infos={}) for i, size in enumerate((6, 18, 30))]
            )
            restarts = s.statistics().restarts
    assert restarts == 1
    for got, wanted in zip(*batches[::-1], strict=True):
        assert_equal(got, wanted)


def test_one_that_kills_its_process_every_time_is_a_worker_died_and_has_not_happened():
    policy = RandomPolicy(FaultyEnv.action_space)
    with sampler(PROCESSES, policy, FaultyEnv, n_processes=2, max_restarts=1) as s:
        first = s.obtain_samples(0, 21)
        before = s.get_state()
        with pytest.raises(samplerkit.WorkerDied):
            s.obtain_samples(0, 300, env_update=lambda: FaultyEnv("kill", at=2))
        assert s.get_state() == before
        second = s.obtain_samples(0, 300)
    with sampler("fragment", policy, FaultyEnv) as local:
        assert_equal(first, local.obtain_samples(0, 21))
        assert_equal(second, local.obtain_samples(0, 300))


def test_a_hung_call_is_killed_by_unit_timeout_and_leaves_no_trace(tmp_path: Path):
    policy = RandomPolicy(FaultyEnv.action_space)
    hangs = lambda: FaultyEnv("hang", at=6, once=tmp_path / "hung")  # noqa: E731
    with (
        sampler("fragment", policy, FaultyEnv) as local,
        sampler(PROCESSES, policy, hangs, n_processes=2, unit_timeout=0.5) as remote,
    ):
        for _ in range(3):
            assert_equal(remote.obtain_samples(0, 100), local.obtain_samples(0, 100))
        assert remote.statistics().restarts == 1


@pytest.mark.parametrize(("here", "there"), [("fragment", PROCESSES), (PROCESSES, "fragment")])
def test_a_state_goes_on_on_another_backend_in_the_middle_of_episodes(policy, calls, expected, here, there):
    for index in (1, 3):
        with sampler(here, policy) as s:
            for call in calls[:index]:
                call(s)
            state = pickle.loads(pickle.dumps(s.get_state()))
        with sampler(there, policy, seed=99) as s:
            s.obtain_samples(0, 50)
            s.set_state(state)
            for call, wanted in zip(calls[index:], expected[index:], strict=True):
                assert_equal(call(s), wanted)


def test_a_pickled_sampler_goes_on_in_the_middle_of_episodes(policy, calls, expected):
    with sampler(PROCESSES, policy, n_processes=2) as s:
        calls[0](s)
        data = pickle.dumps(s)
    with pickle.loads(data) as copy:
        for call, wanted in zip(calls[1:], expected[1:], strict=True):
            assert_equal(call(copy), wanted)


@pytest.mark.parametrize("name", ["local", "fragment"])
def test_states_of_another_kind_of_worker_or_another_n_envs_are_refused(policy, name):
    with sampler("fragment", policy) as s:
        state = s.get_state()
    arguments = {"worker_args": None} if name == "local" else {"n_envs": 4}
    with sampler(name, policy, **arguments) as s:
        with pytest.raises(ValueError, match="belongs to"):
            s.set_state(state)
        s.obtain_samples(0, 10)


def test_an_interrupted_call_has_not_happened(policy, expected, calls):
    with sampler(PROCESSES, policy, n_processes=2) as s:
        assert_equal(calls[0](s), expected[0])
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            s.obtain_samples(0, 10**8)
        timer.join()
        assert_equal(calls[1](s), expected[1])


@pytest.mark.parametrize("name", ["fragment", PROCESSES])
def test_ctrl_c_ends_a_call_whose_environments_are_slow_one_by_one(name):
    def dawdle():
        time.sleep(0.1)

    policy, envs = ProbePolicy(1), NewEnvUpdate(lambda: TattooEnv(fault=Fault("step", dawdle)))
    with sampler(name, policy, envs, n_envs=30, n_workers=1) as s:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            s.obtain_samples(0, 1)
        timer.join()
        assert s.get_state()["cursor"] == 0
        assert s.statistics().restarts == 0, "a tick of all takes 3 s: whoever waits for its end is killed"


def test_no_step_is_thrown_away(policy):
    with sampler(PROCESSES, policy, n_processes=2) as s:
        batches = [s.obtain_samples(0, 200) for _ in range(5)]
        assert s.statistics().env_steps_discarded == 0
        assert s.statistics().env_steps == sum(len(batch.rewards) for batch in batches)
    lengths = EpisodeBatch.concatenate(*batches).stitch().lengths
    assert np.sum(lengths) == s.total_env_steps
