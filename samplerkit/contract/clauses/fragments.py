"""Clause A8: calls of a fixed number of steps, and episodes that go on from call to call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import mark_of
from samplerkit.contract.reference import run_unit
from samplerkit.contract.script import Op, Script
from samplerkit.contract.subject import Pace
from samplerkit.contract.views import in_words
from samplerkit.episodes import EpisodeBatch, StepType

LONG = Script(n_workers=2, limit=20, lengths=(3, 30), ends="mixed", infos="rich")
"""Episodes that take several calls, with shorter ones among them."""


def batches_of(lab: Lab, script: Script, pace: Pace, **arguments: Any) -> list[EpisodeBatch]:
    """Make the calls of a script with workers of this pace."""
    given: dict[str, Any] = {"n_workers": script.n_workers, "seed": script.seed, **arguments}
    given["max_episode_length"] = script.limit
    with lab.sampler(script.agents(), script.envs(), pace=pace, **given) as sampler:
        found = []
        for index, op in enumerate(script.ops):
            agent, env = script.agent_update(index)[0], script.env_update(index)[0]
            found.append(sampler.obtain_samples(index, op.count, agent, env))
        return found


def by_unit(batches: list[EpisodeBatch]) -> Mapping[int, EpisodeBatch]:
    """Return what stitching makes of batches, by unit."""
    try:
        stitched = EpisodeBatch.concatenate(*batches).stitch()
    except ValueError as error:
        raise Violation(f"the fragments of {len(batches)} calls cannot be stitched: {error}") from error
    assert stitched.provenance is not None, "stitching needs it"
    return dict(zip(stitched.provenance.units.tolist(), stitched.split(), strict=True))


# -- calls and units ---------------------------------------------------------------------------------


@clause(
    "A8.calls",
    kind="script",
    needs={"fragments"},
    says="obtain_samples makes the fixed number of calls that yields enough, each of n_envs * "
    "timesteps_per_call steps; the cursor counts calls, and no step that was taken is thrown away.",
    why="An off-policy learner counts on a constant number of steps, and pays for each one that is dropped.",
    causes="calls until there are enough whole episodes; a round of all workers; fragments held back.",
)
def calls(lab: Lab, script: Script) -> None:
    """Count steps, calls, and what was discarded."""
    trace, cursor = lab.trace(script), 0
    n_envs, n_steps = script.pace
    for position, call in enumerate(trace.calls):
        if call.index != position:
            return
        n_calls = -(-call.op.count // (n_envs * n_steps))
        where = f"call {call.index}, obtain_samples(…, {call.op.count}) of {n_envs} environments"
        wanted, got = n_calls * n_envs * n_steps, int(call.batch.lengths.sum())
        require(got == wanted, f"{where}, {n_steps} steps a call: expected {wanted} steps, got {got}")
        cursor += n_calls
        if len(trace.cursors) > position:
            at = trace.cursors[position]
            require(at == cursor, f"{where}: expected cursor {cursor} in get_state(), got {at}")
        if len(trace.statistics) > position:
            lost = trace.statistics[position].env_steps_discarded
            require(lost == 0, f"{where}: expected that no step is thrown away, got {lost} discarded")


@clause(
    "A8.units",
    kind="script",
    needs={"fragments"},
    says="Call c belongs to worker c mod n_workers; environment s of worker w begins unit (r * n_envs + s) * "
    "n_workers + w in round r; provenance names the unit of each fragment, environment by environment.",
    why="By its number an episode has the same seeds, and so the same start, however calls are cut.",
    causes="a new unit for each fragment; numbers drawn by whoever ends first; the number of the call.",
)
def units(lab: Lab, script: Script) -> None:
    """Compare units and lengths with the reference's."""
    for call in lab.trace(script).calls:
        origin, wanted = call.batch.provenance, call.wanted.batch.provenance
        if origin is None or wanted is None:  # B6.provenance says so
            continue
        got = list(zip(origin.units.tolist(), call.batch.lengths.tolist(), strict=True))
        right = list(zip(wanted.units.tolist(), call.wanted.batch.lengths.tolist(), strict=True))
        for fragment, (one, other) in enumerate(zip(right, got, strict=False)):
            require(
                one == other,
                f"call {call.index}, fragment {fragment}: expected unit and length {one}, got {other}",
            )
        require(len(got) == len(right), f"call {call.index}: expected {len(right)} fragments, got {len(got)}")


@clause(
    "A8.versions",
    kind="script",
    needs={"fragments"},
    says="provenance.step_agent_versions and step_env_versions name the version of each step.",
    why="An episode may have steps of several policies, and importance weights need to know of which.",
    causes="the version at the episode's start; the newest version for all steps; None.",
)
def versions(lab: Lab, script: Script) -> None:
    """Compare with the number of updates so far."""
    for call in lab.trace(script).calls:
        origin, wanted = call.batch.provenance, call.wanted.batch.provenance
        if origin is None or wanted is None:
            continue
        for name in ("step_agent_versions", "step_env_versions"):
            got, right = getattr(origin, name), int(getattr(wanted, name)[0])
            require(
                got is not None and len(got) == len(call.batch.rewards) and set(got.tolist()) == {right},
                f"call {call.index}: expected provenance.{name} {right} for all "
                f"{len(call.batch.rewards)} steps, got {None if got is None else sorted(set(got.tolist()))}",
            )


# -- cuts --------------------------------------------------------------------------------------------


@clause(
    "A8.cuts",
    needs={"fragments"},
    says="A cut ends MID and the next fragment goes on MID, with the observation that the cut ended with.",
    why="A cut that looks like an end, or a start, resets recurrent state and bootstraps where it must not.",
    causes="TIMEOUT at the end of each call; FIRST at its start; the observation before the last action.",
)
def cuts(lab: Lab) -> None:
    """Look at both sides of each cut."""
    script = replace(LONG, ops=(Op(1),) * 12)
    for pace in (Pace(2, 3), Pace(1, 1)):
        open_units: dict[int, tuple[int, list[int]]] = {}
        for call, batch in enumerate(batches_of(lab, script, pace)):
            require(batch.provenance is not None, f"call {call}: expected provenance, got None")
            assert batch.provenance is not None, "required"
            stops = np.cumsum(batch.lengths)
            marks, last = mark_of(batch.observations), mark_of(batch.last_observations).tolist()
            for fragment, unit in enumerate(batch.provenance.units.tolist()):
                rows = slice(int(stops[fragment] - batch.lengths[fragment]), int(stops[fragment]))
                where = f"{pace.n_envs} environments, call {call}, fragment {fragment} (unit {unit})"
                before = open_units.pop(unit, None)
                types = batch.step_types[rows].tolist()
                _check_start(where, before, types[0], marks[rows][0].tolist())
                if types[-1] < StepType.TERMINAL:
                    open_units[unit] = call, last[fragment]


def _check_start(where: str, before: tuple[int, list[int]] | None, step_type: int, mark: list[int]) -> None:
    if before is None:
        require(
            step_type != StepType.MID and mark[2] == 0,
            f"{where}: expected an episode's start, got step_types {StepType(step_type).name} at t {mark[2]}",
        )
        return
    require(
        step_type != StepType.FIRST,
        f"{where}, which goes on from call {before[0]}: expected step_types MID, got FIRST",
    )
    require(
        mark == before[1],
        f"{where}: expected observations to go on with last_observations of call {before[0]}, {before[1]}, "
        f"got {mark}",
    )


@clause(
    "A8.stitched",
    needs={"fragments"},
    says="Fragments of an episode go on from call to call; stitch() joins them without gap or repetition.",
    why="A step that is lost or repeated at a cut spoils the return of every episode that is cut.",
    causes="resetting at each call; dropping what was open; a cut that is marked as an end.",
)
def stitched(lab: Lab) -> None:
    """Join the fragments of several calls, and look at tag, key and time."""
    env, script = LONG.env(1), replace(LONG, ops=(Op(1),) * 24)
    for pace in (Pace(8, 1), Pace(1, 5), Pace(3, 4)):
        for unit, episode in by_unit(batches_of(lab, script, pace)).items():
            marks = mark_of(episode.observations)
            times, keys = marks[:, 2].tolist(), set(marks[:, 1].tolist())
            where = (
                f"{pace.n_envs} environments, {pace.timesteps_per_call} steps a call, unit {unit}, stitched"
            )
            require(
                times == list(range(len(times))) and len(keys) == 1,
                f"{where}: expected one episode, t from 0, got t {times} of the seeds {keys}",
            )
            own = min(env.length_of(int(marks[0, 1])), 20)
            ended = episode.step_types[-1] >= StepType.TERMINAL
            require(
                ended == (len(times) == own),
                f"{where}: expected an end after {own} steps, and there only, got "
                f"{StepType(episode.step_types[-1]).name} after {len(times)}",
            )


@clause(
    "A8.whole-episodes",
    needs={"fragments"},
    says="Stitched fragments equal the whole episodes of these units, as other workers give them.",
    why="How an episode is cut must not be seen in it.",
    causes="a policy that is reset, or seeded anew, at a cut; limits that are counted from the cut.",
)
def whole_episodes(lab: Lab) -> None:
    """Compare each episode that has its end with the reference's, bit for bit."""
    script, seen = replace(LONG, ops=(Op(40),) * 6), 0
    for pace in (Pace(3, 4), Pace(1, 1)):
        for unit, episode in by_unit(batches_of(lab, script, pace)).items():
            if episode.step_types[-1] < StepType.TERMINAL:
                continue
            difference = run_unit(script, unit, 1, 1).difference(episode)
            require(difference is None, f"unit {unit}, stitched: {in_words(difference)}")
            seen += 1
    require(seen > 10, f"expected that more than 10 of the episodes end in 480 steps, got {seen}")


@clause(
    "A8.timesteps",
    needs={"fragments"},
    says="timesteps_per_call 1, 5 and 64 give the same episodes, once stitched.",
    why="It says how often data are handed over, not which.",
    causes="seeds, or global generators, that count calls; an episode that is begun only at a call's start.",
)
def timesteps(lab: Lab) -> None:
    """Take 64 steps of two environments in calls of each size."""
    script = replace(LONG, n_workers=1)
    found = {}
    for n_steps, n_calls in ((1, 64), (64, 1), (5, 13)):
        calls_made = replace(script, ops=(Op(2 * n_steps),) * n_calls)
        found[n_steps] = by_unit(batches_of(lab, calls_made, Pace(2, n_steps)))
    for n_steps in (5, 64):
        for unit, episode in found[1].items():
            other = found[n_steps].get(unit)
            where = f"timesteps_per_call={n_steps}, unit {unit}"
            require(other is not None, f"{where}: expected it as with 1, got no such unit")
            assert other is not None, "required"
            shorter = min(len(episode.rewards), len(other.rewards))
            if shorter < max(len(episode.rewards), len(other.rewards)):
                continue  # the last ones, which are open: 65 steps are one more than 64
            difference = episode.difference(other)
            require(difference is None, f"{where}: expected it as with 1: {in_words(difference)}")
