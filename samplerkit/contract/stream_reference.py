"""The oracle for environments that can only be seeded as a whole: what calls of a sampler return.

As in `reference`, all that counts is written out here once more: when slots are reset, which episode is which
unit, and how many of them make a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from samplerkit.contract.probes import ProbePolicy
from samplerkit.contract.reference import unit_seeds
from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeRecorder, Provenance, StepType
from samplerkit.episodes.vector_infos import row_infos


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Workers whose environments can only be seeded as a whole.

    Attributes:
        env: makes the vector environment of a worker.
        policy: makes its policy.
        n_workers, seed: of the sampler.
        limit: on the length of an episode.
    """

    env: Callable[[], Any]
    policy: Callable[[], ProbePolicy]
    n_workers: int
    seed: int
    limit: int

    def samples(self, cursor: int, least: int) -> EpisodeBatch:
        """Return what ``obtain_samples(itr, least)`` returns."""
        units: list[EpisodeBatch] = []
        streams = [self._stream(cursor, rank, 64) for rank in range(self.n_workers)]
        while sum(len(unit.rewards) for unit in units) < least:
            index, rank = divmod(len(units), self.n_workers)
            n_ticks = 64
            while len(streams[rank]) <= index or streams[rank][index] is None:
                n_ticks *= 2
                streams[rank] = self._stream(cursor, rank, n_ticks)
            found = streams[rank][index]
            assert found is not None, "it has ended"
            units.append(found)
        return self._batch(units, np.arange(cursor, cursor + len(units)))

    def exact(self, cursor: int, count: int) -> EpisodeBatch:
        """Return what ``obtain_exact_episodes(count)`` returns."""
        n = count * self.n_workers
        in_order = self.samples(cursor, 1) if n == 1 else self._first(cursor, n)
        places = sorted(range(n), key=lambda place: (cursor + place) % self.n_workers)
        parts = in_order.split()
        return self._batch([parts[place] for place in places], np.array(places) + cursor)

    def _first(self, cursor: int, n: int) -> EpisodeBatch:
        least = 1
        while len((batch := self.samples(cursor, least)).lengths) < n:
            least = len(batch.rewards) + 1
        return batch

    def _batch(self, units: Sequence[EpisodeBatch], numbers: Any) -> EpisodeBatch:
        zeros = np.zeros(len(units), np.int64)
        provenance = Provenance(
            units=numbers, workers=numbers % self.n_workers, agent_versions=zeros, env_versions=zeros
        )
        batch = EpisodeBatch.concatenate(*(unit.replace(provenance=None) for unit in units))
        return batch.with_provenance(provenance)

    def _stream(self, cursor: int, rank: int, n_ticks: int) -> list[EpisodeBatch | None]:
        """Return the episodes of a worker in the order in which they begin; None for those that go on."""
        env = self.env()
        stream = _Stream(self, env, cursor + rank)
        for _ in range(n_ticks):
            stream.tick()
        env.close()
        return stream.episodes


@dataclass
class _Stream:
    """One worker, slot by slot."""

    of: Streams
    env: Any
    first: int
    episodes: list[EpisodeBatch | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.policy = self.of.policy()
        self.n = self.env.num_envs
        self.mode = self.env.metadata["autoreset_mode"].name
        self.spec = EnvSpec(self.env.single_observation_space, self.env.single_action_space, self.of.limit)
        # For each slot what records its episode, which one that is, and whether the next step is a reset.
        self.open: list[tuple[EpisodeRecorder, int] | None] = [None] * self.n
        self.resetting = [False] * self.n
        env_seed, policy_seed, _ = unit_seeds(self.of.seed, self.first)
        self.seeds = np.random.PCG64(policy_seed)
        observations, infos = self.env.reset(seed=env_seed)
        self.begin(range(self.n), observations, infos)

    def begin(self, slots: Sequence[int], observations: Any, infos: Any) -> None:
        self.observations = observations.copy()
        for slot in slots:
            recorder = EpisodeRecorder(self.spec)
            recorder.start(observations[slot], row_infos(infos, slot))
            self.open[slot] = recorder, len(self.episodes)
            self.episodes.append(None)
        if slots:
            self.policy.reset(np.isin(np.arange(self.n), slots))
            self.policy.seed(np.array([self.seeds.random_raw() for _ in slots], np.uint64))

    def tick(self) -> None:
        actions, agent_infos = self.policy.get_actions(self.observations)
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        over = (terminated | truncated).tolist()
        ended = []
        for slot, there in enumerate(self.open):
            if there is None:
                continue
            recorder, index = there
            apart = over[slot] and self.mode == "SAME_STEP"
            recorder.cast_action(actions[slot])
            recorder.add(
                rewards[slot],
                infos["final_obs"][slot] if apart else observations[slot],
                row_infos(infos.get("final_info", {}) if apart else infos, slot),
                row_infos(agent_infos, slot),
            )
            if over[slot] or recorder.length == self.of.limit:
                last = StepType.TERMINAL if terminated[slot] else StepType.TIMEOUT
                self.episodes[index] = recorder.finish(last)
                self.open[slot] = None
                ended.append(slot)
        self.go_on(over, ended, observations, infos)

    def go_on(self, over: list[bool], ended: list[int], observations: Any, infos: Any) -> None:
        slots = range(self.n)
        if self.mode == "DISABLED":
            begin = ended
            if ended:
                mask = np.isin(np.arange(self.n), ended)
                observations, infos = self.env.reset(options={"reset_mask": mask})
        elif self.mode == "SAME_STEP":
            begin = [slot for slot in slots if over[slot]]
            infos = {key: column for key, column in infos.items() if not key.lstrip("_").startswith("final_")}
        else:
            begin = [slot for slot in slots if self.resetting[slot]]
            self.resetting = over
        if not begin and not any(self.open) and not any(self.resetting):
            observations, infos = self.env.reset()
            begin = list(slots)
        self.begin(begin, observations, infos)
