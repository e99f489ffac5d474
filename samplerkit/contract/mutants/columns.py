"""Wrong columns: infos lost, dtypes changed, arrays that are not the caller's, wrong provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from samplerkit.contract.mutants.anything import AnySampler
from samplerkit.contract.mutants.bases import EVERYWHERE, LOCAL, PROCESSES, altered
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.contract.mutants.content import BatchDefect, EpisodeDefect
from samplerkit.episodes import EpisodeBatch, EpisodeSlice, info_table, join
from samplerkit.episodes.columns import arrays_of, map_column
from samplerkit.episodes.infos import in_order
from samplerkit.episodes.joining import select
from samplerkit.sampling.admission import Goal
from samplerkit.sampling.recipes import Record


@mutant("no-agent-infos", "B4.agent-infos", "B4", "B1", bases=EVERYWHERE)
class NoAgentInfos(BatchDefect):
    """What the policy said is dropped."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        return altered(batch, agent_infos={})


@mutant("no-env-infos", "B4.changing-keys", "B4", bases=EVERYWHERE)
class NoEnvInfos(EpisodeDefect):
    """What the environment said is dropped."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        return altered(episode, env_infos={})


@mutant("no-episode-infos", "B4.episode-infos", "B4")
class NoEpisodeInfos(EpisodeDefect):
    """What the environment said at a reset is dropped."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        return altered(episode, episode_infos={})


@mutant("first-episode-infos", "B4.episode-infos", "B4", "B1")
class FirstEpisodeInfos(BatchDefect):
    """Every episode has the first one's infos."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        infos = map_column(lambda it: np.repeat(it[:1], len(it), axis=0), batch.episode_infos_by_episode)
        return altered(batch, episode_infos=infos)


@mutant("lost-info-key", "B4.changing-keys", "B4", bases=(LOCAL, PROCESSES))
class LostInfoKey(BatchDefect):
    """The last key of the environment's infos is lost."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        return altered(batch, env_infos=dict(list(batch.env_infos.items())[:-1]))


@mutant("no-masks", "B4.changing-keys", "B4", bases=(LOCAL,))
class NoMasks(BatchDefect):
    """Where a key was missing from some steps, nothing says so."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        return altered(batch, env_infos={k: v for k, v in batch.env_infos.items() if k[0] != "_"})


@mutant("flat-infos", "B4.changing-keys", "B4", bases=(LOCAL,))
class FlatInfos(BatchDefect):
    """Nested infos are flattened."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        flat: dict[str, Any] = {}
        for key, value in batch.env_infos.items():
            inner = {f"{key}/{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
            flat.update(inner)
        return altered(batch, env_infos=flat)


@mutant("narrow-rewards", "B3", bases=EVERYWHERE)
class NarrowRewards(BatchDefect):
    """Rewards are float32."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        return altered(batch, rewards=batch.rewards.astype(np.float32))


@mutant("wide-observations", "B3")
class WideObservations(BatchDefect):
    """Observations are float64, whatever their space says."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        wide = map_column(lambda it: it.astype(np.float64), batch.observations)
        last = map_column(lambda it: it.astype(np.float64), batch.last_observations)
        return altered(batch, observations=wide, last_observations=last)


@mutant("narrow-actions", "B3", bases=(LOCAL,))
class NarrowActions(BatchDefect):
    """Actions are int32."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        return altered(batch, actions=map_column(lambda it: it.astype(np.int32), batch.actions))


@mutant("object-infos", "B4.agent-infos", "B3", "B4", bases=(LOCAL,))
class ObjectInfos(BatchDefect):
    """Infos are arrays of objects."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        return altered(batch, agent_infos=map_column(lambda it: it.astype(object), batch.agent_infos))


@mutant("narrow-infos", "B4.agent-infos", "B3", "B4")
class NarrowInfos(EpisodeDefect):
    """64-bit numbers among the infos become 32-bit ones."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        def narrowed(it: Any) -> Any:
            return it.astype(f"{it.dtype.kind}4") if it.dtype.kind in "iuf" else it

        return altered(episode, agent_infos=map_column(narrowed, episode.agent_infos))


@mutant("flat-observations", "B3", bases=(LOCAL,))
class FlatObservations(BatchDefect):
    """Dict observations become tuples."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        return altered(
            batch, observations=_flat(batch.observations), last_observations=_flat(batch.last_observations)
        )


def _flat(column: Any) -> Any:
    return tuple(column.values()) if isinstance(column, dict) else column


@mutant("no-nan", "B3.special-floats", "B3")
class NoNan(EpisodeDefect):
    """NaN and infinities are replaced by numbers, and -0.0 by 0.0."""

    def spoil(self, episode: EpisodeBatch) -> EpisodeBatch:
        def tidy(it: Any) -> Any:
            return (np.nan_to_num(it) + 0.0).astype(it.dtype) if it.dtype.kind == "f" else it

        names = ("observations", "last_observations", "rewards", "env_infos")
        return altered(episode, **{name: map_column(tidy, getattr(episode, name)) for name in names})


@mutant("small-lengths", "B1.rows", "B", "A0", bases=(LOCAL,))
class SmallLengths(BatchDefect):
    """Lengths are 8-bit numbers."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        return altered(batch, lengths=batch.lengths.astype(np.int8))


@mutant("read-only", "B5.writeable", "B5")
class ReadOnly(BatchDefect):
    """The caller cannot write to a batch."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        batch.rewards.flags.writeable = False
        for _, array in arrays_of(batch.observations):
            array.setflags(write=False)
        return batch


@mutant("reused-memory", "B5.unchanged", "B5", bases=EVERYWHERE)
class ReusedMemory(BatchDefect):
    """The next call writes over the batch of the last one."""

    _last: EpisodeBatch | None = None

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        if self._last is not None:
            self._last.rewards[:] = 0.5
        self._last = batch
        return batch


def _blackened(array: Any) -> Any:
    if array.nbytes > 1 << 20:
        array.fill(0)
    return array


@mutant("reused-large-memory", "B5.large", "B5", bases=EVERYWHERE)
class ReusedLargeMemory(BatchDefect):
    """The next call writes over large arrays of the last batch, of which somebody keeps a view."""

    _last: EpisodeBatch | None = None

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        if self._last is not None:
            map_column(_blackened, self._last.observations)
        self._last = batch
        return batch


@mutant("memory-dies", "B5.unchanged", "B5")
class MemoryDies(BatchDefect):
    """The shutdown overwrites the batches that were returned."""

    _last: EpisodeBatch | None = None

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        self._last = batch
        return batch

    def _stop(self) -> None:
        super()._stop()
        if self._last is not None:
            for _, array in arrays_of(self._last.observations):
                array.fill(0)


class ProvenanceDefect(BatchDefect):
    """Says something wrong about where a batch comes from."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        return altered(batch, provenance=self.lie(batch.provenance))

    def lie(self, truth: Any) -> Any:
        raise NotImplementedError


@mutant("no-provenance", "B6.provenance", "B6", "A1", bases=(LOCAL, PROCESSES))
class NoProvenance(ProvenanceDefect):
    """A batch does not say where it comes from."""

    def lie(self, truth: Any) -> Any:
        return None


@mutant("units-from-zero", "A1", "A3", "B6", "A5", bases=(LOCAL,))
class UnitsFromZero(ProvenanceDefect):
    """Units are numbered from 0 in every call."""

    def lie(self, truth: Any) -> Any:
        return replace(truth, units=truth.units - truth.units.min())


@mutant("wrong-workers", "A1.numbering", "A1", "B6", bases=(LOCAL, PROCESSES))
class WrongWorkers(ProvenanceDefect):
    """Provenance names the carrier of an episode, not its logical worker."""

    def lie(self, truth: Any) -> Any:
        return replace(truth, workers=np.zeros_like(truth.workers))


@mutant("stuck-agent-version", "B6.provenance", "B6", "C3", bases=(LOCAL,))
class StuckAgentVersion(ProvenanceDefect):
    """The version of the policy is always 0."""

    def lie(self, truth: Any) -> Any:
        return replace(truth, agent_versions=np.zeros_like(truth.agent_versions))


@mutant("stuck-env-version", "B6.provenance", "B6", "C3", bases=(LOCAL,))
class StuckEnvVersion(ProvenanceDefect):
    """The version of the environments is always 0."""

    def lie(self, truth: Any) -> Any:
        return replace(truth, env_versions=np.zeros_like(truth.env_versions))


@mutant("versions-swapped", "B6.provenance", "B6", bases=(LOCAL,))
class VersionsSwapped(ProvenanceDefect):
    """The versions of policy and environments change places."""

    def lie(self, truth: Any) -> Any:
        return replace(truth, agent_versions=truth.env_versions, env_versions=truth.agent_versions)


@mutant("version-each-call", "B6.provenance", "B6", bases=(LOCAL,))
class VersionEachCall(ProvenanceDefect):
    """Versions count calls, not updates."""

    def lie(self, truth: Any) -> Any:
        calls = self.statistics().calls
        return replace(truth, agent_versions=np.full_like(truth.agent_versions, calls))


@mutant("counts-run-ahead", "B6", bases=(LOCAL, PROCESSES))
class CountsRunAhead(AnySampler):
    """total_env_steps counts steps that were not admitted."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        batch = super()._obtain(goal, agent_update, env_update)
        self._count(env_steps=1)
        return batch


@mutant("counts-reset", "C5.atomic", "B6", "C5")
class CountsReset(AnySampler):
    """A call that raises sets total_env_steps to 0."""

    def _forget(self) -> None:
        self._count(env_steps=-self.total_env_steps)
        super()._forget()


@mutant("no-call-count", "B6", bases=(LOCAL,))
class NoCallCount(AnySampler):
    """statistics() always says that no unit was taken."""

    def _count(self, **more: int) -> None:
        super()._count(**{**more, "units": 0})


@mutant("keys-as-they-came", "B4.alone", "B4", bases=EVERYWHERE)
class KeysAsTheyCame(BatchDefect):
    """Infos have the order of their keys in the first step, in which they came first."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        first = batch.env_infos.get("t", np.zeros(1))
        assert isinstance(first, np.ndarray), "it is a number"
        keys = sorted(batch.env_infos, reverse=len(first) % 2 == 1)
        return altered(batch, env_infos={key: batch.env_infos[key] for key in keys})


@mutant("joined-by-worker", "B4.alone", "B4", bases=(LOCAL, PROCESSES))
class JoinedByWorker(AnySampler):
    """Episodes of each worker are put together before they meet those of others."""

    def _batch(self, units: Any, record: Record, *, by_worker: bool) -> EpisodeBatch:
        batch = super()._batch(units, record, by_worker=by_worker)
        if batch.provenance is None or by_worker:
            return batch
        order = np.argsort(batch.provenance.workers, kind="stable")
        groups = np.split(order, np.unique(batch.provenance.workers[order], return_index=True)[1][1:])
        each = [EpisodeBatch.concatenate(*(join([units[i]]) for i in group)) for group in groups]
        joined = select(EpisodeBatch.concatenate(*each), np.argsort(order))
        return altered(batch, env_infos=in_order(joined.env_infos))


@mutant("widest-word-so-far", "B4.dtypes", "B4", "A2", "A3", "A7", bases=(LOCAL, PROCESSES))
class WidestWordSoFar(AnySampler):
    """Columns of strings are made as wide as those of earlier batches were."""

    def _batch(self, units: Any, record: Record, *, by_worker: bool) -> EpisodeBatch:
        batch = super()._batch(units, record, by_worker=by_worker)
        infos = dict(batch.agent_infos)
        self._widest: dict[str, Any] = getattr(self, "_widest", {})
        for key, column in infos.items():
            if isinstance(column, np.ndarray) and column.dtype.kind == "U":
                self._widest[key] = np.promote_types(self._widest.get(key, column.dtype), column.dtype)
                infos[key] = column.astype(self._widest[key])
        return altered(batch, agent_infos=infos)


@mutant("bytes-in-foreign-order", "B4.dtypes", bases=(LOCAL,))
class BytesInForeignOrder(AnySampler):
    """Numbers stay in the byte order in which they are given."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        with mock.patch.object(info_table, "native", lambda array: array):
            return super()._run(record, goal)


@mutant("masked-rewards", "B3.spaces")
class MaskedRewards(BatchDefect):
    """Rewards are an array of another type than numpy's own."""

    def spoil(self, batch: EpisodeBatch) -> EpisodeBatch:
        return altered(batch, rewards=np.ma.array(batch.rewards))
