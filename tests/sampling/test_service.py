"""A carrier that is called, by a far end whose threads belong to somebody else."""

from __future__ import annotations

import math
import threading
import time
import weakref

import numpy as np
import pytest
from fault_probes import FaultyEnv
from gymnasium import Env, spaces

from samplerkit import WorkerFactory
from samplerkit.episodes import RecycledMemory
from samplerkit.global_random import GlobalRandomState
from samplerkit.policies import RandomPolicy
from samplerkit.sampling import Service, boundary, carrier, outbox, serve
from samplerkit.sampling.carrier import CarrierSetup
from samplerkit.sampling.host import WorkerHost
from samplerkit.sampling.messages import Cancel, Close, Configure, Finished, Run, decode, encode
from samplerkit.sampling.numbering import UnitSeeds
from samplerkit.sampling.recipes import Recipe
from samplerkit.sampling.seating import HostSetup
from samplerkit_vectorized.worker import VecWorker

ENOUGH = 20.0
"""Seconds after which a test gives up."""


class Called:
    """A service, and what it said."""

    def __init__(self, patience: float = 1000.0, **kind: object) -> None:
        factory = WorkerFactory(**{"max_episode_length": 5, "seed": 1, "n_workers": 1, **kind})
        setup = CarrierSetup(HostSetup.of(factory, 1, True), announce_units=False, patience=patience)
        self.said: list[object] = []
        self.speakers: list[threading.Thread] = []
        self.ups = 0
        self.service = Service(encode(setup), self._say, on_up=self._count_up)

    def _say(self, message) -> None:
        self.said.append(decode(message))
        self.speakers.append(threading.current_thread())

    def _count_up(self) -> None:
        self.ups += 1

    def configure(self, epoch: int, env: type[Env] = FaultyEnv) -> None:
        agent = boundary.agent_change(RandomPolicy(FaultyEnv.action_space)).packed
        recipe = Recipe(agent, None, (boundary.env_change(env, 3),))
        self.take(Configure(epoch, 1, {0: recipe}, (0,)))

    def take(self, request) -> None:
        self.service.take(encode(request))

    def work(self) -> tuple[list[object], int]:
        """Return what it says, and how many more calls it wants."""
        self.service.work(lambda: bool(self.said))
        said, self.said[:] = list(self.said), []
        return said, self.service.wants


@pytest.fixture
def call(monkeypatch):
    monkeypatch.setattr(carrier.threadpoolctl, "threadpool_limits", lambda limits: None)
    every = []

    def make(**options) -> Called:
        every.append(Called(**options))
        return every[-1]

    with GlobalRandomState():
        yield make
        for one in every:
            one.take(Close())
            while not one.service.over:
                one.work()


@pytest.fixture
def called(call):
    return call()


class Pictures(Env):
    """Observations of a megabyte."""

    observation_space = spaces.Box(0, 255, (1 << 20,), np.uint8)
    action_space = FaultyEnv.action_space

    def reset(self, *, seed=None, options=None):
        return np.full(1 << 20, 7, np.uint8), {}

    def step(self, action):
        return np.full(1 << 20, 8, np.uint8), 0.0, False, False, {}


class Slow(FaultyEnv):
    """Steps that take a while."""

    def step(self, action):
        time.sleep(0.02)
        return super().step(action)


class EndsWithAnOddSeed(FaultyEnv):
    """Episodes of one step, or without end."""

    def reset(self, *, seed=None, options=None):
        self.ends = seed % 2 == 1
        return super().reset(seed=seed, options=options)

    def step(self, action):
        time.sleep(0.001)
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, self.ends, truncated, info


def units(said: list[object]) -> list[tuple[int, ...]]:
    return [reply.numbers for reply in said if isinstance(reply, Finished)]


def test_what_came_together_is_answered_together_and_it_says_how_often_it_is_to_be_called(called):
    called.configure(0)
    assert called.work()[1] == 0
    called.take(Run(0, (0, 1, 2)))
    called.take(Run(0, (3, 4)))
    said, wants = called.work()
    assert (units(said), wants) == ([(0, 1, 2)], 1)
    said, wants = called.work()
    assert (units(said), wants) == ([(3, 4)], 0)
    assert called.work() == ([], 0), "there is nothing to do"


def test_results_that_may_linger_are_not_sent_while_the_next_unit_runs(call, monkeypatch):
    monkeypatch.setattr(outbox, "_LATEST", 0.01)
    called = call()
    called.configure(0, Slow)
    called.work()
    called.take(Run(0, (0, 1)))
    assert units(called.work()[0]) == [(0, 1)]


def test_what_has_ended_does_not_wait_for_a_unit_without_end_in_another_slot(call, monkeypatch):
    monkeypatch.setattr(outbox, "_LATEST", 0.02)
    two_slots = {"worker_class": VecWorker, "worker_args": {"n_envs": 2}, "max_episode_length": math.inf}
    called = call(patience=0.02, **two_slots)
    called.configure(0, EndsWithAnOddSeed)
    called.work()
    seeds = UnitSeeds(1)
    ends, goes_on = (next(n for n in range(99) if seeds.unit(n).env_seed % 2 == odd) for odd in (1, 0))
    called.take(Run(0, (ends, goes_on)))
    working = threading.Thread(target=called.service.work, args=(lambda: False,))
    working.start()
    until = time.monotonic() + ENOUGH
    while not called.said and time.monotonic() < until:
        time.sleep(0.01)
    assert units(called.said) == [(ends,)]
    assert working not in called.speakers, "whose messages are heard when it returns"
    called.take(Cancel(0))
    working.join(ENOUGH)


def test_it_says_once_that_workers_are_up(called):
    called.work()
    assert called.ups == 0
    for epoch in range(3):
        called.configure(epoch)
        called.work()
        assert called.ups == 1


def test_it_wants_to_be_called_again_as_long_as_it_has_units_left(call):
    hasty = call(patience=1e-9)  # every result is news
    hasty.configure(0)
    hasty.work()
    hasty.take(Run(0, (0, 1, 2)))
    calls = [hasty.work() for _ in range(3)]
    assert [units(said) for said, _ in calls] == [[(0,)], [(1,)], [(2,)]]
    assert [wants > 0 for _, wants in calls] == [True, True, False]


def test_it_wants_to_be_called_for_news_though_it_had_only_old_results_to_tell(call):
    two_slots = {"worker_class": VecWorker, "worker_args": {"n_envs": 2}}
    hasty = call(patience=1e-9, max_episode_length=1, **two_slots)
    hasty.configure(0)
    hasty.work()
    hasty.take(Run(0, (0, 1)))
    assert units(hasty.work()[0]) == [(0,)], "the other one ended with it, and was not looked at"
    hasty.configure(1)
    hasty.take(Run(1, (5,)))
    said, wants = hasty.work()
    assert units(said) == [(1,)]
    assert wants > 0
    assert units(hasty.work()[0]) == [(5,)]
    assert hasty.work() == ([], 0)


def test_it_wants_no_calls_for_units_that_were_cancelled(call):
    hasty = call(patience=1e-9)
    hasty.configure(0)
    hasty.work()
    hasty.take(Run(0, (0, 1, 2)))
    hasty.work()
    hasty.take(Cancel(0))
    for _ in range(3):
        said, wants = hasty.work()
    assert (units(said), wants) == ([], 0)


def test_a_cancellation_that_comes_late_does_not_strike_the_next_epoch(called, monkeypatch):
    called.configure(0)
    called.work()
    looked, resumed = threading.Event(), threading.Event()
    cancel, resume = WorkerHost.cancel, WorkerHost.resume

    def cancel_late(host) -> None:
        if threading.current_thread() is late:
            looked.set()
            resumed.wait(0.3)
        cancel(host)

    def resume_first(host) -> None:
        resume(host)
        resumed.set()
        late.join(0.3)

    monkeypatch.setattr(WorkerHost, "cancel", cancel_late)
    monkeypatch.setattr(WorkerHost, "resume", resume_first)
    late = threading.Thread(target=called.take, args=(Cancel(0),))
    late.start()
    assert looked.wait(ENOUGH)
    called.configure(1)
    called.take(Run(1, (0, 1)))
    said, _ = called.work()
    late.join(ENOUGH)
    assert units(said) == [(0, 1)]


def test_a_cancellation_of_an_earlier_epoch_brings_no_dropped_unit_back(called):
    called.configure(0)
    called.work()
    called.configure(2)
    called.take(Run(1, (7,)))
    called.take(Cancel(0))
    called.take(Run(2, (0,)))
    assert units(called.work()[0]) == [(0,)]


def test_large_results_are_put_together_in_memory_that_is_used_again_when_nobody_looks_at_it(
    call, monkeypatch
):
    blocks: list[int] = []

    def new_block(size):
        blocks.append(size)
        return np.empty(size, np.uint8)

    monkeypatch.setattr(carrier, "RecycledMemory", lambda **kept: RecycledMemory(new_block, **kept))
    called = call()
    called.configure(0, Pictures)
    called.work()
    called.take(Run(0, (0,)))
    (first,), _ = called.work()
    assert len(blocks) == 1
    called.take(Run(0, (1,)))
    called.work()
    assert len(blocks) == 2, "the first is held"
    assert first.batch.observations[:, 0].tolist() == [7, 8, 8, 8, 8]
    called.take(Run(0, (2,)))
    called.work()
    assert len(blocks) == 2


def test_told_to_close_it_is_over(called):
    called.configure(0)
    called.take(Close())
    called.work()
    called.work()
    assert called.service.over
    assert called.work() == ([], 0)


def test_who_waits_for_the_next_message_does_not_hold_the_memory_of_the_last():
    factory = WorkerFactory(max_episode_length=5, seed=1, n_workers=1)
    setup = CarrierSetup(HostSetup.of(factory, 1, True), announce_units=False)
    taken: list[weakref.ref[memoryview]] = []
    still_there: list[bool] = []

    def receive():
        still_there.extend(it() is not None for it in taken)
        if len(taken) == 2:
            return None
        message = memoryview(encode(Cancel(0)))
        taken.append(weakref.ref(message))
        return message

    serve(encode(setup), receive, lambda message: None)
    assert still_there == [False, False, False]
