"""The queue that processes share, and the board, with threads and processes at their ends."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit.sampling import Claim, Need, Running
from samplerkit_multiprocessing.inlet import Inlet
from samplerkit_multiprocessing.shared import File, Share, Work, anonymous_file, pipe

PATIENCE = 20.0


def duplicate(file: File) -> File:
    return File(os.dup(file.fd))


class NoWay:
    """Messages do not matter here."""

    def post(self, parts):
        return False

    def leave(self, parts):
        return False

    def ring(self):
        pass


def work_of(share: Share, index: int = 0) -> Work:
    return Work(duplicate(share.queue), duplicate(share.board), index, NoWay())


@pytest.fixture
def share() -> Iterator[Share]:
    made = Share(4)
    yield made
    made.close()


def claims(numbers, epoch=1) -> list[Claim]:
    return [Claim(epoch, number) for number in numbers]


def claim_all(work: Work) -> list[Claim]:
    taken = []
    while (claim := work.claim()) is not None:
        taken.append(claim)
    return taken


# ---------------------------------------------------------------- the queue

entries = st.builds(Claim, st.integers(0, 2**62), st.integers(0, 2**62), st.booleans(), st.integers(1, 2**30))


@settings(max_examples=50)
@given(st.lists(entries, max_size=50))
def test_entries_come_as_they_were_offered(offered):
    share = Share(1)
    work = work_of(share)
    assert share.offer(offered) == len(offered)
    assert claim_all(work) == offered
    assert all(type(claim.urgent) is bool for claim in offered)
    share.close()


def test_an_empty_queue_has_nothing_to_claim_or_to_withdraw(share):
    work = work_of(share)
    assert work.claim() is None
    share.withdraw()
    assert work.claim() is None


def test_what_is_withdrawn_is_claimed_by_nobody(share):
    work = work_of(share)
    share.offer(claims(range(1000)))
    assert work.claim() == Claim(1, 0)
    share.withdraw()
    assert work.claim() is None
    share.offer(claims(range(1000, 1010)))
    assert claim_all(work) == claims(range(1000, 1010)), "nothing is left of what was withdrawn"


def test_of_more_than_fits_the_beginning_is_offered_and_the_rest_later(share):
    work = work_of(share)
    offered = claims(range(100_000))
    taken, left = [], offered
    while left:
        count = share.offer(left)
        assert left is not offered or 0 < count < len(left), "so much does not fit"
        left = left[count:]
        taken += claim_all(work)
    assert taken == offered


def test_a_full_queue_takes_nothing(share):
    while share.offer(claims(range(10_000))):
        pass
    assert share.offer(claims([1])) in (0, 1)
    rest = claim_all(work_of(share))
    assert all(isinstance(claim, Claim) for claim in rest), "whole ones only"
    while share.offer(claims(range(10_000))):
        pass
    share.withdraw()
    assert share.offer(claims([1])) == 1
    assert claim_all(work_of(share)) == claims([1])


def test_many_threads_claim_each_entry_exactly_once(share):
    total, n_threads = 20_000, 4
    taken: list[list[int]] = [[] for _ in range(n_threads)]
    stop = threading.Event()

    works = [work_of(share, index) for index in range(n_threads)]

    def run(index: int) -> None:
        while not stop.is_set():
            while (claim := works[index].claim()) is not None:
                taken[index].append(claim.first)
            works[index].wait()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(n_threads)]
    for thread in threads:
        thread.start()
    left = claims(range(total))
    until = time.monotonic() + PATIENCE
    while (left or sum(map(len, taken)) < total) and time.monotonic() < until:
        left = left[share.offer(left) :]
        time.sleep(0.001)
    stop.set()
    for work, thread in zip(works, threads, strict=True):
        work.wake()
        thread.join(PATIENCE)
    assert sorted(number for numbers in taken for number in numbers) == list(range(total))
    assert all(numbers == sorted(numbers) for numbers in taken), "they come in order"


def _claim_until_told(queue: File, board: File, index: int, answers) -> None:
    work = Work(queue, board, index, NoWay())
    taken = []
    while True:
        claim = work.claim()
        if claim is None:
            work.wait()
        elif claim.urgent:
            break
        else:
            work.note(claim.epoch, claim.first)
            taken.append(claim.first)
    answers.send(taken)


def test_many_processes_claim_each_entry_exactly_once_and_note_it(share):
    total, n_processes = 5000, 3
    context = multiprocessing.get_context("forkserver")
    ends, processes = [], []
    for index in range(n_processes):
        mine, theirs = context.Pipe(duplex=False)
        share.clear(index)
        arguments = (share.queue, share.board, index, theirs)
        processes.append(context.Process(target=_claim_until_told, args=arguments, daemon=True))
        processes[-1].start()
        theirs.close()
        ends.append(mine)
    left = claims(range(total)) + [Claim(1, -1, True)] * n_processes
    until = time.monotonic() + PATIENCE
    while left and time.monotonic() < until:
        left = left[share.offer(left) :]
    taken = [mine.recv() for mine in ends if mine.poll(PATIENCE)]
    for process in processes:
        process.join(PATIENCE)
    for mine in ends:
        mine.close()
    assert sorted(number for numbers in taken for number in numbers) == list(range(total))
    for index, numbers in enumerate(taken):
        noted = share.running(index)
        assert (noted.number if noted else None) == (numbers[-1] if numbers else None)


def _note_all_the_time(queue: File, board: File, stop) -> None:
    work = Work(queue, board, 0, NoWay())
    for epoch in itertools.count(1):
        work.note(epoch, -1)
        work.note(epoch, 2 * epoch)
        work.note(epoch, 2 * epoch + 1)
        if epoch % 1000 == 0 and stop.is_set():
            return


def test_a_unit_that_is_read_while_it_is_noted_is_in_no_later_epoch_and_has_just_begun(share):
    context = multiprocessing.get_context("forkserver")
    stop = context.Event()
    share.clear(0)
    arguments = (share.queue, share.board, stop)
    process = context.Process(target=_note_all_the_time, args=arguments, daemon=True)
    process.start()
    try:
        until = time.monotonic() + PATIENCE
        while share.running(0) is None and time.monotonic() < until:
            time.sleep(0.001)
        before, seen = time.monotonic(), []
        while time.monotonic() < before + 0.5:
            seen += [noted for _ in range(1000) if (noted := share.running(0)) is not None]
    finally:
        stop.set()
        process.join(PATIENCE)
    assert seen
    assert all(noted.epoch <= noted.number // 2 for noted in seen)
    assert all(noted.since > before - 1 for noted in seen)


class Watched:
    """Words that somebody else looks at after each."""

    def __init__(self, words, look: Callable[[], object]) -> None:
        self._words = words
        self._look = look

    def __setitem__(self, index: int, value: float) -> None:
        self._words[index] = value
        self._look()


def test_a_unit_that_begins_is_not_seen_with_the_time_of_what_was_before(share):
    work, seen = work_of(share), []
    work.note(1, -1)
    idle_since = time.monotonic()
    work._words, work._seconds = (
        Watched(words, lambda: seen.append(share.running(0))) for words in (work._words, work._seconds)
    )
    work.note(1, 7)
    work.note(1, 8)
    work.note(2, -1)
    work.note(2, 5)
    noted = [(it.epoch, it.number) for it in seen if it is not None]
    assert list(dict.fromkeys(noted)) == [(1, 7), (1, 8), (2, 5)]
    assert seen.index(None) == 0
    assert all(it.since >= idle_since for it in seen if it is not None)


# ---------------------------------------------------------------- waiting


def ends_waiting(work: Work, cause: Callable[[], object]) -> bool:
    """Whether what one does ends a wait that began before."""
    waiter = threading.Thread(target=work.wait, daemon=True)
    waiter.start()
    waiter.join(0.05)
    assert waiter.is_alive(), "it did not wait"
    cause()
    waiter.join(PATIENCE)
    return not waiter.is_alive()


def test_an_entry_ends_the_waiting(share):
    assert ends_waiting(work_of(share), lambda: share.offer(claims([1])))


def test_waking_ends_the_waiting(share):
    work = work_of(share)
    assert ends_waiting(work, work.wake)


@pytest.mark.parametrize("rests", [False, True])
def test_a_message_ends_the_waiting_and_is_heard_there(share, rests):
    mine, theirs = multiprocessing.Pipe()
    inlet = Inlet(theirs)
    work = Work(duplicate(share.queue), duplicate(share.board), 0, NoWay(), inlet=inlet)
    taken = []
    work.hand_over(taken.append)
    wait = functools.partial(work.wait_for_wake, PATIENCE) if rests else work.wait
    mine.send_bytes(b"one")
    mine.send_bytes(b"two")
    wait()
    assert taken == [b"one"]
    received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    receiver = threading.Thread(target=lambda: [received.put(inlet.receive()) for _ in "12"], daemon=True)
    receiver.start()
    assert received.get(timeout=PATIENCE) == b"two", "what comes meanwhile is left to whoever receives"
    work.wake()
    wait()
    assert taken == [b"one"]
    mine.send_bytes(b"three")
    receiver.join(PATIENCE)


def test_where_only_one_thread_can_wait_for_messages_they_are_left_to_it(share, monkeypatch):
    monkeypatch.delattr(select, "epoll")
    mine, theirs = multiprocessing.Pipe()
    inlet = Inlet(theirs)
    work = Work(duplicate(share.queue), duplicate(share.board), 0, NoWay(), inlet=inlet)

    work.hand_over(pytest.fail)

    def tell():
        mine.send_bytes(b"one")
        assert inlet.receive() == b"one"
        work.wake()

    assert ends_waiting(work, tell)


def test_waking_before_the_wait_counts_however_often_it_was_done(share):
    work = work_of(share)
    for _ in range(100_000):
        work.wake()  # more than a pipe holds
    work.wait()


def test_a_wait_that_was_woken_is_followed_by_one_that_waits(share):
    work = work_of(share)
    work.wake()
    work.wake()
    work.wait()
    assert ends_waiting(work, work.wake)


def test_where_the_parent_is_gone_there_is_nothing_to_claim_and_waiting_does_not_spin():
    share = Share(1)
    work = work_of(share)
    share.offer(claims([1, 2]))
    share.close()
    assert claim_all(work) == claims([1, 2]), "what was offered before still counts"
    work.wait()  # hears of it, once
    assert ends_waiting(work, work.wake)


# ---------------------------------------------------------------- the board


def test_each_slot_says_what_its_process_noted_last(share):
    works = [work_of(share, index) for index in range(4)]
    for index in range(4):
        share.clear(index)
    assert [share.running(index) for index in range(4)] == [None] * 4
    before = time.monotonic()
    works[2].note(7, 100)
    works[1].note(8, 2**60)
    noted = share.running(2)
    assert isinstance(noted, Running)
    assert (noted.epoch, noted.number) == (7, 100)
    assert before <= noted.since <= time.monotonic()
    assert share.running(1)[:2] == (8, 2**60)
    assert share.running(0) is share.running(3) is None


def test_noting_minus_one_and_clearing_say_that_nothing_runs(share):
    work = work_of(share, 3)
    work.note(1, 0)
    assert share.running(3) is not None, "0 is a unit like any other"
    work.note(1, -1)
    assert share.running(3) is None
    work.note(1, 5)
    share.clear(3)
    assert share.running(3) is None


def test_what_the_dead_noted_stays(share):
    work = work_of(share, 0)
    work.note(1, 5)
    del work
    assert share.running(0)[:2] == (1, 5)


def test_all_follow_once_nobody_is_left_in_an_earlier_epoch(share):
    works = [work_of(share, index) for index in range(4)]
    for index, work in enumerate(works):
        share.clear(index)
        work.note(3, 17)
    assert works[0].all_follow(3)
    assert not works[0].all_follow(4)
    for work in works[:3]:
        work.note(4, -1)
    assert not works[0].all_follow(4), "one may still be writing"
    works[3].note(5, 20)
    assert works[0].all_follow(4)


def test_a_process_that_was_started_anew_keeps_nobody_waiting(share):
    works = [work_of(share, index) for index in range(4)]
    for index in range(4):
        share.clear(index)
    works[0].note(7, -1)
    assert works[0].all_follow(7)
    works[1].note(6, 2)
    assert not works[0].all_follow(7)
    share.clear(1)
    assert works[0].all_follow(7)


# ---------------------------------------------------------------- files


def test_files_are_closed_with_their_last_user():
    file = anonymous_file(100)
    assert os.fstat(file.fd).st_size == 100
    fd = file.fd
    del file
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(fd)


def test_closing_twice_does_no_harm():
    reader, writer = pipe()
    reader.close()
    reader.close()
    writer.close()


def test_no_descriptor_is_left_by_what_is_shared():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        share = Share(3)
        works = [work_of(share, index) for index in range(3)]
        share.close()
        del works
    assert len(os.listdir("/proc/self/fd")) == before


# ---------------------------------------------------------------- the tally


def scored(share: Share, *lengths: int | None, epoch=1, first=0) -> Work:
    """Return the work of a process among whose units some have ended."""
    work = work_of(share)
    for number, length in enumerate(lengths, start=first):
        if length is not None:
            work.score(epoch, number, length)
    return work


def test_a_unit_is_not_needed_once_those_before_it_are_enough(share):
    share.aim(1, 0, 30)
    assert scored(share, 10, 10, 10).need(1, 3) is Need.NONE
    share.aim(1, 0, 31)
    assert work_of(share).need(1, 3) is Need.LIKELY


def test_units_that_ended_together_are_put_down_together(share):
    share.aim(1, 3, 45)
    work = work_of(share)
    work.score_all(1, [5, 3, 4], [20, 10, 15])
    assert work.need(1, 6) is Need.NONE
    one_by_one = work_of(share)
    for number, length in [(5, 20), (3, 10), (4, 15)]:
        before = one_by_one._tally[number]
        one_by_one.score(1, number, length)
        assert one_by_one._tally[number] == before


def test_units_that_run_are_taken_to_be_as_long_as_the_others(share):
    work = scored(share, 10, None, 10, None)
    for least, need in [(35, Need.UNLIKELY), (45, Need.DOUBTFUL), (100, Need.LIKELY)]:
        share.aim(1, 0, least)
        assert work.need(1, 4) is need


def test_a_unit_that_was_lost_and_runs_again_may_be_long_behind_those_that_ended(share):
    share.aim(1, 0, 1000)
    work = scored(share, *[10] * 9)
    assert work.need(1, 9) is Need.LIKELY
    assert [work.need(1, number) for number in range(1, 9)] == [Need.LIKELY] * 8


def test_nothing_is_known_before_a_unit_has_ended(share):
    share.aim(1, 0, 10)
    assert work_of(share).need(1, 2) is Need.DOUBTFUL


def test_a_gap_keeps_units_needed_however_long_those_after_it_are(share):
    share.aim(1, 0, 10)
    assert scored(share, None, 500).need(1, 2) is not Need.NONE


def test_what_is_struck_counts_as_not_ended(share):
    share.aim(1, 0, 30)
    work = scored(share, 10, 10, 10)
    share.strike([1])
    assert work.need(1, 3) is not Need.NONE
    work.score(1, 1, 10)
    assert work.need(1, 3) is Need.NONE


@pytest.mark.parametrize("epoch", [0, 2, 1 + (1 << 15)])
def test_lengths_of_other_epochs_count_for_nothing_and_neither_does_fresh_memory(share, epoch):
    work = scored(share, 10, 10, epoch=1)
    share.aim(epoch, 0, 1)
    if epoch <= 2:
        assert work.need(epoch, 2) is Need.DOUBTFUL
    assert work.need(1, 2) is Need.LIKELY, "the call is about another epoch"


def test_units_that_share_a_place_are_told_apart(share):
    far = 1 << 16
    share.aim(1, far, 5)
    work = scored(share, 10, 10)
    assert work.need(1, far + 1) is Need.DOUBTFUL
    work.score(1, far, 10)
    assert work.need(1, far + 1) is Need.NONE


def test_a_call_of_more_steps_than_the_tally_can_count_needs_every_unit(share):
    work = work_of(share)
    share.aim(1, 0, 2**70)
    work.score(1, 0, 2**31)
    assert work.need(1, 1) is Need.LIKELY


def test_a_call_of_a_fixed_number_of_units_needs_them_all(share):
    share.aim(1, 0, 0)
    assert scored(share, 10, 10).need(1, 2) is Need.LIKELY


@settings(max_examples=100)
@given(
    lengths=st.lists(st.integers(1, 50) | st.none(), min_size=1, max_size=40),
    first=st.sampled_from([0, 5, (1 << 16) - 3]),
    least=st.integers(1, 400),
)
def test_enough_is_what_admission_will_find_to_be_enough(lengths, first, least):
    share = Share(1)
    share.aim(3, first, least)
    work = scored(share, *lengths, epoch=3, first=first)
    for place in range(1, len(lengths) + 1):
        before = lengths[:place]
        prefix = before[: before.index(None)] if None in before else before
        enough = sum(prefix) >= least
        assert (work.need(3, first + place) is Need.NONE) == enough
    share.close()


def test_a_process_that_rests_is_woken_and_wakes_by_itself(share):
    work = work_of(share)
    share.offer(claims([1]))
    began = time.monotonic()
    work.wait_for_wake(0.05)
    assert time.monotonic() - began >= 0.04, "entries of the queue are no reason to get up"
    work.wake()
    work.wait_for_wake(PATIENCE)


@pytest.mark.parametrize("first", [0, 7, (1 << 16) - 40, (1 << 16) - 64])
def test_many_units_under_way_are_counted_like_few(share, first, monkeypatch):
    random = np.random.default_rng(first)
    for epoch in range(1, 30):
        lengths = [int(n) if n > 3 else None for n in random.integers(12, size=64)]
        lengths[: random.integers(64)] = [10] * random.integers(64)
        share.aim(epoch, first, int(random.integers(1, 900)))
        needs = []
        for many in (0, 1000):
            monkeypatch.setattr("samplerkit_multiprocessing.shared._MANY", many)
            work = scored(share, *lengths, epoch=epoch, first=first)
            needs.append([work.need(epoch, first + n) for n in range(1, len(lengths) + 1)])
        assert needs[0] == needs[1]
