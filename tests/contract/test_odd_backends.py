"""Backends that are odd, and right: the suite holds nothing against them."""

from __future__ import annotations

import pytest

from samplerkit.contract.mutants.odd import odd_backends
from samplerkit.contract.mutants.soak import false_alarms


# One of each kind; `make soak` tries all of them, many times.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["recopied", "modest", "new-workers-each-call", "in-a-thread", "random-order"]
)
def test_the_suite_raises_no_false_alarm(name):
    assert false_alarms(odd_backends()[name]) == []


def test_there_are_enough_odd_backends():
    assert len(odd_backends()) >= 12
