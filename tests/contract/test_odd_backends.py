"""Backends that are odd, and right: the suite holds nothing against them."""

from __future__ import annotations

import pytest

from samplerkit.contract.mutants.odd import odd_backends
from samplerkit.contract.mutants.soak import false_alarms


def _cases():
    for name, it in odd_backends().items():
        yield pytest.param(it, id=name, marks=pytest.mark.slow)


@pytest.mark.parametrize("backend", _cases())
def test_the_suite_raises_no_false_alarm(backend):
    assert false_alarms(backend) == []


def test_there_are_enough_odd_backends():
    assert len(odd_backends()) >= 12
