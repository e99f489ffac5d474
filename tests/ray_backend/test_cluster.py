"""A cluster of several nodes on this machine: the local sampler's batches, whatever becomes of the nodes."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time

import gymnasium
import numpy as np
import psutil
import pytest
import ray
from fault_probes import FaultyEnv
from ray.cluster_utils import Cluster

import samplerkit
from samplerkit.policies import RandomPolicy

_STORE = 100 << 20


@pytest.fixture(scope="module")
def cluster():
    """Three nodes, of which the first is the program's; the program is connected."""
    nodes = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "include_dashboard": False, "object_store_memory": _STORE},
    )
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=2, object_store_memory=_STORE)
        ray.init(address=nodes.address, log_to_driver=False, logging_level=logging.ERROR)
        yield nodes
        assert ray.is_initialized(), "somebody else's Ray is left running"
    finally:
        ray.shutdown()
        nodes.shutdown()


class Slow(FaultyEnv):
    """The same, and slow enough that something can happen meanwhile."""

    def step(self, action):
        time.sleep(0.004)
        return super().step(action)


class Frames(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.step(0)[0], {}

    def step(self, action):
        frame = self.np_random.integers(0, 255, self.observation_space.shape, np.uint8)
        return frame, float(action), False, False, {}


def sampler(name: str, envs=Slow, **arguments):
    given = {"n_workers": 4, "seed": 7, "max_episode_length": 20, **arguments}
    return samplerkit.make_sampler(name, agents=RandomPolicy(Slow.action_space), envs=envs, **given)


def nodes_of(s) -> set[str]:
    return {member.carrier.facts.node for member in s._pool.members if member.carrier.facts is not None}


def kill(node) -> None:
    """Kill a node with all that runs there, as a power cut does."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in [raylet, *raylet.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("kind", ["", "+vectorized", "+fragment"])
def test_a_node_that_is_killed_in_mid_call_is_seen_in_no_batch(cluster, kind):
    with (
        sampler("local" + kind, FaultyEnv) as local,
        sampler("ray" + kind, n_actors=4, placement="spread") as remote,
    ):
        wanted = [local.obtain_samples(index, 1000) for index in range(3)]
        assert remote.obtain_samples(0, 1000).difference(wanted[0]) is None
        head = ray.get_runtime_context().get_node_id()
        assert len(nodes_of(remote)) > 1
        lost = next(iter(nodes_of(remote) - {head}))
        victim = next(node for node in cluster.worker_nodes if node.node_id == lost)
        timer = threading.Timer(0.2, kill, [victim])
        timer.start()
        assert remote.obtain_samples(1, 1000).difference(wanted[1]) is None
        timer.join()
        cluster.remove_node(victim, allow_graceful=False)
        cluster.add_node(num_cpus=2, object_store_memory=_STORE)
        assert remote.obtain_samples(2, 1000).difference(wanted[2]) is None
        assert remote.statistics().restarts > 0
        assert lost not in nodes_of(remote)


def test_an_object_store_that_is_nearly_full_is_spilled(cluster):
    hold = [ray.put(np.zeros(30 << 20, np.uint8)) for _ in range(3)]
    with sampler("local", Frames) as local, sampler("ray", Frames, n_actors=4) as remote:
        for index in range(2):
            batch = remote.obtain_samples(index, 4000)  # as large as a store
            assert batch.difference(local.obtain_samples(index, 4000)) is None
    assert all(not ray.get(ref).any() for ref in hold)


def test_a_node_that_comes_in_mid_training_is_used(cluster):
    crowded = {"num_cpus": 2, "start_timeout": 60.0}
    with sampler("local", FaultyEnv) as local, sampler("ray", n_actors=3, **crowded) as remote:
        assert remote.obtain_samples(0, 200).difference(local.obtain_samples(0, 200)) is None
        head = ray.get_runtime_context().get_node_id()
        lost = next(iter(nodes_of(remote) - {head}))
        victim = next(node for node in cluster.worker_nodes if node.node_id == lost)
        kill(victim)
        cluster.remove_node(victim, allow_graceful=False)
        # There is no room for the third now: the other two go on.
        assert remote.obtain_samples(1, 200).difference(local.obtain_samples(1, 200)) is None
        assert len(nodes_of(remote)) == 2
        new = cluster.add_node(num_cpus=2, object_store_memory=_STORE)
        index, until = 2, time.monotonic() + 30
        while new.node_id not in nodes_of(remote) and time.monotonic() < until:
            assert remote.obtain_samples(index, 200).difference(local.obtain_samples(index, 200)) is None
            index += 1
        assert new.node_id in nodes_of(remote)
