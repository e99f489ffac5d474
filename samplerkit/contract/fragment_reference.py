"""The oracle for workers whose episodes go on from call to call: what the calls of a script return.

As in `reference`, all that counts is written out here once more: which calls there are, which units each slot
begins, where episodes are cut, and what an update abandons.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from samplerkit.contract.probes import ProbePolicy
from samplerkit.contract.reference import Expected, unit_seeds
from samplerkit.contract.script import Script
from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeRecorder, Provenance, StepType


@dataclass
class _Episode:
    """An episode that one policy takes through one environment."""

    unit: int
    env: Any
    policy: ProbePolicy
    length: int = 0
    observation: Any = None
    info: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Slot:
    """One environment of one worker: the episode that is open, or the round of the next."""

    round: int = 0
    episode: _Episode | None = None


class _Worker:
    def __init__(self, script: Script, number: int, n_envs: int) -> None:
        self.script, self.number = script, number
        self.tag, self.version = script.tags()[number], script.versions()[number]
        self.slots = [_Slot() for _ in range(n_envs)]

    def unit(self, slot: int) -> int:
        """Return the number of the unit that a slot has open, or begins next."""
        return (self.slots[slot].round * len(self.slots) + slot) * self.script.n_workers + self.number

    def abandon(self) -> list[int]:
        """Give up what is open, and return its units."""
        units = []
        for number, slot in enumerate(self.slots):
            if slot.episode is not None:
                units.append(self.unit(number))
                slot.round, slot.episode = slot.round + 1, None
        return units

    def set_version(self, version: int) -> None:
        """Give the policy new weights, in the middle of episodes too."""
        self.version = version
        for slot in self.slots:
            if slot.episode is not None:
                slot.episode.policy.set_param_values(ProbePolicy(version).get_param_values())

    def fragments(self, slot: int, n_steps: int) -> list[tuple[int, EpisodeBatch]]:
        """Take so many steps in a slot, and return the fragments with their units."""
        it, found = self.slots[slot], []
        while n_steps:
            unit, episode = self.unit(slot), it.episode or self._begun(self.unit(slot))
            recorder = EpisodeRecorder(EnvSpec.from_env(episode.env, self.script.limit))
            first = StepType.MID if episode.length else StepType.FIRST
            recorder.start(episode.observation, episode.info, first_step_type=first)
            last = StepType.MID
            while n_steps and last is StepType.MID:
                last, n_steps = self._step(episode, recorder), n_steps - 1
            found.append((unit, recorder.finish(last)))
            it.episode = episode if last is StepType.MID else None
            it.round += last is not StepType.MID
        return found

    def _begun(self, unit: int) -> _Episode:
        env_seed, policy_seed, _ = unit_seeds(self.script.seed, unit)
        episode = _Episode(unit, self.script.env(self.tag), ProbePolicy(self.version))
        episode.observation, episode.info = _kept(episode.env.reset(seed=env_seed))
        episode.policy.reset()
        episode.policy.seed(np.array([policy_seed], np.uint64))
        return episode

    def _step(self, episode: _Episode, recorder: EpisodeRecorder) -> StepType:
        action, agent_info = episode.policy.get_action(episode.observation)
        outcome = episode.env.step(recorder.cast_action(action))
        recorder.add(outcome[1], outcome[0], outcome[4], agent_info)
        (episode.observation,) = _kept((outcome[0],))
        episode.length += 1
        if outcome[2]:
            return StepType.TERMINAL
        return StepType.TIMEOUT if outcome[3] or episode.length == self.script.limit else StepType.MID


def _kept(values: Any) -> Any:
    """Return values in memory that the environment does not write to again."""
    if isinstance(values, dict):
        return {key: _kept(value) for key, value in values.items()}
    if isinstance(values, tuple):
        return tuple(_kept(value) for value in values)
    return values.copy() if isinstance(values, np.ndarray) else values


def expected_fragments(script: Script, n_envs: int, timesteps_per_call: int) -> list[Expected]:
    """Return what each call of a script returns, of workers with so many environments and steps a call."""
    workers = [_Worker(script, number, n_envs) for number in range(script.n_workers)]
    cursor = total = agent_version = env_version = 0
    results = []
    for index, op in enumerate(script.ops):
        abandoned = _update(script, index, workers)
        agent_version += op.agent is not None
        env_version += op.env is not None
        n_calls = -(-op.count // (n_envs * timesteps_per_call))
        found: list[tuple[int, EpisodeBatch]] = []
        for call in range(cursor, cursor + n_calls):
            worker = workers[call % script.n_workers]
            for slot in range(n_envs):
                found += worker.fragments(slot, timesteps_per_call)
        cursor += n_calls
        batch = EpisodeBatch.concatenate(*(fragment for _, fragment in found))
        units = np.array([unit for unit, _ in found])
        total += len(batch.rewards)
        provenance = Provenance(
            units=units,
            workers=units % script.n_workers,
            agent_versions=np.full(len(units), agent_version),
            env_versions=np.full(len(units), env_version),
            abandoned=tuple(abandoned),
            step_agent_versions=np.full(len(batch.rewards), agent_version),
            step_env_versions=np.full(len(batch.rewards), env_version),
        )
        whose = [workers[unit % script.n_workers] for unit in units.tolist()]
        tags, versions = [it.tag for it in whose], [it.version for it in whose]
        results.append(Expected(batch.replace(provenance=provenance), tags, versions, cursor, total))
    return results


def _update(script: Script, index: int, workers: list[_Worker]) -> list[int]:
    """Apply the updates of a call, and return the units that they abandon."""
    _, versions = script.agent_update(index)
    _, tags = script.env_update(index)
    abandoned = []
    for worker in workers:
        if tags is not None or (script.ops[index].agent or "").startswith("policy"):
            abandoned += worker.abandon()
        if tags is not None:
            worker.tag = tags[worker.number]
        if versions is not None:
            worker.set_version(versions[worker.number])
    return abandoned
