"""The transport by itself, with fakes for what cannot be timed."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import SimpleNamespace

import pytest

from samplerkit_multiprocessing import launch
from samplerkit_multiprocessing.shared import letterbox
from samplerkit_multiprocessing.transport import ProcessCarrier, ProcessTransport


class InterruptedConnection(Connection):
    """Ctrl-C comes in the middle of every message."""

    def send_bytes(self, *_):
        raise KeyboardInterrupt

    recv_bytes = send_bytes


@pytest.fixture
def transport():
    made = ProcessTransport(1, "spawn")
    yield made
    made.close()


@pytest.fixture
def interrupted():
    """A carrier with a message that can be read, and a list of the signals that it got."""
    signals = []
    mine, theirs = Pipe()
    silent, writer = Pipe()
    process = SimpleNamespace(kill=lambda: signals.append("SIGKILL"), sentinel=silent.fileno())
    with theirs, silent, writer, InterruptedConnection(os.dup(mine.fileno())) as pipe:
        mine.close()
        theirs.send_bytes(b"message")
        yield ProcessCarrier(0, process, pipe, letterbox()[0]), signals


def test_a_process_that_was_sent_half_a_message_is_killed(transport, interrupted):
    carrier, signals = interrupted
    with pytest.raises(KeyboardInterrupt):
        transport.send(carrier, b"message")
    assert signals == ["SIGKILL"]


def test_a_process_of_which_half_a_message_was_read_is_killed(transport, interrupted):
    carrier, signals = interrupted
    with pytest.raises(KeyboardInterrupt):
        transport.receive([carrier], 5.0)
    assert signals == ["SIGKILL"]


class ReadsHalf(Connection):
    """Ctrl-C comes when the length of a message has been read, and a byte of it."""

    def recv_bytes(self, *_):
        os.read(self.fileno(), 5)
        raise KeyboardInterrupt


def test_what_is_left_of_a_message_that_was_read_half_is_never_read(transport):
    out, _ = letterbox()
    mine, theirs = Pipe()
    alive, dead = Pipe()
    process = SimpleNamespace(sentinel=alive.fileno(), kill=dead.close)
    with theirs, alive, ReadsHalf(os.dup(mine.fileno())) as pipe:
        mine.close()
        carrier = ProcessCarrier(0, process, pipe, out)
        theirs.send_bytes(b"message")
        theirs.send_bytes(b"another")
        with pytest.raises(KeyboardInterrupt):
            transport.receive([carrier], 5.0)
        assert transport.receive([carrier], 5.0) == [(carrier, None)], "nothing but its death"


def test_what_a_process_is_given_is_closed_here_as_soon_as_it_has_it(transport, monkeypatch):
    start, kept = launch.start, []

    def keeping(context, target, arguments, name):
        kept.append(arguments[0])
        return start(context, target, arguments, name)

    monkeypatch.setattr(launch, "start", keeping)
    transport.stop(transport.start(0, b""), 0.0)
    [given] = kept
    its_own = (given.letterbox, *given.arena, given.bulletin[1])
    assert given.connection.closed
    assert [it.close.alive for it in its_own] == [False] * 4
    assert given.bulletin[0].close.alive, "which others get, too"


def test_letters_come_with_whatever_else_wakes_the_parent(transport, interrupted):
    carrier, _ = interrupted
    out, into = letterbox()
    mine, theirs = Pipe()
    with mine, theirs:
        quiet = ProcessCarrier(0, carrier.process, mine, out)
        os.write(into.fd, b"letter")
        assert transport.receive([quiet], 0.0) == [(quiet, b"letter")]
        os.write(into.fd, b"another")
        theirs.send_bytes(b"")
        assert transport.receive([quiet], 5.0) == [(quiet, b"another")]


def test_letters_of_a_process_that_died_come_before_the_news_of_its_death(transport):
    out, into = letterbox()
    mine, theirs = Pipe()
    alive, dead = Pipe()
    process = SimpleNamespace(sentinel=alive.fileno())
    with mine, theirs, alive:
        carrier = ProcessCarrier(0, process, mine, out)
        os.write(into.fd, b"letter")
        dead.close()
        assert transport.receive([carrier], 5.0) == [(carrier, b"letter"), (carrier, None)]


def test_a_process_that_nobody_took_over_ends_with_the_transport(transport):
    # Ctrl-C came when it had been started, and its carrier was not kept anywhere yet.
    transport.start(0, b"")
    [process] = [it for it in multiprocessing.active_children() if it.name == "samplerkit-0"]
    transport.close()
    with pytest.raises(ValueError, match="closed"):
        process.is_alive()
