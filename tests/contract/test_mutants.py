"""Every mutant is killed, by a clause that should, and the report says what is wrong."""

from __future__ import annotations

import importlib
import pickle
from collections import Counter
from dataclasses import replace

import pytest

from samplerkit.contract import all_clauses
from samplerkit.contract.mutants import catalogue
from samplerkit.contract.mutants.self_test import SelfTest, expected_clauses, select, try_mutant
from samplerkit.contract.mutants.text import self_test_text
from samplerkit.contract.profiles import PROFILES

MUTANTS = catalogue()

# The machine is shared by several tests: what hangs is found out all the same.
PROFILE = replace(PROFILES["quick"], deadline=30.0)

ON_EVERY_BASE = ("last-observation", "too-few-steps", "agent-list-reversed")

OF_EACH_KIND = 2
"""Mutants of one theme that clauses of the same promise should kill; ``make mutants`` tries them all."""


def _cases():
    chosen, kinds = [], Counter()
    for name, it in MUTANTS.items():
        kind = it.defect.__module__, it.killers[0].partition(".")[0]
        in_process = it.base in ("local", "vectorized", "fragment", "fragment-local")
        kinds[kind] += in_process
        if (in_process and kinds[kind] <= OF_EACH_KIND) or name.partition(":")[2] in ON_EVERY_BASE:
            chosen.append(pytest.param(it, id=name))
    return chosen


@pytest.fixture(scope="module")
def clauses():
    return all_clauses()


@pytest.mark.slow
@pytest.mark.parametrize("mutant", _cases())
def test_a_mutant_is_killed_by_a_clause_that_should(mutant, clauses):
    outcome = try_mutant(mutant, clauses, PROFILE, others=False)
    said = [f"{verdict.clause} {verdict.state}: {verdict.what}" for verdict in outcome.tried]
    assert outcome.diagnosed, f"{mutant.reason}\n" + "\n".join(said)
    verdict = next(verdict for verdict in outcome.tried if verdict.clause in outcome.killers)
    assert len(verdict.what) > 20, "a report says what is wrong"
    assert not verdict.details or verdict.state != "failed" or "Error" in verdict.what, verdict.details


def test_there_are_mutants_of_every_base():
    by_base = {
        base: [name for name in MUTANTS if name.startswith(f"{base}:")] for base in ("local", "processes")
    }
    assert len(MUTANTS) >= 90
    assert min(map(len, by_base.values())) >= 90
    assert len([name for name in MUTANTS if name.startswith("stateful")]) >= 30


def test_every_mutant_says_what_is_wrong_and_who_should_say_so(clauses):
    for it in MUTANTS.values():
        assert it.reason.endswith("."), it
        assert expected_clauses(it, clauses), it


def test_a_mutant_has_an_address_by_which_it_can_be_pickled():
    module, _, name = MUTANTS["local:last-observation"].address.partition(":")
    cls = getattr(importlib.import_module(module), name)
    assert pickle.loads(pickle.dumps(cls)) is cls


def test_mutants_are_found_by_the_beginnings_of_their_names():
    assert {it.base for it in select(["stateful:"])} == {"stateful"}
    with pytest.raises(ValueError, match="no-such"):
        select(["no-such"])


@pytest.mark.slow
def test_a_self_test_says_who_is_alive(clauses):
    it = MUTANTS["local:no-agent-infos"]
    blind = [clause for clause in clauses if clause.id.startswith("E6")]
    result = SelfTest((try_mutant(it, blind, PROFILE),), matrix=False)
    assert not result.green
    assert result.accuracy == 0
    assert "0 of 1 mutants killed" in self_test_text(result)
    assert f"alive: {it.name}: {it.reason}" in self_test_text(result)


def test_a_section_does_not_stand_for_another_that_begins_like_it(clauses):
    found = expected_clauses(replace(MUTANTS["local:wrong-workers"], killers=("A1",)), clauses)
    assert found
    assert all(it.id.startswith("A1.") for it in found)
