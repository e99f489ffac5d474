"""Clauses C1 to C3: an update reaches every worker before any unit of its call; nothing older is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import (
    BumpUpdate,
    FalsyUpdate,
    ProbePolicy,
    ReportingPolicy,
    TattooEnv,
    mark_of,
)
from samplerkit.contract.script import Script
from samplerkit.contract.views import CallView, EpisodeView
from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import NewEnvUpdate, Sampler


def _last_of_each_worker(call: CallView) -> Iterator[tuple[EpisodeView, int, int]]:
    """Yield for each worker its last episode, with the tag and the version that it should have."""
    last: dict[int, EpisodeView] = {}
    for episode in call.episodes:
        if episode.worker is not None and episode.unit is not None:
            last[episode.worker] = episode
    for episode in last.values():
        yield (episode, *_wanted(call, episode))


def _wanted(call: CallView, episode: EpisodeView) -> tuple[int, int]:
    """Return tag and version of an episode's environment and policy, by its worker."""
    tags, versions = call.script.tags(), call.script.versions()
    for index in range(call.index + 1):
        tags = call.script.env_update(index)[1] or tags
        versions = call.script.agent_update(index)[1] or versions
    assert episode.worker is not None, "asked of episodes whose worker is known"
    return tags[episode.worker], versions[episode.worker]


def _version(episode: EpisodeView) -> list[int] | None:
    column = episode.agent_infos.get("version")  # B4.agent-infos says where it is missing
    return column.tolist() if isinstance(column, np.ndarray) else None


@clause(
    "C1.agents",
    kind="script",
    says="An agent update reaches every worker that it is meant for; of a list, worker i gets item i.",
    why="A worker that goes on with old weights, or with another's, spoils its share of every batch.",
    causes="an update sent to worker 0 only; lost on a busy worker; applied after sampling; a list reversed.",
)
def agents(lab: Lab, script: Script) -> None:
    """Look at the policy's version in the last episode of each worker."""
    for call in lab.trace(script).calls:
        for episode, _, wanted in _last_of_each_worker(call):
            versions = _version(episode)
            if versions is not None:
                require(
                    versions[-1] == wanted,
                    f"{episode.place()}: expected agent_infos['version'] {wanted}, worker {episode.worker}'s "
                    f"policy, got {versions[-1]}",
                )


@clause(
    "C1.envs",
    kind="script",
    says="An environment update reaches every worker that it is meant for; of a list, worker i gets item i.",
    why="In meta-learning each worker has a task of its own, and the learner pairs them by number.",
    causes="an update sent to worker 0 only; a list spread over slots; item 0 given to all.",
)
def envs(lab: Lab, script: Script) -> None:
    """Look at the environment's tag in the last episode of each worker."""
    for call in lab.trace(script).calls:
        for episode, wanted, _ in _last_of_each_worker(call):
            require(
                episode.tag == wanted,
                f"{episode.place()}: expected in observations the tag {wanted}, of worker {episode.worker}'s "
                f"environment, got {episode.tag}",
            )


@clause(
    "C3.no-stale-step",
    kind="script",
    says="No step was taken with an older policy or environment than the call's.",
    why="On-policy algorithms divide by the probability under the policy that they believe was used.",
    causes="units that ran ahead under the old policy and were admitted; updates that overtake nothing.",
)
def no_stale_step(lab: Lab, script: Script) -> None:
    """Look at version and tag at every step."""
    for call in lab.trace(script).calls:
        for episode in call.episodes:
            if episode.worker is None:
                continue
            tag, version = _wanted(call, episode)
            versions = _version(episode) or []
            for step, got in enumerate(versions):
                require(
                    got == version,
                    f"{episode.place(step)}: expected agent_infos['version'] {version}, got {got}, "
                    f"of {_origin(script, call, got)}",
                )
            require(
                episode.tag == tag,
                f"{episode.place()}: expected in observations the tag {tag}, got {episode.tag}, "
                f"of {_origin(script, call, episode.tag)}",
            )


def _origin(script: Script, call: CallView, number: int) -> str:
    """Say which call a tag or version belongs to."""
    index = number // 100 - 1
    if index < 0:
        return "the construction"
    return "this call, but another worker" if index == call.index else f"call {index}"


def _slow_start(lab: Lab, collect: Callable[[Sampler], EpisodeBatch]) -> EpisodeBatch:
    """Leave units under way that ran ahead, slow ones of worker 0 among them, and then collect."""
    slow = [TattooEnv(tag=1, lengths=(2,), delays=(0.06,)), TattooEnv(tag=2, lengths=(2,))]
    given: Any = slow if lab.subject.capabilities.get("per_worker_envs") else slow[0]
    with lab.sampler(ProbePolicy(1), given, seed=2) as sampler:
        sampler.obtain_samples(0, 1)
        return collect(sampler)


@clause(
    "C1.busy-worker",
    says="An update reaches a worker that is busy with a unit which ran ahead.",
    why="Queues of one place are full just then.",
    causes="put_nowait on a full queue; a flag that a running unit clears.",
)
def busy_worker(lab: Lab) -> None:
    """Update while worker 0 is in a slow unit."""

    def collect(sampler: Sampler) -> EpisodeBatch:
        sampler.obtain_samples(0, 1, ProbePolicy(5).get_param_values(), NewEnvUpdate(_Tagged(6)))
        return sampler.obtain_samples(0, 8)

    _require_all(_slow_start(lab, collect), version=5, tag=6, when="a call after an update of busy workers")


@clause(
    "C3.slow-worker",
    says="What ran ahead under the old policy is not seen after an update, however long it takes.",
    why="A straggler's result arrives when everybody has forgotten what it was asked.",
    causes="answers told apart by worker rather than by question.",
)
def slow_worker(lab: Lab) -> None:
    """Update twice while worker 0 is in a slow unit, and take what comes."""

    def collect(sampler: Sampler) -> EpisodeBatch:
        sampler.obtain_samples(0, 1, ProbePolicy(4).get_param_values())
        return sampler.obtain_samples(0, 8, ProbePolicy(5), NewEnvUpdate(_Tagged(6)))

    _require_all(_slow_start(lab, collect), version=5, tag=6, when="a call with updates, after slow units")


class _Tagged:
    def __init__(self, tag: int) -> None:
        self.tag = tag

    def __call__(self) -> TattooEnv:
        return TattooEnv(tag=self.tag, lengths=(2,))


def _require_all(batch: EpisodeBatch, *, version: int, tag: int, when: str) -> None:
    got_versions, got_tags = np.asarray(batch.agent_infos["version"]), mark_of(batch.observations)[:, 0]
    for name, got, wanted in (
        ("agent_infos['version']", got_versions, version),
        ("the tag in observations", got_tags, tag),
    ):
        wrong = np.flatnonzero(got != wanted)
        step = int(wrong[0]) if len(wrong) else 0
        require(not len(wrong), f"{when}, row {step}: expected {name} {wanted}, got {got[step]}")


@clause(
    "C1.once",
    says="Each live environment gets an update once.",
    why="Updates such as 'one level harder' count.",
    causes="applying it for each worker that shares an environment; again at a retry or a broadcast.",
)
def once(lab: Lab) -> None:
    """Add 10 to the tag, three times."""
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(_Tagged(1)), n_workers=3) as sampler:
        for call in range(1, 4):
            batch = sampler.obtain_samples(0, 8, None, BumpUpdate(10))
            when = f"call {call}, each with an update that adds 10 to the tag"
            _require_all(batch, version=1, tag=1 + 10 * call, when=when)


@clause(
    "C1.list-length",
    needs={"per_worker_agents", "per_worker_envs"},
    says="A list of another length than n_workers is a ValueError that names both, and changes nothing.",
    why="Half of a list applied is worse than none.",
    causes="zip; indexing modulo; updating workers before the whole list was looked at.",
)
def list_length(lab: Lab) -> None:
    """Pass lists that are too long, too short, and empty."""
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(_Tagged(1)), n_workers=3) as sampler:
        sampler.obtain_samples(0, 1)
        for length in (2, 4, 0):
            _refuses(sampler, length, agent_update=[ProbePolicy(9).get_param_values()] * length)
            _refuses(sampler, length, env_update=[NewEnvUpdate(_Tagged(9))] * length)
        cursor = sampler.get_state()["cursor"]
        require(cursor == 1, f"after refused lists: expected cursor 1, got {cursor}")
        _require_all(sampler.obtain_samples(0, 6), version=1, tag=1, when="after refused lists")


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
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(_Tagged(1))) as sampler:
        weights = ProbePolicy(5).get_param_values()
        batch = sampler.obtain_samples(0, 4, [None, weights], [None, NewEnvUpdate(_Tagged(6))])
    versions, tags = batch.agent_infos["version"], mark_of(batch.observations)[:, 0]
    for name, got, wanted in (("agent_infos['version']", versions, [1, 5]), ("the tag", tags, [1, 6])):
        found = np.asarray(got)[:4:2].tolist()
        require(found == wanted, f"[None, update]: expected {name} {wanted} of workers 0 and 1, got {found}")


@clause(
    "C2.none-alone",
    says="None alone means no update: 0, False, {}, () and an empty array are updates.",
    why="`if agent_update:` drops the weights of a policy that has a single number, or none.",
    causes="testing for truth instead of `is not None`.",
)
def none_alone(lab: Lab) -> None:
    """Pass each of them, and ask the policy what it was told."""
    values: list[Any] = [0, False, {}, (), "", np.array([]), np.zeros(2)]
    with lab.sampler(ReportingPolicy(), NewEnvUpdate(_Tagged(1)), n_workers=1) as sampler:
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
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(_Tagged(1)), n_workers=2) as sampler:
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


@clause(
    "C1.tuple-is-one",
    says="A tuple is one object for all workers, also where it has n_workers items: only a list is spread.",
    why="Weights are often a tuple of arrays; it must not matter how many workers there are.",
    causes="isinstance(update, (list, tuple)); len(update) == n_workers.",
)
def tuple_is_one(lab: Lab) -> None:
    """Pass weights that are a tuple of as many arrays as there are workers."""
    weights = (np.zeros(2), np.ones(3))
    with lab.sampler(ReportingPolicy(), NewEnvUpdate(_Tagged(1)), n_workers=2) as sampler:
        batch = sampler.obtain_samples(0, 4, weights)
    got, wanted = np.asarray(batch.agent_infos["report"]), ReportingPolicy.report_of(weights)
    wrong = np.flatnonzero(got != wanted)
    row = int(wrong[0]) if len(wrong) else 0
    require(
        not len(wrong),
        f"weights that are a tuple of 2, with 2 workers, row {row}: expected agent_infos['report'] {wanted}, "
        f"as of a tuple of two, got {got[row]}",
    )
