"""Wrong admission: other units than the shortest run from the cursor, or another order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from samplerkit.contract.mutants.anything import AnyPool, AnySampler
from samplerkit.contract.mutants.bases import EVERYWHERE, LOCAL, PROCESSES, STATEFUL, altered
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.contract.mutants.content import BatchDefect
from samplerkit.episodes import EpisodeBatch, EpisodeSlice, Span
from samplerkit.episodes.columns import map_column
from samplerkit.sampling.admission import Admission, Goal, Result, Steps, Units
from samplerkit.sampling.recipes import Record


@mutant("too-few-steps", "A3.shortest-run", "A3", bases=EVERYWHERE)
class TooFewSteps(AnySampler):
    """One step less than was asked for is enough."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        return super()._run(record, Steps(max(1, goal.least - 1)) if isinstance(goal, Steps) else goal)


@mutant("more-than-asked", "A3.shortest-run", "A3")
class MoreThanAsked(AnySampler):
    """Exactly as many steps as were asked for are not enough."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        return super()._run(record, Steps(goal.least + 1) if isinstance(goal, Steps) else goal)


@mutant("one-unit-too-many", "A3.shortest-run", "A3", bases=EVERYWHERE)
class OneUnitTooMany(AnySampler):
    """A batch holds one episode more than it needs."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        batch = super()._obtain(goal, agent_update, env_update)
        if isinstance(goal, Units):
            return batch
        return EpisodeBatch.concatenate(batch, super()._obtain(Units(1), None, None))


@mutant("trimmed-last-episode", "A3", "B1")
class TrimmedLastEpisode(BatchDefect):
    """The last episode is cut so that the number of steps is exact."""

    _wanted = 0

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        self._wanted = goal.least if isinstance(goal, Steps) else 0
        return super()._obtain(goal, agent_update, env_update)

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        surplus = len(batch.rewards) - self._wanted
        if not self._wanted or not surplus:
            return batch
        lengths = batch.lengths.copy()
        lengths[-1] -= surplus
        names = ("observations", "actions", "rewards", "env_infos", "agent_infos", "step_types")
        cut = {name: map_column(lambda it: it[:-surplus], getattr(batch, name)) for name in names}
        return altered(batch, lengths=lengths, **cut)


@mutant("shortest-first", "A3.shortest-run", "A3", bases=(LOCAL, PROCESSES, STATEFUL))
class ShortestFirst(AnySampler):
    """Of the next episodes the shortest come first, as when whoever finishes first is taken."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        batch = super()._obtain(goal, agent_update, env_update)
        if not isinstance(goal, Steps):
            return batch
        episodes = [*batch.split(), *super()._obtain(Units(self.n_workers), None, None).split()]
        episodes.sort(key=lambda episode: len(episode.rewards))
        enough = 1 + int(np.searchsorted(np.cumsum([len(it.rewards) for it in episodes]), goal.least))
        return EpisodeBatch.concatenate(*episodes[:enough])


class _AsTheyCome(Admission):
    def offer_all(self, results: Iterable[Result]) -> None:
        for _, result in results:
            alone = map(Span.of, result.slices()) if isinstance(result, Span) else [result]
            for unit in alone:
                if not self.complete:
                    super().offer_all([(self.next, unit)])


@mutant("first-finished", "A3", "A4", "A0", bases=(PROCESSES,))
class FirstFinished(AnyPool):
    """A batch is filled with whatever result comes first."""

    def _collect(self, record: Record, admission: Admission) -> Sequence[EpisodeSlice]:
        return super()._collect(record, _AsTheyCome(admission.goal, admission.first))


@mutant("exact-by-number", "A4.exact-episodes", "A4", bases=EVERYWHERE)
class ExactByNumber(AnySampler):
    """Exact episodes come in the order of their numbers, not worker by worker."""

    def _batch(self, units: Any, record: Record, *, by_worker: bool) -> EpisodeBatch:
        return super()._batch(units, record, by_worker=False)


@mutant("exact-counts-all", "A4.exact-episodes", "A4")
class ExactCountsAll(AnySampler):
    """obtain_exact_episodes(k) gathers k episodes of all workers together."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        if isinstance(goal, Units):
            goal = Units(goal.count // self.n_workers)
        return super()._run(record, goal)


@mutant("exact-doubled", "A4", bases=(LOCAL,))
class ExactDoubled(AnySampler):
    """obtain_exact_episodes(k) gathers 2 k episodes of every worker."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        return super()._run(record, Units(2 * goal.count) if isinstance(goal, Units) else goal)


@mutant("exact-fastest-worker", "A4", "A0")
class ExactFastestWorker(AnySampler):
    """The number of exact episodes is right, but worker 0 runs all of them."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        if isinstance(goal, Steps):
            return super()._run(record, goal)
        units = super()._run(record, Units(goal.count * self.n_workers))
        return units[:: self.n_workers][: goal.count]


@mutant("last-unit-lost", "A3.shortest-run", "A3", "A4")
class LastUnitLost(AnySampler):
    """The last episode of a batch is lost."""

    def _batch(self, units: Any, record: Record, *, by_worker: bool) -> EpisodeBatch:
        return super()._batch(units[:-1] or units, record, by_worker=by_worker)


@mutant("unit-twice", "A3", "A0", "A4", bases=(LOCAL, PROCESSES))
class UnitTwice(AnySampler):
    """The first episode of longer batches is in it twice."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        units = super()._run(record, goal)
        return [units[0], units[0], *units[2:]] if len(units) > 1 else units


@mutant("reversed-batch", "A0", "A3", bases=(LOCAL,))
class ReversedBatch(AnySampler):
    """The episodes of a batch are in the reverse order."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        return super()._run(record, goal)[::-1]


@mutant("cursor-runs-ahead", "A5", "A3", bases=EVERYWHERE)
class CursorRunsAhead(AnySampler):
    """The cursor moves by what was run, not by what was admitted."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        batch = super()._obtain(goal, agent_update, env_update)
        self._cursor += self.n_workers
        return batch


@mutant("cursor-stands", "A5", "A3")
class CursorStands(AnySampler):
    """Every call begins with unit 0."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        self._cursor = 0
        self._forget()
        return super()._obtain(goal, agent_update, env_update)


@mutant("update-skips-units", "A5.cursor", "A5", "A3", bases=EVERYWHERE)
class UpdateSkipsUnits(AnySampler):
    """Episodes that were running when an update came never run again."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        if agent_update is not None and self._cursor:
            self._cursor += 1
            self._forget()
        return super()._obtain(goal, agent_update, env_update)


@mutant("stale-episodes", "C3.no-stale-step", "A5", "C3", "C1", bases=(LOCAL, STATEFUL))
class StaleEpisodes(AnySampler):
    """An episode that ran ahead under the old policy is admitted after the update."""

    _kept: EpisodeSlice | None = None

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        units = super()._run(record, goal)
        if self._kept is not None:
            units = [self._kept, *units[1:]]
        cursor, self._cursor = self._cursor, self._cursor + len(units)
        try:
            self._kept = super()._run(record, Units(1))[0]
        finally:
            self._cursor = cursor
        return units


@mutant("stale-results", "C3.no-stale-step", "A5", "C3", "C1", bases=(PROCESSES,))
class StaleResults(AnyPool):
    """Results that came ahead of time are kept although an update came between."""

    def _new_epoch(self) -> None:
        kept = list(self._ahead)
        super()._new_epoch()
        self._ahead += kept


@mutant("next-worker", "C1.agents", "A1", "C1", bases=(LOCAL, PROCESSES, STATEFUL))
class NextWorker(AnySampler):
    """Unit u runs on worker (u + 1) mod n_workers."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        recipes = record.recipes[1:] + record.recipes[:1]
        return super()._run(Record(recipes, record.agent_version, record.env_version), goal)


@mutant("worker-zero-only", "C1.agents", "A1", "C1", "A0", bases=(LOCAL, PROCESSES))
class WorkerZeroOnly(AnySampler):
    """Worker 0 runs the units of all workers."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        recipes = record.recipes[:1] * self.n_workers
        return super()._run(Record(recipes, record.agent_version, record.env_version), goal)


@mutant("ignores-n-workers", "A1", "A", "D5", bases=(LOCAL, PROCESSES))
class IgnoresNWorkers(AnySampler):
    """There is one worker, whatever n_workers says."""

    def __init__(self, agents: Any, envs: Any, **arguments: Any) -> None:
        if "worker_factory" not in arguments:
            arguments["n_workers"] = 1
        super().__init__(_first(agents), _first(envs), **arguments)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value
