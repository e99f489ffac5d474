"""Backends with odd processes, and right. A module of their own, so that both can run at the same time."""

from __future__ import annotations

import pytest
from odd_layouts import ODD_LAYOUTS

from samplerkit.contract.mutants.odd import odd_backends
from samplerkit.contract.mutants.soak import steady_alarms


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ODD_LAYOUTS))
def test_the_suite_raises_no_false_alarm(name):
    assert steady_alarms(odd_backends()[name]) == []
