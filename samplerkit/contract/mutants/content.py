"""Wrong content: steps that are missing, shifted, mixed up, or of the wrong type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from samplerkit.contract.mutants.anything import AnySampler
from samplerkit.contract.mutants.bases import EVERYWHERE, LOCAL, PROCESSES, STATEFUL, altered
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import EpisodeBatch, StepType
from samplerkit.episodes.columns import map_column
from samplerkit.interfaces import UnitCancelled
from samplerkit.sampling.admission import Goal
from samplerkit.workers import DefaultWorker


class BatchDefect(AnySampler):
    """Spoils every batch on its way to the caller."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        raise NotImplementedError

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        return self.spoil(super()._obtain(goal, agent_update, env_update))


class EpisodeDefect(DefaultWorker):
    """Spoils every episode where it is collected."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        raise NotImplementedError

    def collect_episode(self) -> EpisodeBatch:
        return self.spoil(super().collect_episode())


def episodes_of(batch: EpisodeBatch) -> Iterator[slice]:
    """Yield the rows of each episode."""
    start = 0
    for length in batch.lengths.tolist():
        yield slice(start, start + length)
        start += length


def shifted(column: Any) -> Any:
    """Return a column, or a dict of columns, one row too late."""
    return map_column(lambda array: np.concatenate([array[:1], array[:-1]]), column)


@mutant("last-observation", "B1", bases=EVERYWHERE)
class LastObservation(EpisodeDefect):
    """The last observation is the one before the last step."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        return altered(episode, last_observations=map_column(lambda it: it[-1:].copy(), episode.observations))


@mutant("aliased-observations", "B1", "B5", bases=EVERYWHERE)
class AliasedObservations(EpisodeDefect):
    """Observations are views of the environment's buffer, which the next step overwrites."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        last = episode.last_observations
        return altered(episode, observations=_repeated(last, len(episode.rewards)))


def _repeated(column: Any, n: int) -> Any:
    return map_column(lambda it: np.repeat(it, n, axis=0), column)


@mutant("limit-plus-one", "B2", "B1", bases=EVERYWHERE)
class LimitPlusOne(DefaultWorker):
    """Episodes may be one step longer than max_episode_length."""

    def __init__(self, *, max_episode_length: float, **arguments: Any) -> None:
        super().__init__(max_episode_length=max_episode_length + 1, **arguments)


@mutant("limit-minus-one", "B2", "B1")
class LimitMinusOne(DefaultWorker):
    """Episodes end one step before max_episode_length."""

    def __init__(self, *, max_episode_length: float, **arguments: Any) -> None:
        super().__init__(max_episode_length=max(1, max_episode_length - 1), **arguments)


class StepTypes(BatchDefect):
    """Changes step types."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        types = batch.step_types.copy()
        for rows in episodes_of(batch):
            self.retype(types[rows])
        return altered(batch, step_types=types)

    def retype(self, types: Any) -> None:
        raise NotImplementedError


@mutant("unmarked-cut", "B2.step-types", "B2", bases=EVERYWHERE)
class UnmarkedCut(StepTypes):
    """An episode that reached the limit ends MID."""

    def retype(self, types: Any) -> None:
        if types[-1] == StepType.TIMEOUT:
            types[-1] = StepType.MID


@mutant("cut-as-terminal", "B2.timeout", "B2", bases=EVERYWHERE)
class CutAsTerminal(StepTypes):
    """A truncated episode is reported as one that ended."""

    def retype(self, types: Any) -> None:
        if types[-1] == StepType.TIMEOUT:
            types[-1] = StepType.TERMINAL


@mutant("limit-beats-end", "B2.terminal", "B2")
class LimitBeatsEnd(DefaultWorker):
    """An episode that ends by itself at the very limit is reported as cut."""

    def step_episode(self) -> bool:
        over = super().step_episode()
        if self.recorder.length >= self._max_episode_length:
            self._last_step_type = StepType.TIMEOUT
        return over


@mutant("truncated-as-terminal", "B2.timeout", "B2", bases=(LOCAL, PROCESSES, STATEFUL))
class TruncatedAsTerminal(DefaultWorker):
    """The environment's own truncation counts as termination."""

    def step_episode(self) -> bool:
        over = super().step_episode()
        if over and self.recorder.length < self._max_episode_length:
            self._last_step_type = StepType.TERMINAL
        return over


@mutant("no-first", "B2.step-types", "B2")
class NoFirst(StepTypes):
    """No step is FIRST."""

    def retype(self, types: Any) -> None:
        if len(types) > 1:
            types[0] = StepType.MID


@mutant("first-twice", "B2.step-types", "B2", bases=(LOCAL,))
class FirstTwice(StepTypes):
    """The second step is FIRST as well."""

    def retype(self, types: Any) -> None:
        if len(types) > 2:
            types[1] = StepType.FIRST


@mutant("rewards-shifted", "B1.rewards", "B1")
class RewardsShifted(EpisodeDefect):
    """Rewards come one step late."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        return altered(episode, rewards=shifted(episode.rewards))


@mutant("actions-shifted", "B4.actions", "B1", "B4")
class ActionsShifted(EpisodeDefect):
    """Actions come one step late."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        return altered(episode, actions=shifted(episode.actions))


@mutant("env-infos-shifted", "B4.changing-keys", "B1", "B4")
class EnvInfosShifted(EpisodeDefect):
    """What the environment said of a step is recorded with the next one."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        return altered(episode, env_infos=shifted(episode.env_infos))


@mutant("mixed-episodes", "B1")
class MixedEpisodes(BatchDefect):
    """The first steps of two episodes change places."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        starts = [rows.start for rows in episodes_of(batch)]
        order = np.arange(len(batch.rewards))
        if len(starts) > 1:
            order[[starts[0], starts[1]]] = order[[starts[1], starts[0]]]
        return altered(batch, observations=map_column(lambda it: it[order], batch.observations))


@mutant("reversed-steps", "B1", bases=(LOCAL,))
class ReversedSteps(EpisodeDefect):
    """Observations are in the reverse order."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        return altered(episode, observations=map_column(lambda it: it[::-1].copy(), episode.observations))


@mutant("dropped-step", "B1.steps", "B1")
class DroppedStep(EpisodeDefect):
    """The second step of longer episodes is lost."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        if len(episode.rewards) < 4:
            return episode
        rows = np.delete(np.arange(len(episode.rewards)), 1)
        names = ("observations", "actions", "rewards", "env_infos", "agent_infos", "step_types")
        return altered(
            episode,
            lengths=episode.lengths - 1,
            **{n: map_column(lambda it: it[rows], getattr(episode, n)) for n in names},
        )


@mutant("long-episodes", "B1.rewards", "B1", "D")
class LongEpisodes(EpisodeDefect):
    """Only episodes of more than a hundred steps are wrong: one step is repeated."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        if len(episode.rewards) > 100:
            episode.rewards[100] = episode.rewards[99]
        return episode


@mutant("clipped-action", "B4", "B1")
class ClippedAction(EpisodeDefect):
    """The recorded action is clipped, and not the one that the environment was given."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        return altered(episode, actions=map_column(lambda it: np.minimum(it, 400), episode.actions))


@mutant("other-action", "B4", "B1")
class OtherAction(DefaultWorker):
    """The environment gets another action than the one that is recorded."""

    def update_env(self, env_update: Any) -> None:
        super().update_env(env_update)
        if self.env is not None:
            self.env.step = _Meddling(type(self.env), self.env)


class _Meddling:
    """Steps an environment with half of the action."""

    def __init__(self, kind: Any, env: Any) -> None:
        self.kind, self.env = kind, env

    def __call__(self, action: Any) -> Any:
        return self.kind.step(self.env, action // 2)


@mutant("step-after-end", "B2.no-limit", "B2", "B1", bases=(LOCAL, PROCESSES))
class StepAfterEnd(DefaultWorker):
    """One more step is taken in the environment after the end of the episode."""

    def collect_episode(self) -> EpisodeBatch:
        self.env.step(0)
        return super().collect_episode()


@mutant("endless-limit", "B2.no-limit", "B2", bases=(LOCAL, PROCESSES))
class EndlessLimit(DefaultWorker):
    """An episode without a limit is cut after a thousand steps."""

    def __init__(self, *, max_episode_length: float, **arguments: Any) -> None:
        super().__init__(max_episode_length=min(max_episode_length, 1000), **arguments)


@mutant("not-cancellable", "B2.cancel", "B2", "D6", bases=(LOCAL, PROCESSES))
class NotCancellable(DefaultWorker):
    """A running unit cannot be cancelled between its steps."""

    def rollout(self) -> EpisodeBatch:
        self.start_episode()
        while not self.step_episode():
            pass
        if self.cancelled:
            raise UnitCancelled
        return self.collect_episode()
