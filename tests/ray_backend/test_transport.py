"""What the driver makes of what actors say, and of their absence."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from held_lease import Held

from samplerkit_ray import transport as module
from samplerkit_ray.actor import Carrier
from samplerkit_ray.errors import ActorsNotPlaced
from samplerkit_ray.transport import ActorCarrier, Demand, RayTransport


def transport(start_timeout: float = 60.0) -> RayTransport:
    return RayTransport(Held(), 2, Demand(0), start_timeout, ())


def test_messages_are_heard_in_the_order_in_which_they_were_said_whichever_answer_comes_first():
    actor = Carrier.__new__(Carrier)  # whose process it does not change
    actor._begin()
    answers = []
    for message in (b"first", b"second", b"third"):
        actor._say(message)
        answers.append(actor._taken())
    driver, carrier = transport(), ActorCarrier(0)
    driver._told(carrier, answers[1])
    assert driver.receive([], 0.0) == [] == driver._heard
    driver._told(carrier, answers[0])
    driver._worked(carrier, (1, answers[2]))
    driver._told(carrier, answers[2])
    assert driver._heard == [(carrier, b"first"), (carrier, b"second"), (carrier, b"third")]


def test_what_an_actor_said_last_counts_whichever_answer_comes_first():
    driver, carrier = transport(), ActorCarrier(0)
    driver._worked(carrier, (2, (1, [])))
    driver._worked(carrier, (0, (0, [b"large"])))
    assert (carrier.wants, carrier.over) == (2, False)
    driver._worked(carrier, (None, (3, [])))
    driver._worked(carrier, (1, (2, [b"large"])))
    assert (carrier.wants, carrier.over) == (0, True)


def test_an_actor_that_was_long_absent_has_its_time_from_when_nothing_goes_on(monkeypatch):
    monkeypatch.setattr(module, "_room", lambda: "the cluster is full")
    driver, carrier = transport(start_timeout=0.3), ActorCarrier(0)
    carrier.began -= 3600.0
    for _ in range(2):
        driver.lacking([carrier])
        driver.receive([carrier], 0.2)
        driver.receive([carrier], 0.0)  # the others went on
    driver.lacking([carrier])
    until = time.monotonic() + 10.0
    with pytest.raises(ActorsNotPlaced, match=r"an actor was not up within start_timeout=0\.3 s"):
        while time.monotonic() < until:
            driver.receive([carrier], 0.1)
            driver.lacking([carrier])


def test_an_actor_whose_making_is_interrupted_is_ended(monkeypatch):
    class Made:
        def remote(self, *arguments):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            return "an actor"

    killed = []
    ended = threading.Event()
    monkeypatch.setattr("ray.kill", lambda handle, no_restart: (killed.append(handle), ended.set()))
    driver = transport()
    driver._actor = Made()
    with pytest.raises(KeyboardInterrupt):
        driver.start(0, b"setup")
    assert ended.wait(10.0), "it has no other end"
    assert killed == ["an actor"]
