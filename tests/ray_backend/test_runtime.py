"""Whose Ray it is, who ends it, and what is said before there is one."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading

import gymnasium
import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster

import samplerkit
from samplerkit.policies import RandomPolicy
from samplerkit_ray.options import check_amount
from samplerkit_ray.runtime import Lease


def sampler(**arguments):
    policy = RandomPolicy(gymnasium.spaces.Discrete(2))
    arguments = {"n_workers": 2, "n_actors": 1, "seed": 1, **arguments}
    return samplerkit.make_sampler("ray", agents=policy, envs="CartPole-v1", **arguments)


@pytest.fixture
def somebodys_ray():
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    yield
    ray.shutdown()


def test_a_ray_that_is_there_is_used_and_left_running(somebodys_ray):
    job = ray.get_runtime_context().get_job_id()
    with sampler() as s:
        s.obtain_samples(0, 10)
        assert ray.available_resources()["CPU"] == 1, "an actor reserves a CPU of what is shared"
    assert ray.get_runtime_context().get_job_id() == job
    with pytest.raises(ValueError, match="is connected to"):
        sampler(address="192.0.2.1:6379")


def test_the_last_sampler_ends_the_ray_that_the_first_one_started():
    def settings():
        handler = signal.getsignal(signal.SIGTERM)
        return handler, sys.excepthook, threading.active_count(), os.environ.get("RAY_AUTH_MODE")

    before = settings()
    with sampler() as first:
        with sampler() as second:
            first.shutdown_worker()
            assert ray.is_initialized()
            assert len(second.obtain_samples(0, 10).rewards) >= 10
        assert not ray.is_initialized()
    assert settings() == before


def test_a_program_that_had_a_ray_of_its_own_joins_a_cluster():
    with sampler() as s:
        s.obtain_samples(0, 10)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        with sampler(address=nodes.address) as s:
            assert s.obtain_samples(0, 10).lengths.sum() >= 10
    finally:
        nodes.shutdown()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_cluster_of_the_program_may_be_called_by_any_of_its_names(somebodys_ray, host):
    _, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    with sampler(address=f"{host}:{port}") as s:
        assert s.obtain_samples(0, 10).lengths.sum() >= 10
    with pytest.raises(ValueError, match="is connected to"):
        sampler(address=f"{host}:{int(port) - 1}")


def test_a_working_directory_that_was_deleted_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("ray.init", lambda **arguments: pytest.fail("it must not get there"))
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(RuntimeError, match="working directory has been deleted; go to another one"):
        sampler()


def test_who_cannot_join_a_cluster_is_told_of_tokens(monkeypatch):
    def refuse(**arguments):
        raise ConnectionError("nobody answers.")

    monkeypatch.setattr("ray.init", refuse)
    with pytest.raises(ConnectionError, match=r"nobody answers\. .*RAY_AUTH_MODE=token"):
        sampler(address="192.0.2.1:6379")


@pytest.mark.parametrize("address", [None, "auto"])
def test_an_address_of_ray_client_is_refused_in_the_variable_too(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", "ray://192.0.2.1:10001")
    monkeypatch.setattr("ray.init", lambda **arguments: pytest.fail("it must not get there"))
    with pytest.raises(ValueError, match=r"RAY_ADDRESS='ray.*Ray Client"):
        sampler(address=address)


def test_as_many_actors_find_room_as_have_their_parts_of_cpus(monkeypatch):
    monkeypatch.setattr("samplerkit_ray.runtime.total_resources", lambda: {"CPU": 2.0})
    assert [Lease.n_actors(num_cpus) for num_cpus in (0, 0.1, 0.3, 1, 1.5, 4)] == [2, 20, 6, 2, 1, 1]


FORKS = """
    import os, gymnasium, samplerkit
    from samplerkit.policies import RandomPolicy

    def sampler():
        policy = RandomPolicy(gymnasium.spaces.Discrete(2))
        return samplerkit.make_sampler("ray", agents=policy, envs="CartPole-v1", seed=1, n_actors=1)

    with sampler() as s:
        child = os.fork()
        if not child:
            try:
                sampler()
            except RuntimeError as error:
                print(error, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(s.obtain_samples(0, 10).lengths.sum() >= 10)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this operating system has no fork")
def test_a_sampler_in_a_child_that_was_forked_off_is_refused():
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(FORKS)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            said, _ = program.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            raise
    assert "Ray does not survive a fork" in said
    assert said.endswith("True\n"), "the parent goes on"


def test_a_program_without_ray_is_told_what_to_install_and_keeps_the_other_backends():
    program = """
        import sys
        sys.modules["ray"] = None
        import importlib.util
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if name == "ray" else find(name, *rest)
        import samplerkit
        states = {backend.name: backend for backend in samplerkit.backends()}
        print(states["ray"].state, states["multiprocessing"].state)
        try:
            samplerkit.make_sampler("ray", agents=None, envs="CartPole-v1")
        except samplerkit.BackendUnavailable as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("unavailable ok\n")
    assert 'pip install "samplerkit[ray]"' in done.stdout


def test_the_description_and_the_class_are_had_without_importing_ray():
    program = """
        import sys, samplerkit
        samplerkit.backends()
        samplerkit.get_backend("ray")
        print("ray" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"address": "ray://10.0.0.1:10001"}, ValueError, "Ray Client"),
        ({"address": ""}, ValueError, "address must not be empty"),
        ({"namespace": 3}, TypeError, "namespace must be a string"),
        ({"runtime_env": ["pip"]}, TypeError, "runtime_env must be a dict"),
        ({"num_cpus": -1}, ValueError, "num_cpus must be at least 0"),
        ({"num_gpus": "1"}, TypeError, "num_gpus must be a number"),
        ({"num_gpus": 1.5}, ValueError, "num_gpus must be whole above 1"),
        ({"num_cpus": 0.00001}, ValueError, "num_cpus must be 0 or at least 0.0001"),
        ({"num_cpus": True}, TypeError, "num_cpus must be a number"),
        ({"resources": {"CPU": 1}}, ValueError, "num_cpus and num_gpus"),
        ({"resources": {"memory": 1e6}}, ValueError, "custom ones: for 'memory'"),
        ({"placement": "tidy"}, ValueError, "spread, pack"),
        ({"n_actors": 0}, ValueError, "n_actors"),
        ({"start_timeout": 0}, ValueError, "start_timeout"),
        ({"n_processes": 2}, TypeError, "has no option 'n_processes'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_options_are_refused_before_ray_is_started(options, error, said):
    with pytest.raises(error, match=said):
        sampler(**{"n_actors": 1, **options})
    assert not ray.is_initialized()


def test_amounts_may_be_numbers_of_numpy():
    found = [check_amount("num_cpus", amount) for amount in (np.int64(2), np.float32(0.5))]
    assert found == [2, 0.5]
    assert [type(amount) for amount in found] == [int, float], "as Ray wants them"


class SettingsEnv(gymnasium.Env):
    """Tells whether its process was set up for TensorFlow."""

    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        threads = int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0))
        return np.zeros(1, np.float32), {"threads": threads, "loaded": "tensorflow" in sys.modules}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, {}


@pytest.mark.parametrize("is_tf_worker", [True, False])
def test_actors_are_set_up_for_tensorflow_where_the_policy_needs_it(is_tf_worker):
    arguments = {"n_workers": 1, "n_actors": 1, "seed": 1, "max_episode_length": 5}
    policy = RandomPolicy(SettingsEnv.action_space)
    with samplerkit.make_sampler(
        "ray", agents=policy, envs=SettingsEnv, is_tf_worker=is_tf_worker, **arguments
    ) as s:
        infos = s.obtain_samples(0, 1).episode_infos_by_episode
    assert (infos["threads"] == 1).all() == is_tf_worker
    assert infos["loaded"].all() == is_tf_worker
