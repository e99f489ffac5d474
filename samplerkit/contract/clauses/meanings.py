"""Clauses C1, C2 and C4 once more: what is one update, what is a list of them, what is none, whose it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import (
    FalsyUpdate,
    KeepingPolicy,
    ProbePolicy,
    ReportingPolicy,
    TaggedEnv,
    mark_of,
)
from samplerkit.contract.views import require_origin
from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import NewEnvUpdate, Sampler

_UPDATES = 6


@clause(
    "C1.list-length",
    needs={"per_worker_agents", "per_worker_envs"},
    says="A list of another length than n_workers is a ValueError that names both, and changes nothing.",
    why="Half of a list applied is worse than none.",
    causes="zip; indexing modulo; updating workers before the whole list was looked at.",
)
def list_length(lab: Lab) -> None:
    """Pass lists that are too long, too short, and empty."""
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TaggedEnv(1)), episodes_of=2, n_workers=3) as sampler:
        sampler.obtain_samples(0, 1)
        for length in (2, 4, 0):
            _refuses(sampler, length, agent_update=[ProbePolicy(9).get_param_values()] * length)
            _refuses(sampler, length, env_update=[NewEnvUpdate(TaggedEnv(9))] * length)
        cursor = sampler.get_state()["cursor"]
        require(cursor == 1, f"after refused lists: expected cursor 1, got {cursor}")
        require_origin(sampler.obtain_samples(0, 6), version=1, tag=1, when="after refused lists")


def _refuses(sampler: Sampler, length: int, **update: Any) -> None:
    (name,) = update
    try:
        sampler.obtain_samples(0, 1, **update)
    except ValueError as error:
        require(
            str(length) in str(error) and "3" in str(error),
            f"{name}, a list of {length} for 3 workers: expected a sentence with both numbers, got: {error}",
        )
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise Violation(
            f"{name}, a list of {length} for 3 workers: expected a ValueError, got {what}"
        ) from error
    else:
        raise Violation(f"{name}, a list of {length} for 3 workers: expected a ValueError, got a batch")


@clause(
    "C1.none-in-list",
    needs={"per_worker_agents", "per_worker_envs"},
    says="None in a list means no update for that worker.",
    why="One task is replaced, and the others stay.",
    causes="a list taken for one update; None handed to the policy.",
)
def none_in_list(lab: Lab) -> None:
    """Update worker 1 of two."""
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TaggedEnv(1)), episodes_of=2) as sampler:
        weights = ProbePolicy(5).get_param_values()
        batch = sampler.obtain_samples(0, 4, [None, weights], [None, NewEnvUpdate(TaggedEnv(6))])
    versions, tags = batch.agent_infos["version"], mark_of(batch.observations)[:, 0]
    for name, got, wanted in (("agent_infos['version']", versions, [1, 5]), ("the tag", tags, [1, 6])):
        found = np.asarray(got)[:4:2].tolist()
        require(found == wanted, f"[None, update]: expected {name} {wanted} of workers 0 and 1, got {found}")


@clause(
    "C1.tuple-is-one",
    says="A tuple is one object for all workers, also where it has n_workers items: only a list is spread.",
    why="Weights are often a tuple of arrays; it must not matter how many workers there are.",
    causes="isinstance(update, (list, tuple)); len(update) == n_workers.",
)
def tuple_is_one(lab: Lab) -> None:
    """Pass weights that are a tuple of as many arrays as there are workers."""
    weights = (np.zeros(2), np.ones(3))
    with lab.sampler(ReportingPolicy(), NewEnvUpdate(TaggedEnv(1)), episodes_of=2, n_workers=2) as sampler:
        batch = sampler.obtain_samples(0, 4, weights)
    got, wanted = np.asarray(batch.agent_infos["report"]), ReportingPolicy.report_of(weights)
    wrong = np.flatnonzero(got != wanted)
    row = int(wrong[0]) if len(wrong) else 0
    require(
        not len(wrong),
        f"weights that are a tuple of 2, with 2 workers, row {row}: expected agent_infos['report'] {wanted}, "
        f"as of a tuple of two, got {got[row]}",
    )


@clause(
    "C4.weights",
    says="Weights that a policy keeps stay as they are, however many follow. They are its own, to write to, "
    "unless it says that it reads them in place.",
    why="A policy that averages over its last weights would average over those of other calls.",
    causes="weights in memory that the next message is written to; one copy for all workers of a process.",
)
def weights_stay(lab: Lab) -> None:
    """Update large weights again and again: a policy that writes to them, and one that only reads."""
    for in_place in (False, True):
        policy = KeepingPolicy(in_place=in_place)
        how = "reads in place" if in_place else "writes to its own"
        with lab.sampler(policy, NewEnvUpdate(TaggedEnv(1)), episodes_of=2, n_workers=3) as sampler:
            for call in range(1, _UPDATES):
                batch = sampler.obtain_samples(call, 12, KeepingPolicy.weights(call))
                got, kept = (np.asarray(batch.agent_infos[name]) for name in ("got", "kept"))
                strange = got[got != call]
                require(
                    not len(strange),
                    f"call {call}, weights of {call} everywhere, for a policy that {how}: expected "
                    f"agent_infos['got'] {call}, got {strange[:1]}",
                )
                require(
                    bool(kept.all()),
                    f"call {call}: weights of earlier calls that a policy kept, which {how}, have changed",
                )


@clause(
    "C2.none-alone",
    says="None alone means no update: 0, False, {}, () and an empty array are updates.",
    why="`if agent_update:` drops the weights of a policy that has a single number, or none.",
    causes="testing for truth instead of `is not None`.",
)
def none_alone(lab: Lab) -> None:
    """Pass each of them, and ask the policy what it was told."""
    # A tuple as long as there are workers is one object all the same: only lists are spread.
    values: list[Any] = [0, False, {}, (), (1,), "", np.array([]), np.zeros(2)]
    with lab.sampler(ReportingPolicy(), NewEnvUpdate(TaggedEnv(1)), episodes_of=2, n_workers=1) as sampler:
        for count, value in enumerate(values, 1):
            batch = sampler.obtain_samples(0, 1, value)
            _require_told(batch, ReportingPolicy.report_of(value), count, f"agent_update={value!r}")
        batch = sampler.obtain_samples(0, 1, None)
        _require_told(batch, ReportingPolicy.report_of(values[-1]), len(values), "agent_update=None")
        batch = sampler.obtain_samples(0, 1, None, FalsyUpdate(7))
        tag = int(mark_of(batch.observations)[0, 0])
        require(tag == 7, f"an env_update that is falsy: expected in observations the tag 7, got {tag}")


def _require_told(batch: EpisodeBatch, wanted: int, count: int, what: str) -> None:
    got = int(np.asarray(batch.agent_infos["report"])[0])
    require(
        got == wanted,
        f"{what}: expected agent_infos['report'] {wanted}, what set_param_values got, got {got}",
    )
    if batch.provenance is not None:
        version = int(batch.provenance.agent_versions[0])
        require(version == count, f"{what}: expected provenance.agent_versions {count}, got {version}")


@clause(
    "C2.policy-or-weights",
    says="An object with get_action replaces the agent; all else goes to the present one's set_param_values.",
    why="Algorithms pass either: policies at first, weights from then on.",
    causes="isinstance of a base class; keeping the old policy and giving it the new one's weights.",
)
def policy_or_weights(lab: Lab) -> None:
    """Replace the policy by one of another class, and then give that one weights."""
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TaggedEnv(1)), episodes_of=2, n_workers=2) as sampler:
        batch = sampler.obtain_samples(0, 4, ReportingPolicy())
        keys = sorted(batch.agent_infos)
        require(
            keys == ["report"],
            f"a policy of another class as agent_update: expected its agent_infos ['report'], got {keys}",
        )
        batch = sampler.obtain_samples(0, 4, {"get_action": np.arange(3)})
    got, wanted = np.asarray(batch.agent_infos["report"]), ReportingPolicy.report_of({"get_action": 0})
    require(
        set(got.tolist()) == {wanted},
        f"weights after a policy: expected agent_infos['report'] {wanted}, of the new policy told, got {got}",
    )
