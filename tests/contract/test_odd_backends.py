"""Backends that are odd, and right: the suite holds nothing against them."""

from __future__ import annotations

import pytest
from odd_layouts import ODD_LAYOUTS

from samplerkit.contract.mutants.odd import odd_backends
from samplerkit.contract.mutants.soak import steady_alarms


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(odd_backends().keys() - ODD_LAYOUTS))
def test_the_suite_raises_no_false_alarm(name):
    assert steady_alarms(odd_backends()[name]) == []


def test_there_are_enough_odd_backends():
    assert len(odd_backends()) >= 12
