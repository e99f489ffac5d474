"""Backends that are odd, and right: the suite holds nothing against them."""

from __future__ import annotations

import pytest

from samplerkit.contract.mutants.odd import odd_backends
from samplerkit.contract.mutants.soak import false_alarms

# What takes minutes because it starts processes again and again is left to `make soak`, with others. So are
# those that `contrary` is all at once.


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "contrary",
        "counts-first",
        "host-for-each-unit",
        "in-a-thread",
        "modest",
        "new-workers-each-call",
        "odd-statistics",
        "one-process",
        "recopied",
        "runs-ahead",
        "runs-twice",
        "two-hosts",
    ],
)
def test_the_suite_raises_no_false_alarm(name):
    assert false_alarms(odd_backends()[name]) == []


def test_there_are_enough_odd_backends():
    assert len(odd_backends()) >= 12
