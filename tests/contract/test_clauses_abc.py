"""Clauses of sections A, B and C: samplers that are broken in one way are caught by the clause that says so.

`samplerkit.contract.mutants` has the whole catalogue; here are those of another make.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from samplerkit import DefaultWorker, EpisodeBatch, LocalSampler
from samplerkit.contract import State, all_clauses, subject_of
from samplerkit.contract.examine import examine
from samplerkit.contract.lab import Lab
from samplerkit.contract.mutants.bases import altered
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.contract.profiles import PROFILES
from samplerkit.sampling.admission import Steps
from samplerkit.sampling.base_sampler import BaseSampler
from samplerkit.sampling.host import WorkerHost
from samplerkit.sampling.recipes import Record

BRIEF = replace(PROFILES["quick"], scripts=10)
CLAUSES = {it.id: it for it in all_clauses()}
BROKEN: list[tuple[str, str, type[LocalSampler]]] = []


def caught_by(clause: str, *, saying: str = ""):
    """Register a broken sampler: which clause must fail, and what its sentence must hold."""

    def register(cls):
        BROKEN.append((clause, saying, cls))
        return cls

    return register


class WithWorker(LocalSampler):
    """A sampler whose workers are of a broken class."""

    worker: type[DefaultWorker]

    def __init__(self, agents, envs, **arguments):
        super().__init__(agents, envs, **{"worker_class": self.worker, **arguments})


@caught_by("A2.env-seed", saying="expected the environment's seed")
class NextUnitsSeed(WithWorker):
    class worker(DefaultWorker):
        def env_seed(self):
            return self.unit.env_seed + 1


@caught_by("A2.policy-seed", saying="agent_infos['seed']")
class WorkersSeedForThePolicy(WithWorker):
    class worker(DefaultWorker):
        def reset_agent(self):
            self.unit = self.unit._replace(policy_seed=self.unit.worker_seed)
            super().reset_agent()


@caught_by("A2.fresh-start", saying="agent_infos['count'] 0")
class PolicyNeverReset(WithWorker):
    class worker(DefaultWorker):
        def reset_agent(self):
            count = self.agent._counts[0] if hasattr(self.agent, "_counts") else 0
            super().reset_agent()
            if hasattr(self.agent, "_counts"):
                self.agent._counts[0] = count


@caught_by("A3.shortest-run", saying="expected consecutive units")
class EveryOtherUnit(LocalSampler):
    def _obtain(self, goal, agent_update, env_update):
        if not isinstance(goal, Steps):
            return super()._obtain(goal, agent_update, env_update)
        kept = super()._obtain(Steps(3 * goal.least), agent_update, env_update).split()[::2]
        while len(kept) > 1 and sum(len(it.rewards) for it in kept[:-1]) >= goal.least:
            kept.pop()
        return EpisodeBatch.concatenate(*kept)


@caught_by("A4.exact-episodes", saying="of the workers")
class ExactInOrderOfUnits(LocalSampler):
    def _batch(self, units, record, *, by_worker):
        return super()._batch(units, record, by_worker=False)


@caught_by("A5.cursor", saying="to come first")
class CursorSkipsOneAtUpdates(LocalSampler):
    def _obtain(self, goal, agent_update, env_update):
        self._cursor += agent_update is not None
        return super()._obtain(goal, agent_update, env_update)


@caught_by("A6.n-workers", saying="n_workers=2")
class SeedsOfWorkers(LocalSampler):
    def __init__(self, agents, envs, **arguments):
        super().__init__(agents, envs, **{**arguments, "seed": arguments["seed"] + arguments["n_workers"]})


@caught_by("A9.globals-in-use", saying="expected random and numpy.random as before")
class GlobalsNotPutBack(LocalSampler):
    @contextlib.contextmanager
    def _undisturbed(self):
        yield


@caught_by("A9.globals-served", saying="unit 0")
class GlobalsNotSet(LocalSampler):
    def _run(self, record, goal):
        assert isinstance(self._host, WorkerHost)
        kept = self._host._feed

        def feed(*arguments):
            for unit in kept(*arguments):
                np.random.seed(1)
                yield unit

        self._host._feed = feed
        return super()._run(record, goal)


@caught_by("A10.restore", saying="on a new sampler")
class StateWithoutWeights(LocalSampler):
    def get_state(self):
        state = super().get_state()
        return {**state, "recipes": [{**recipe, "params": None} for recipe in state["recipes"]]}


@caught_by("A11.in-order", saying="expected an environment with 1 episodes before")
class ForgetsAtEachCall(LocalSampler):
    def _run(self, record, goal):
        if self._stateful:
            self._keys.clear()
        return super()._run(record, goal)


@caught_by("B1.last-observation", saying="last_observations[tag, key, t]")
class FirstAsLast(WithWorker):
    class worker(DefaultWorker):
        def collect_episode(self):
            episode = super().collect_episode()
            if not isinstance(episode.observations, np.ndarray):
                return episode
            return episode.replace(last_observations=episode.observations[:1].copy())


@caught_by("B2.timeout", saying="expected step_types TIMEOUT")
class CutsAreTerminal(WithWorker):
    class worker(DefaultWorker):
        def collect_episode(self):
            episode = super().collect_episode()
            episode.step_types[-1] = 2
            return episode


@caught_by("B3.special-floats", saying="['f2']")
class NoNan(WithWorker):
    class worker(DefaultWorker):
        def collect_episode(self):
            episode = super().collect_episode()
            for column in episode.observations.values() if isinstance(episode.observations, dict) else ():
                if isinstance(column, np.ndarray) and column.dtype.kind == "f":
                    np.nan_to_num(column, copy=False)
            return episode


@caught_by("B3.spaces", saying="rewards: expected float64")
class SmallRewards(LocalSampler):
    def _batch(self, units, record, *, by_worker):
        batch = super()._batch(units, record, by_worker=by_worker)
        batch.__dict__["rewards"] = batch.rewards.astype(np.float32)
        return batch


@caught_by("B4.episode-infos", saying="episode_infos['length']")
class InfosOfTheFirstEpisode(LocalSampler):
    def _batch(self, units, record, *, by_worker):
        batch = super()._batch(units, record, by_worker=by_worker)
        for column in batch.episode_infos_by_episode.values():
            column[1:] = column[0]
        return batch


@caught_by("B5.apart", saying="expected memory of its own")
class OneBuffer(LocalSampler):
    def _batch(self, units, record, *, by_worker):
        batch = super()._batch(units, record, by_worker=by_worker)
        buffer = self.__dict__.setdefault("buffer", np.zeros(10**5))
        buffer[: len(batch.rewards)] = batch.rewards
        return batch.replace(rewards=buffer[: len(batch.rewards)])


@caught_by("B6.counts", saying="total_env_steps")
class CountsCalls(LocalSampler):
    @property
    def total_env_steps(self):
        return self.statistics().calls


@caught_by("C1.agents", saying="agent_infos['version']")
class ListsReversed(LocalSampler):
    def _agent_changes(self, update):
        return super()._agent_changes(update[::-1] if isinstance(update, list) else update)


@caught_by("C2.none-alone", saying="agent_update=0")
class FalsyIsNone(LocalSampler):
    def _agent_changes(self, update):
        falsy = isinstance(update, (int, str, dict, tuple)) and not update
        return super()._agent_changes(None if falsy else update)


@caught_by("C3.no-stale-step", saying="of the construction")
class FirstUnitIsOld(LocalSampler):
    def _obtain(self, goal, agent_update, env_update):
        batch = super()._obtain(goal, agent_update, env_update)
        if not hasattr(self, "old"):
            self.old = int(batch.agent_infos["version"][0])
        # The infos of an older unit: what it would be, had its unit run ahead.
        version = batch.agent_infos["version"].copy()
        version[: batch.lengths[0]] = self.old
        return batch.replace(agent_infos={**batch.agent_infos, "version": version})


@caught_by("C4.closed-once", saying="got 2 times")
class ClosesTwice(WithWorker):
    class worker(DefaultWorker):
        def shutdown(self):
            self.env.close()
            super().shutdown()


@caught_by("A2.far-units", saying="from unit 1099511627774 on")
class StatesHave32Bits(LocalSampler):
    def set_state(self, state):
        super().set_state({**state, "cursor": state["cursor"] % 2**32})


@caught_by("A3.many-steps", saying="expected 6000 steps, got 4800")
class QueueOf16Units(LocalSampler):
    def _run(self, record, goal):
        units = super()._run(record, goal)
        return units[:16]


@caught_by("A6.side-by-side", saying="that are open, call 0")
class OneCursorForAll(LocalSampler):
    def _start(self, record):
        super()._start(record)
        type(self).shared = 0

    def _obtain(self, goal, agent_update, env_update):
        self._cursor = type(self).shared
        try:
            return super()._obtain(goal, agent_update, env_update)
        finally:
            type(self).shared = self._cursor


@caught_by("A10.refused", saying="policies and environments in get_state()")
class RefusedStatesAreHalfSet(LocalSampler):
    def set_state(self, state):
        try:
            super().set_state(state)
        except ValueError:
            changes = self._agent_changes(ProbePolicy(7))
            versions = self._record.agent_version, self._record.env_version
            self._record = Record(self._record.changed(changes, None).recipes, *versions)
            raise


@caught_by("A11.in-order", saying="with 6 episodes before this one, got 0")
class ExactStartsAfresh(LocalSampler):
    def obtain_exact_episodes(self, n_eps_per_worker, agent_update=None, env_update=None):
        if self._stateful:
            self._release()
        return super().obtain_exact_episodes(n_eps_per_worker, agent_update, env_update)


@caught_by("B3.spaces", saying="got memmap of float64")
class RewardsAreMapped(LocalSampler):
    def _obtain(self, goal, agent_update, env_update):
        batch = super()._obtain(goal, agent_update, env_update)
        return altered(batch, rewards=batch.rewards.view(np.memmap))


@caught_by("C4.callers-objects", saying="a list as an update")
class ListsAreTurned(LocalSampler):
    def _obtain(self, goal, agent_update, env_update):
        batch = super()._obtain(goal, agent_update, env_update)
        if isinstance(agent_update, list):
            agent_update.reverse()
        return batch


@caught_by("C4.passed-again", saying="passed for the second time")
class EnvironmentsAreKnownByTheirIdentity(LocalSampler):
    known: ClassVar[dict] = {}

    def _env_changes(self, update, version):
        if not isinstance(update, TattooEnv):
            return super()._env_changes(update, version)
        if id(update) not in self.known:
            self.known[id(update)] = update, super()._env_changes(update, version)
        return self.known[id(update)][1]


@pytest.mark.slow
@pytest.mark.parametrize(("clause", "saying", "broken"), BROKEN, ids=[cls.__name__ for *_, cls in BROKEN])
@pytest.mark.filterwarnings("ignore")
def test_a_broken_sampler_is_caught_by_the_clause_that_says_so(clause, saying, broken):
    verdict = examine(CLAUSES[clause], Lab(subject_of(broken), BRIEF), smallest=False)
    assert verdict.state is State.FAILED, f"{clause} let {broken.__name__} pass"
    assert not verdict.details, f"the clause itself failed: {verdict.details}"
    assert saying in verdict.what, verdict.what
    assert "expected" in verdict.what


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_local_sampler_holds_every_clause():
    lab = Lab(subject_of(LocalSampler), BRIEF)
    verdicts = [examine(it, lab) for it in CLAUSES.values() if it.section in "ABC" and it.kind != "fault"]
    assert [f"{it.clause}: {it.what}" for it in verdicts if it.bad] == []
    left_out = {it.clause for it in verdicts if it.state is State.NOT_APPLICABLE}
    of_other_workers = {name for name in CLAUSES if name.startswith(("A7.", "A8.", "A11.stream"))}
    assert left_out == {"A6.layout", "A11.death", "C4.slots", *of_other_workers}


@pytest.mark.slow
def test_a_batch_that_cannot_be_taken_apart_is_named_once():
    class UnevenRows(LocalSampler):
        def _batch(self, units, record, *, by_worker):
            batch = super()._batch(units, record, by_worker=by_worker)
            return EpisodeBatch.unchecked(
                **{
                    **{name: getattr(batch, name) for name in _FIELDS},
                    "episode_infos": batch.episode_infos_by_episode,
                    "lengths": batch.lengths + 1,
                }
            )

    lab = Lab(subject_of(UnevenRows), BRIEF)
    verdicts = {
        it.id: examine(it, lab, smallest=False)
        for it in CLAUSES.values()
        if it.kind == "script" and it.section in "AB"
    }
    failed = {name for name, verdict in verdicts.items() if verdict.bad}
    assert failed == {"A0.reference", "B1.rows"}
    assert "by the lengths" in verdicts["B1.rows"].what


class Spoilt(LocalSampler):
    """Returns batches whose parts are not what they should be."""

    changes = None

    def _obtain(self, goal, agent_update, env_update):
        return altered(super()._obtain(goal, agent_update, env_update), **self.changes)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("lengths", [1], "call 0, lengths: expected a one-dimensional array of integers, got [1]"),
        ("env_infos", None, "call 0, env_infos: expected dict, got NoneType"),
        ("env_spec", None, "call 0, env_spec: expected EnvSpec, got NoneType"),
        ("provenance", {"units": 3}, "call 0, provenance: expected a Provenance, got dict"),
    ],
)
def test_a_part_of_another_type_is_named_by_the_batch_as_it_was_returned(name, value, what):
    lab = Lab(subject_of(type("Spoilt", (Spoilt,), {"changes": {name: value}})), BRIEF)
    verdicts = {
        id: examine(CLAUSES[id], lab, smallest=False) for id in ("B1.rows", "B5.unchanged", "B5.apart")
    }
    assert verdicts.pop("B1.rows").what == what
    assert not [verdict.what for verdict in verdicts.values() if verdict.bad]


def test_a_batch_that_raises_when_it_is_read_is_not_blamed_on_the_call():
    class Unread(EpisodeBatch):
        @property
        def rewards(self):
            raise OSError("the store is gone")

    class Lazy(LocalSampler):
        def _obtain(self, goal, agent_update, env_update):
            batch = object.__new__(Unread)
            given = super()._obtain(goal, agent_update, env_update).__dict__
            batch.__dict__.update({key: part for key, part in given.items() if key != "rewards"})
            return batch

    found = examine(CLAUSES["B1.rows"], Lab(subject_of(Lazy), BRIEF), smallest=False)
    assert found.what == "reading the batch of call 0 raised OSError: the store is gone"


def test_clauses_about_states_do_not_apply_to_whose_data_are_others():
    class Shifted(LocalSampler):
        def _obtain(self, goal, agent_update, env_update):
            batch = super()._obtain(goal, agent_update, env_update)
            return altered(batch, rewards=batch.rewards + 1)

    lab = Lab(subject_of(Shifted), BRIEF)
    for id in ("A10.other-backends", "A10.same-state"):
        found = examine(CLAUSES[id], lab)
        assert found.state is State.NOT_APPLICABLE
        assert "A0.reference" in found.what


_FIELDS = (
    "env_spec",
    "observations",
    "last_observations",
    "actions",
    "rewards",
    "env_infos",
    "agent_infos",
    "step_types",
    "provenance",
)


def test_every_clause_says_what_why_and_how():
    for it in CLAUSES.values():
        if it.section in "ABC":
            assert it.says.endswith("."), it.id
            assert it.why.endswith("."), it.id
            assert it.causes.endswith("."), it.id
    assert issubclass(LocalSampler, BaseSampler)
