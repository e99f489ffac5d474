"""Workers that lose, repeat, cut or continue fragments wrongly, and samplers that lose track of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from samplerkit.contract.mutants import vectorized
from samplerkit.contract.mutants.anything import AnyPool, AnySampler
from samplerkit.contract.mutants.bases import FRAGMENT, FRAGMENT_LOCAL, FRAGMENT_PROCESSES, altered
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.contract.mutants.in_slots import SlotDefects
from samplerkit.episodes import EpisodeBatch, EpisodeSlice, StepType, TickRecorder, join, whole
from samplerkit.episodes.beginnings import Beginning
from samplerkit.episodes.columns import assign, map_column, map_columns, rows_of
from samplerkit.interfaces import Resumption, Unit
from samplerkit.sampling.admission import Calls, Goal
from samplerkit.sampling.continuation import Continuation
from samplerkit.sampling.passage import Passage
from samplerkit.sampling.recipes import Record
from samplerkit.workers.slots import Slots

_of = SlotDefects(FRAGMENT)
in_worker, in_slots, in_recorder = _of.in_worker, _of.in_slots, _of.in_recorder


class AnyFragments:
    """What defects of the worker may use."""

    _slots: Slots
    _rounds: list[int]
    agent: Any
    _parts: list[list[EpisodeSlice]]
    n_envs: int
    own_unit: Any
    unit: Unit | None


# -- cuts ------------------------------------------------------------------------------------------


class SlotBySlot(TickRecorder):
    """A recorder whose slots are cut one after the other, by `keep`."""

    def cut_each(self, slots: Sequence[int]) -> list[EpisodeSlice]:
        return [self.keep(slot, StepType.MID, goes_on=True) for slot in slots]

    def cut_all(self, slots: Sequence[int]) -> EpisodeSlice:
        return whole(join(self.cut_each(slots)))


@in_recorder("cut-is-timeout", "A8.cuts", "A8.stitched", "B2", "A8")
class CutIsTimeout(SlotBySlot):
    """An episode that is cut ends TIMEOUT."""

    def keep(self, slot: int, last_step_type: StepType, *, goes_on: bool = False) -> EpisodeSlice:
        return super().keep(slot, StepType.TIMEOUT if goes_on else last_step_type, goes_on=goes_on)


@in_recorder("cut-is-terminal", "A8.cuts", "A8.stitched", "B2", "A8")
class CutIsTerminal(TickRecorder):
    """Episodes that are cut together end TERMINAL."""

    def cut_all(self, slots: Sequence[int]) -> EpisodeSlice:
        kept = super().cut_all(slots)
        self._recording._last_step_types[kept.first_episode :] = [StepType.TERMINAL] * len(slots)
        return kept


@in_recorder("cut-in-reverse", "A8.units", "A8.stitched", "A8.cuts", "A8")
class CutInReverse(TickRecorder):
    """Slots that are cut together stand in the order of their numbers, from the last to the first."""

    def cut_all(self, slots: Sequence[int]) -> EpisodeSlice:
        return super().cut_all(slots[::-1])


@in_recorder("observation-of-another-cut", "A8.cuts", "B1.last-observation")
class ObservationOfAnotherCut(TickRecorder):
    """The last observations of slots that are cut together are those of their neighbours."""

    def cut_all(self, slots: Sequence[int]) -> EpisodeSlice:
        kept = super().cut_all(slots)
        rows = self._recording._final_rows
        rows.append(rows.pop(kept.first_episode))
        return kept


@in_slots("end-is-a-cut", "A8.stitched", "B2", "A8")
class EndIsACut(Slots):
    """An episode that the environment truncates is left open, and never goes on."""

    def keep(self, slot: int, last_step_type: StepType) -> EpisodeSlice:
        if last_step_type is StepType.TIMEOUT:
            last_step_type = StepType.MID
        return super().keep(slot, last_step_type)


@in_recorder("resumed-as-first", "A8.cuts", "B2")
class ResumedAsFirst(TickRecorder):
    """A fragment that goes on begins with FIRST."""

    def _open(self, slot: int, first_step_type: StepType) -> None:
        super()._open(slot, StepType.FIRST)


@in_recorder("observation-before-the-cut", "A8.cuts", "B1.last-observation")
class ObservationBeforeTheCut(SlotBySlot):
    """The last observation of a cut is the one before its last action."""

    def keep(self, slot: int, last_step_type: StepType, *, goes_on: bool = False) -> EpisodeSlice:
        kept = super().keep(slot, last_step_type, goes_on=goes_on)
        if not goes_on:
            return kept
        view = kept.view()
        last = map_column(lambda column: column[-1:], view.observations)
        return whole(altered(view, last_observations=last))


@in_recorder("observation-after-the-next-reset", "A8.cuts", "B1.last-observation")
class ObservationOfNobody(SlotBySlot):
    """The last observation of a cut is zeros."""

    def keep(self, slot: int, last_step_type: StepType, *, goes_on: bool = False) -> EpisodeSlice:
        kept = super().keep(slot, last_step_type, goes_on=goes_on)
        view = kept.view()
        return whole(altered(view, last_observations=map_column(np.zeros_like, view.last_observations)))


@in_recorder("limit-from-the-cut", "B2.length", "A8.stitched", "A8.whole-episodes")
class LimitFromTheCut(SlotBySlot):
    """max_episode_length counts from the last cut."""

    def keep(self, slot: int, last_step_type: StepType, *, goes_on: bool = False) -> EpisodeSlice:
        kept = super().keep(slot, last_step_type, goes_on=goes_on)
        if goes_on:
            self._begun[slot] = self._tick
        return kept


@in_recorder("infos-of-the-reset-lost", "B4.episode-infos")
class InfosOfTheResetLost(SlotBySlot):
    """Only the first fragment of an episode has episode infos."""

    def keep(self, slot: int, last_step_type: StepType, *, goes_on: bool = False) -> EpisodeSlice:
        kept = super().keep(slot, last_step_type, goes_on=goes_on)
        if goes_on:
            infos = self._episode_infos[slot]
            assert not isinstance(infos, Beginning), "episodes begin one by one here"
            self._episode_infos[slot] = map_columns(np.zeros_like, infos)
        return kept


# -- what goes on from call to call ----------------------------------------------------------------


@in_worker("restarted-each-call", "A8.cuts", "A8.stitched", "A8")
class RestartedEachCall(AnyFragments):
    """Every call begins its episodes anew, those that were open under their old units."""

    def _call(self) -> EpisodeSlice:
        self._slots.clear()
        return super()._call()  # type: ignore[misc,no-any-return]


@in_worker("next-unit-each-call", "A8.units", "A8.cuts", "A8.stitched")
class NextUnitEachCall(AnyFragments):
    """What is open at the end of a call is dropped: the next one begins other episodes."""

    def _call(self) -> EpisodeSlice:
        self._abandon(self._slots.live)  # type: ignore[attr-defined]
        return super()._call()  # type: ignore[misc,no-any-return]


@in_worker("step-lost-at-the-cut", "A8.cuts", "A8.stitched", "B1.steps")
class StepLostAtTheCut(AnyFragments):
    """Each call takes a step that is not recorded."""

    def _call(self) -> EpisodeSlice:
        found: EpisodeSlice = super()._call()  # type: ignore[misc]
        for slot in list(self._slots.live):
            action = self._slots.envs[slot].action_space.sample()
            observation, *_, info = self._slots.envs[slot].step(action)
            self._slots.recorder.begin(slot, observation, info, first_step_type=StepType.MID)
        return found


@in_worker("step-twice-at-the-cut", "A8.whole-episodes", "A8.cuts", "B1")
class StepTwiceAtTheCut(AnyFragments):
    """The first row of a fragment that goes on is the last one of the fragment before."""

    _before: Any = None

    def _call(self) -> EpisodeSlice:
        found: EpisodeSlice = super()._call()  # type: ignore[misc]
        view, before = found.view(), self._before
        self._before = EpisodeBatch.concatenate(view)
        if before is None or view.step_types[0] != StepType.MID:
            return found
        columns = {}
        for name in ("observations", "actions", "rewards"):
            columns[name] = map_column(np.copy, getattr(view, name))
            assign(rows_of(columns[name], slice(0, 1)), rows_of(getattr(before, name), slice(0, 1)))
        return whole(altered(view, **columns))


@in_worker("fragment-repeated", "A8.stitched", "A2.env-seed", "A8")
class FragmentRepeated(AnyFragments):
    """The last fragment of a call stands in it twice, in place of the first one of its length."""

    def _call(self) -> EpisodeSlice:
        found: EpisodeSlice = super()._call()  # type: ignore[misc]
        parts = found.view().split()
        for index, part in enumerate(parts[:-1]):
            if len(part.rewards) == len(parts[-1].rewards):
                parts[index] = parts[-1]
                break
        return whole(EpisodeBatch.concatenate(*parts))


@in_worker("by-who-ends-first", "A8.units", "A8.stitched", "A8")
class ByWhoEndsFirst(AnyFragments):
    """Fragments stand in the order in which they ended, not environment by environment."""

    def _gathered(self) -> EpisodeSlice:
        found: EpisodeSlice = super()._gathered()  # type: ignore[misc]
        parts = found.view().split()
        parts.sort(key=lambda part: part.step_types[-1] < StepType.TERMINAL)
        return whole(EpisodeBatch.concatenate(*parts))


@in_worker("waits-for-the-next-call", "A8.calls", "A8.timesteps")
class WaitsForTheNextCall(AnyFragments):
    """An environment whose episode ended stands still until the next call."""

    _waits = False

    def start_episode(self) -> None:
        if not (self._waits and self._slots.live):
            super().start_episode()  # type: ignore[misc]
        self._waits = bool(self._slots.live)

    def _gathered(self) -> EpisodeSlice:
        self._waits = False
        return super()._gathered()  # type: ignore[misc,no-any-return]


# -- seeds and resets ------------------------------------------------------------------------------


@in_worker("seeds-repeated", "A2.env-seed")
class SeedsRepeated(AnyFragments):
    """Every episode of an environment has the seeds of its first one."""

    def _unit(self, slot: int) -> Unit | None:
        return self.own_unit(slot) if self.own_unit else None


@in_worker("one-seed-for-all-environments", "A2.env-seed")
class OneSeedForAll(AnyFragments):
    """All environments of a worker begin the same episodes."""

    def _unit(self, slot: int) -> Unit | None:
        return self.own_unit(self._rounds[slot] * self.n_envs) if self.own_unit else None


@in_worker("policy-reset-at-cuts", "A2.fresh-start", "A8.whole-episodes", "A8.weights")
class PolicyResetAtCuts(AnyFragments):
    """The policy is reset at the start of each call."""

    def _call(self) -> EpisodeSlice:
        self._slots._fresh.extend(self._slots.live)
        return super()._call()  # type: ignore[misc,no-any-return]


@in_worker("policy-never-reset-again", "A2.fresh-start", "A2.policy-seed")
class PolicyNeverResetAgain(AnyFragments):
    """The policy is reset in the first call only."""

    _calls = 0

    def _call(self) -> EpisodeSlice:
        self._calls += 1
        return super()._call()  # type: ignore[misc,no-any-return]

    def step_episode(self) -> bool:
        if self._calls > 1:
            self._slots._fresh.clear()
        return super().step_episode()  # type: ignore[misc,no-any-return]


# -- updates ---------------------------------------------------------------------------------------


@in_worker("weights-abandon", "A8.weights", "A8.units", "A8")
class WeightsAbandon(AnyFragments):
    """New weights drop what is open, and nobody is told."""

    def update_agent(self, agent_update: Any) -> None:
        if agent_update is not None and not hasattr(agent_update, "get_action"):
            self._abandon(self._slots.live)  # type: ignore[attr-defined]
        super().update_agent(agent_update)  # type: ignore[misc]


@in_worker("weights-a-call-late", "A8.weights", "C1", "C3")
class WeightsACallLate(AnyFragments):
    """New weights wait until the present call of the worker is over."""

    _later: Any = None

    def update_agent(self, agent_update: Any) -> None:
        if agent_update is None or hasattr(agent_update, "get_action"):
            super().update_agent(agent_update)  # type: ignore[misc]
        else:
            self._later = agent_update

    def _call(self) -> EpisodeSlice:
        found: EpisodeSlice = super()._call()  # type: ignore[misc]
        if self._later is not None:
            super().update_agent(self._later)  # type: ignore[misc]
            self._later = None
        return found


@in_worker("new-policy-takes-over", "A8.abandoned", "A0", "A8")
class NewPolicyTakesOver(AnyFragments):
    """A new policy goes on with the episodes of the old one, under the next units' names."""

    def _abandon(self, slots: Iterable[int]) -> None:
        for slot in list(slots):
            self._rounds[slot] += 1
            self._slots._fresh.append(slot)

    def update_env(self, env_update: Any) -> None:
        self._slots.clear()
        super().update_env(env_update)  # type: ignore[misc]


@in_worker("abandoned-unit-again", "A8.abandoned", "A2.env-seed", "A8")
class AbandonedUnitAgain(AnyFragments):
    """After a new policy or environment the same units begin once more."""

    def _abandon(self, slots: Iterable[int]) -> None:
        for slot in list(slots):
            self._slots.drop(slot)


# -- coming back -----------------------------------------------------------------------------------


@in_worker("gives-up-everything", "A8.error", "A10", "A8")
class GivesUpEverything(AnyFragments):
    """A worker that is built again abandons what was open, though it could be brought back."""

    def go_on(self, resumption: Resumption) -> tuple[int, ...]:
        super().go_on(replace(resumption, episodes=()))  # type: ignore[misc]
        lost = tuple(episode.slot for episode in resumption.episodes)
        for slot in lost:
            self._rounds[slot] += 1
        return lost


@in_worker("gives-up-in-silence", "A8.error", "A10", "A8")
class GivesUpInSilence(AnyFragments):
    """A worker that is built again begins the next units, and says that it went on."""

    def go_on(self, resumption: Resumption) -> tuple[int, ...]:
        super().go_on(replace(resumption, episodes=()))  # type: ignore[misc]
        for episode in resumption.episodes:
            self._rounds[episode.slot] += 1
        return ()


@in_worker("begins-again", "A8.error", "A10", "A8")
class BeginsAgain(AnyFragments):
    """A worker that is built again begins what was open from its first step."""

    def go_on(self, resumption: Resumption) -> tuple[int, ...]:
        super().go_on(replace(resumption, episodes=()))  # type: ignore[misc]
        return ()


@in_worker("hidden-state-lost", "A8.error", "A10", "A8")
class HiddenStateLost(AnyFragments):
    """Environments come back, and the policy's hidden state does not."""

    def go_on(self, resumption: Resumption) -> tuple[int, ...]:
        lost: tuple[int, ...] = super().go_on(resumption)  # type: ignore[misc]
        if resumption.hidden is not None:
            self.agent.reset(np.ones(self.n_envs, np.bool_))
        return lost


class _Credulous(AnyFragments):
    """Takes whatever a rehearsal leads to."""

    rehearsal_type: Any

    def go_on(self, resumption: Resumption) -> tuple[int, ...]:
        believes = {"same": staticmethod(lambda one, other: True)}
        self.rehearsal_type = type("Believing", (self.rehearsal_type,), believes)
        return super().go_on(resumption)  # type: ignore[misc,no-any-return]


@in_worker("replay-unchecked", "A8.not-spliced")
class ReplayUnchecked(_Credulous):
    """Whatever the replay of the actions leads to is taken for the episode that was open."""


@in_worker("one-action-short", "A8.error", "A10", "A8")
class OneActionShort(_Credulous):
    """An episode is brought back to the step before the last, and its last step is taken once more."""

    def go_on(self, resumption: Resumption) -> tuple[int, ...]:
        def shorter(episode: Any) -> Any:
            actions = map_column(lambda column: column[:-1], episode.actions)
            return replace(episode, n_steps=episode.n_steps - 1, actions=actions)

        return super().go_on(replace(resumption, episodes=tuple(map(shorter, resumption.episodes))))


# -- the sampler -----------------------------------------------------------------------------------


def in_sampler(name: str, *killers: str) -> Callable[[Any], Any]:
    """Register a defect of a sampler whose workers gather fragments."""
    return mutant(name, *killers, bases=(FRAGMENT_LOCAL, FRAGMENT_PROCESSES))


@in_sampler("round-of-all-workers", "A8.calls")
class RoundOfAllWorkers(AnySampler):
    """Every worker makes a call, though fewer would do."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        assert isinstance(goal, Calls), "fragments are asked for by calls"
        count = -(-goal.count // self.n_workers) * self.n_workers
        return super()._obtain(replace(goal, count=count), agent_update, env_update)


@in_sampler("call-thrown-away", "A8.calls", "A8.cuts")
class CallThrownAway(AnySampler):
    """One more call is made at the end of each, and its steps are dropped."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        batch = super()._obtain(goal, agent_update, env_update)
        super()._obtain(Calls(1, 1), None, None)
        return batch


@in_sampler("last-fragment-lost", "A8.calls", "A8.units")
class LastFragmentLost(AnySampler):
    """The last fragment of a batch is lost."""

    def _fragments(self, *arguments: Any) -> tuple[EpisodeBatch, Continuation]:
        batch, after = super()._fragments(*arguments)
        parts = batch.split()
        return EpisodeBatch.concatenate(*(parts[:-1] or parts)), after


@in_sampler("version-of-the-start", "A8.versions", "A8.weights")
class VersionOfTheStart(AnySampler):
    """Steps have the version that their episodes began with."""

    _begun: Mapping[int, int] = {}

    def _fragments(self, *arguments: Any) -> tuple[EpisodeBatch, Continuation]:
        batch, after = super()._fragments(*arguments)
        origin = batch.provenance
        assert origin is not None, "put there by the base"
        pairs = zip(origin.units.tolist(), origin.agent_versions.tolist(), strict=True)
        self._begun = {**dict(pairs), **self._begun}
        versions = np.array([self._begun[unit] for unit in origin.units.tolist()])
        return batch.with_provenance(
            replace(origin, step_agent_versions=np.repeat(versions, batch.lengths))
        ), after


@in_sampler("no-versions-of-steps", "A8.versions", "A8.weights")
class NoVersionsOfSteps(AnySampler):
    """Provenance does not say which version each step has."""

    def _fragments(self, *arguments: Any) -> tuple[EpisodeBatch, Continuation]:
        batch, after = super()._fragments(*arguments)
        assert batch.provenance is not None, "put there by the base"
        return batch.with_provenance(replace(batch.provenance, step_agent_versions=None)), after


@in_sampler("abandoned-in-silence", "A8.abandoned")
class AbandonedInSilence(AnySampler):
    """No batch names what was abandoned."""

    def _fragments(self, *arguments: Any) -> tuple[EpisodeBatch, Continuation]:
        batch, after = super()._fragments(*arguments)
        assert batch.provenance is not None, "put there by the base"
        return batch.with_provenance(replace(batch.provenance, abandoned=())), after


@in_sampler("abandoned-for-ever", "A8.abandoned")
class AbandonedForEver(AnySampler):
    """Each batch names all that was ever abandoned."""

    def _fragments(self, *arguments: Any) -> tuple[EpisodeBatch, Continuation]:
        batch, after = super()._fragments(*arguments)
        assert batch.provenance is not None, "put there by the base"
        return batch, replace(after, abandoned=batch.provenance.abandoned)


@in_sampler("units-of-each-call", "A8.units", "A2.env-seed")
class UnitsOfEachCall(AnySampler):
    """Units are counted from the first ones again in each call of the sampler."""

    def _fragments(self, calls: Any, record: Record, passage: Passage) -> tuple[EpisodeBatch, Continuation]:
        assert self._shape is not None, "workers gather fragments"
        first = Continuation.first(self._shape, self.n_workers)
        batch, _ = super()._fragments(calls, record, Passage(first))
        return batch, super()._fragments(calls, record, passage)[1]


@in_sampler("goes-on-after-an-error", "A8.error", "D4", "C5")
class GoesOnAfterAnError(AnySampler):
    """Workers that ran when a call failed are used as they are."""

    def _forget(self) -> None:
        shape, self._shape = self._shape, None
        try:
            super()._forget()
        finally:
            self._shape = shape


@in_sampler("state-without-open-episodes", "A8.restored", "A10")
class StateWithoutOpenEpisodes(AnySampler):
    """A state holds which units come next, and nothing of those that are open."""

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        workers = [{**worker, "open": []} for worker in state["fragments"]["workers"]]
        return {**state, "fragments": {**state["fragments"], "workers": workers}}


@in_sampler("state-without-hidden-state", "A8.restored")
class StateWithoutHiddenState(AnySampler):
    """A state holds no hidden state of the policy."""

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        workers = [{**worker, "hidden": None} for worker in state["fragments"]["workers"]]
        return {**state, "fragments": {**state["fragments"], "workers": workers}}


@mutant("forgets-where-the-dead-stood", "A8.death", bases=(FRAGMENT_PROCESSES,))
class ForgetsWhereTheDeadStood(AnyPool):
    """A worker that died begins with its first units again."""

    def _standing(self) -> Continuation:
        assert self._shape is not None, "workers gather fragments"
        return Continuation.first(self._shape, self.n_workers)


@mutant("the-dead-lose-their-hidden-state", "A8.death", bases=(FRAGMENT_PROCESSES,))
class TheDeadLoseTheirHiddenState(AnyPool):
    """A worker that died comes back without the hidden state of its policy."""

    def _standing(self) -> Continuation:
        stand = super()._standing()
        return replace(stand, workers=tuple(replace(worker, hidden=None) for worker in stand.workers))


@mutant("the-dead-have-an-older-hidden-state", "A8.death", bases=(FRAGMENT_PROCESSES,))
class TheDeadHaveAnOlderHiddenState(AnyPool):
    """A worker that died comes back after the calls that came, with the hidden state from before them."""

    def _standing(self) -> Continuation:
        stand, passage = super()._standing(), self._passage
        if passage is None:
            return stand
        pairs = zip(stand.workers, passage.start.workers, strict=True)
        return replace(
            stand, workers=tuple(replace(worker, hidden=before.hidden) for worker, before in pairs)
        )


# -- what goes wrong in slots of any kind ----------------------------------------------------------

in_recorder("actions-mixed-up", "B4", "B1", "A8.whole-episodes")(vectorized.ActionsMixedUp)
in_recorder("agent-infos-of-neighbours", "A8.whole-episodes", "A2")(vectorized.AgentInfosOfNeighbours)
in_recorder("env-infos-of-neighbours", "B4", "A8.whole-episodes")(vectorized.EnvInfosOfNeighbours)
in_recorder("observations-mixed-up", "A8.whole-episodes", "B4")(vectorized.ObservationsMixedUp)
in_recorder("view-of-the-buffer", "B1", "B5")(vectorized.ViewOfTheBuffer)
in_recorder("final-observation-of-the-next", "B1", "A8.cuts")(vectorized.FinalObservationOfTheNext)
in_recorder("limit-of-another-slot", "B2", "A8.stitched")(vectorized.LimitOfAnotherSlot)
in_slots("step-after-the-end", "A8", "B2", "D1")(vectorized.StepAfterTheEnd)
in_slots("episode-infos-lost", "B4")(vectorized.EpisodeInfosLost)
in_slots("seeds-of-other-slots", "A2", "A8.whole-episodes")(vectorized.SeedsOfOtherSlots)
in_slots("reset-lost", "A2", "A8.whole-episodes")(vectorized.ResetLost)
in_slots("resets-all-rows", "A2", "A8.whole-episodes")(vectorized.ResetsAllRows)
in_slots("environment-seeded-late", "A2", "B1")(vectorized.EnvironmentSeededLate)
in_slots("closes-the-first-only", "E2", "E3", "D4", "C4")(vectorized.ClosesTheFirstOnly)
in_slots("new-policy-not-taken", "C1", "C2")(vectorized.NewPolicyNotTaken)
