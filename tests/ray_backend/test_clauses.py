"""Clauses that actors once broke, and no other backend."""

from __future__ import annotations

import pytest

from samplerkit.contract import check, find_subject


@pytest.mark.parametrize("name", ["ray+vectorized", "ray+fragment"])
def test_an_update_does_not_wait_for_what_an_actor_had_left(name):
    report = check(find_subject(name), only=["B2.cancel", "C5.atomic"], profile="ci")
    assert [f"{it.clause}: {it.what}" for it in report.verdicts if it.bad] == []
