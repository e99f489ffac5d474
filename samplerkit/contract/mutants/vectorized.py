"""Workers with several environments that mix up slots, rows, units or resets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import numpy as np

from samplerkit.contract.mutants.bases import VECTORIZED
from samplerkit.contract.mutants.in_slots import SlotDefects
from samplerkit.episodes import EpisodeSlice, StepType, TickRecorder
from samplerkit.episodes.columns import Column, assign, map_column, map_columns
from samplerkit.episodes.finals import Standing
from samplerkit.episodes.native_recorder import NativeRecorder
from samplerkit.episodes.tick_recording import TickRecording
from samplerkit.interfaces import Unit
from samplerkit.workers.native_slots import NativeSlots
from samplerkit.workers.slots import Seeds, Slots

_of = SlotDefects(VECTORIZED)
in_worker, in_slots, in_recorder = _of.in_worker, _of.in_slots, _of.in_recorder
in_native, in_native_recorder = _of.in_native, _of.in_native_recorder


def _rolled(infos: Mapping[str, Any]) -> dict[str, Any]:
    return {key: map_column(lambda column: np.roll(column, 1, axis=0), value) for key, value in infos.items()}


# -- rows of the wrong slot ------------------------------------------------------------------------


@in_recorder("actions-mixed-up", "B4", "B1", "A7.n-envs")
class ActionsMixedUp(TickRecorder):
    """Each environment gets the action of its neighbour, while the right ones are recorded."""

    def act(self, actions: Any, agent_infos: Mapping[str, Any], live: Sequence[int]) -> Sequence[Any]:
        given = list(super().act(actions, agent_infos, live))
        wanted = [given[slot] for slot in live]
        for slot, action in zip(live, wanted[1:] + wanted[:1], strict=True):
            given[slot] = action
        return given


@in_recorder("agent-infos-of-neighbours", "A7.n-envs")
class AgentInfosOfNeighbours(TickRecorder):
    """Infos of the policy are one row off."""

    def act(self, actions: Any, agent_infos: Mapping[str, Any], live: Sequence[int]) -> Sequence[Any]:
        return super().act(actions, _rolled(agent_infos), live)


@in_recorder("env-infos-of-neighbours", "B4")
class EnvInfosOfNeighbours(TickRecorder):
    """Infos of the environment go to the slot that was stepped before."""

    def step(self, steps: Any, given: Any, live: Any, *arguments: Any) -> list[tuple[int, StepType]]:
        infos: list[Any] = []

        def late(step: Any, action: Any) -> Any:
            *result, info = step(action)
            infos.append(info)
            return (*result, infos[-2] if len(infos) > 1 else info)

        wrapped = [lambda action, step=step: late(step, action) for step in steps]
        return super().step(wrapped, given, live, *arguments)


@in_recorder("observations-mixed-up", "A7", "B4", "B1")
class ObservationsMixedUp(TickRecorder):
    """The policy gets the observations in reversed order, and its actions are used as they come."""

    def observations(self, live: Sequence[int]) -> Any:
        return map_column(lambda column: column[::-1].copy(), super().observations(live))


class _AsIfDense(TickRecording):
    __slots__ = ()

    def standing(self, episodes: Sequence[int]) -> Standing:
        found = super().standing(episodes)
        each = np.split(found.steps, np.cumsum([self._lengths[episode] for episode in episodes])[:-1])
        return found._replace(steps=np.concatenate([rows[0] + np.arange(len(rows)) for rows in each]))


@in_recorder("large-rows-of-others", "B5.large")
class LargeRowsOfOthers(TickRecorder):
    """Of batches of several megabytes, rows are taken as if those of a slot followed each other."""

    def _new_recording(self, ticks: int) -> TickRecording:
        made = super()._new_recording(ticks)
        return _AsIfDense(self.env_spec, self.n_slots, made.capacity, self._warned, self._memory)


@in_recorder("words-as-wide-as-the-policy-s", "B4.dtypes", "A7", "B4")
class WordsAsWideAsThePolicys(TickRecorder):
    """Columns of strings have the width of the arrays in which a policy gives them."""

    def _new_recording(self, ticks: int) -> TickRecording:
        made = super()._new_recording(ticks)
        made.agent_infos.ticks._strings = True
        return made


@in_slots("live-rows-only", "A7.rows", "B4", "A7")
class LiveRowsOnly(Slots):
    """The policy gets the rows of live slots only, packed together."""

    def tick(self, worker: Any = None) -> list[tuple[int, StepType]]:
        if self._fresh:
            self._reset_agent()
        live, n = self.live, self.n_slots
        observations = map_column(lambda column: column[live], self.recorder.observations(live))
        actions, infos = self._agent.get_actions(observations)

        def spread(column: Any) -> Any:
            full = np.zeros((n, *column.shape[1:]), column.dtype)
            full[live] = column
            return full

        given = self.recorder.act(map_column(spread, actions), map_columns(spread, infos), live)
        return self.recorder.step(self._steps, given, live, self._max_episode_length, worker)


# -- views of buffers ------------------------------------------------------------------------------


@in_recorder("view-of-the-buffer", "B1", "B5")
class ViewOfTheBuffer(TickRecorder):
    """All observations of an episode are views of one buffer: that of the last step."""

    def keep(self, slot: int, last_step_type: StepType, *, goes_on: bool = False) -> EpisodeSlice:
        recording, start, stop = self._recording, self._starts[slot], self._tick
        rows = recording.observations.rows(recording.rows_of_steps(slot, start, stop))
        last = recording.observations.rows(recording.rows_of_steps(slot, stop - 1, stop))
        assign(rows, last)
        return super().keep(slot, last_step_type, goes_on=goes_on)


@in_recorder("policy-sees-the-recording", "A7.own-arrays")
class PolicySeesTheRecording(TickRecorder):
    """What the policy writes to its observations stands in the batch."""

    def observations(self, live: Sequence[int]) -> Any:
        super().observations(live)
        return self._recording.observations.rows(self._recording.tick_rows(self._tick))


@in_recorder("policys-infos-kept-by-reference", "A7.own-arrays", "B4")
class PolicysInfosKept(TickRecorder):
    """Infos of the policy are read when the episode ends, from arrays that the policy uses again."""

    _seen: Mapping[str, Any]

    def act(self, actions: Any, agent_infos: Mapping[str, Any], live: Sequence[int]) -> Sequence[Any]:
        self._seen = agent_infos
        return super().act(actions, agent_infos, live)

    def keep(self, slot: int, last_step_type: StepType, *, goes_on: bool = False) -> EpisodeSlice:
        for tick in range(self._starts[slot], self._tick):
            self._recording.agent_infos.ticks.put(tick, self._seen)
        return super().keep(slot, last_step_type, goes_on=goes_on)


# -- the ends of episodes --------------------------------------------------------------------------


@in_recorder("final-observation-of-the-next", "B1")
class FinalObservationOfTheNext(TickRecorder):
    """The last observation is the first one of the slot's next episode, or what stood in its row."""

    def keep(self, slot: int, last_step_type: StepType, *, goes_on: bool = False) -> EpisodeSlice:
        recording, start = self._recording, self._starts[slot]
        rows = recording.observations.rows(recording.rows_of_steps(slot, self._tick, self._tick + 1))
        assign(rows, recording.observations.rows(recording.rows_of_steps(slot, start, start + 1)))
        return super().keep(slot, last_step_type, goes_on=goes_on)


@in_recorder("limit-of-another-slot", "B2", "A7.n-envs")
class LimitOfAnotherSlot(TickRecorder):
    """The limit on an episode's length counts from when the oldest one of all slots began."""

    def step(
        self, steps: Any, given: Any, live: Any, max_length: float, worker: Any = None
    ) -> list[tuple[int, StepType]]:
        begun = self._begun
        self._begun = [min(begun)] * self.n_slots
        try:
            return super().step(steps, given, live, max_length, worker)
        finally:
            if self._begun == [min(begun)] * self.n_slots:
                self._begun = begun


@in_recorder("every-end-terminal", "B2")
class EveryEndTerminal(TickRecorder):
    """An episode that was cut by a limit is said to be over."""

    def keep(self, slot: int, last_step_type: StepType, *, goes_on: bool = False) -> EpisodeSlice:
        return super().keep(slot, StepType.TERMINAL, goes_on=goes_on)


@in_slots("step-after-the-end", "B2", "D1", "A7")
class StepAfterTheEnd(Slots):
    """A slot whose episode ended is stepped once more before its next one begins."""

    def keep(self, slot: int, last_step_type: StepType) -> EpisodeSlice:
        kept = super().keep(slot, last_step_type)
        self.envs[slot].step(kept.view().actions[-1])  # type: ignore[index]
        return kept


@in_slots("episode-infos-lost", "B4")
class EpisodeInfosLost(Slots):
    """Only the first episode of a slot has infos of its own."""

    def begin(self, slot: int, unit: Unit | None, env_seed: int | None) -> None:
        super().begin(slot, unit, env_seed)
        if slot in getattr(self, "_began", set()):
            self.recorder._episode_infos[slot] = {}
        self._began = {*getattr(self, "_began", set()), slot}


# -- seeds and resets ------------------------------------------------------------------------------


@in_slots("seeds-of-other-slots", "A2", "B4", "A7")
class SeedsOfOtherSlots(Slots):
    """The rows that were reset are seeded in reversed order."""

    def _reset_agent(self) -> None:
        fresh = sorted(set(self._fresh))
        units = list(self.units)
        for slot, other in zip(fresh, reversed(fresh), strict=True):
            self.units[slot] = units[other]
        super()._reset_agent()
        self.units = units


@in_slots("one-seed-for-all-slots", "A2", "B1", "A7")
class OneSeedForAllSlots(Slots):
    """All environments are seeded like the first slot's."""

    _seed: int | None = None

    def begin(self, slot: int, unit: Unit | None, env_seed: int | None) -> None:
        if slot == 0 or self._seed is None:
            self._seed = env_seed
        super().begin(slot, unit, None if env_seed is None else self._seed)


@in_slots("reset-lost", "A7.rows", "B4", "A2")
class ResetLost(Slots):
    """The policy is reset when the first episodes begin, and never again."""

    def _reset_agent(self) -> None:
        if getattr(self, "_did", False):
            self._fresh.clear()
            return
        self._did = True
        super()._reset_agent()


@in_slots("resets-all-rows", "A7.rows", "B4", "A7")
class ResetsAllRows(Slots):
    """Whenever an episode begins, the policy is reset for all rows."""

    def _reset_agent(self) -> None:
        self._fresh = list(self.live)
        super()._reset_agent()


@in_slots("reset-without-flags", "A7", "B4", "A0", "D0", "A3")
class ResetWithoutFlags(Slots):
    """The policy is reset without do_resets."""

    def _reset_agent(self) -> None:
        fresh, self._fresh = sorted(set(self._fresh)), []
        self._agent.reset()
        if hasattr(self._agent, "seed"):
            seeds = [unit.policy_seed for slot in fresh if (unit := self.units[slot]) is not None]
            self._agent.seed(np.array(seeds, np.uint64))


@in_slots("environment-seeded-late", "A2", "B1", "A7")
class EnvironmentSeededLate(Slots):
    """An environment is reset with the seed of the slot's unit before."""

    def begin(self, slot: int, unit: Unit | None, env_seed: int | None) -> None:
        before = getattr(self, "_seeds", {})
        super().begin(slot, unit, before.get(slot, env_seed))
        self._seeds = {**before, slot: env_seed}


# -- which unit, when ------------------------------------------------------------------------------


@in_worker("numbered-as-they-end", "A7.n-envs", "A1", "A2", "A3", "B1", "A5")
class NumberedAsTheyEnd:
    """Units get their numbers in the order in which they end: short ones come first."""

    def rollouts(self, units: Iterable[Unit]) -> Iterator[Any]:
        waiting: list[Unit] = []

        def noted() -> Iterator[Unit]:
            for unit in units:
                waiting.append(unit)
                yield unit

        for _, result in super().rollouts(noted()):  # type: ignore[misc]
            yield waiting.pop(0), result


@in_worker("slots-start-together", "A7.next-unit")
class SlotsStartTogether:
    """A slot that is done waits for all others."""

    _slots: Slots

    def _fill(self, line: Any) -> None:
        if not self._slots.live:
            super()._fill(line)  # type: ignore[misc]


@in_worker("units-in-any-slot", "A7.own-slots")
class UnitsInAnySlot:
    """With a list of environments, a unit runs in any slot that is free."""

    def _home(self, unit: Unit) -> int | None:
        return None


@in_worker("first-of-the-list", "A7.own-slots")
class FirstOfTheList:
    """Of a list of environments all slots get the first one, whatever its length."""

    def update_env(self, env_update: Any) -> None:
        only = env_update[0] if isinstance(env_update, list) else env_update
        super().update_env(only)  # type: ignore[misc]


@in_worker("goes-on-after-a-call", "C3", "B1", "A5", "A3", "C1", "B4", "A7")
class GoesOnAfterACall:
    """Episodes that were under way go on in the next call, under its units' names."""

    _slots: Slots

    def _begin(self, slot: int, unit: Unit | None) -> None:
        left = getattr(self, "_left", {})
        if slot in left:
            self._slots.recorder.begin(slot, left.pop(slot))
            self._slots.units[slot] = unit
            self._slots.live = sorted({*self._slots.live, slot})
            return
        super()._begin(slot, unit)  # type: ignore[misc]

    def rollouts(self, units: Iterable[Unit]) -> Iterator[Any]:
        slots = self._slots
        try:
            yield from super().rollouts(units)  # type: ignore[misc]
        finally:
            if slots.live and slots.envs:
                observations = slots.recorder.observations(slots.live)
                self._left = {slot: _row(observations, slot) for slot in slots.live}


def _row(column: Any, row: int) -> Any:
    return map_column(lambda array: array[row], column)


@in_worker("blames-the-first-slot", "D1")
class BlamesTheFirstSlot:
    """An exception is blamed on the unit in the first live slot."""

    _slots: Slots
    unit: Unit | None

    def _tick(self, line: Any) -> Any:
        first = self._slots.units[self._slots.live[0]]
        try:
            return super()._tick(line)  # type: ignore[misc]
        except Exception:
            self.unit = first
            raise


@in_slots("closes-the-first-only", "E2", "E3", "D4", "C4")
class ClosesTheFirstOnly(Slots):
    """At the end only the first slot's environment is closed."""

    def close(self) -> None:
        self.clear()
        if self.envs:
            self.envs[0].close()
        self.envs = []


@in_slots("close-ends-at-the-first-error", "E2")
class CloseEndsAtTheFirstError(Slots):
    """An environment that raises when it is closed keeps the others open."""

    def close(self) -> None:
        self.clear()
        for env in self.envs:
            env.close()


@in_worker("replaced-slots-forgotten", "C4.slots", "C4", "E2")
class ReplacedSlotsForgotten:
    """Of the environments that an update replaces only the first slot's is closed."""

    _slots: Slots

    def update_env(self, env_update: Any) -> None:
        _forget(self._slots.present[1:])
        super().update_env(env_update)  # type: ignore[misc]


@in_worker("refused-slots-forgotten", "C4.slots")
class RefusedSlotsForgotten:
    """New environments that are refused stay open."""

    def _slots_for(self, envs: Any) -> Any:
        try:
            return super()._slots_for(envs)  # type: ignore[misc]
        except Exception:
            _forget(envs)
            raise


def _forget(envs: Iterable[Any]) -> None:
    for env in envs:
        env.close = lambda: None


@in_slots("new-policy-not-taken", "C1", "C2")
class NewPolicyNotTaken(Slots):
    """The slots go on with their first policy when there is a new one."""

    def take_agent(self, agent: Any) -> None:
        if self._agent is None:
            super().take_agent(agent)


@in_slots("replaced-environments-step-on", "C1", "B1", "C4")
class ReplacedEnvironmentsStepOn(Slots):
    """New environments are reset, and the ones before are stepped."""

    def take_envs(self, envs: Any, spec: Any) -> None:
        steps = self._steps
        super().take_envs(envs, spec)
        self._steps = steps or self._steps


@in_recorder("idle-slots-recorded", "B2", "A7", "D1", "B1")
class IdleSlotsRecorded(TickRecorder):
    """A slot that has no unit is stepped on, with whatever action stands in its row."""

    def step(self, steps: Any, given: Any, live: Any, *arguments: Any) -> list[tuple[int, StepType]]:
        ended = super().step(steps, given, live, *arguments)
        for slot in set(range(self.n_slots)) - set(live):
            if slot in getattr(self, "_used", set()):
                steps[slot](given[slot] if given[slot] is not None else 0)
        self._used = {*getattr(self, "_used", set()), *live}
        return ended


# -- vector environments whose slots are seeded one by one -------------------------------------------


@in_native("native-backwards", "A7.native")
class NativeBackwards(NativeSlots):
    """Of slots that end together the last one comes first."""

    def keep_together(self, ended: Sequence[tuple[int, StepType]]) -> EpisodeSlice:
        return super().keep_together(ended[::-1])


@in_native("native-seeds-mixed-up", "A7.native")
class NativeSeedsMixedUp(NativeSlots):
    """Slots that begin together get each other's seeds."""

    def begin_all(self, slots: Sequence[int], units: Sequence[Unit], env_seeds: Seeds) -> None:
        super().begin_all(slots, units, env_seeds[::-1])


@in_native("native-unseeded", "A7.native")
class NativeUnseeded(NativeSlots):
    """Only the first episode of a slot is seeded; those after it are the environment's own."""

    def begin_all(self, slots: Sequence[int], units: Sequence[Unit], env_seeds: Seeds) -> None:
        used: set[int] = getattr(self, "_used", set())
        seeds = [None if slot in used else seed for slot, seed in zip(slots, env_seeds, strict=True)]
        self._used = {*used, *slots}
        super().begin_all(slots, units, seeds)


@in_native("native-all-reset", "A7.native")
class NativeAllReset(NativeSlots):
    """When an episode begins, the others are reset, too."""

    def _reset_envs(self) -> None:
        self._over.update(range(self.n_slots))
        super()._reset_envs()


@in_native("native-idle-not-heard", "A7.native-idle")
class NativeIdleNotHeard(NativeSlots):
    """Slots that are reset without a unit get an action for what they showed before."""

    def _reset_envs(self) -> None:
        with mock.patch.object(self.recorder, "stand_by"):
            super()._reset_envs()


@in_native_recorder("native-idle-as-others", "A7.native-idle")
class NativeIdleAsOthers(NativeRecorder):
    """Slots without a unit get the action of another one."""

    def observations(self, live: Sequence[int]) -> Column:
        return TickRecorder.observations(self, live)


@in_native_recorder("native-final-observation-lost", "A7.native")
class NativeFinalObservationLost(NativeRecorder):
    """Where the environment resets itself in the same step, the next episode's first observation is final."""

    def step_together(
        self, observations: Any, rewards: Any, terminated: Any, truncated: Any, infos: Any, *rest: Any
    ) -> list[tuple[int, StepType]]:
        left = {key: value for key, value in infos.items() if not key.startswith(("final_obs", "_final_obs"))}
        return super().step_together(observations, rewards, terminated, truncated, left, *rest)


@in_native_recorder("native-infos-of-neighbours", "A7.native")
class NativeInfosOfNeighbours(NativeRecorder):
    """Infos of a step are those of another slot."""

    def step_together(
        self, observations: Any, rewards: Any, terminated: Any, truncated: Any, infos: Any, *rest: Any
    ) -> list[tuple[int, StepType]]:
        return super().step_together(observations, rewards, terminated, truncated, _rolled(infos), *rest)


@in_native_recorder("native-step-lost", "A7.native")
class NativeStepLost(NativeRecorder):
    """Where infos come that no column takes as it is, what was written of their step before is lost."""

    def _turn_over(self, *, with_this_tick: bool = False, n_ticks: int | None = None) -> None:
        super()._turn_over(n_ticks=n_ticks)


@in_native_recorder("native-tick-counted-on", "A7.native")
class NativeTickCountedOn(NativeRecorder):
    """Where infos come that no column takes as it is, ticks are counted on from before."""

    def step_together(self, *arguments: Any) -> list[tuple[int, StepType]]:
        tick = self._tick
        by_rows = self._env_infos_by_rows
        ended = super().step_together(*arguments)
        if self._env_infos_by_rows and not by_rows:
            self._tick = tick + 1
        return ended


@in_native_recorder("native-limit-late", "A7.native")
class NativeLimitLate(NativeRecorder):
    """An episode may be one step longer than the limit."""

    def _ended(self, terminated: Any, over: Any, live: Any, max_length: float) -> list[tuple[int, StepType]]:
        return super()._ended(terminated, over, live, max_length + 1)


@in_native_recorder("native-ends-all-terminal", "A7.native")
class NativeEndsAllTerminal(NativeRecorder):
    """Every end of an episode that the environment tells is a terminal one."""

    def step_together(
        self, observations: Any, rewards: Any, terminated: Any, truncated: Any, *rest: Any
    ) -> list[tuple[int, StepType]]:
        over = np.logical_or(terminated, truncated)
        return super().step_together(observations, rewards, over, truncated, *rest)
