"""Recording slots that step together: one action of each for every tick."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from samplerkit.episodes.beginnings import Beginning, beginnings, put_rows, shared_infos
from samplerkit.episodes.columns import Array, Column, Columns, map_column, row_of
from samplerkit.episodes.info_table import InfoTable
from samplerkit.episodes.infos import stack_infos
from samplerkit.episodes.recorder import Cancellable, checked_reward
from samplerkit.episodes.recycling import RecycledMemory
from samplerkit.episodes.slices import EpisodeSlice
from samplerkit.episodes.space_columns import ScalarColumn
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType
from samplerkit.episodes.tick_infos import TickInfos
from samplerkit.episodes.tick_recording import TickRecording, one_by_one, usual_ticks
from samplerkit.episodes.vector_infos import row_infos

_CLOSED = -1


class _Never:
    cancelled = False


_NEVER = _Never()

Step = Callable[[Any], tuple[Any, Any, bool, bool, Mapping[str, Any]]]


class TickRecorder:
    """Columns for slots that are stepped in turn, one policy call for all of them each tick.

    The calls, in this order::

        recorder.begin(slot, observation, episode_info)        # for each slot that starts, after env.reset
        while ...:
            actions, infos = policy.get_actions(recorder.observations(live))
            given = recorder.act(actions, infos, live)         # before the environments touch them
            ended = recorder.step(steps, given, live, max_length)
            for slot, last_step_type in ended:
                episode = recorder.keep(slot, last_step_type)  # no copy of its steps yet
                recorder.begin(slot, ...)                      # the next one, if there is one

    Everything is copied when it is given, and cast within its kind or refused, as by `EpisodeRecorder`.
    Slots are numbers from 0; one that is not in `live` may have an open episode that stands still only if
    it is never stepped again: `drop` it.

    Args:
        env_spec: the spaces of the values to come.
        n_slots: how many.
    """

    _env_infos_by_rows = True
    """Whether infos of the environment are gathered slot by slot."""

    def __init__(self, env_spec: EnvSpec, n_slots: int) -> None:
        self.env_spec = env_spec
        self.n_slots = n_slots
        self.failing: int | None = None
        """The slot whose step raised an exception in `step`; None before."""
        self._warned: set[str] = set()
        self._memory = RecycledMemory(most_kept=1)
        self._tick = 0
        # Ticks: where what is open begins, and where its episode began, perhaps in an earlier part.
        self._starts = [_CLOSED] * n_slots
        self._begun: list[float] = [math.inf] * n_slots
        # None of these began before: who asks for the oldest each tick would look at all of them.
        self._oldest: float = 0
        self._first_step_types = [StepType.FIRST] * n_slots
        self._episode_infos: list[Columns | Beginning] = [{}] * n_slots
        self._env_infos = [InfoTable("env_infos") for _ in range(n_slots)]
        self._agent_infos: list[InfoTable] | None = None
        # Whether an environment ever gave infos of a step: where none did, no table need be looked at.
        self._told = False
        self._cut_at = _CLOSED
        self._longest = 1
        self._recording = self._new_recording(0)

    def length(self, slot: int) -> int:
        """Return the number of steps of a slot's open episode; of the part since the last cut."""
        return self._tick - self._starts[slot]

    # -- episodes begin and end ------------------------------------------------------------------

    def begin(
        self,
        slot: int,
        observation: Any,
        episode_info: Mapping[str, Any] | None = None,
        *,
        first_step_type: StepType = StepType.FIRST,
        steps_before: int = 0,
    ) -> None:
        """Begin a slot's episode; what it had open is dropped.

        Args:
            slot: which.
            observation: what its first action will be chosen on.
            episode_info: one value per key for the whole episode.
            first_step_type: MID for a fragment that goes on from an earlier one.
            steps_before: how many steps of the same episode there were before; they count for its limit.

        Raises:
            ValueError, TypeError: where the observation does not fit its space.
        """
        if self._starts[slot] != _CLOSED:
            self.drop(slot)
        self._recording.observations.put(self._tick * self.n_slots + slot, observation)
        self._episode_infos[slot] = stack_infos((episode_info,), "episode_infos") if episode_info else {}
        self._open(slot, first_step_type)
        self._begun[slot] = self._tick - steps_before
        self._oldest = min(self._oldest, self._begun[slot])

    def begin_all(self, slots: Sequence[int], observations: Any, episode_infos: Mapping[str, Any]) -> None:
        """Begin episodes in several slots, as `begin` does in each.

        Args:
            slots: which, in order.
            observations: a column with `n_slots` rows, of which theirs count.
            episode_infos: a dict of columns with `n_slots` rows.

        Raises:
            ValueError, TypeError: as `begin`.
        """
        tick, n = self._tick, self.n_slots
        infos = shared_infos(episode_infos, slots, n)
        place = self._recording.observations.rows(slice(tick * n, tick * n + n))
        if infos is None or not put_rows(place, observations, slots):
            for slot in slots:
                self.begin(slot, row_of(observations, slot), row_infos(episode_infos, slot))
            return
        if self._cut_at == tick:
            for slot in slots:
                self._recording.leave(tick * n + slot)
        if not self.keeps_together:
            for slot in slots:
                self._open(slot, StepType.FIRST)
        shared = beginnings(infos, len(slots))
        if len(slots) == n:  # one after the other takes ten times as long
            self._starts, self._begun = [tick] * n, [tick] * n
            self._first_step_types, self._episode_infos = [StepType.FIRST] * n, shared
            return
        starts, begun, types, of_episodes = (
            self._starts,
            self._begun,
            self._first_step_types,
            self._episode_infos,
        )
        for slot, its_own in zip(slots, shared, strict=True):
            starts[slot] = begun[slot] = tick
            types[slot], of_episodes[slot] = StepType.FIRST, its_own

    def _open(self, slot: int, first_step_type: StepType) -> None:
        self._first_step_types[slot] = first_step_type
        if self._told:
            self._env_infos[slot].clear()
        if self._agent_infos is not None:
            self._agent_infos[slot].clear()
        self._starts[slot] = self._tick

    def keep(self, slot: int, last_step_type: StepType, *, goes_on: bool = False) -> EpisodeSlice:
        """End a slot's episode and leave its rows where they are.

        Args:
            slot: which.
            last_step_type: TERMINAL or TIMEOUT; MID where the episode is cut (a fragment).
            goes_on: whether the slot goes on with the next part of the same episode.

        Raises:
            ValueError: where no step was recorded.
        """
        start, tick = self._starts[slot], self._tick
        length = tick - start
        if start == _CLOSED or length == 0:
            raise ValueError(
                f"An episode has at least one step, but slot {slot} has recorded none: add a step before its "
                "end."
            )
        tables = self._agent_infos
        kept = self._recording.keep(
            slot,
            (start, tick),
            (self._first_step_types[slot], last_step_type),
            (
                self._episode_infos[slot],
                self._env_infos[slot].finish(length) if self._told else None,
                None if tables is None else tables[slot].finish(length),
            ),
        )
        if length > self._longest:
            self._longest = length
        if goes_on:
            self._open(slot, StepType.MID)
        else:
            self.drop(slot)
        return kept

    def keep_all(self, ended: Sequence[tuple[int, StepType]]) -> EpisodeSlice:
        """End the episodes of several slots, as `keep` does; only while it `keeps_together`.

        Args:
            ended: slots, in order, and the types of their last steps.

        Returns:
            All of them, in this order.
        """
        slots = [slot for slot, _ in ended]
        begins, types, infos = self._starts, self._first_step_types, self._episode_infos
        if len(slots) < self.n_slots:
            begins, types = [begins[slot] for slot in slots], [types[slot] for slot in slots]
            infos = [infos[slot] for slot in slots]
        last_types = [last for _, last in ended]
        kept = self._recording.keep_all(slots, (begins, self._tick), (types, last_types), infos)
        self._longest = max(self._longest, self._tick - min(begins))
        self._drop_each(slots)
        return kept

    def cut_all(self, slots: Sequence[int]) -> EpisodeSlice:
        """Cut the open episodes of several slots, and go on with each, as `keep` does one by one.

        Each must have a step since it was cut last.

        Returns:
            The parts, slot by slot.
        """
        starts = [self._starts[slot] for slot in slots]
        lengths = [self._tick - start for start in starts]
        kept = self._recording.cut_all(
            slots,
            (starts, self._tick),
            [self._first_step_types[slot] for slot in slots],
            (
                [self._episode_infos[slot] for slot in slots],
                _finished(self._env_infos if self._told else None, slots, lengths),
                _finished(self._agent_infos, slots, lengths),
            ),
        )
        self._longest = max(self._longest, *lengths)
        self._cut_at = self._tick
        for slot in slots:
            self._open(slot, StepType.MID)
        return kept

    def cut_each(self, slots: Sequence[int]) -> list[EpisodeSlice]:
        """Cut slots as `cut_all` does, and return a slice of each."""
        return one_by_one(self.cut_all(slots)).slices()

    @property
    def keeps_together(self) -> bool:
        """Whether all infos are recorded tick by tick, so that nothing can go wrong with one slot alone."""
        return self._agent_infos is None and not self._env_infos_by_rows

    def drop(self, slot: int) -> None:
        """Forget what a slot has open."""
        if self._cut_at == self._tick:
            # What it goes on with is the final observation of what was cut.
            self._recording.leave(self._tick * self.n_slots + slot)
        self._starts[slot] = _CLOSED
        self._begun[slot] = math.inf

    def _drop_each(self, slots: Sequence[int]) -> None:
        if self._cut_at == self._tick or len(slots) < self.n_slots:
            for slot in slots:
                self.drop(slot)
            return
        self._starts, self._begun = [_CLOSED] * self.n_slots, [math.inf] * self.n_slots

    # -- a tick ----------------------------------------------------------------------------------

    def observations(self, live: Sequence[int]) -> Column:
        """Return what the policy is to see now, in fresh arrays of `n_slots` rows.

        Args:
            live: slots with an open episode, at least one; rows of the others repeat that of the first one.
        """
        tick, n = self._tick, self.n_slots
        if len(live) < n:
            first = tick * n + live[0]
            idle = [tick * n + slot for slot in range(n) if self._starts[slot] == _CLOSED]
            fill(self._recording.observations.rows(slice(None)), idle, first)
        return self._recording.observations.copy_rows(tick * n, tick * n + n)

    def act(self, actions: Any, agent_infos: Mapping[str, Any], live: Sequence[int]) -> Sequence[Any]:
        """Record the actions of the coming tick, and return them as the environments are to get them.

        Args:
            actions: `n_slots` rows, nested as the action space is; those of idle slots are ignored.
            agent_infos: a dict of columns with `n_slots` rows.
            live: slots with an open episode.

        Returns:
            For each slot a value of the action space, in memory that nobody else has; anything where idle.

        Raises:
            ValueError, TypeError: where an action does not fit its space, or there are not enough rows.
        """
        if not self._put_actions(actions, agent_infos, live):
            return self._cast_rows(actions, live)
        return list(actions) if type(self._recording.actions) is ScalarColumn else list(actions.copy())

    def _put_actions(self, actions: Any, agent_infos: Mapping[str, Any], live: Sequence[int]) -> bool:
        """Record the infos of a tick, and its actions all at once, if none of them needs to be cast."""
        if self._tick >= self._recording.capacity:
            self._make_room()
        if agent_infos or not self._recording.agent_infos.ticks.empty or self._agent_infos is not None:
            self._put_agent_infos(agent_infos, live)
        dtype, shape, rows = self._recording.plain_actions
        if type(actions) is np.ndarray and actions.shape == shape and actions.dtype == dtype:
            start = self._tick * self.n_slots
            rows[start : start + self.n_slots] = actions
            return True
        return False

    def _cast_rows(self, actions: Any, live: Sequence[int]) -> list[Any]:
        column, first = self._recording.actions, self._tick * self.n_slots
        check_rows(actions, self.n_slots)
        given: list[Any] = [None] * self.n_slots
        for slot in live:
            self.failing = slot
            given[slot] = column.cast(first + slot, row_of(actions, slot))
        self.failing = None
        return given

    def step(
        self,
        steps: Sequence[Step],
        given: Sequence[Any],
        live: Sequence[int],
        max_length: float,
        worker: Cancellable | None = None,
    ) -> list[tuple[int, StepType]]:
        """Step the environments of the live slots, record what comes of it, and go on to the next tick.

        Every step of every looped slot passes here: it is written for speed, like `EpisodeRecorder.episodes`.

        Args:
            steps: for each slot its environment's `step`.
            given: what `act` returned.
            live: slots with an open episode.
            max_length: most steps of an episode.
            worker: looked at before each step; when it is cancelled, all that is open is dropped at once.

        Returns:
            The slots whose episodes ended, in the order of `live`, and how.

        Raises:
            ValueError, TypeError: where something does not fit; `failing` is the slot, as for anything that
                an environment raises.
        """
        recording, tick, n, starts = self._recording, self._tick, self.n_slots, self._starts
        array, (dtype, shape, rows) = np.ndarray, recording.plain
        line, width, rewards = recording.line, recording.width, recording.reward_line
        row, ended, slot, watch = tick * n, [], live[0], worker or _NEVER
        put, following, tables = recording.observations.put, row + n, self._env_infos
        # Until the oldest of them reaches the limit, nobody need be asked.
        begun = self._begun
        check = tick + 1 - min(begun) >= max_length
        try:
            for slot in live:
                if watch.cancelled:
                    return self._drop_all()
                observation, reward, terminated, truncated, env_info = steps[slot](given[slot])
                if line is not None and type(observation) is array:
                    first = (following + slot) * width
                    try:
                        line[first : first + width] = observation
                    except ValueError:
                        put(following + slot, observation)
                elif type(observation) is array and observation.dtype is dtype and observation.shape == shape:
                    rows[following + slot] = observation
                else:
                    put(following + slot, observation)
                rewards[row + slot] = reward if type(reward) is float else checked_reward(reward)
                if env_info:
                    self._told = True
                    tables[slot].add(tick - starts[slot], env_info)
                if terminated:
                    ended.append((slot, StepType.TERMINAL))
                elif truncated or (check and tick + 1 - begun[slot] >= max_length):
                    ended.append((slot, StepType.TIMEOUT))
        except BaseException:
            self.failing = slot
            raise
        self._tick = tick + 1
        return ended

    def _drop_all(self) -> list[tuple[int, StepType]]:
        for slot in range(self.n_slots):
            self.drop(slot)
        return []

    # -- infos of the policy ---------------------------------------------------------------------

    def _put_agent_infos(self, infos: Mapping[str, Any], live: Sequence[int]) -> None:
        if self._agent_infos is None and self._recording.agent_infos.ticks.put(self._tick, infos):
            return
        # Of another number of rows a slot would get what belongs to others, or nothing.
        for key, column in infos.items():
            check_rows(column, self.n_slots, f"info {key!r}")
        if self._agent_infos is None:
            self._go_by_rows()
        assert self._agent_infos is not None
        for slot in live:
            info = row_infos(infos, slot)
            if info:
                self._agent_infos[slot].add(self._tick - self._starts[slot], info)

    def _go_by_rows(self) -> None:
        """From now on each slot has a table, which takes infos of any kind."""
        tables = [InfoTable("agent_infos") for _ in range(self.n_slots)]
        self._replay(self._recording.agent_infos.ticks, tables)
        self._turn_over()
        self._recording.agent_infos.forget_ticks()
        self._agent_infos = tables

    def _replay(self, infos: TickInfos, tables: Sequence[InfoTable]) -> None:
        """Put what was recorded of open episodes into tables."""
        for slot, start in enumerate(self._starts):
            if start != _CLOSED:
                columns = infos.cut(self._recording.rows_of_steps(slot, start, self._tick))
                for step in range(self._tick - start):
                    tables[slot].add(step, row_infos(columns, step))

    # -- room ------------------------------------------------------------------------------------

    def reserve(self, n_ticks: int) -> None:
        """Let the next ticks, so many, be recorded in one piece: where they are cut together, nobody has to
        join their parts.
        """
        if self._tick + n_ticks > self._recording.capacity:
            self._turn_over(n_ticks=n_ticks)

    def _make_room(self) -> None:
        if self._recording.n_episodes:
            self._turn_over()
        else:
            self._recording.grow(2 * self._recording.capacity)

    def _turn_over(self, *, with_this_tick: bool = False, n_ticks: int | None = None) -> None:
        """Go on in a new recording, and take along what is open.

        Args:
            with_this_tick: whether the present tick has been written, too.
            n_ticks: for how many more ticks there is to be room; None leaves it to what was seen so far.
        """
        old, tick = self._recording, self._tick
        first = min((start for start in self._starts if start != _CLOSED), default=tick)
        n_open = tick - first
        room = max(2 * n_open, 2 * self._longest) if n_ticks is None else n_open + n_ticks
        self._recording = self._new_recording(room)
        self._recording.take_ticks(old, first, tick + with_this_tick)
        self._starts = [start if start == _CLOSED else start - first for start in self._starts]
        self._begun = [begun - first for begun in self._begun]
        self._oldest -= first
        self._tick = tick - first
        self._cut_at = _CLOSED

    def _new_recording(self, ticks: int) -> TickRecording:
        capacity = max(usual_ticks(self.env_spec, self.n_slots), ticks)
        return TickRecording(self.env_spec, self.n_slots, capacity, self._warned, self._memory)


def _finished(
    tables: Sequence[InfoTable] | None, slots: Sequence[int], lengths: Sequence[int]
) -> list[Columns] | None:
    """Return the infos of some slots, where these come row by row."""
    if tables is None:
        return None
    return [tables[slot].finish(length) for slot, length in zip(slots, lengths, strict=True)]


def fill(column: Column, rows: Sequence[int], first: int) -> None:
    """Copy one row of a column to others."""

    def copied(array: Array) -> Array:
        array[rows] = array[first]
        return array

    map_column(copied, column)


def check_rows(column: Any, n_rows: int, what: str = "an action") -> None:
    """Raise a ValueError where a column of what a policy returned has not so many rows."""
    if isinstance(column, Mapping):
        for child in column.values():
            check_rows(child, n_rows, what)
        return
    if isinstance(column, tuple):
        for child in column:
            check_rows(child, n_rows, what)
        return
    has_rows = hasattr(column, "__len__") and getattr(column, "ndim", 1) > 0
    if not has_rows or len(column) != n_rows:
        found = f"{len(column)} rows" if has_rows else f"{column!r}, which has no rows"
        raise ValueError(
            f"get_actions returned {found}, but there are {n_rows} slots: return {what} for each row of "
            "the observations, idle ones too"
        )
