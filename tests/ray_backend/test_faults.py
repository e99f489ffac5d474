"""Every failure of an actor, or in one, is bounded, typed, atomic and clean."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time

import gymnasium
import pytest
import ray
from fault_probes import FaultyEnv

import samplerkit
from samplerkit.policies import RandomPolicy
from samplerkit.sampling.numbering import UnitSeeds
from samplerkit_ray import runtime
from samplerkit_ray.errors import ActorsNotPlaced, NodeDiffers
from samplerkit_ray.sampler import RaySampler
from samplerkit_ray.transport import RayTransport

pytestmark = pytest.mark.usefixtures("standing_ray")


def sampler(envs, name: str = "ray", **arguments):
    arguments = {"seed": 5, "n_workers": 3, "max_episode_length": 20, **arguments}
    if name == "ray":
        arguments.setdefault("n_actors", 2)
    policy = arguments.pop("agents", RandomPolicy(FaultyEnv.action_space))
    return samplerkit.make_sampler(name, agents=policy, envs=envs, **arguments)


@pytest.fixture(scope="module")
def expected():
    with sampler(FaultyEnv, "local") as healthy:
        return healthy.obtain_samples(0, 100)


@pytest.mark.parametrize("kind", ["key error", "unpicklable error"])
def test_an_exception_is_a_worker_error_with_the_remote_traceback(kind, expected):
    with sampler(lambda: FaultyEnv(kind)) as s:
        before = s.get_state()
        with pytest.raises(samplerkit.WorkerError) as caught:
            s.obtain_samples(0, 100)
        assert caught.value.unit == 1
        assert "in step" in caught.value.remote_traceback
        assert s.get_state()["cursor"] == before["cursor"]
        assert s.obtain_samples(0, 100, env_update=FaultyEnv).difference(expected) is None


class Slow(FaultyEnv):
    def step(self, action):
        time.sleep(0.01)
        return super().step(action)


def kill_by_signal(carrier) -> None:
    os.kill(carrier.facts.pid, signal.SIGKILL)


def kill_by_ray(carrier) -> None:
    ray.kill(carrier.handle, no_restart=True)


@pytest.mark.parametrize("kill", [kill_by_signal, kill_by_ray])
def test_an_actor_that_is_killed_in_mid_call_leaves_no_trace_in_the_batch(kill, expected):
    with sampler(Slow) as s:
        victim = s._pool.members[0].carrier
        timer = threading.Timer(0.1, kill, [victim])
        timer.start()
        batch = s.obtain_samples(0, 100)
        timer.join()
        again = s.obtain_samples(1, 100)
        assert s.statistics().restarts == 1
    assert batch.difference(expected) is None
    with sampler(Slow, "local") as healthy:
        healthy.obtain_samples(0, 100)
        assert again.difference(healthy.obtain_samples(1, 100)) is None


class Deadly(FaultyEnv):
    """Kills its process, or raises, in few units, every time."""

    def __init__(self, kill=True):
        super().__init__()
        self.kill = kill

    def reset(self, *, seed=None, options=None):
        found = super().reset(seed=seed, options=options)
        if self.np_random.random() < 0.004:
            if self.kill:
                os._exit(3)
            raise ValueError("deadly")
        return found


@pytest.mark.parametrize("max_restarts", [0, 1])
def test_the_unit_that_kills_is_found_among_many_that_were_given_ahead(max_restarts):
    with sampler(lambda: Deadly(kill=False), "local") as s, pytest.raises(samplerkit.WorkerError) as wanted:
        s.obtain_samples(0, 2000)
    with sampler(Deadly, max_restarts=max_restarts) as s:
        with pytest.raises(samplerkit.WorkerDied, match="actor") as caught:
            s.obtain_samples(0, 2000)
    error = caught.value
    assert (error.unit, error.deaths, error.exitcode) == (wanted.value.unit, max_restarts + 1, None)
    assert error.unit > 10


def test_a_unit_that_hangs_is_killed_and_blamed():
    with sampler(lambda: FaultyEnv("hang"), unit_timeout=0.5, max_restarts=1) as s:
        with pytest.raises(samplerkit.WorkerDied, match="unit_timeout"):
            s.obtain_samples(0, 100)


class FailsOrHangs(FaultyEnv):
    """Hangs in all units but one, which fails when another one hangs."""

    def __init__(self, hangs):
        super().__init__()
        self.hangs = hangs

    def reset(self, *, seed=None, options=None):
        self.fails = seed == UnitSeeds(5).unit(0).env_seed
        return super().reset(seed=seed, options=options)

    def step(self, action):
        if not self.fails:
            self.hangs.touch()
            time.sleep(3600)
        while not self.hangs.exists():
            time.sleep(0.01)
        raise KeyError("the first unit")


@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_a_unit_that_hangs_after_its_call_has_failed_is_killed_by_the_next_call(pause, expected, tmp_path):
    with sampler(functools.partial(FailsOrHangs, tmp_path / "hangs"), unit_timeout=2.0) as s:
        with pytest.raises(samplerkit.WorkerError, match="the first unit"):
            s.obtain_samples(0, 100)
        before = s.statistics().restarts
        time.sleep(pause)  # in which the actor says what it runs
        came = []
        call = threading.Thread(
            target=lambda: came.append(s.obtain_samples(0, 100, env_update=FaultyEnv)), daemon=True
        )
        call.start()
        call.join(20)
        assert came, "the call waits for the unit that hangs"
        assert came[0].difference(expected) is None
        assert s.statistics().restarts == before + 1


def test_ctrl_c_ends_a_call_which_has_not_happened(expected):
    with sampler(Slow) as s:
        timer = threading.Timer(0.15, signal.raise_signal, [signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            s.obtain_samples(0, 10**6)
        assert s.obtain_samples(0, 100).difference(expected) is None


def test_actors_for_which_there_is_no_room_are_an_error_that_says_what_was_asked_for():
    with pytest.raises(ActorsNotPlaced, match=r"start_timeout=0\.5 s: each asks for 1 simulator") as caught:
        sampler(FaultyEnv, resources={"simulator": 1}, start_timeout=0.5)
    assert caught.value.waiting == 2


def test_what_an_actor_imports_may_take_longer_than_ray_has_to_place_it(monkeypatch, tmp_path):
    placed = tmp_path / "placed"
    (tmp_path / "heavy_to_import.py").write_text(
        f"import os, time\nwhile not os.path.exists({str(placed)!r}):\n    time.sleep(0.01)\n"
    )
    met = RayTransport._met

    def met_and_noted(self, carrier, facts):
        met(self, carrier, facts)
        placed.touch()

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(RayTransport, "_met", met_and_noted)
    monkeypatch.setattr(RaySampler, "needs", ("heavy_to_import",))
    with sampler(FaultyEnv, n_actors=1, start_timeout=20) as s:
        assert s.obtain_samples(0, 100).lengths.sum() >= 100


def test_a_module_that_a_node_does_not_have_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setattr(RaySampler, "needs", ("not_on_this_node",))
    with pytest.raises(samplerkit.WorkerDied, match="No module named 'not_on_this_node'"):
        sampler(FaultyEnv, n_actors=1)


def test_nodes_with_another_version_are_refused_and_ray_is_given_back(monkeypatch):
    met, all_there = RayTransport._met, []

    def met_when_all_have_spoken(self, carrier, facts):
        until = time.monotonic() + 30
        while not all_there and len(self._events) < 6 and time.monotonic() < until:
            time.sleep(0.01)  # each says who it is, and that it began: the others are heard in the shutdown
        all_there.append(len(self._events) == 6)
        met(self, carrier, facts)

    monkeypatch.setattr("samplerkit.__version__", "99.0")
    monkeypatch.setattr(RayTransport, "_met", met_when_all_have_spoken)
    users = runtime._connection.users
    with pytest.raises(NodeDiffers, match=r"samplerkit 0.*this program samplerkit 99.0"):
        sampler(FaultyEnv, n_actors=3)
    assert all_there[0]
    assert runtime._connection.users == users, "nobody holds Ray any more"


def test_a_runtime_env_reaches_the_environment():
    class Told(gymnasium.Env):
        observation_space = gymnasium.spaces.Discrete(10)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return int(os.environ["SAMPLERKIT_TEST_NUMBER"]), {}

        def step(self, action):
            return 0, 0.0, True, False, {}

    env = {"env_vars": {"SAMPLERKIT_TEST_NUMBER": "7"}}
    with sampler(Told, agents=RandomPolicy(Told.action_space), runtime_env=env, n_actors=1) as s:
        assert s.obtain_samples(0, 1).observations.tolist() == [7]


def test_nothing_is_left_in_the_object_store():
    class Heavy(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(0, 1, (100_000,))
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.observation_space.sample(), {}

        def step(self, action):
            return self.observation_space.sample(), 0.0, True, False, {}

    full = ray.available_resources()["object_store_memory"]
    with sampler(Heavy, agents=RandomPolicy(Heavy.action_space)) as s:
        batch = s.obtain_samples(0, 30)
    del batch
    until = time.monotonic() + 10
    while (free := ray.available_resources()["object_store_memory"]) < full and time.monotonic() < until:
        time.sleep(0.1)
    assert free == full
