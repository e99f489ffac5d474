"""How units come to carriers, with carriers and a transport made up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit import EnvSpec
from samplerkit.episodes import EpisodeSlice
from samplerkit.sampling import Claim, dealing
from samplerkit.sampling.admission import Admission, Calls, Goal, Steps, Units
from samplerkit.sampling.dealing import CommonQueue, DeepQueues, PrivateQueues
from samplerkit.sampling.messages import Run
from samplerkit.sampling.schedule import Schedule

EPOCH = 3
STORE = SimpleNamespace(
    env_spec=EnvSpec(gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64), gymnasium.spaces.Discrete(2))
)


def result(length: int) -> EpisodeSlice:
    return EpisodeSlice(STORE, 0, 1, 0, length)


class FakeTransport:
    """A queue with room for so many entries, and a tally that nobody looks at."""

    def __init__(self, n_carriers: int, room: int | None = None) -> None:
        self.n_carriers = n_carriers
        self.room = room
        self.aims: list[tuple[int, int, int]] = []
        self.struck: list[int] = []
        self.queue: list[Claim] = []

    def offer(self, claims: Sequence[Claim]) -> int:
        room = len(claims) if self.room is None else max(0, self.room - len(self.queue))
        self.queue += claims[:room]
        return min(room, len(claims))

    def aim(self, epoch: int, first: int, least: int) -> None:
        self.aims.append((epoch, first, least))

    def strike(self, numbers: Iterable[int]) -> None:
        self.struck += numbers

    def withdraw(self) -> None:
        self.queue = []


class FakeCarrier:
    """Runs what it has, one unit after the other, and holds results until it is told to send them."""

    def __init__(self) -> None:
        self.own: list[int] = []
        self.noted: int | None = None
        self.outbox: list[int] = []


class FakePool:
    """What `PoolSampler` does with a dealer, and what carriers do meanwhile."""

    def __init__(
        self,
        goal: Goal,
        n_carriers: int,
        lengths: Sequence[int],
        *,
        shared: bool,
        room: int | None = None,
        first: int = 0,
        homes: Sequence[int | None] = (None,),
        step_bytes: int = 0,
    ) -> None:
        self.step_bytes = step_bytes
        self.lengths = lengths
        self.transport = FakeTransport(n_carriers, room)
        self.schedule = Schedule(n_carriers, in_order=False)
        self.schedule.begin(homes)
        self.dealer = (
            CommonQueue(self.schedule, 1, self.transport)  # type: ignore[arg-type]
            if shared
            else PrivateQueues(self.schedule, n_carriers)
        )
        self.admission = Admission(goal, first)
        self.carriers = [FakeCarrier() for _ in range(n_carriers)]
        self.ran: list[int] = []
        self.came: set[int] = set()
        self.deal()

    def deal(self) -> None:
        if not self.admission.complete:
            for index, run in self.dealer.deal(EPOCH, self.admission).items():
                assert run.epoch == EPOCH
                self.carriers[index].own += run.numbers

    def begin(self, index: int) -> bool:
        """Let a carrier begin its next unit, if it runs none and has one."""
        it = self.carriers[index]
        if it.noted is not None:
            return False
        if not it.own and self.transport.queue:
            claim = self.transport.queue.pop(0)
            assert claim.epoch == EPOCH
            if claim.urgent:
                self.send(index)
            it.own += claim.numbers
        if not it.own:
            return False
        it.noted = it.own.pop(0)
        return True

    def end(self, index: int) -> bool:
        """Let a carrier end its unit."""
        it = self.carriers[index]
        if it.noted is None:
            return False
        self.ran.append(it.noted)
        it.outbox.append(it.noted)
        it.noted = None
        return True

    def send(self, index: int) -> bool:
        """Let the pool have what a carrier finished."""
        it = self.carriers[index]
        numbers, it.outbox = it.outbox, []
        self.dealer.finished(index, numbers)
        for number in numbers:
            if number >= self.admission.next and number not in self.admission.waiting:
                unit = result(self.lengths[number % len(self.lengths)])
                self.schedule.ended(1, unit.n_steps, self.step_bytes)
                if not self.admission.complete:
                    self.admission.offer(number, unit)
        self.deal()
        return bool(numbers)

    def die(self, index: int) -> bool:
        """Let a carrier die with all that it has, and a new one take its place."""
        running, lost = self.dealer.lost(index, [carrier.noted for carrier in self.carriers])
        self.carriers[index] = FakeCarrier()
        for number in lost:
            self.schedule.lost(number, suspect=number == running)
        self.deal()
        return True

    def go_on(self) -> None:
        """Let carriers do all they can, in turn, until the batch is whole."""
        for _ in range(5000):
            if self.admission.complete:
                return
            did = [
                act(index) for act in (self.begin, self.end, self.send) for index in range(len(self.carriers))
            ]
            assert any(did), "nothing runs, and the batch is not complete: it would wait for ever"
        raise AssertionError("the batch was never completed")


goals = st.builds(Steps, st.integers(1, 400)) | st.builds(Units, st.integers(1, 120))


@st.composite
def pools(draw, shared: bool):
    n_carriers = draw(st.integers(1, 4))
    homes: Sequence[int | None] = (None,)
    if not shared:
        distinct = st.lists(st.integers(0, n_carriers - 1), min_size=1, max_size=5)
        homes = draw(st.just((None,)) | distinct)
    return FakePool(
        draw(goals),
        n_carriers,
        draw(st.lists(st.integers(1, 30), min_size=1, max_size=10)),
        shared=shared,
        room=draw(st.none() | st.integers(1, 5)) if shared else None,
        first=draw(st.integers(0, 500)),
        homes=homes,
        step_bytes=draw(st.sampled_from([0, 10, 1 << 20, 1 << 30])),
    )


@pytest.mark.parametrize("shared", [True, False], ids=["a common queue", "private queues"])
@settings(max_examples=200)
@given(data=st.data())
def test_in_any_order_of_events_every_unit_that_is_needed_is_dealt_until_it_comes(shared, data):
    pool = data.draw(pools(shared))
    acts = {"begin": pool.begin, "end": pool.end, "send": pool.send, "die": pool.die}
    events = st.tuples(
        st.sampled_from(["begin", "begin", "end", "end", "send", "die"]),
        st.integers(0, len(pool.carriers) - 1),
    )
    for name, index in data.draw(st.lists(events, max_size=60)):
        acts[name](index)
    pool.go_on()
    assert pool.admission.complete


@pytest.mark.parametrize("shared", [True, False], ids=["a common queue", "private queues"])
@settings(max_examples=50)
@given(data=st.data())
def test_without_deaths_no_unit_runs_twice(shared, data):
    pool = data.draw(pools(shared))
    pool.go_on()
    assert len(set(pool.ran)) == len(pool.ran)


@given(st.integers(1, 4), st.integers(1, 100), st.none() | st.integers(1, 4))
def test_exact_units_are_never_exceeded_by_a_common_queue(n_carriers, count, room):
    pool = FakePool(Units(count), n_carriers, [3], shared=True, room=room)
    pool.go_on()
    assert sorted(pool.ran) == list(range(count))


# ---------------------------------------------------------------- a common queue


def common(goal: Goal, n_carriers=2, room=None):
    return FakePool(goal, n_carriers, [10], shared=True, room=room)


def offered(pool: FakePool) -> list[int]:
    return [number for claim in pool.transport.queue for number in claim.numbers]


def test_units_that_are_needed_for_certain_are_offered_at_once_and_in_order():
    pool = common(Units(50))
    assert offered(pool) == list(range(50))
    assert not any(claim.urgent for claim in pool.transport.queue)


def test_a_queue_that_is_full_gets_the_rest_later():
    pool = common(Units(12), n_carriers=3, room=2)
    seen = offered(pool)
    assert len(pool.transport.queue) == 2
    while len(seen) < 12:
        taken = pool.transport.queue.pop(0)
        pool.deal()
        assert len(pool.transport.queue) == 2 or len(seen) + len(taken.numbers) >= 12
        seen += [number for number in offered(pool) if number not in seen]
    assert seen == list(range(12))


def test_the_tally_is_told_once_a_call_what_it_takes():
    pool = common(Steps(500))
    pool.deal()
    assert pool.transport.aims == [(EPOCH, 0, 500)]
    assert common(Units(3)).transport.aims == [(EPOCH, 0, 0)]


def test_a_call_that_goes_on_wakes_those_who_had_enough_for_the_last_one():
    pool = common(Steps(500))
    pool.admission = Admission(Steps(300), 7)
    assert pool.dealer.deal(EPOCH, pool.admission) == {0: Run(EPOCH, ()), 1: Run(EPOCH, ())}
    assert pool.dealer.deal(EPOCH, pool.admission) == {}
    pool.admission = Admission(Steps(300), 9)
    assert pool.dealer.deal(EPOCH + 1, pool.admission) == {}, "a new epoch wakes everybody anyway"
    assert pool.transport.aims == [(EPOCH, 0, 500), (EPOCH, 7, 300), (EPOCH + 1, 9, 300)]


def test_what_is_lost_is_struck_from_the_tally():
    pool = common(Units(4))
    numbers = pool.dealer.lost(0, [0, 1])[1]
    assert pool.transport.struck == numbers == [0, 2, 3]


def test_nobody_is_told_anything():
    pool = common(Units(5))
    assert pool.dealer.deal(EPOCH, pool.admission) == {}


def test_units_that_may_not_be_needed_are_few_and_urgent():
    pool = common(Steps(1))
    assert 1 < len(offered(pool)) <= 4 * 2, "a few for each carrier"
    assert pool.transport.queue[0].first == 0
    assert pool.transport.queue[-1].urgent, "it may be the last that is needed, or one more"


@given(st.sampled_from([2, 8, 100, 128]), st.integers(1, 4), st.integers(1, 3000))
def test_of_units_for_slots_that_have_all_been_equally_long_so_many_are_offered_as_it_takes(
    overlap, n_carriers, count
):
    transport, schedule = FakeTransport(n_carriers), Schedule(n_carriers * overlap, in_order=False)
    schedule.ended(1, 10)
    schedule.ended(64, 640)
    CommonQueue(schedule, overlap, transport).deal(EPOCH, Admission(Steps(10 * count - 5), 7))
    assert [number for claim in transport.queue for number in claim.numbers] == [*range(7, 7 + count)]
    assert not any(claim.urgent for claim in transport.queue)
    sizes = [claim.n_units for claim in transport.queue]
    longest = max(16, overlap)
    halves = [longest >> times for times in range(longest.bit_length())]
    assert all(size in halves for size in sizes[:-1]), "whoever fills its slots takes whole entries"
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes[:-1], default=overlap) >= overlap // 16, "there are no more of them than it takes"


@pytest.mark.parametrize(
    "ended",
    [
        [(64, 640), (64, 640), (1, 11)],
        [(64, 640), (64, 640), (10, 99)],
        [(1, 10), (63, 630)],
        [(1000, 10_000)],  # which may be a mean
        [(1000, 10_001), (1000, 9_999), (500, 5_000)],
        [(64, 672), (64, 672)],
    ],
)
def test_lengths_that_differ_or_are_few_may_be_others_the_next_time(ended):
    transport, schedule = FakeTransport(2), Schedule(16, in_order=False)
    for some in ended:
        schedule.ended(*some)
    CommonQueue(schedule, 8, transport).deal(EPOCH, Admission(Steps(1000), 0))
    assert sum(claim.n_units for claim in transport.queue) > 100
    assert transport.queue[-1].urgent


def test_what_runs_one_after_another_may_begin_before_it_is_known_to_be_needed():
    transport, schedule = FakeTransport(2), Schedule(2, in_order=False)
    schedule.ended(1, 10)
    schedule.ended(64, 640)
    CommonQueue(schedule, 1, transport).deal(EPOCH, Admission(Steps(1000), 0))
    assert sum(claim.n_units for claim in transport.queue) > 100, "nobody sleeps between two calls"


def test_far_from_the_end_several_units_travel_in_one_entry_and_near_it_one():
    pool = common(Units(1000))
    sizes = [claim.n_units for claim in pool.transport.queue]
    assert sizes == sorted(sizes, reverse=True)
    assert 1 < sizes[0] <= 16
    assert sizes[-4:] == [1] * 4
    assert sum(sizes) == 1000


@given(st.integers(1, 6), st.integers(0, 400))
def test_no_entry_is_so_long_that_others_have_nothing(n_carriers, count):
    pool = common(Units(count), n_carriers)
    left = count
    for claim in pool.transport.queue:
        assert claim.n_units <= max(1, math.ceil(left / n_carriers))
        left -= claim.n_units
    assert left == 0


def test_what_a_dead_carrier_had_is_dealt_again_and_what_others_run_is_not():
    pool = common(Units(6), n_carriers=3, room=None)
    for index in range(3):
        pool.begin(index)
    pool.end(1)
    pool.begin(1)  # holds 1 finished, and runs 3
    noted = [carrier.noted for carrier in pool.carriers]
    assert noted == [0, 3, 2]
    assert pool.dealer.lost(1, noted) == (3, [1, 3, 4, 5])
    assert pool.transport.queue == [], "all that was queued comes back"


def test_who_died_while_it_ran_nothing_is_to_blame_for_nothing():
    pool = common(Units(6))
    assert pool.dealer.lost(0, [None, None]) == (None, [0, 1, 2, 3, 4, 5])


def test_what_a_dead_carrier_had_sent_is_not_dealt_again():
    pool = common(Units(4))
    pool.begin(0)
    pool.end(0)
    pool.send(0)
    assert pool.dealer.lost(0, [0, None]) == (None, [1, 2, 3]), "the board is older than the message"


def test_a_suspect_is_dealt_again_only_when_it_is_the_lowest():
    pool = common(Units(4), n_carriers=2)
    pool.begin(0)
    pool.begin(1)
    pool.die(1)
    assert offered(pool) == [2, 3], "1 may be what kills"
    pool.end(0)
    pool.send(0)
    assert offered(pool) == [2, 3, 1]


def test_what_is_forgotten_is_dealt_afresh():
    pool = common(Units(5), room=2)
    pool.begin(0)
    pool.schedule.forget()
    pool.dealer.forget()
    assert pool.transport.queue == []
    pool.transport.room = None
    pool.dealer.deal(EPOCH + 1, pool.admission)
    assert offered(pool) == [0, 1, 2, 3, 4]
    assert {claim.epoch for claim in pool.transport.queue} == {EPOCH + 1}


def test_large_units_do_not_run_far_ahead_of_one_that_is_held_up():
    pool = FakePool(Steps(10_000), 3, [10], shared=True, step_bytes=1 << 18)
    pool.begin(0)
    for _ in range(200):
        for index in (1, 2):
            pool.begin(index)
            pool.end(index)
            pool.send(index)
    assert pool.admission.next == 0, "it waits for the unit of the first carrier"
    assert 6 <= len(pool.ran) <= 13, "32 MB of units of 2.6 MB"
    pool.go_on()
    assert pool.admission.complete


def test_units_that_are_larger_than_what_may_wait_keep_everybody_busy():
    pool = FakePool(Steps(10_000), 3, [10], shared=True, step_bytes=1 << 30)
    for _ in range(20):
        for index in range(3):
            assert pool.begin(index), "it has nothing to do"
        for index in range(3):
            pool.end(index)
            pool.send(index)


@pytest.mark.parametrize(("overlap", "offered"), [(1, 4), (8, 24), (128, 384)])
def test_of_large_units_that_run_many_at_once_half_as_many_wait(overlap, offered):
    transport = FakeTransport(2)
    schedule = Schedule(2 * overlap, in_order=False)
    schedule.ended(1, 10, step_bytes=1 << 30)
    CommonQueue(schedule, overlap, transport).deal(EPOCH, Admission(Steps(100_000), 0))
    assert sum(claim.n_units for claim in transport.queue) == offered


# ---------------------------------------------------------------- private queues


def private(goal: Goal, n_carriers=2, homes=(None,)):
    return FakePool(goal, n_carriers, [10], shared=False, homes=homes)


def test_each_carrier_is_given_one_unit_to_run_and_one_to_wait():
    pool = private(Units(50), n_carriers=3)
    assert [carrier.own for carrier in pool.carriers] == [[0, 3], [1, 4], [2, 5]]


def test_units_that_only_one_carrier_can_run_go_to_it_at_once():
    pool = private(Units(12), homes=(0, 1, 1))
    assert [carrier.own for carrier in pool.carriers] == [[0, 3, 6, 9], [1, 2, 4, 5, 7, 8, 10, 11]]


def test_a_dead_carrier_is_blamed_for_what_it_ran_or_else_for_its_first_unit():
    for noted, blamed in ((2, 2), (None, 0), (99, 0)):
        pool = private(Units(50))
        assert pool.carriers[0].own == [0, 2]
        assert pool.dealer.lost(0, [noted, None]) == (blamed, [0, 2])
    assert private(Units(1), n_carriers=2).dealer.lost(1, [None, None]) == (None, [])


def test_what_is_lost_goes_to_whoever_has_room():
    pool = private(Units(50))
    for number in pool.dealer.lost(0, [None, None])[1]:
        pool.schedule.lost(number, suspect=False)
    pool.carriers[0] = FakeCarrier()
    pool.deal()
    assert pool.carriers[0].own == [0, 2]


def test_a_carrier_is_told_thousands_of_its_units_at_once_and_not_millions():
    schedule = Schedule(1, in_order=False)
    schedule.begin([0])
    queues, admission = PrivateQueues(schedule, 1), Admission(Units(10**9), 7)
    numbers = queues.deal(0, admission)[0].numbers
    assert numbers == tuple(range(7, 7 + len(numbers)))
    assert 1_000 < len(numbers) < 100_000
    assert queues.deal(0, admission) == {}


def test_of_calls_that_nobody_knows_yet_a_few_are_dealt_and_then_what_may_wait():
    pool = private(Calls(1000, 8), homes=(0, 1))
    assert [carrier.own for carrier in pool.carriers] == [[0, 2], [1, 3]]
    large = FakePool(Calls(1000, 10), 2, [10], shared=False, homes=(0, 1), step_bytes=1 << 20)
    large.begin(0)
    large.end(0)
    large.send(0)
    assert sorted(number for carrier in large.carriers for number in carrier.own) == [1, 2, 3, 4]
    small = FakePool(Calls(1000, 10), 2, [10], shared=False, homes=(0, 1), step_bytes=10)
    small.begin(0)
    small.end(0)
    small.send(0)
    assert sum(len(carrier.own) for carrier in small.carriers) > 900


# -- queues that are filled far ahead ----------------------------------------------------------------


def deep(n_carriers: int, up=lambda carrier: True) -> tuple[DeepQueues, Schedule]:
    schedule = Schedule(n_carriers, in_order=False)
    schedule.begin([None])
    return DeepQueues(schedule, n_carriers, 1, up), schedule


def test_deep_queues_tell_each_carrier_twice_and_again_when_it_has_done_what_came_first():
    dealer, _ = deep(2)
    admission = Admission(Units(100), 0)
    first, second = dealer.deal(EPOCH, admission), dealer.deal(EPOCH, admission)
    assert [len(run.numbers) for run in first.values()] == [38, 38]
    assert [len(run.numbers) for run in second.values()] == [9, 9]
    assert dealer.deal(EPOCH, admission) == {}, "there is enough"
    dealer.finished(1, first[1].numbers[:-1])
    assert dealer.deal(EPOCH, admission) == {}, "one of the first is under way"
    dealer.finished(1, first[1].numbers[-1:])
    assert set(dealer.deal(EPOCH, admission)) == {1}


def test_units_that_ended_and_wait_for_admission_are_not_left_to_be_given_out(monkeypatch):
    monkeypatch.setattr(dealing, "_MOST_MEANWHILE", 1)
    dealer, _ = deep(2)
    admission = Admission(Units(16), 0)  # which is offered nothing before all carriers have answered
    first = dealer.deal(EPOCH, admission)
    assert {carrier: len(run.numbers) for carrier, run in first.items()} == {0: 6, 1: 6}
    dealer.finished(0, first[0].numbers)
    second = dealer.deal(EPOCH, admission)
    assert {carrier: len(run.numbers) for carrier, run in second.items()} == {0: 2, 1: 2}


def test_units_that_were_lost_are_in_the_shares_of_those_that_are_left():
    dealer, schedule = deep(2)
    admission = Admission(Units(16), 0)
    dealer.deal(EPOCH, admission)
    for number in dealer.lost(0, [None, None])[1]:
        schedule.lost(number, suspect=False)
    assert schedule.n_left(admission, 16) == 10
    assert schedule.n_left(admission, 4) == 4


def test_what_may_be_needed_is_given_apart_from_what_is():
    dealer, schedule = deep(1)
    schedule.ended(10, 100)
    admission = Admission(Steps(1000), 0)  # a hundred units of ten steps
    given = []
    while (news := dealer.deal(EPOCH, admission)) and len(given) < 20:
        given.append(news[0].numbers)
        dealer.finished(0, news[0].numbers)
    assert any(numbers[-1] == 99 for numbers in given), "the last one that is needed ends its message"
    assert given[-1][0] == 100


def test_deep_queues_leave_out_a_carrier_that_is_not_up():
    dealer, _ = deep(3, up=lambda carrier: carrier != 1)
    assert set(dealer.deal(EPOCH, Admission(Units(60), 0))) == {0, 2}


def test_of_many_units_that_may_have_killed_a_carrier_none_is_suspected_before_it_was_lost_twice():
    dealer, _ = deep(2)
    admission = Admission(Units(100), 0)
    dealer.deal(EPOCH, admission)
    running, lost = dealer.lost(0, [None, None])
    assert running is None
    assert dealer.suspects(running, lost) == set()
    assert dealer.suspects(running, lost[:10]) == set(lost[:10])


def test_a_suspect_runs_alone_so_that_the_next_death_is_certain():
    dealer, schedule = deep(2)
    admission = Admission(Units(100), 0)
    first = dealer.deal(EPOCH, admission)
    _, lost = dealer.lost(0, [None, None])
    for number in lost:
        schedule.lost(number, suspect=number < 3)
    assert dealer.deal(EPOCH, admission)[0].numbers == (0,)
    assert dealer.deal(EPOCH, admission).get(0) is None, "nothing beside it"
    dealer.finished(0, [0])
    admission.offer(0, result(1))
    assert dealer.deal(EPOCH, admission)[0].numbers == (1,)
    assert dealer.lost(0, [None, None]) == (1, [1])
    assert first[1].numbers
