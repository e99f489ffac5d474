"""The oracle of fragments, and what the suite knows of workers that gather them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from samplerkit.contract import Subject, Violation, replay
from samplerkit.contract.clause import NotApplicable, all_clauses, check_applies
from samplerkit.contract.faulty import LENGTH, FaultScript
from samplerkit.contract.fragment_reference import expected_fragments
from samplerkit.contract.lab import Lab
from samplerkit.contract.reference import expected, run_unit
from samplerkit.contract.script import Op, Script
from samplerkit.contract.subject import Pace, find_subject
from samplerkit.episodes import EpisodeBatch, StepType

SCRIPT = Script(
    n_workers=2, limit=9, lengths=(3, 30), ends="mixed", infos="rich", ops=(Op(30), Op(1), Op(50))
)


@pytest.mark.parametrize("pace", [(1, 1), (2, 3), (4, 5)])
def test_the_oracle_s_fragments_are_parts_of_whole_episodes(pace):
    batch = EpisodeBatch.concatenate(*(it.batch for it in expected_fragments(SCRIPT, *pace))).stitch()
    whole = 0
    for unit, episode in zip(batch.provenance.units.tolist(), batch.split(), strict=True):
        if episode.step_types[-1] >= StepType.TERMINAL:
            assert run_unit(SCRIPT, unit, 1, 1).difference(episode) is None
            whole += 1
    assert whole


def test_the_oracle_counts_calls_and_their_steps():
    results = expected_fragments(SCRIPT, 2, 3)
    assert [len(it.batch.rewards) for it in results] == [30, 6, 54]
    assert [it.cursor for it in results] == [5, 6, 15]
    assert [it.total_env_steps for it in results] == [30, 36, 90]


def test_the_oracle_names_what_an_update_abandons_and_goes_on_after_new_weights():
    script = replace(SCRIPT, lengths=(30,), ops=(Op(12), Op(12, agent="weights"), Op(12, agent="policy")))
    first, second, third = (it.batch.provenance for it in expected_fragments(script, 2, 3))
    assert first.units.tolist() == second.units.tolist() == [0, 2, 1, 3]
    assert second.abandoned == ()
    assert third.abandoned == (0, 2, 1, 3)
    assert third.units.tolist() == [4, 6, 5, 7]


def test_where_a_call_is_an_episode_both_oracles_agree():
    script = FaultScript(n_workers=3, lengths=(LENGTH,), limit=1000, ops=(Op(1), Op(18, env="new"), Op(12)))
    for one, other in zip(expected(script), expected_fragments(script, *script.pace), strict=True):
        assert one.batch.difference(other.batch) is None
        assert (one.cursor, one.tags, one.versions) == (other.cursor, other.tags, other.versions)
        np.testing.assert_array_equal(one.batch.provenance.units, other.batch.provenance.units)


def test_a_pace_reaches_workers_that_gather_fragments_and_no_others():
    from samplerkit.contract.probes import ProbePolicy, TattooEnv

    for name, steps in (("fragment", 15), ("local", None)):
        subject = find_subject(name)
        arguments = {"n_workers": 1, "seed": 0, "max_episode_length": 8, "pace": Pace(3, 5)}
        with subject.make(ProbePolicy(1), TattooEnv(), **arguments) as sampler:
            assert steps in (None, len(sampler.obtain_samples(0, 1).rewards))
        assert subject.fragments is (steps is not None)


@pytest.mark.slow
def test_clauses_of_whole_episodes_do_not_apply_to_fragments_and_the_other_way_round():
    clauses = {it.id: it for it in all_clauses()}
    labs = {name: Lab(find_subject(name)) for name in ("fragment", "local")}
    for name, clause, why in (
        ("fragment", "A3.shortest-run", "declares 'fragments'"),
        ("local", "A8.cuts", "declares no 'fragments'"),
    ):
        with pytest.raises(NotApplicable, match=why):
            check_applies(clauses[clause], labs[name])
    check_applies(clauses["A8.cuts"], labs["fragment"])
    check_applies(clauses["A3.shortest-run"], labs["local"])


def test_a_script_is_replayed_on_a_worker_that_gathers_fragments():
    assert len(replay("fragment", SCRIPT).batches) == 3
    broken: Subject = find_subject("samplerkit.contract.mutants.made:fragment__resumed_as_first")
    with pytest.raises(Violation, match="expected step_types MID, got FIRST"):
        replay(broken, SCRIPT)
