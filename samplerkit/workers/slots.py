"""Slots: environments that are stepped in turn, with one policy call a tick for all of them."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from samplerkit.episodes import EnvSpec, EpisodeSlice, StepType, TickRecorder
from samplerkit.episodes.tick_recording import one_by_one
from samplerkit.interfaces import Env, Unit, Worker, close_others

Seeds = Sequence[int | None] | npt.NDArray[np.int64]
"""What the environments of some slots are seeded with."""


class Slots:
    """What vectorized and fragment workers share: slots with a unit each, advanced tick by tick.

    A worker builds on it like this::

        slots = Slots(n_slots, max_episode_length)
        slots.take_agent(policy)                       # at every new policy
        slots.take_envs(envs, spec)                    # at every change of the environments: one a slot
        slots.begin(slot, unit, env_seed)              # resets the environment; the policy at the next tick
        for slot, last_step_type in slots.tick():      # one policy call, one step of every live slot
            episode = slots.keep(slot, last_step_type) # an EpisodeSlice of whatever is open there
            slots.begin(slot, next_unit, ...)          # or leave it idle
        slots.cut(slot)                                # a fragment: ends MID, and the episode goes on
        slots.clear()                                  # forget all that is open

    The policy gets exactly `n_slots` rows in slot order; rows of idle slots repeat a live one, or are what a
    vector environment, which steps them all, has there. It is reset by
    ``reset(do_resets)`` before the first tick of an episode, and seeded with a seed for each row that was
    reset. After an exception, `failing` is the slot that it belongs to, or None if that is not known: it came
    from the policy, which acts for all rows at once.

    Args:
        n_slots: how many.
        max_episode_length: most steps of an episode.
    """

    recorder_type: ClassVar[type[TickRecorder]] = TickRecorder
    """What records them."""

    begins_together: ClassVar[bool] = False
    """Whether `begin` leaves it to the next tick to reset the environments, of all slots together."""

    def __init__(self, n_slots: int, max_episode_length: float) -> None:
        self.n_slots = n_slots
        self.live: list[int] = []
        """Slots with an open episode, in order."""
        self.units: list[Unit | None] = [None] * n_slots
        """The unit of each slot; None where it is idle, or where there are no units."""
        self.failing: int | None = None
        self.envs: list[Env] = []
        self._max_episode_length = max_episode_length
        self._agent: Any = None
        self._seed_agent: Callable[[Any], None] | None = None
        self._recorder: TickRecorder | None = None
        self._steps: list[Any] = []
        self._fresh: list[int] = []

    @property
    def recorder(self) -> TickRecorder:
        """Where steps are recorded."""
        if self._recorder is None:
            raise RuntimeError("this worker has no environments yet: call update_env first")
        return self._recorder

    @property
    def present(self) -> Sequence[Any]:
        """The environments: one for each slot, or a vector environment alone; empty if there are none."""
        return self.envs

    def take_agent(self, agent: Any) -> None:
        """Take a policy; what is open goes on with it, and must be begun again to reset its rows.

        Raises:
            TypeError: if it cannot act on several observations at once.
        """
        if not callable(getattr(agent, "get_actions", None)):
            raise TypeError(
                f"{type(agent).__name__} has no get_actions, which a vectorized worker calls with a row for "
                "each of its environments: add it, or use a worker with one environment"
            )
        self._agent = agent
        self._seed_agent = getattr(agent, "seed", None)

    def take_envs(self, envs: Sequence[Env], spec: EnvSpec) -> None:
        """Take an environment for each slot; what is open is forgotten.

        Args:
            envs: `n_slots` of them.
            spec: of all of them.
        """
        self.clear()
        self.envs = list(envs)
        self._steps = [env.step for env in envs]
        if self._recorder is None or self._recorder.env_spec != spec:
            self._recorder = self.recorder_type(spec, self.n_slots)

    def begin(self, slot: int, unit: Unit | None, env_seed: int | None) -> None:
        """Begin an episode in a slot."""
        recorder = self._recorder or self.recorder
        self.failing = slot
        observation, info = self.envs[slot].reset(seed=env_seed)
        recorder.begin(slot, observation, info)
        self.failing = None
        self.units[slot] = unit
        self._wake(slot)

    def begin_all(self, slots: Sequence[int], units: Sequence[Unit], env_seeds: Seeds) -> None:
        """Begin episodes in several slots, as `begin` does in each; where it `begins_together`."""
        for slot, unit, env_seed in zip(slots, units, env_seeds, strict=True):
            self.begin(slot, unit, env_seed)

    def _wake(self, slot: int) -> None:
        self._fresh.append(slot)
        live = self.live
        if not live or slot > live[-1]:  # slots that begin together come in order
            live.append(slot)
            return
        place = bisect.bisect_left(live, slot)
        if live[place] != slot:
            live.insert(place, slot)

    def tick(self, worker: Worker | None = None) -> list[tuple[int, StepType]]:
        """Take one step in every live slot.

        Args:
            worker: where it is given, and is cancelled before all slots have stepped, everything that is open
                is lost, and `clear` must follow.

        Returns:
            The slots whose episodes ended, and how; call `keep` or `drop` for each before the next tick.
        """
        recorder, live = self._recorder or self.recorder, self.live
        if self._fresh:
            self._reset_agent()
        actions, infos = self._agent.get_actions(recorder.observations(live))
        try:
            given = recorder.act(actions, infos, live)
            return recorder.step(self._steps, given, live, self._max_episode_length, worker)
        except BaseException:
            self.failing, recorder.failing = recorder.failing, None
            raise

    def _reset_agent(self) -> None:
        """Reset the rows of the episodes that began since the last tick, and seed them by their units."""
        fresh, self._fresh = self._fresh, []
        if len(fresh) > 1:
            fresh = sorted(set(fresh))
        every = len(fresh) == self.n_slots
        do_resets = np.full(self.n_slots, every)
        if not every:
            for slot in fresh:
                do_resets[slot] = True
        self._agent.reset(do_resets)
        if self._seed_agent is not None:
            seeds = self._policy_seeds(fresh)
            if seeds is not None:
                self._seed_agent(seeds)

    def _policy_seeds(self, slots: Sequence[int]) -> npt.NDArray[np.uint64] | None:
        """Return the policy's seeds for some slots; None if one of them has no unit."""
        units = [unit for slot in slots if (unit := self.units[slot]) is not None]
        if len(units) < len(slots):
            return None
        return np.array([unit.policy_seed for unit in units], np.uint64)

    def units_of(self, ended: Sequence[tuple[int, StepType]]) -> Sequence[Unit | None]:
        """Return the units of slots that ended, as `tick` says."""
        return [self.units[slot] for slot, _ in ended]

    def keep(self, slot: int, last_step_type: StepType) -> EpisodeSlice:
        """End a slot's episode, leave it idle, and return what was recorded of it since the last cut."""
        kept = self.recorder.keep(slot, last_step_type)
        self._rest(slot)
        return kept

    def keep_all(self, ended: Sequence[tuple[int, StepType]]) -> Iterator[EpisodeSlice]:
        """End the episodes of several slots, which `tick` returned, and yield them in this order.

        Where one may fail alone, each is ended when it is its turn.
        """
        if not self.end_together(ended):
            for slot, last_step_type in ended:
                yield self.keep(slot, last_step_type)
            return
        yield from one_by_one(self.keep_together(ended)).slices()

    def keep_together(self, ended: Sequence[tuple[int, StepType]]) -> EpisodeSlice:
        """End the episodes of several slots, and return them in this order; where they `end_together`."""
        kept = self.recorder.keep_all(ended)
        self._rest_all([slot for slot, _ in ended])
        return kept

    def end_together(self, ended: Sequence[tuple[int, StepType]]) -> bool:
        """Whether several slots ended, as `tick` says, and nothing can go wrong with one of them alone."""
        return len(ended) > 1 and self.recorder.keeps_together

    def reserve(self, n_ticks: int) -> None:
        """Let the next ticks, so many, be recorded in one piece."""
        self.recorder.reserve(n_ticks)

    def cut(self, slot: int) -> EpisodeSlice:
        """Return what was recorded of a slot's episode since the last cut, ending MID; it goes on."""
        return self.recorder.keep(slot, StepType.MID, goes_on=True)

    def cut_together(self) -> EpisodeSlice | None:
        """Cut all slots, as `cut` does, and return their parts in one; None where not all of them go on."""
        recorder, live = self.recorder, self.live
        if len(live) < self.n_slots or not all(map(recorder.length, live)):
            return None
        return recorder.cut_all(live)

    def cut_each(self) -> list[tuple[int, EpisodeSlice]]:
        """Cut every slot that has a step since its last cut, as `cut` does; return slots with their parts."""
        recorder = self.recorder
        slots = [slot for slot in self.live if recorder.length(slot)]
        return [*zip(slots, recorder.cut_each(slots), strict=True)] if slots else []

    def drop(self, slot: int) -> None:
        """Forget what a slot has open, and leave it idle."""
        self.recorder.drop(slot)
        self._rest(slot)

    def clear(self) -> None:
        """Forget all that is open."""
        for slot in list(self.live):
            self.drop(slot)
        self._fresh.clear()
        self.failing = None

    def _rest(self, slot: int) -> None:
        """Leave a slot idle."""
        self.live.remove(slot)
        self.units[slot] = None

    def _rest_all(self, slots: Sequence[int]) -> None:
        """Leave several slots idle."""
        if len(slots) == self.n_slots:
            self.live, self.units = [], [None] * self.n_slots
            return
        gone = set(slots)
        self.live = [] if len(gone) == len(self.live) else [slot for slot in self.live if slot not in gone]
        for slot in slots:
            self.units[slot] = None

    def close(self) -> None:
        """Close the environments; all of them, even if one raises."""
        self.clear()
        envs, self.envs, self._steps = self.envs, [], []
        close_others(envs, [])
