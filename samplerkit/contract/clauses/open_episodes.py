"""Clause A8: what continues open episodes and what ends them, and how they come back."""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from samplerkit.contract.attempts import attempt, returned
from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.clauses.fragments import LONG, batches_of, by_unit
from samplerkit.contract.differences import difference_or_origin
from samplerkit.contract.faults import Kill, raise_error
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import Fault, Faults, ProbePolicy, UnrepeatableEnv, mark_of, unit_key
from samplerkit.contract.script import Op
from samplerkit.contract.subject import Pace
from samplerkit.episodes import EpisodeBatch, StepType
from samplerkit.errors import WorkerError

# -- updates -----------------------------------------------------------------------------------------


@clause(
    "A8.weights",
    needs={"fragments"},
    says="New weights continue the open episodes, and count from the next call on, version and all.",
    why="An off-policy learner updates after every call: episodes that began anew would never grow long.",
    causes="an update that resets environments or policy; weights that wait for the next episode.",
)
def weights(lab: Lab) -> None:
    """Update before each call, and look at the versions that the policy and provenance report."""
    script = replace(LONG, lengths=(30,), ops=(Op(12), *(Op(12, agent="weights"),) * 4))
    batches = batches_of(lab, script, Pace(3, 2))
    named = [batch.provenance.abandoned for batch in batches if batch.provenance is not None]
    require(not any(named), f"new weights: expected that nothing is abandoned, got {named}")
    for unit, episode in by_unit(batches).items():
        where = f"unit {unit}, with new weights before each call"
        require(
            len(episode.rewards) == 10,
            f"{where}: expected one episode of 10 steps, got {len(episode.rewards)}",
        )
        wanted = np.repeat([1, 200, 300, 400, 500], 2).tolist()
        got = np.asarray(episode.agent_infos["version"]).tolist()
        require(got == wanted, f"{where}: expected agent_infos['version'] {wanted}, got {got}")
        assert episode.provenance is not None, "it was stitched"
        counted = np.repeat(range(5), 2).tolist()
        said = episode.provenance.step_agent_versions
        require(
            said is not None and said.tolist() == counted,
            f"{where}: expected provenance.step_agent_versions {counted}, got {said}",
        )
        counts = np.asarray(episode.agent_infos["count"]).tolist()
        require(
            counts == list(range(10)),
            f"{where}: expected agent_infos['count'] 0 to 9, a policy that goes on, got {counts}",
        )


@clause(
    "A8.abandoned",
    needs={"fragments"},
    says="A new policy or environment abandons what is open: the batch names it, and stitch() marks TIMEOUT.",
    why="What follows is no part of the old episode, and its last step is neither an end nor goes on.",
    causes="going on in the new environment; episodes left open for ever; naming all units, or none.",
)
def abandoned(lab: Lab) -> None:
    """Replace either in the middle of episodes."""
    for kind, update in (("policy", Op(12, agent="policy")), ("environment", Op(12, env="new"))):
        script = replace(LONG, lengths=(30, 1), ops=(Op(12), update, Op(12)))
        batches = batches_of(lab, script, Pace(3, 2))
        still_open = _open_units(batches[:1])
        named = [batch.provenance.abandoned for batch in batches if batch.provenance is not None]
        require(
            [sorted(it) for it in named] == [[], still_open, []],
            f"a new {kind}: expected provenance.abandoned {[[], still_open, []]}, got {named}",
        )
        for unit, episode in by_unit(batches).items():
            _check_one_origin(f"a new {kind}, unit {unit}", episode)
            if unit in still_open:
                got = StepType(episode.step_types[-1])
                require(
                    got is StepType.TIMEOUT,
                    f"a new {kind}, unit {unit}, abandoned: expected step_types TIMEOUT, got {got.name}",
                )


def _open_units(batches: list[EpisodeBatch]) -> list[int]:
    found = by_unit(batches).items()
    return sorted(unit for unit, episode in found if episode.step_types[-1] < StepType.TERMINAL)


def _check_one_origin(where: str, episode: EpisodeBatch) -> None:
    marks = mark_of(episode.observations)
    times, tags = marks[:, 2].tolist(), set(marks[:, 0].tolist())
    require(times == list(range(len(times))), f"{where}: expected an episode from its start, got t {times}")
    policies = set(np.asarray(episode.agent_infos["version"]).tolist())
    require(
        len(tags) == len(policies) == 1,
        f"{where}: expected one environment and one policy, got tags {tags} and versions {policies}",
    )


# -- when things go wrong ----------------------------------------------------------------------------

_TROUBLED = replace(
    LONG, lengths=(30,), ops=(Op(20), Op(40), Op(20, agent="weights"), Op(60), Op(20)), seed=3, limit=30
)
"""What goes wrong comes in its fourth call, in the middle of episodes, after new weights."""


def _fault(action: Callable[[], Any], folder: str) -> Fault:
    return Fault("step", action, key=unit_key(_TROUBLED.seed, 3), step=22, once=f"{folder}/once")


def _late_death(folder: str) -> Faults:
    actions: dict[int, Callable[[], Any]] = {22: _wait, 25: _wait, 28: Kill()}
    return Faults(
        tuple(
            replace(_fault(action, folder), step=step, once=f"{folder}/{step}")
            for step, action in actions.items()
        )
    )


def _wait() -> None:
    time.sleep(0.15)


def _call(sampler: Any, index: int) -> EpisodeBatch:
    agent = _TROUBLED.agent_update(index)[0]
    batch: EpisodeBatch = sampler.obtain_samples(index, _TROUBLED.ops[index].count, agent)
    return batch


def _check_call(lab: Lab, index: int, batch: Any, when: str) -> None:
    difference = difference_or_origin(lab.expected(_TROUBLED)[index].batch, batch)
    require(difference is None, f"call {index}, {when}: {difference}")
    got = batch.provenance.abandoned
    require(got == (), f"call {index}, {when}: expected that nothing is abandoned, got {got}")


def _troubled(lab: Lab, fault: Fault | Faults, **arguments: Any) -> Any:
    given = {"n_workers": 2, "seed": _TROUBLED.seed, "max_episode_length": _TROUBLED.limit, **arguments}
    envs = _TROUBLED.envs(fault=fault)
    return lab.sampler(_TROUBLED.agents(), envs, pace=Pace(*_TROUBLED.pace), **given)


@clause(
    "A8.error",
    needs={"fragments"},
    says="A call that raises in the middle of episodes has not happened: the next goes on from before it.",
    why="Half a call that counts repeats steps, or loses them, and nobody sees where.",
    causes="fragments that came before the error kept; environments left where they were; all abandoned.",
)
def error(lab: Lab) -> None:
    """Let an environment raise once, in an episode that began three calls before."""
    with tempfile.TemporaryDirectory() as folder, _troubled(lab, _fault(raise_error, folder)) as sampler:
        for index in range(len(_TROUBLED.ops)):
            outcome = attempt(f"call {index}", partial(_call, sampler, index))
            if isinstance(outcome.error, WorkerError):
                require(index == 3, f"call {index} raised, and the fault is in call 3: {outcome}")
                outcome = attempt(f"call {index}, again", partial(_call, sampler, index))
            _check_call(lab, index, returned(outcome, f"call {index}"), "where call 3 raised once")


@clause(
    "A8.death",
    needs={"fragments", "restartable"},
    says="After the death of a worker open episodes come back, hidden state and all: the data are the same.",
    why="A process that dies takes no data along that were delivered, and makes no others of them.",
    causes="episodes begun anew; a policy reset at the restart; actions chosen again by newer weights; a "
    "hidden state from before calls that were delivered.",
)
def death(lab: Lab) -> None:
    """Kill a process once, by SIGKILL, in an episode that began three calls before.

    Before that two steps of the same call take so long that what the worker has done is delivered.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        _troubled(lab, _late_death(folder), max_restarts=3) as sampler,
    ):
        for index in range(len(_TROUBLED.ops)):
            outcome = attempt(f"call {index}", partial(_call, sampler, index))
            batch = returned(outcome, f"call {index}")
            _check_call(lab, index, batch, "where a process was killed in call 3")
        restarts = sampler.statistics().restarts
        require(restarts == 1, f"one process was killed: expected statistics().restarts 1, got {restarts}")


@clause(
    "A8.restored",
    needs={"fragments"},
    says="A state that was taken in the middle of episodes goes on there, on this and on any other backend.",
    why="An off-policy run that is interrupted is always in the middle of episodes.",
    causes="a state without the open episodes, or without the policy's hidden state; one that names hosts.",
)
def restored(lab: Lab) -> None:
    """Take it after new weights, and set it on new samplers with other seeds, here and on the local one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "once").touch()
        harmless = _fault(raise_error, folder)
        with _troubled(lab, harmless) as sampler:
            for index in range(3):
                _call(sampler, index)
            state = pickle.dumps(sampler.get_state())
        for there, name in ((lab, "a new sampler"), (Lab(lab.local), "the local sampler")):
            with _troubled(there, harmless, seed=77) as sampler:
                sampler.obtain_samples(0, 30)
                sampler.set_state(pickle.loads(state))
                for index in (3, 4):
                    outcome = attempt(f"call {index}", partial(_call, sampler, index))
                    if outcome.error is not None:
                        raise Violation(f"call {index}, on {name}: {outcome}") from outcome.error
                    _check_call(lab, index, outcome.value, f"after set_state on {name}")


@clause(
    "A8.not-spliced",
    needs={"fragments"},
    says="What cannot be brought back is abandoned: the next batch names it; nothing else is put on it.",
    why="An episode that is two episodes looks like any other.",
    causes="trusting that a replay leads where it led before; not looking at the observation it ends with.",
)
def not_spliced(lab: Lab) -> None:
    """Restore a state with open episodes of an environment that is another at each reset."""
    pace, arguments = Pace(3, 2), {"n_workers": 1, "seed": 5, "max_episode_length": 20}
    with lab.sampler(ProbePolicy(1), UnrepeatableEnv, pace=pace, **arguments) as sampler:
        batches = [sampler.obtain_samples(0, 12)]
        state = sampler.get_state()
    with lab.sampler(ProbePolicy(1), UnrepeatableEnv, pace=pace, **arguments) as sampler:
        sampler.set_state(state)
        batches += [sampler.obtain_samples(0, 12), sampler.obtain_samples(0, 6)]
    named = [batch.provenance.abandoned for batch in batches if batch.provenance is not None]
    still_open = _open_units(batches[:1])
    require(
        [sorted(it) for it in named] == [[], still_open, []],
        f"a replay that leads elsewhere: expected provenance.abandoned {[[], still_open, []]}, got {named}",
    )
    for unit, episode in by_unit(batches).items():
        keys = set(mark_of(episode.observations)[:, 1].tolist())
        require(len(keys) == 1, f"unit {unit}, stitched: expected one episode, got steps of {len(keys)}")
        got = StepType(episode.step_types[-1])
        require(
            unit not in still_open or got is StepType.TIMEOUT,
            f"unit {unit}, abandoned and stitched: expected step_types TIMEOUT, got {got.name}",
        )
