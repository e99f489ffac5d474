"""What the driver makes of what actors say."""

from __future__ import annotations

from samplerkit_ray.actor import Carrier
from samplerkit_ray.transport import ActorCarrier, Demand, RayTransport


class Held:
    """A lease that nobody ends."""

    holds = True


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
