"""The pool template, with threads as carriers: any layout, any order, the same batches."""

from __future__ import annotations

import queue
import threading
import time
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit import LocalSampler, SamplerClosed, SetTaskUpdate, WorkerError
from samplerkit.contract.probes import Fault, ProbePolicy, TattooEnv, unclosed, unit_key
from samplerkit.global_random import GlobalRandomState
from samplerkit.sampling import Option, PoolSampler, Transport, at_exit, check_count, serve
from samplerkit.sampling.messages import Started

SEED = 1


class ThreadCarrier:
    def __init__(self, setup, out):
        self.inbox = queue.SimpleQueue()
        self.thread = threading.Thread(
            target=serve, args=(setup, self.inbox.get, lambda data: out.put((self, data))), daemon=True
        )
        self.thread.start()


class ThreadTransport(Transport[ThreadCarrier]):
    """The smallest transport there is."""

    def __init__(self, n_threads):
        self.n_threads = n_threads
        self.out = queue.SimpleQueue()

    @property
    def n_carriers(self):
        return self.n_threads

    def start(self, index, setup):
        return ThreadCarrier(setup, self.out)

    def send(self, carrier, message):
        carrier.inbox.put(message)

    def receive(self, carriers, timeout):
        received = []
        try:
            item = self.out.get(timeout=timeout) if timeout != 0 else self.out.get_nowait()
            while True:
                if item is not None and item[0] in carriers:
                    received.append(item)
                item = self.out.get_nowait()
        except queue.Empty:
            return received

    def exit_status(self, carrier):
        return None

    def stop(self, carrier, timeout):
        carrier.inbox.put(None)
        carrier.thread.join(5)
        assert not carrier.thread.is_alive(), "a carrier did not end"

    def kill(self, carrier):
        raise AssertionError("threads cannot be killed")

    def wake(self):
        self.out.put(None)


class ThreadPool(PoolSampler[ThreadCarrier]):
    options: ClassVar = {**PoolSampler.options, "n_threads": Option(2, check_count)}

    def make_transport(self):
        return ThreadTransport(self.option("n_threads"))


def assert_threads(most):
    """Threads that read for a carrier end right after it, not with it; some of `most` may have, too."""
    until = time.monotonic() + 2
    while threading.active_count() > most and time.monotonic() < until:
        time.sleep(0.001)
    assert threading.active_count() <= most


@pytest.fixture(autouse=True)
def _quiet_globals():
    with GlobalRandomState():
        yield


@pytest.fixture
def pool():
    made = []

    def make_one(agents=None, envs=TattooEnv, **arguments):
        defaults = {"n_workers": 2, "seed": SEED, "max_episode_length": 6}
        made.append(ThreadPool(agents or ProbePolicy(), envs, **{**defaults, **arguments}))
        return made[-1]

    yield make_one
    for sampler in made:
        sampler.shutdown_worker()


def weights(version):
    return {"version": np.array([version])}


@st.composite
def scripts(draw):
    """Draw n_workers and a few calls, with and without updates."""
    n_workers = draw(st.integers(1, 3))
    updates = st.sampled_from(["none", "one", "list"])
    calls = []
    for number in range(draw(st.integers(1, 3))):
        agent, env = draw(updates), draw(updates)
        arguments = {
            "agent_update": {
                "none": None,
                "one": weights(number),
                "list": [weights(10 * number + worker) for worker in range(n_workers)],
            }[agent],
            "env_update": {
                "none": None,
                "one": SetTaskUpdate(TattooEnv, number),
                "list": [TattooEnv(tag=10 * number + worker) for worker in range(n_workers)],
            }[env],
        }
        calls.append((draw(st.booleans()), draw(st.integers(1, 20)), arguments))
    return n_workers, calls


def play(sampler, calls):
    for exact, amount, arguments in calls:
        if exact:
            yield sampler.obtain_exact_episodes(1 + amount // 7, **arguments)
        else:
            yield sampler.obtain_samples(0, amount, **arguments)


@pytest.mark.slow
@settings(max_examples=25)
@given(script=scripts(), n_threads=st.integers(1, 3), stateful=st.booleans())
def test_any_layout_gives_the_local_batches(script, n_threads, stateful):
    n_workers, calls = script
    arguments = {"n_workers": n_workers, "seed": SEED, "max_episode_length": 6}
    env = TattooEnv(delays=(0, 0.002))
    with (
        LocalSampler(ProbePolicy(), env, **arguments) as local,
        ThreadPool(ProbePolicy(), env, n_threads=n_threads, stateful=stateful, **arguments) as pool,
    ):
        for expected, batch in zip(play(local, calls), play(pool, calls), strict=True):
            assert expected.difference(batch) is None
            np.testing.assert_array_equal(expected.provenance.units, batch.provenance.units)
            np.testing.assert_array_equal(expected.provenance.env_versions, batch.provenance.env_versions)
        assert local.total_env_steps == pool.total_env_steps
        assert {**local.get_state(), "recipes": 0} == {**pool.get_state(), "recipes": 0}


def test_units_that_ran_ahead_are_kept_where_no_update_came(pool, make):
    sampler, local = pool(n_threads=3), make()
    for _ in range(5):
        assert sampler.obtain_samples(0, 7).equals(local.obtain_samples(0, 7))


def test_a_state_goes_from_one_backend_to_another(pool, make):
    sampler, local = pool(seed=8), make()
    local.obtain_samples(0, 20, agent_update=weights(5), env_update=[TattooEnv(tag=1), TattooEnv(tag=2)])
    sampler.set_state(local.get_state())
    assert sampler.obtain_samples(0, 20).difference(local.obtain_samples(0, 20)) is None
    make().set_state(sampler.get_state())


def test_episodes_that_do_not_fit_together_do_not_block_the_next_call(pool, make):
    class Shapes(TattooEnv):
        def reset(self, **arguments):
            observation, _ = super().reset(**arguments)
            return observation, {"ragged": np.zeros(min(self.key % 7, 2))}

    sampler, local = pool(envs=Shapes), make(envs=Shapes)
    failed = 0
    for least in (40, 40, 1):
        for it in (sampler, local):
            try:
                it.obtain_samples(0, least)
            except ValueError:
                failed += 1
    assert failed == 4
    assert sampler.get_state()["cursor"] == local.get_state()["cursor"] == 1


@pytest.mark.parametrize("site", ["reset", "step"])
def test_a_failed_unit_is_raised_in_its_turn_and_nothing_has_happened(pool, make, site):
    fault = Fault(site, key=unit_key(SEED, 3))
    sampler, local = pool(n_threads=3), make()
    with pytest.raises(WorkerError, match="worker 1 raised ValueError in unit 3"):
        sampler.obtain_exact_episodes(4, env_update=lambda: TattooEnv(fault=fault, delays=(0, 0.005)))
    assert sampler.get_state()["cursor"] == 0
    assert sampler.obtain_samples(0, 30).equals(local.obtain_samples(0, 30))


def test_a_worker_that_cannot_take_an_update_is_built_again(pool, make):
    sampler, local = pool(), make()
    with pytest.raises(WorkerError, match="worker 1 raised AttributeError while it was built or updated"):
        sampler.obtain_samples(0, 5, agent_update=[weights(1), "no weights"])
    assert sampler.obtain_samples(0, 30).equals(local.obtain_samples(0, 30))


def test_a_worker_that_cannot_start_ends_all_of_them(pool, tmp_path):
    good = lambda: TattooEnv(ledger=tmp_path / "l")  # noqa: E731
    before = threading.active_count()
    with pytest.raises(WorkerError, match="worker 1"):
        pool(envs=[good, lambda: TattooEnv(fault=Fault("construct"))])
    assert unclosed(tmp_path / "l") == {}
    assert_threads(before)


def test_every_environment_is_closed_exactly_once(pool, tmp_path):
    mine = [TattooEnv(tag=tag, ledger=tmp_path / "l") for tag in range(3)]
    sampler = pool(envs=mine[0], n_threads=2)
    sampler.obtain_samples(0, 20)
    sampler.obtain_samples(0, 20, env_update=mine[1])
    sampler.obtain_samples(0, 20, env_update=[mine[2], SetTaskUpdate(TattooEnv, 4)])
    sampler.shutdown_worker()
    for env in mine:
        env.close()
    assert unclosed(tmp_path / "l") == {}


class Shy:
    """Can be copied, but not sent."""

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError("this one does not travel")


def test_an_info_that_cannot_travel_is_its_unit_s_failure(pool, make):
    class Shows(TattooEnv):
        def reset(self, **arguments):
            observation, info = super().reset(**arguments)
            return observation, {**info, "shy": Shy()} if self.key == unit_key(SEED, 1) else info

    sampler = pool(envs=Shows)
    with pytest.raises(WorkerError, match=r"unit 1: .*does not travel"):
        sampler.obtain_exact_episodes(1)
    assert sampler.obtain_samples(0, 1).equals(make().obtain_samples(0, 1)), "the carrier lives on"


def test_a_worker_that_cannot_be_built_again_at_once_is_built_later(pool, make, tmp_path):
    class Moody(TattooEnv):
        def __init__(self):
            super().__init__(fault=Fault("construct") if (tmp_path / "moody").exists() else None)

    sampler = pool(envs=Moody)
    with pytest.raises(WorkerError):
        sampler.obtain_samples(0, 5, agent_update="no weights")
    (tmp_path / "moody").touch()
    with pytest.raises(WorkerError, match="while it was built or updated"):
        sampler.obtain_samples(0, 5)
    (tmp_path / "moody").unlink()
    assert sampler.obtain_samples(0, 20).equals(make().obtain_samples(0, 20))


def test_a_shutdown_ends_a_running_call(pool):
    class Slow(TattooEnv):
        def step(self, action):
            time.sleep(0.002)
            return super().step(action)

    sampler = pool(envs=lambda: Slow(lengths=(10**5,), infos="none"), max_episode_length=10**5)
    timer = threading.Timer(0.1, sampler.shutdown_worker)
    timer.start()
    with pytest.raises(SamplerClosed):
        sampler.obtain_samples(0, 10**5)
    start = time.monotonic()
    timer.join()
    assert time.monotonic() - start < 2


def interrupted_when(monkeypatch, method, *, times):
    """Let Ctrl-C come each time that carriers are stopped, or their transport is closed."""
    original, left = getattr(ThreadTransport, method), [None] * times

    def interrupted(self, *arguments):
        if left:
            left.pop()
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(ThreadTransport, method, interrupted)


@pytest.mark.parametrize("method", ["stop", "close"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_shutdown_that_ctrl_c_interrupts_is_finished_all_the_same(
    pool, tmp_path, monkeypatch, method, times
):
    sampler = pool(envs=lambda: TattooEnv(ledger=tmp_path / "l"))
    interrupted_when(monkeypatch, method, times=times)
    with pytest.raises(KeyboardInterrupt):
        sampler.shutdown_worker()
    if times > 1:
        assert sampler._live_pool is not None
        sampler.shutdown_worker()
    assert sampler._live_pool is None
    assert unclosed(tmp_path / "l") == {}


@pytest.mark.parametrize("times", [1, 2])
def test_workers_that_start_again_after_ctrl_c_find_nothing_of_the_last_ones(
    pool, make, tmp_path, monkeypatch, times
):
    sampler = pool(envs=lambda: TattooEnv(ledger=tmp_path / "l"))
    interrupted_when(monkeypatch, "stop", times=times)
    with pytest.raises(KeyboardInterrupt):
        sampler.set_state({**sampler.get_state(), "seed": 7})
    assert sampler.obtain_samples(0, 20).equals(make().obtain_samples(0, 20))
    sampler.shutdown_worker()
    assert unclosed(tmp_path / "l") == {}


def test_ctrl_c_at_the_end_of_a_program_keeps_no_other_sampler_from_its_shutdown(pool, monkeypatch):
    one, other = pool(), pool()
    monkeypatch.setattr(at_exit, "_live", [one, other])
    interrupted_when(monkeypatch, "stop", times=1)
    with pytest.raises(KeyboardInterrupt):
        at_exit._close_live()
    assert one._live_pool is other._live_pool is None


def test_what_was_dropped_is_counted(pool):
    sampler = pool(n_threads=3)
    for version in range(10):
        sampler.obtain_samples(0, 7, agent_update=weights(version))
    statistics = sampler.statistics()
    assert statistics.calls == 10
    assert statistics.env_steps == sampler.total_env_steps >= 70
    assert statistics.units_discarded <= statistics.env_steps_discarded


def test_what_was_admitted_is_not_counted_as_dropped(pool):
    sampler = pool()
    sampler.obtain_exact_episodes(5)
    sampler.obtain_exact_episodes(5, agent_update=weights(1))
    assert sampler.statistics().units_discarded == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_restarts": -1}, ValueError),
        ({"max_restarts": 1.0}, TypeError),
        ({"max_restarts": True}, TypeError),
        ({"max_restarts": False}, TypeError),
        ({"unit_timeout": 0}, ValueError),
        ({"unit_timeout": -1}, ValueError),
        ({"unit_timeout": float("nan")}, ValueError),
        ({"unit_timeout": "1"}, TypeError),
        ({"unit_timeout": True}, TypeError),
        ({"no_such": 1}, TypeError),
        pytest.param({"worker_args": {"it": threading.Lock()}}, TypeError, id="no pickle of an argument"),
    ],
    ids=str,
)
def test_bad_options_are_refused_before_anything_starts(pool, options, error):
    before = threading.active_count()
    with pytest.raises(error, match=next(iter(options))):
        pool(**options)
    assert_threads(before)


@pytest.mark.parametrize(
    "options",
    [{"max_restarts": 0}, *({"unit_timeout": seconds} for seconds in (5, None, 1e10, float("inf")))],
    ids=str,
)
def test_good_options(pool, options):
    pool(**options).obtain_samples(0, 5)


def test_the_time_of_a_unit_counts_that_was_cancelled_until_its_carrier_says_something_newer(pool):
    sampler = pool()
    for call in range(2):
        sampler.obtain_samples(call, 5, weights(call))
    member, dealer = sampler._pool.members[0], sampler._private
    now, before = sampler._epoch, sampler._epoch - 1
    member.unit_started, member.answered = None, now
    sampler._began_unit(member, Started(before, 0), dealer)
    assert member.unit_started is None, "it has followed a newer record since"
    sampler._began_unit(member, Started(now, 10**6), dealer)
    assert member.unit_started is None, "nobody gave it that unit"
    member.answered = before
    sampler._began_unit(member, Started(before, 0, age=3.0), dealer)
    assert member.unit_started == pytest.approx(time.monotonic() - 3.0, abs=1.0)
