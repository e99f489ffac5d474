"""Messages that two threads take from one pipe, by turns."""

from __future__ import annotations

import multiprocessing
import select
import threading
import time

import pytest

from samplerkit_multiprocessing.inlet import Inlet

PATIENCE = 20.0


@pytest.fixture
def ends():
    mine, theirs = multiprocessing.Pipe()
    yield mine, theirs
    mine.close()
    theirs.close()


class Receiver:
    """A thread that does nothing but receive, until the other end is gone."""

    def __init__(self, inlet: Inlet) -> None:
        self.received: list[bytes] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self._came = threading.Condition()
        self._inlet = inlet
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        try:
            while True:
                message = self._inlet.receive()
                with self._came:
                    self.received.append(bytes(message))
                    self._came.notify_all()
                assert self.go_on.wait(PATIENCE)
        except EOFError:
            return

    def has(self, count: int, timeout: float = PATIENCE) -> bool:
        with self._came:
            return self._came.wait_for(lambda: len(self.received) >= count, timeout)

    def end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "it has not heard that the other end is gone"


def taken_from(inlet: Inlet) -> list[bytes]:
    """Return what is taken now."""
    taken: list[bytes] = []
    inlet.take(taken.append)
    return taken


def is_readable(fd: int, timeout: float = PATIENCE) -> bool:
    return bool(select.select([fd], [], [], timeout)[0])


def test_whoever_receives_gets_all_messages_in_order_in_full(ends):
    mine, theirs = ends
    receiver = Receiver(Inlet(theirs, lambda data: data.upper()))
    for word in (b"one", b"two", b"x" * (1 << 20)):
        mine.send_bytes(word)
    assert receiver.has(3)
    assert receiver.received == [b"ONE", b"TWO", b"X" * (1 << 20)]
    mine.close()
    receiver.end()


def test_what_comes_after_it_was_taken_over_wakes_nobody_else(ends):
    mine, theirs = ends
    inlet = Inlet(theirs)
    receiver = Receiver(inlet)
    mine.send_bytes(b"one")
    assert receiver.has(1)
    inlet.take_over()
    mine.send_bytes(b"two")
    mine.send_bytes(b"three")
    assert is_readable(inlet.fileno)
    assert not receiver.has(2, timeout=0.1)
    assert taken_from(inlet) == [b"two"]
    inlet.give_back()
    assert receiver.has(2), "what is there already is a reason to wake"
    assert receiver.received == [b"one", b"three"]
    mine.close()
    receiver.end()


def test_there_may_be_nothing_to_take(ends):
    inlet = Inlet(ends[1])
    inlet.take_over()
    assert not taken_from(inlet)


def test_where_the_other_end_is_gone_there_is_nothing_to_take_and_whoever_receives_hears_so(ends):
    mine, theirs = ends
    inlet = Inlet(theirs)
    inlet.take_over()
    mine.close()
    assert is_readable(inlet.fileno)
    assert not taken_from(inlet)
    inlet.give_back()
    with pytest.raises(EOFError):
        inlet.receive()


@pytest.mark.parametrize("slow", ["in_full", "handle"])
def test_nobody_takes_a_message_before_the_one_before_it_was_handled(ends, slow):
    mine, theirs = ends
    reached, go_on, taken = threading.Event(), threading.Event(), []

    def take_long(where):
        if where == slow:
            reached.set()
            assert go_on.wait(PATIENCE)

    def in_full(data):
        take_long("in_full")
        return data

    def handle(message):
        take_long("handle")
        taken.append(message)

    inlet = Inlet(theirs, in_full)
    mine.send_bytes(b"one")
    mine.send_bytes(b"two")
    threads = [threading.Thread(target=inlet.take, args=(handle,), daemon=True) for _ in range(2)]
    threads[0].start()
    assert reached.wait(PATIENCE)
    reached.clear()
    threads[1].start()
    receiver = Receiver(inlet)
    assert not reached.wait(0.1), "the first is not done with its message yet"
    assert not receiver.received
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE)
    mine.close()
    receiver.end()
    assert taken + receiver.received == [b"one", b"two"]


def test_whoever_has_received_a_message_is_done_with_it_when_it_asks_for_another(ends):
    mine, theirs = ends
    inlet, taken = Inlet(theirs), []
    receiver = Receiver(inlet)
    receiver.go_on.clear()
    mine.send_bytes(b"one")
    assert receiver.has(1)
    inlet.take_over()
    mine.send_bytes(b"two")
    taker = threading.Thread(target=inlet.take, args=(taken.append,), daemon=True)
    taker.start()
    taker.join(0.1)
    assert taker.is_alive(), "it has overtaken the one before it"
    assert not taken
    receiver.go_on.set()
    taker.join(PATIENCE)
    assert taken == [b"two"]
    inlet.give_back()
    mine.close()
    receiver.end()


def test_of_many_messages_each_is_handled_once_and_in_order(ends):
    mine, theirs = ends
    inlet = Inlet(theirs)
    receiver = Receiver(inlet)
    n_messages, n_taken, over = 3000, 0, threading.Event()

    def handle(message):
        nonlocal n_taken
        n_taken += 1
        receiver.received.append(bytes(message))

    def take_turns():
        while not over.is_set():
            inlet.take_over()
            is_readable(inlet.fileno, 0.001)
            inlet.take(handle)
            inlet.give_back()

    other = threading.Thread(target=take_turns, daemon=True)
    other.start()
    for number in range(n_messages):
        mine.send_bytes(b"%06d" % number * 50)
    until = time.monotonic() + PATIENCE
    while len(receiver.received) < n_messages and time.monotonic() < until:
        receiver.has(n_messages, timeout=0.01)
    over.set()
    other.join(PATIENCE)
    mine.close()
    receiver.end()
    assert receiver.received == [b"%06d" % number * 50 for number in range(n_messages)]
    assert n_taken, "it had its turns"


def test_without_an_epoll_only_the_thread_that_receives_waits_for_messages(ends, monkeypatch):
    monkeypatch.delattr(select, "epoll")
    mine, theirs = ends
    inlet = Inlet(theirs)
    assert inlet.fileno is None
    receiver = Receiver(inlet)
    inlet.take_over()
    mine.send_bytes(b"one")
    assert receiver.has(1)
    inlet.give_back()
    mine.close()
    receiver.end()
