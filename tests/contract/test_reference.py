"""The reference against traces that were written by hand, and against a second one of another make."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from hypothesis import given, settings

from samplerkit import StepType
from samplerkit.contract import reference
from samplerkit.contract.probes import ProbePolicy, assert_whole, mark_of
from samplerkit.contract.reference import expected, unit_seeds
from samplerkit.contract.script import Op, Script, scripts

FIRST, MID, TERMINAL, TIMEOUT = StepType.FIRST, StepType.MID, StepType.TERMINAL, StepType.TIMEOUT


def units(result):
    return result.batch.provenance.units.tolist()


def test_the_reference_stays_short_enough_to_be_read():
    assert len(inspect.getsource(reference).splitlines()) < 150


def test_seeds_of_units_are_those_of_the_contract():
    # SeedSequence(0, spawn_key=(0,)).generate_state(768, uint64): words 0 to 2, 3 to 5 and 765 to 767; then
    # spawn_key=(1,). The first of each three is shifted right by 33.
    assert unit_seeds(0, 0) == (1009188246, 14584187760040447831, 7402292003153977891)
    assert unit_seeds(0, 1) == (936220936, 223599140420919961, 1504125469531681141)
    assert unit_seeds(0, 255) == (1214996470, 6153319266557476751, 3383651788519802558)
    assert unit_seeds(0, 256) == (568328125, 14018784465689921001, 18140990248870438416)


def test_two_episodes_of_two_steps_written_out():
    (result,) = expected(Script(seed=0, lengths=(2,), ops=(Op(count=3),)))
    batch = result.batch
    # tag, env_seed, t, and the hash of the actions: (0 * 1000003 + 798 + 1) % (2**31 - 1) == 799, …
    assert mark_of(batch.observations).tolist() == [
        [1, 1009188246, 0, 0],
        [1, 1009188246, 1, 799],
        [1, 936220936, 0, 0],
        [1, 936220936, 1, 808],
    ]
    assert mark_of(batch.last_observations).tolist() == [
        [1, 1009188246, 2, (799 * 1_000_003 + 58 + 1) % 2_147_483_647],
        [1, 936220936, 2, (808 * 1_000_003 + 758 + 1) % 2_147_483_647],
    ]
    assert batch.actions.tolist() == [798, 58, 807, 758]
    assert batch.rewards.tolist() == [7.1875, -77.25, 134.3125, 87.9375]
    assert batch.step_types.tolist() == [FIRST, TERMINAL, FIRST, TERMINAL]
    assert batch.lengths.tolist() == [2, 2]
    assert batch.agent_infos["version"].tolist() == [1] * 4
    assert batch.agent_infos["count"].tolist() == [0, 1, 0, 1], "the policy is reset for each unit"
    assert batch.agent_infos["seed"].tolist() == [14584187760040447831] * 2 + [223599140420919961] * 2
    assert (units(result), batch.provenance.workers.tolist()) == ([0, 1], [0, 0])
    assert (result.tags, result.versions, result.cursor, result.total_env_steps) == ([1, 1], [1, 1], 2, 4)


@pytest.mark.parametrize(
    ("own", "ends", "limit", "types"),
    [
        (1, "terminated", 8, [TERMINAL]),
        (1, "truncated", 8, [TIMEOUT]),
        (1, "terminated", 1, [TERMINAL]),
        (3, "terminated", 8, [FIRST, MID, TERMINAL]),
        (3, "terminated", 3, [FIRST, MID, TERMINAL]),
        (3, "terminated", 2, [FIRST, TIMEOUT]),
        (3, "truncated", 3, [FIRST, MID, TIMEOUT]),
        (3, "terminated", 1, [TIMEOUT]),
        (3, "terminated", math.inf, [FIRST, MID, TERMINAL]),
    ],
)
def test_how_episodes_end(own, ends, limit, types):
    (result,) = expected(Script(lengths=(own,), ends=ends, limit=limit))
    assert result.batch.step_types.tolist() == types


@pytest.mark.parametrize(("least", "n_units"), [(1, 1), (3, 1), (4, 2), (6, 2), (7, 3)])
def test_the_shortest_run_with_enough_steps(least, n_units):
    (result,) = expected(Script(lengths=(3,), ops=(Op(count=least),), n_workers=2))
    assert units(result) == list(range(n_units))


def test_exact_episodes_come_worker_by_worker_from_the_cursor_on():
    script = Script(lengths=(3,), n_workers=3, ops=(Op(count=3), Op(count=2, exact=True), Op()))
    results = expected(script)
    assert [units(it) for it in results] == [[0], [3, 6, 1, 4, 2, 5], [7]]
    assert results[1].batch.provenance.workers.tolist() == [0, 0, 1, 1, 2, 2]
    assert [it.cursor for it in results] == [1, 7, 8]
    assert [it.total_env_steps for it in results] == [3, 21, 24]


def test_updates_reach_each_worker_and_are_counted():
    ops = (Op(count=1, exact=True), Op(count=1, exact=True, agent="weights each", env="new"), Op(env="task"))
    results = expected(Script(n_workers=2, each=True, ops=ops))
    assert [(it.tags, it.versions) for it in results] == [
        ([1, 2], [1, 2]),
        ([200, 200], [200, 201]),
        ([300], [200]),
    ]
    for result in results:
        starts = np.cumsum(result.batch.lengths) - result.batch.lengths
        assert mark_of(result.batch.observations)[starts, 0].tolist() == result.tags
        assert result.batch.agent_infos["version"][starts].tolist() == result.versions
    assert [it.batch.provenance.agent_versions[0] for it in results] == [0, 1, 1]
    assert [it.batch.provenance.env_versions[0] for it in results] == [0, 1, 2]


@pytest.mark.slow
@settings(max_examples=40, derandomize=True)
@given(scripts)
def test_the_reference_agrees_with_the_probes_own_oracle(script):
    # The second one runs no environment and records nothing: it computes what each step must be.
    tags, versions = script.tags(), script.versions()
    for index, result in enumerate(expected(script)):
        versions = script.agent_update(index)[1] or versions
        tags = script.env_update(index)[1] or tags
        for episode, number in zip(result.batch.split(), units(result), strict=True):
            worker = number % script.n_workers
            env, policy = script.env(tags[worker]), ProbePolicy(versions[worker])
            assert_whole(episode, env, policy, script.seed, [number], script.limit)
