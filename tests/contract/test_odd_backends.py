"""Backends that are odd, and right: the suite holds nothing against them."""

from __future__ import annotations

import pytest

from samplerkit.contract.mutants.odd import odd_backends
from samplerkit.contract.mutants.soak import false_alarms

# The others are left to `make soak`: those that `contrary` and `roundabout` are all at once, and those that
# take long because they start processes again and again, or wait for what nobody needs.


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "contrary",
        "host-for-each-unit",
        "in-a-thread",
        "modest",
        "roundabout",
        "two-hosts",
    ],
)
def test_the_suite_raises_no_false_alarm(name):
    assert false_alarms(odd_backends()[name]) == []


def test_there_are_enough_odd_backends():
    assert len(odd_backends()) >= 12
