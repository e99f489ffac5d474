"""Backends with their workers in odd places, and right. A module of their own: both run at the same time."""

from __future__ import annotations

import pytest

from samplerkit.contract.mutants.odd import odd_backends
from samplerkit.contract.mutants.soak import false_alarms


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "host-for-each-unit",
        "in-a-thread",
        "new-workers-each-call",
        "one-process",
        "two-hosts",
    ],
)
def test_the_suite_raises_no_false_alarm(name):
    assert false_alarms(odd_backends()[name]) == []
