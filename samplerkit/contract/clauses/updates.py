"""Clauses C1 and C3: an update reaches every worker before any unit of its call; nothing older is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from samplerkit.contract.clause import clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import BumpUpdate, ProbePolicy, TaggedEnv, TattooEnv
from samplerkit.contract.script import Script
from samplerkit.contract.views import CallView, EpisodeView, require_origin
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
        sampler.obtain_samples(0, 1, ProbePolicy(5).get_param_values(), NewEnvUpdate(TaggedEnv(6)))
        return sampler.obtain_samples(0, 8)

    require_origin(_slow_start(lab, collect), version=5, tag=6, when="a call after an update of busy workers")


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
        return sampler.obtain_samples(0, 8, ProbePolicy(5), NewEnvUpdate(TaggedEnv(6)))

    require_origin(_slow_start(lab, collect), version=5, tag=6, when="a call with updates, after slow units")


@clause(
    "C1.once",
    says="Each live environment gets an update once.",
    why="Updates such as 'one level harder' count.",
    causes="applying it for each worker that shares an environment; again at a retry or a broadcast.",
)
def once(lab: Lab) -> None:
    """Add 10 to the tag, three times."""
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TaggedEnv(1)), n_workers=3) as sampler:
        for call in range(1, 4):
            batch = sampler.obtain_samples(0, 8, None, BumpUpdate(10))
            when = f"call {call}, each with an update that adds 10 to the tag"
            require_origin(batch, version=1, tag=1 + 10 * call, when=when)
