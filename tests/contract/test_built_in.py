"""What is built in keeps the contract, all of it."""

from __future__ import annotations

import pytest

from samplerkit.contract import State, check, find_subject


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vectorized", "fragment", "multiprocessing", "multiprocessing+vectorized"])
def test_it_holds_every_clause(name: str) -> None:
    report = check(find_subject(name))
    assert [f"{it.clause}: {it.what}" for it in report.verdicts if it.bad] == []
    assert len(report.of(State.HELD)) >= 119


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vectorized", "multiprocessing+vectorized"])
def test_it_holds_what_only_the_full_table_of_faults_shows(name: str) -> None:
    report = check(find_subject(name), only=["D1", "D4", "E1", "E2"], profile="ci")
    assert [f"{it.clause}: {it.what}" for it in report.verdicts if it.bad] == []
