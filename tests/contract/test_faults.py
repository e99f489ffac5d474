"""The fault table: which cells there are, which are chosen, and that none ends the sandbox itself."""

from __future__ import annotations

import os

import numpy as np
import pytest

from samplerkit.contract.faults import (
    DEATHS,
    HANG,
    IN_UNITS,
    IN_UPDATES,
    ONCE,
    RAISES,
    Cell,
    Kill,
    _everything,
    _pairs,
    chosen_cells,
)
from samplerkit.contract.probes import Fault, ProbePolicy, TattooEnv
from samplerkit.contract.profiles import PROFILES
from samplerkit.interfaces import IN_CARRIERS, IN_PROCESS, no

PROMISES = {cell.promise for cell in _everything()}


def test_every_pair_of_site_kind_and_moment_is_tried() -> None:
    possible = set().union(*map(_pairs, _everything()))
    chosen = chosen_cells(PROFILES["ci"], IN_CARRIERS)
    assert set().union(*map(_pairs, chosen)) == possible
    assert len(chosen) < len(list(_everything())) / 2, "pairs are meant to be fewer than all"


def test_a_quick_look_tries_a_cell_of_every_promise() -> None:
    chosen = chosen_cells(PROFILES["quick"], IN_CARRIERS)
    assert {cell.promise for cell in chosen} == PROMISES
    assert len(chosen) == 16


def test_the_same_cells_are_chosen_each_time() -> None:
    first = [str(cell) for cell in chosen_cells(PROFILES["ci"], IN_CARRIERS)]
    assert first == [str(cell) for cell in chosen_cells(PROFILES["ci"], dict(IN_CARRIERS))]
    assert len(set(first)) == len(first)


def test_nothing_is_killed_where_workers_live_in_the_callers_process() -> None:
    for cell in chosen_cells(PROFILES["ci"], IN_PROCESS):
        assert cell.what not in DEATHS, cell
        assert cell.what != HANG, cell


def test_lists_are_sent_only_where_there_may_be_lists() -> None:
    without = {**IN_CARRIERS, "per_worker_envs": no("one environment for all")}
    assert not any(cell.last_only for cell in chosen_cells(PROFILES["ci"], without))


@pytest.mark.parametrize("status", [None, 0])
def test_a_kill_does_nothing_in_the_process_where_it_was_made(status: int | None) -> None:
    with pytest.raises(RuntimeError, match="workers live there"):
        Kill(status)()
    assert Kill().home == os.getpid()


@pytest.mark.parametrize("kind", RAISES)
def test_what_is_raised_is_what_the_table_says(kind: str) -> None:
    action, raised = RAISES[kind]
    with pytest.raises(BaseException) as caught:
        action()
    assert type(caught.value).__name__ == raised.name
    assert str(caught.value) == raised.text


def test_what_one_unit_or_an_update_meets_nobody_gets_round() -> None:
    cells = [
        Cell("D2.no-trace", "reset", f"SIGKILL{ONCE}", IN_UNITS[0]),
        Cell("D2.no-trace", "reset_policy", f"SIGKILL{ONCE}", IN_UNITS[0]),
        Cell("D2.no-trace", "update_agent", f"SIGKILL{ONCE}", IN_UPDATES[0]),
        Cell("D2.no-trace", "step", f"SIGKILL{ONCE}", IN_UPDATES[0]),
    ]
    assert [cell.in_one_unit for cell in cells] == [True, False, False, False]
    # Of the others another process may run all that the batch needs, before the death is heard of.
    assert [cell.unavoidable for cell in cells] == [True, False, True, False]


def test_a_policy_fails_once_for_each_state_however_many_idle_rows_repeat_it() -> None:
    env = TattooEnv(lengths=(3,))
    one, other = env.reset(seed=1)[0].copy(), env.reset(seed=2)[0].copy()
    told: list[str] = []
    policy = ProbePolicy(fault=Fault("get_action", lambda: told.append("struck"), key=1))
    policy.reset([True] * 4)
    policy.get_actions(np.stack([other, one, one, one]))
    assert told == ["struck"]
