"""The far end of a pool in a thread, with a shared queue and a board in memory."""

from __future__ import annotations

import queue
import threading
from collections import deque
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from samplerkit import DefaultWorker, WorkerFactory
from samplerkit.episodes.batch_buffer import layout
from samplerkit.global_random import GlobalRandomState
from samplerkit.policies import RandomPolicy
from samplerkit.sampling import Claim, Need, SharedWork, boundary, carrier, outbox, serve
from samplerkit.sampling.carrier import CarrierSetup
from samplerkit.sampling.messages import (
    Cancel,
    Close,
    Configure,
    Configured,
    Finished,
    Run,
    Started,
    decode,
    encode,
)
from samplerkit.sampling.placement import Placement
from samplerkit.sampling.recipes import Recipe
from samplerkit.sampling.seating import HostSetup
from samplerkit_vectorized.worker import VecWorker

SEED = 4
PATIENCE = 20.0
"""Seconds after which a test gives up."""


class Memory(SharedWork):
    """A queue and a board in memory; there is no way of its own for messages."""

    def __init__(self) -> None:
        self.claims: deque[Claim] = deque()
        self.notes: list[tuple[int, int]] = []
        self._changed = threading.Condition()
        self._woken = False
        self._messages: deque[bytes] = deque()

    def offer(self, *claims: Claim) -> None:
        with self._changed:
            self.claims.extend(claims)
            self._changed.notify_all()

    def claim(self) -> Claim | None:
        with self._changed:
            self._changed.notify_all()
            return self.claims.popleft() if self.claims else None

    def wait_until_taken(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: not self.claims, PATIENCE), "entries are left"

    def hand_over(self, take) -> None:
        self._take = take

    def wait(self) -> None:
        self._wait(lambda: self.claims or self._woken or self._messages, PATIENCE, "nobody woke it")

    def _wait(self, changed, timeout: float, otherwise: str | None = None) -> None:
        with self._changed:
            assert self._changed.wait_for(changed, timeout) or not otherwise, otherwise
            self._woken = False
            message = self._messages.popleft() if self._messages else None
        if message is not None:
            self._take(message)

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def tell(self, message: object) -> None:
        """Send a message that only a carrier hears which waits."""
        with self._changed:
            self._messages.append(encode(message))
            self._changed.notify_all()

    def note(self, epoch: int, number: int) -> None:
        self.notes.append((epoch, number))

    follow = True
    bytes = np.zeros(1000, np.uint8)

    def batch_memory(self):
        return self.bytes

    def all_follow(self, epoch: int) -> bool:
        return self.follow


class StageEnv(gymnasium.Env):
    """Episodes of two steps; `stage` sees each step and each constructor, and may block or raise there."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        StageEnv.stage.built()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        StageEnv.stage.began()
        self.left = StageEnv.stage.length
        return np.zeros(1), {}

    def step(self, action):
        StageEnv.stage.stepped()
        self.left -= 1
        return np.zeros(1), 0.0, self.left == 0, False, {}


class Stage:
    """A carrier in a thread, the pool's end in the test's hands, and what its environments do."""

    def __init__(
        self,
        work: Memory | None,
        announce: bool = False,
        n_envs: int | None = None,
        worker_class: type[DefaultWorker] = DefaultWorker,
    ) -> None:
        self.work = work
        self.length = 2
        self.groups: list[list[int]] = []
        self.built = lambda: None
        self.began = lambda: None
        self.stepped = lambda: None
        self._requests: queue.Queue = queue.Queue()
        self._replies: queue.Queue = queue.Queue()
        kind = {"worker_class": worker_class}
        if n_envs is not None:
            kind = {"worker_class": VecWorker, "worker_args": {"n_envs": n_envs}}
        factory = WorkerFactory(max_episode_length=10**9, seed=SEED, n_workers=1, **kind)
        self._setup = encode(CarrierSetup(HostSetup.of(factory, 1, True), announce))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._recipe = Recipe(
            boundary.agent_change(RandomPolicy(StageEnv.action_space)).packed,
            None,
            (boundary.env_change(StageEnv, 3),),
        )

    def _serve(self) -> None:
        serve(self._setup, self._receive, self._replies.put, self.work)

    def _receive(self):
        request = self._requests.get()
        return None if request is None else encode(request)

    def start(self) -> None:
        StageEnv.stage = self
        self._thread.start()

    def tell(self, request) -> None:
        self._requests.put(request)

    def configure(self, epoch: int, env=StageEnv, placement=None) -> None:
        recipe = Recipe(self._recipe.agent, None, (boundary.env_change(env, 3),))
        self.tell(Configure(epoch, SEED, {0: recipe}, (0,), placement=placement))

    def reply(self):
        return decode(self._replies.get(timeout=PATIENCE))

    def finished(self, count: int) -> dict[int, object]:
        """Wait for the results of this many units."""
        results: dict[int, object] = {}
        while len(results) < count:
            reply = self.reply()
            assert isinstance(reply, Finished), reply
            results |= dict.fromkeys(reply.numbers, reply.epoch) | dict(reply.failures)
        return results

    def end(self) -> None:
        self.stepped = lambda: None
        self.tell(Close())
        self.tell(None)
        self.join()

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the carrier has not ended"


def block(stage: Stage):
    """Let steps block; return what is set when one does, and what lets it go on."""
    reached, go_on = threading.Event(), threading.Event()

    def stepped():
        reached.set()
        assert go_on.wait(PATIENCE)

    stage.stepped = stepped
    return reached, go_on


@pytest.fixture(autouse=True)
def no_global_effects(monkeypatch):
    monkeypatch.setattr(carrier.threadpoolctl, "threadpool_limits", lambda limits: None)
    with GlobalRandomState():
        yield


@pytest.fixture(autouse=True)
def never_late(monkeypatch):
    """Results travel when the queue is empty, or where a test says so: never because of the time."""
    monkeypatch.setattr(carrier, "_PATIENCE", 1000.0)
    monkeypatch.setattr(outbox, "_LATEST", 1000.0)


@pytest.fixture
def make():
    stages = []

    def make_one(work=None, **arguments):
        stages.append(Stage(work, **arguments))
        stages[-1].start()
        return stages[-1]

    yield make_one
    for stage in stages:
        stage.end()
    for thread in threading.enumerate():
        if thread.name.startswith("samplerkit-"):
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"{thread.name} is left"


def test_units_of_the_queue_run_and_their_results_travel_together(make):
    work = Memory()
    stage = make(work)
    work.offer(*(Claim(1, number, False) for number in range(5)))
    stage.configure(1)
    reply = stage.reply()
    assert (reply.epoch, reply.numbers, reply.n_episodes) == (1, (0, 1, 2, 3, 4), (1,) * 5)
    assert reply.batch.lengths.tolist() == [2] * 5


def test_the_board_says_what_runs_and_when_nothing_does(make):
    work = Memory()
    stage = make(work)
    seen = []
    stage.stepped = lambda: seen.append(work.notes[-1])
    stage.configure(1)
    stage.reply()
    work.offer(Claim(1, 3, False), Claim(1, 8, False))
    assert stage.finished(2) == {3: 1, 8: 1}
    assert seen == [(1, 3), (1, 3), (1, 8), (1, 8)]
    stage.end()
    assert work.notes[-1] == (1, -1)


def test_an_idle_carrier_hears_of_units_that_come_later(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    for number in range(3):
        work.offer(Claim(1, number, False))
        assert stage.finished(1) == {number: 1}


def test_an_idle_carrier_follows_what_it_hears_itself(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    work.tell(Run(1, (7, 8)))
    assert stage.finished(2) == {7: 1, 8: 1}
    work.tell(Close())
    stage.join()


def test_units_of_earlier_epochs_are_dropped(make):
    work = Memory()
    stage = make(work)
    stage.configure(2)
    stage.reply()
    work.offer(Claim(1, 0, False), Claim(2, 1, False), Claim(0, 2, True), Claim(2, 3, False))
    assert stage.finished(2) == {1: 2, 3: 2}
    stage.end()
    assert [number for _, number in work.notes if number >= 0] == [1, 3]


def test_a_unit_of_a_later_epoch_waits_for_what_begins_it(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    work.offer(Claim(2, 0, False))
    stage.configure(2)
    assert stage.finished(1) == {0: 2}


def test_a_unit_of_a_later_epoch_outlasts_the_epochs_in_between(make, monkeypatch):
    monkeypatch.setattr(outbox, "_LATEST", 0.01)
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    work.offer(Claim(3, 0, False))
    stage.configure(2)
    assert stage.reply() == Configured(2, [])
    stage.configure(3)  # it had not come through yet
    assert stage.finished(1) == {0: 3}


def test_an_urgent_unit_lets_what_is_finished_go_first(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    stage.length = 1
    first, steps = threading.Event(), iter(range(2))
    reached, go_on = block(stage)
    blocking = stage.stepped
    stage.stepped = lambda: first.set() if next(steps) == 0 else blocking()
    work.offer(Claim(1, 0, False), Claim(1, 1, True))
    assert stage.finished(1) == {0: 1}
    assert reached.wait(PATIENCE)
    go_on.set()
    assert stage.finished(1) == {1: 1}


class Tally(Memory):
    """A memory with a tally, which says of each urgent unit what a test wants."""

    def __init__(self, **needs: Need) -> None:
        super().__init__()
        self.needs = {int(name[1:]): need for name, need in needs.items()}
        self.scores: list[tuple[int, int, int]] = []
        self.rests = threading.Semaphore(0)

    def score(self, epoch: int, number: int, n_steps: int) -> None:
        self.scores.append((epoch, number, n_steps))

    def need(self, epoch: int, number: int) -> Need:
        return self.needs[number]

    def wait_for_wake(self, timeout: float) -> None:
        self.rests.release()
        self._wait(lambda: self._woken or self._messages, timeout)


def test_the_tally_is_told_how_many_steps_each_unit_took(make):
    work = Tally()
    stage = make(work)
    work.offer(Claim(1, 4), Claim(1, 5))
    stage.configure(1)
    assert stage.finished(2) == {4: 1, 5: 1}
    stage.end()
    assert work.scores == [(1, 4, 2), (1, 5, 2)]


def test_an_urgent_unit_that_is_needed_lets_results_wait(make):
    work = Tally(u1=Need.LIKELY)
    stage = make(work)
    work.offer(Claim(1, 0), Claim(1, 1, urgent=True))
    stage.configure(1)
    assert stage.reply().numbers == (0, 1)


class Hall(Tally):
    """A tally where messages can be left quietly; what happened is noted in order."""

    def __init__(self, *answers: Need) -> None:
        super().__init__()
        self.answers = list(answers)
        self.happened: list[str] = []

    def need(self, epoch: int, number: int) -> Need:
        self.happened.append("asked")
        return self.answers.pop(0)

    def leave(self, parts) -> bool:
        self.happened.append("quiet")
        return True

    def ring(self) -> None:
        self.happened.append("rang")


def test_what_a_doubtful_unit_may_be_too_many_for_is_left_quietly_and_then_it_runs(make):
    work = Hall(Need.DOUBTFUL, Need.DOUBTFUL)
    stage = make(work)
    work.offer(Claim(1, 0), Claim(1, 1, urgent=True))
    stage.configure(1)
    assert stage.reply().numbers == (1,)
    assert work.happened == ["asked", "quiet", "asked"]


def test_whoever_learns_too_late_that_there_was_enough_rings_itself(make, monkeypatch):
    # The one who ended the last unit woke the pool before this one's results were there.
    monkeypatch.setattr(carrier, "_REST", PATIENCE)
    work = Hall(Need.DOUBTFUL, Need.NONE)
    stage = make(work)
    work.offer(Claim(1, 0), Claim(1, 1, urgent=True))
    stage.configure(1)
    assert work.rests.acquire(timeout=PATIENCE)
    assert work.happened == ["asked", "quiet", "asked", "rang"]


@pytest.mark.parametrize("hears_itself", [False, True])
def test_a_unit_that_is_not_needed_waits_for_another_call(make, monkeypatch, hears_itself):
    monkeypatch.setattr(carrier, "_REST", PATIENCE)
    work = Tally(u1=Need.NONE, u2=Need.LIKELY)
    stage = make(work)
    work.offer(Claim(1, 0), Claim(1, 1, urgent=True), Claim(1, 2, urgent=True))
    stage.configure(1)
    assert stage.finished(1) == {0: 1}
    assert work.rests.acquire(timeout=PATIENCE)
    assert [claim.first for claim in work.claims] == [2], "the rest is left to others"
    work.needs[1] = Need.LIKELY
    (work if hears_itself else stage).tell(Run(1, ()))
    assert stage.finished(2) == {1: 1, 2: 1}


def test_nothing_is_held_for_ever_whatever_the_tally_says(make, monkeypatch):
    monkeypatch.setattr(carrier, "_REST", 0.01)
    work = Tally(u0=Need.NONE, u1=Need.NONE)
    stage = make(work)
    work.offer(Claim(1, 0, urgent=True), Claim(1, 1, urgent=True))
    stage.configure(1)
    assert stage.reply() == Configured(1, [])
    assert stage.finished(2) == {0: 1, 1: 1}


def test_a_unit_that_was_held_is_dropped_with_its_epoch(make, monkeypatch):
    monkeypatch.setattr(carrier, "_REST", PATIENCE)
    work = Tally(u0=Need.NONE)
    stage = make(work)
    work.offer(Claim(1, 0, urgent=True))
    stage.configure(1)
    assert stage.reply() == Configured(1, [])
    assert work.rests.acquire(timeout=PATIENCE)
    stage.configure(2)
    work.offer(Claim(2, 7))
    assert stage.finished(1) == {7: 2}


def noted(stage: Stage) -> list[str]:
    """Let a stage note when episodes begin and when they are stepped, in order."""
    happened: list[str] = []
    stage.began = lambda: happened.append("begins")
    stage.stepped = lambda: happened.append("steps")
    return happened


def test_a_unit_that_will_hardly_be_needed_waits_for_those_in_other_slots(make):
    work = Tally(u0=Need.LIKELY, u1=Need.UNLIKELY, u2=Need.LIKELY)
    stage = make(work, n_envs=2)
    happened = noted(stage)
    work.offer(Claim(1, 0), Claim(1, 1, urgent=True))
    stage.configure(1)
    assert stage.finished(2) == {0: 1, 1: 1}
    assert happened == ["begins", "steps", "steps"] * 2


def test_what_runs_in_slots_stands_still_where_the_call_has_enough(make, monkeypatch):
    monkeypatch.setattr(carrier, "_REST", PATIENCE)
    work = Tally(u0=Need.LIKELY, u1=Need.NONE, u2=Need.LIKELY)
    stage = make(work, n_envs=2)
    happened = noted(stage)
    work.offer(Claim(1, 0), Claim(1, 1, urgent=True))
    stage.configure(1)
    assert work.rests.acquire(timeout=PATIENCE)
    assert stage.reply() == Configured(1, [])
    assert "steps" not in happened
    assert work.notes[-1] == (1, -1)
    work.needs[1] = Need.LIKELY
    stage.tell(Run(1, ()))
    assert stage.finished(2) == {0: 1, 1: 1}
    assert sorted(happened) == ["begins"] * 2 + ["steps"] * 4


def test_results_wait_while_the_call_needs_what_runs_in_other_slots(make):
    # Unit 1 may be one too many, but unit 0, which still runs here, is not.
    work = Hall(Need.LIKELY, Need.DOUBTFUL, *[Need.LIKELY] * 20)
    stage = make(work, n_envs=2)
    work.offer(Claim(1, 0), Claim(1, 1, urgent=True))
    stage.configure(1)
    assert stage.finished(2) == {0: 1, 1: 1}
    assert "quiet" not in work.happened


def test_what_is_finished_does_not_wait_for_a_unit_without_end(make, monkeypatch):
    monkeypatch.setattr(outbox, "_LATEST", 0.01)
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    stage.length = 1
    steps = iter(range(2))
    reached, go_on = block(stage)
    blocking = stage.stepped
    stage.stepped = lambda: None if next(steps) == 0 else blocking()
    work.offer(Claim(1, 0, False), Claim(1, 1, False))
    assert reached.wait(PATIENCE)
    assert stage.finished(1) == {0: 1}, "the next unit is still running"
    go_on.set()
    assert stage.finished(1) == {1: 1}


def test_a_failure_does_not_wait_for_the_next_unit(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    steps = iter(range(2))
    _, go_on = block(stage)
    blocking = stage.stepped

    def stepped():
        if next(steps) == 0:
            raise ValueError("the first step")
        blocking()

    stage.stepped = stepped
    work.offer(Claim(1, 0, False), Claim(1, 1, False))
    assert stage.finished(1)[0].message == "the first step"
    stage.stepped = lambda: None
    go_on.set()
    assert stage.finished(1) == {1: 1}


def test_cancelling_ends_the_running_unit_between_two_steps_and_drops_its_epoch(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    stage.length = 10**9
    reached, go_on = block(stage)
    work.offer(*(Claim(1, number, False) for number in range(3)))
    assert reached.wait(PATIENCE)
    stage.tell(Cancel(1))
    stage.stepped = lambda: None
    go_on.set()
    work.wait_until_taken()
    stage.configure(2)
    assert stage.reply() == Configured(2, [])
    stage.length = 2
    work.offer(Claim(2, 7, False))
    assert stage.finished(1) == {7: 2}
    stage.end()
    assert [number for _, number in work.notes if number >= 0] == [0, 7]


def test_a_new_epoch_cancels_the_running_unit_of_the_old_one(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    stage.length = 10**9
    reached, go_on = block(stage)
    work.offer(Claim(1, 0, False))
    assert reached.wait(PATIENCE)
    stage.configure(2)
    go_on.set()
    assert stage.reply() == Configured(2, [])


def test_nothing_runs_while_workers_are_configured_as_far_as_the_board_says(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    stage.length = 1  # it ends before it hears that nobody needs it
    reached, go_on = block(stage)
    work.offer(Claim(1, 0, False))
    assert reached.wait(PATIENCE)
    during = []
    stage.built = lambda: during.append(work.notes[-1])
    stage.configure(2)
    stage.stepped = lambda: None
    go_on.set()
    while not isinstance(stage.reply(), Configured):
        pass  # the unit's result, if it got there first
    assert during == [(2, -1)], (
        "it is done with the epoch before, and the time that building takes is not the last unit's"
    )


@pytest.mark.parametrize("how", [Close(), None], ids=["told", "deserted"])
def test_an_idle_carrier_ends(make, how):
    stage = make(Memory())
    stage.configure(1)
    stage.reply()
    stage.tell(how)
    stage.join()


@pytest.mark.parametrize("how", [Close(), None], ids=["told", "deserted"])
def test_a_carrier_ends_that_was_never_configured(make, how):
    stage = make(Memory())
    stage.tell(how)
    stage.join()


def test_a_carrier_ends_while_it_waits_for_a_later_epoch(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    work.offer(Claim(2, 0, False))
    stage.tell(Close())
    stage.join()


def test_a_carrier_ends_in_the_middle_of_a_unit(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    stage.length = 10**9
    reached, go_on = block(stage)
    work.offer(Claim(1, 0, False))
    assert reached.wait(PATIENCE)
    stage.tell(Close())
    stage.stepped = lambda: None
    go_on.set()
    stage.join()


def broken_env():
    raise ValueError("no environment today")


def test_a_carrier_whose_workers_could_not_be_built_runs_nothing_until_they_are(make):
    work = Memory()
    stage = make(work)
    stage.configure(1, broken_env)
    [failure] = stage.reply().failures
    assert failure.message == "no environment today"
    work.offer(Claim(1, 0, False))
    stage.configure(2)
    assert stage.reply() == Configured(2, [])
    work.offer(Claim(2, 1, False))
    assert stage.finished(1) == {1: 2}


def test_units_that_only_this_carrier_can_run_come_by_message_beside_the_queue(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    stage.tell(Run(1, (4, 5)))
    assert stage.finished(2) == {4: 1, 5: 1}
    assert [number for _, number in work.notes if number >= 0] == [4, 5]


@pytest.mark.parametrize("announce", [True, False])
def test_without_a_board_each_result_is_sent_at_once_and_units_are_announced_if_asked(make, announce):
    stage = make(None, announce=announce)
    stage.configure(1)
    stage.reply()
    stage.tell(Run(1, (0, 1)))
    replies = [stage.reply() for _ in range(4 if announce else 2)]
    said = [reply.number if isinstance(reply, Started) else reply.numbers for reply in replies]
    assert said == ([0, (0,), 1, (1,)] if announce else [(0,), (1,)])


def test_with_a_board_nothing_is_announced(make):
    work = Memory()
    stage = make(work, announce=True)
    stage.configure(1)
    stage.reply()
    work.offer(Claim(1, 0, False))
    assert stage.finished(1) == {0: 1}


def test_units_of_one_entry_run_one_after_the_other(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    work.offer(Claim(1, 3, False, 4), Claim(1, 9))
    assert stage.finished(5) == dict.fromkeys([3, 4, 5, 6, 9], 1)
    stage.end()
    assert [number for _, number in work.notes if number >= 0] == [3, 4, 5, 6, 9]


def test_what_is_left_of_an_entry_runs_after_a_message_that_changes_nothing(make):
    work = Memory()
    stage = make(work)
    stage.configure(1)
    stage.reply()
    reached, go_on = block(stage)
    work.offer(Claim(1, 0, False, 4))
    assert reached.wait(PATIENCE)
    stage.tell(Run(1, (7,)))
    stage.tell(Cancel(0))
    go_on.set()
    assert stage.finished(5) == dict.fromkeys([0, 1, 2, 3, 7], 1)


def end_epoch_within(stage, work, entry, number):
    """Let a new epoch begin while the first unit of an entry runs, and run another unit in it."""
    stage.configure(1)
    stage.reply()
    stage.length = 10**9
    reached, go_on = block(stage)
    work.offer(entry)
    assert reached.wait(PATIENCE)
    stage.configure(2)
    stage.stepped = lambda: None
    go_on.set()
    assert stage.reply() == Configured(2, [])
    stage.length = 2
    work.offer(Claim(2, number))
    assert stage.finished(1) == {number: 2}


def test_what_is_left_of_an_entry_is_dropped_with_its_epoch(make):
    work = Memory()
    stage = make(work)
    end_epoch_within(stage, work, Claim(1, 0, False, 4), 7)
    stage.end()
    assert [number for _, number in work.notes if number >= 0] == [0, 7]


class FourTogether(DefaultWorker):
    """Takes four units at once, and runs them one after the other."""

    @classmethod
    def overlap(cls, **worker_args):
        return 4

    def rollouts(self, units):
        while group := units.take(4):
            StageEnv.stage.groups.append([unit.number for unit in group])
            for unit in group:
                self.unit = unit
                yield unit, self.rollout()


def test_units_are_handed_out_together_over_the_bounds_of_entries_and_the_oldest_is_noted(make):
    work = Memory()
    stage = make(work, worker_class=FourTogether)
    seen = []
    stage.stepped = lambda: seen.append(work.notes[-1])
    stage.configure(1)
    stage.reply()
    work.offer(Claim(1, 3, False, 3), Claim(1, 8, False, 3))
    assert stage.finished(6) == dict.fromkeys([3, 4, 5, 8, 9, 10], 1)
    assert stage.groups == [[3, 4, 5, 8], [9, 10]]
    assert seen == [(1, number) for number in (3, 3, 4, 4, 5, 5, 8, 8, 9, 9, 10, 10)]


class LastOfFourFirst(FourTogether):
    """Ends the units that it took together in the opposite order."""

    def rollouts(self, units):
        while group := units.take(4):
            for unit in reversed(group):
                self.unit = unit
                yield unit, self.rollout()


def test_a_unit_that_runs_again_is_noted_again(make):
    work = Memory()
    stage = make(work)
    for epoch in (1, 2):
        stage.configure(epoch)
        for _ in range(2):  # the second time after a rest
            work.offer(Claim(epoch, 4))
            assert stage.finished(1) == {4: epoch}
    stage.end()
    assert [note for note in work.notes if note[1] >= 0] == [(1, 4), (1, 4), (2, 4), (2, 4)]


@pytest.mark.parametrize("timed", [False, True])
def test_while_the_oldest_unit_runs_on_the_board_is_written_only_for_who_watches_the_time(make, timed):
    work = Memory()
    stage = make(work, announce=timed, worker_class=LastOfFourFirst)
    stage.configure(1)
    stage.reply()
    work.offer(Claim(1, 3, False, 4))
    assert stage.finished(4) == dict.fromkeys([3, 4, 5, 6], 1)
    work.offer(Claim(1, 7, False, 1))
    assert stage.finished(1) == {7: 1}
    stage.end()
    units = [number for _, number in work.notes if number >= 0]
    assert list(dict.fromkeys(units)) == [3, 7]
    assert units.count(7) == 1
    assert units.count(3) >= 4 if timed else units.count(3) == 1


def test_what_is_left_of_an_entry_after_a_group_is_dropped_with_its_epoch(make):
    work = Memory()
    stage = make(work, worker_class=FourTogether)
    end_epoch_within(stage, work, Claim(1, 0, False, 9), 20)
    assert stage.groups == [[0, 1, 2, 3], [20]]


def test_what_is_left_of_an_entry_after_a_group_runs_after_a_message_that_changes_nothing(make):
    work = Memory()
    stage = make(work, worker_class=FourTogether)
    stage.configure(1)
    stage.reply()
    reached, go_on = block(stage)
    work.offer(Claim(1, 0, False, 6))
    assert reached.wait(PATIENCE)
    stage.tell(Run(1, (7,)))
    stage.tell(Cancel(0))
    go_on.set()
    assert stage.finished(7) == dict.fromkeys(range(6), 1) | {7: 1}
    assert stage.groups[0] == [0, 1, 2, 3]


@pytest.mark.parametrize("n_needed", [1, 2, 3, 4])
def test_of_a_group_that_may_be_too_many_only_those_run_that_are_needed(make, n_needed):
    needs = [*[Need.LIKELY, Need.LIKELY, Need.DOUBTFUL, Need.DOUBTFUL][:n_needed], *[Need.UNLIKELY] * 4]
    work = Tally(**{f"u{number}": need for number, need in enumerate(needs)})
    stage = make(work, worker_class=FourTogether)
    work.offer(Claim(1, 0, True, n_needed + 2))
    stage.configure(1)
    stage.finished(n_needed + 2)
    # Those after them are asked about again when nothing runs that they would hold up.
    assert stage.groups == [[*range(n_needed)], [n_needed], [n_needed + 1]]


def test_results_are_an_answer_and_nothing_else_is_said(make):
    work = Memory()
    stage = make(work)
    work.offer(Claim(1, 0))
    stage.configure(1)
    assert stage.finished(1) == {0: 1}
    work.offer(Claim(1, 1))
    assert stage.finished(1) == {1: 1}


def test_who_has_no_results_answers_by_itself(make):
    stage = make(Memory())
    for epoch in (1, 2):
        stage.configure(epoch)
        assert stage.reply() == Configured(epoch, [])


@pytest.mark.parametrize("board", [True, False])
def test_no_answer_waits_for_a_unit_without_end(make, board, monkeypatch):
    monkeypatch.setattr(outbox, "_LATEST", 0.01)
    stage = make(Memory() if board else None)
    reached, go_on = block(stage)
    stage.configure(1)
    stage.tell(Run(1, (0,)))
    assert reached.wait(PATIENCE)
    assert stage.reply() == Configured(1, [])
    go_on.set()
    assert stage.finished(1) == {0: 1}


# ------------------------------------------------ observations that are placed


class CountingEnv(StageEnv):
    """Observations that say how many steps it was."""

    def reset(self, *, seed=None, options=None):
        _, info = super().reset(seed=seed)
        return np.ones(1), info

    def step(self, action):
        _, *rest = super().step(action)
        return np.full(1, 1.0 + StageEnv.stage.length - self.left), *rest


def placed(memory, first=4, unit_rows=2, n_units=2, offset=64):
    memory.bytes = np.zeros(1000, np.uint8)
    return Placement(offset, layout(StageEnv.observation_space), first, unit_rows, n_units)


def test_observations_go_to_their_places_and_the_rest_travels(make):
    work = Memory()
    stage = make(work)
    work.offer(Claim(1, 4, n_units=2))
    stage.configure(1, CountingEnv, placed(work))
    reply = stage.reply()
    assert (reply.numbers, reply.placed, reply.batch.observations) == ((4, 5), True, ())
    assert reply.batch.last_observations.tolist() == [[3.0], [3.0]]
    np.testing.assert_array_equal(work.bytes.view(np.float64)[8:13], [1, 2, 1, 2, 0])


def test_units_without_a_place_travel_whole_and_not_with_those_that_have_one(make):
    work = Memory()
    stage = make(work)
    work.offer(Claim(1, 3, n_units=4))
    stage.configure(1, CountingEnv, placed(work))
    replies = [stage.reply() for _ in range(3)]
    assert [(reply.numbers, reply.placed) for reply in replies] == [
        ((3,), False),
        ((4, 5), True),
        ((6,), False),
    ]
    assert replies[2].batch.observations.tolist() == [[1], [2]]


def test_an_episode_too_long_for_its_place_travels_whole(make):
    work = Memory()
    stage = make(work)
    stage.length = 3
    work.offer(Claim(1, 4, n_units=1))
    stage.configure(1, CountingEnv, placed(work))
    reply = stage.reply()
    assert (reply.placed, reply.batch.observations.tolist()) == (False, [[1], [2], [3]])
    assert not work.bytes[64 + 16 :].any(), "these are another unit's"


def test_nothing_is_written_while_another_carrier_may_write_there(make):
    work = Memory()
    work.follow = False
    stage = make(work)
    work.offer(Claim(1, 4, n_units=1))
    stage.configure(1, CountingEnv, placed(work))
    assert not stage.reply().placed
    assert not work.bytes.any()


def test_places_for_other_observations_are_not_used(make):
    work = Memory()
    stage = make(work)
    work.offer(Claim(1, 4, n_units=1))
    stage.configure(
        1, CountingEnv, replace(placed(work), layout=layout(spaces.Box(0, 9, (1, 1), np.float64)))
    )
    assert not stage.reply().placed


def test_places_are_those_of_the_last_message_about_them(make):
    work = Memory()
    stage = make(work)
    stage.configure(1, CountingEnv, placed(work))
    stage.reply()
    stage.configure(2, CountingEnv)
    stage.reply()
    work.offer(Claim(2, 4, n_units=1))
    assert not stage.reply().placed
    assert not work.bytes.any()
