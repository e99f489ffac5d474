"""The carriers of a pool, over a transport that writes down what is asked of it."""

from __future__ import annotations

import itertools
import time

import pytest

from samplerkit.sampling import Running, Transport
from samplerkit.sampling.messages import Cancel, Close, Started, decode, encode
from samplerkit.sampling.pool import Pool
from samplerkit.sampling.transport import CarrierGone


class Ledger(Transport[int]):
    """Carriers are numbers, counted up; nothing runs."""

    n_carriers = 2

    def __init__(self, *, lingers=0.0, shares_work=False):
        self.lingers = lingers
        self.shares_work = shares_work
        self.numbers = itertools.count()
        self.asked = []
        self.sent = []
        self.gone = set()
        self.absent = set()
        self.heard = []
        self.runs = {}
        self.interrupt_stop_of = None

    def start(self, index, setup):
        carrier = next(self.numbers)
        self.asked.append(("start", carrier, index, setup))
        return carrier

    def send(self, carrier, message):
        if carrier in self.gone:
            raise CarrierGone
        self.sent.append((carrier, decode(message)))

    def receive(self, carriers, timeout):
        return self.heard

    def exit_status(self, carrier): ...

    def is_up(self, carrier):
        return carrier not in self.absent

    def lacking(self, carriers):
        self.asked.append(("lacking", *carriers))

    def kill(self, carrier):
        self.asked.append(("kill", carrier))

    def stop(self, carrier, timeout):
        if carrier == self.interrupt_stop_of:
            self.interrupt_stop_of = None
            raise KeyboardInterrupt
        self.asked.append(("stop", carrier, timeout > 0))

    def wake(self): ...

    def running(self, carrier):
        return self.runs.get(carrier)

    def close(self):
        self.asked.append(("close",))


def started(unit_timeout=None, **options):
    link = Ledger(**options)
    pool = Pool(link, n_workers=4, unit_timeout=unit_timeout)
    pool.start(b"setup")
    return pool, link


def test_as_many_are_started_as_the_transport_says():
    pool, link = started()
    assert link.asked == [("start", 0, 0, b"setup"), ("start", 1, 1, b"setup")]
    assert [member.carrier for member in pool.members] == [0, 1]
    assert not pool.unanswered, "they were not told anything yet"


def test_who_was_told_a_record_is_waited_for_until_it_says_so():
    pool, _ = started()
    pool.members[1].epoch = 3
    assert pool.unanswered
    pool.members[1].answered = 3
    assert not pool.unanswered


def test_the_successor_of_a_carrier_has_its_place_and_knows_nothing():
    pool, link = started()
    pool.members[1].keys[0] = 7
    pool.replace(pool.members[1])
    assert link.asked[2:] == [("stop", 1, False), ("start", 2, 1, b"setup")]
    assert [member.carrier for member in pool.members] == [0, 2]
    assert pool.members[1].fresh
    assert not pool.members[1].keys


def test_a_replacement_that_ctrl_c_interrupts_is_made_up_for():
    pool, link = started()
    link.interrupt_stop_of = 0
    with pytest.raises(KeyboardInterrupt):
        pool.replace(pool.members[0])
    pool.replace_gone()
    assert [member.carrier for member in pool.members] == [2, 1]


def test_a_carrier_that_is_gone_is_told_nothing_and_the_others_all():
    pool, link = started()
    link.gone = {0}
    for member in pool.members:
        pool.tell(member, Close())
    assert link.sent == [(1, Close())]


def test_replies_are_those_of_members_and_nothing_is_the_end_of_one():
    pool, link = started()
    link.heard = [(1, encode(Started(2, 5))), (0, None)]
    replies = pool.replies(pool.receive(None))
    assert replies == [(pool.members[1], Started(2, 5)), (pool.members[0], None)]


@pytest.mark.parametrize("heard", [None, [3], [(0, b"", 1)]])
def test_a_transport_that_returns_anything_else_is_named(heard):
    pool, link = started()
    link.heard = heard
    with pytest.raises(TypeError, match=r"Ledger\.receive returned"):
        pool.replies(pool.receive(None))


def test_only_those_who_are_not_there_are_missed():
    pool, link = started()
    pool.mind_the_absent()
    assert link.asked[2:] == []
    link.absent = {1}
    pool.mind_the_absent()
    assert link.asked[2:] == [("lacking", 1)]
    assert [pool.is_up(index) for index in range(2)] == [True, False]


def test_what_runs_is_what_was_noted_in_this_epoch():
    pool, link = started()
    link.runs = {0: Running(4, 11, 0.0), 1: Running(3, 12, 0.0)}
    assert pool.running(4) == [11, None]


def test_without_a_limit_nobody_is_overdue():
    pool, link = started()
    pool.members[0].unit_started = time.monotonic() - 1e6
    assert pool.kill_overdue() is None
    assert ("kill", 0) not in link.asked


def test_who_takes_too_long_is_killed_once_and_the_next_one_is_awaited():
    pool, link = started(unit_timeout=10.0)
    now = time.monotonic()
    pool.members[0].unit_started, pool.members[1].unit_started = now - 11, now - 4
    assert pool.kill_overdue() == pytest.approx(6.0, abs=0.5)
    assert pool.members[0].timed_out
    pool.kill_overdue()
    assert link.asked[2:] == [("kill", 0)]


def test_of_carriers_that_take_units_by_themselves_the_board_says_since_when():
    pool, link = started(unit_timeout=10.0, shares_work=True)
    link.runs = {1: Running(0, 3, time.monotonic() - 11)}
    assert pool.kill_overdue() == pytest.approx(10.0, abs=0.5), "the other may start a unit at any time"
    assert link.asked[2:] == [("kill", 1)]


@pytest.mark.parametrize("lingers", [0.0, 0.1])
def test_at_the_end_all_are_told_and_waited_for_and_the_transport_is_closed(lingers):
    pool, link = started(lingers=lingers)
    pool.stop(2.0)
    last = [Cancel(-1), Close()] if lingers else [Close()]
    assert link.sent == [(carrier, it) for carrier in range(2) for it in last]
    assert link.asked[2:] == [("stop", 0, True), ("stop", 1, True), ("close",)]
    assert not pool.members


def test_an_end_that_ctrl_c_interrupts_goes_on_at_once():
    pool, link = started()
    link.interrupt_stop_of = 1
    with pytest.raises(KeyboardInterrupt):
        pool.stop(2.0)
    pool.stop(2.0)
    assert link.sent == [(0, Close()), (1, Close())], "nobody is told twice"
    assert link.asked[2:] == [("stop", 0, True), ("stop", 1, False), ("close",)]
