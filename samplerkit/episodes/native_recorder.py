"""Recording the slots of a vector environment, which all step at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from samplerkit.episodes.beginnings import put_rows
from samplerkit.episodes.columns import Array, Column, assign, fits, row_of
from samplerkit.episodes.step_type import StepType
from samplerkit.episodes.tick_recorder import TickRecorder, fill
from samplerkit.episodes.vector_infos import final_observations, row_infos, step_infos


class NativeRecorder(TickRecorder):
    """A `TickRecorder` whose ticks are written as a whole: `act_together` and `step_together`.

    Idle slots are stepped, too, and what is legal may depend on what stands there: the policy acts on what
    each of them observes, and none of it is kept.

    Whatever the autoreset mode of the environment, the observation that follows an episode's last step is the
    true final one.
    """

    _env_infos_by_rows = False

    over: list[int] = []  # noqa: RUF012 - replaced at each tick, never changed in place
    """Slots, idle ones too, whose episodes the environment ended in the last tick."""

    resets_in_step: bool = True
    """Whether the environment may reset a slot in the step that ends its episode, and give the final
    observation in the infos. What others have there under that name is an info like any."""

    def stand_by(self, slots: Sequence[int], observations: Any) -> None:
        """Take what idle slots observe after a reset.

        Args:
            slots: which.
            observations: a column with `n_slots` rows, of which theirs count.
        """
        columns, first = self._recording.observations, self._tick * self.n_slots
        if not put_rows(columns.rows(slice(first, first + self.n_slots)), observations, slots):
            for slot in slots:
                columns.put(first + slot, row_of(observations, slot))

    def observations(self, live: Sequence[int]) -> Column:
        """Return what the policy is to see now, in fresh arrays of `n_slots` rows."""
        first = self._tick * self.n_slots
        return self._recording.observations.copy_rows(first, first + self.n_slots)

    def act_together(self, actions: Any, agent_infos: Mapping[str, Any], live: Sequence[int]) -> Column:
        """Record the actions of the coming tick, and return them as the vector environment is to get them.

        Args:
            actions: as for `act`.
            agent_infos: as for `act`.
            live: slots with an open episode.

        Returns:
            A column with a row for each slot, in fresh arrays; that of an idle slot repeats a live one where
            the policy gave nothing that fits the space.

        Raises:
            ValueError, TypeError: as `act`.
        """
        if self._put_actions(actions, agent_infos, live):
            given: Array = actions.copy()
            return given
        cast = self._cast_rows(actions, live)
        columns, rows = self._recording.actions, self._recording.tick_rows(self._tick)
        for slot in [slot for slot, action in enumerate(cast) if action is None]:
            try:
                columns.cast(rows.start + slot, row_of(actions, slot))
            except (ValueError, TypeError):
                fill(columns.rows(rows), [slot], live[0])
        return columns.copy_rows(rows.start, rows.stop)

    def step_together(
        self,
        observations: Any,
        rewards: Any,
        terminated: Any,
        truncated: Any,
        infos: Mapping[str, Any],
        live: Sequence[int],
        max_length: float,
    ) -> list[tuple[int, StepType]]:
        """Record what a vector environment returned for a tick, and go on to the next one.

        Args:
            observations: as returned; those of idle slots are what the policy acts on there.
            rewards: (n_slots,) real numbers; rows of idle slots do not count, here and below.
            terminated: (n_slots,) booleans.
            truncated: (n_slots,) booleans.
            infos: as returned.
            live: slots with an open episode.
            max_length: most steps of an episode.

        Returns:
            The slots whose episodes ended, in the order of `live`, and how.

        Raises:
            ValueError, TypeError: where something does not fit its space.
        """
        recording, tick, n = self._recording, self._tick, self.n_slots
        terminated, truncated = np.asarray(terminated), np.asarray(truncated)
        over = terminated | truncated
        self.over = np.flatnonzero(over).tolist() if over.any() else []
        following = tick * n + n
        dtype, shape, rows = recording.plain_observations
        if type(observations) is np.ndarray and observations.shape == shape and observations.dtype == dtype:
            rows[following : following + n] = observations
        else:
            self._put_observations(following, observations)
        finals = final_observations(infos, over) if infos and self.resets_in_step else None
        if finals is not None:
            column, mask = finals
            for slot in np.flatnonzero(mask).tolist():
                recording.observations.put(following + slot, row_of(column, slot))
            infos = step_infos(infos, over)
        recording.rewards[tick * n : following] = checked_rewards(rewards, n)
        if infos or not recording.env_infos.ticks.empty or self._env_infos_by_rows:
            self._put_env_infos(infos, live)
        self._tick += 1  # not as it was at first: infos may have made this tick one of a new recording
        return self._ended(terminated, over, live, max_length)

    def _ended(
        self, terminated: Any, over: Any, live: Sequence[int], max_length: float
    ) -> list[tuple[int, StepType]]:
        limit = self._tick - self._oldest >= max_length
        if limit:
            self._oldest = min(self._begun)
            limit = self._tick - self._oldest >= max_length
        if not (limit or self.over):
            return []
        # Lists, because to ask an array for one of its flags takes longer than all the rest.
        over, terminated = over.tolist(), terminated.tolist()
        if self.over == live:
            ended = live
        elif limit:
            ended = [slot for slot in live if over[slot] or self._tick - self._begun[slot] >= max_length]
        else:
            ended = [slot for slot in live if over[slot]]
        terminal, timeout = StepType.TERMINAL, StepType.TIMEOUT
        return [(slot, terminal if terminated[slot] else timeout) for slot in ended]

    def _put_observations(self, row: int, observations: Any) -> None:
        columns = self._recording.observations
        place = columns.rows(slice(row, row + self.n_slots))
        if fits(place, observations):
            assign(place, observations)
            return
        for slot in range(self.n_slots):
            columns.put(row + slot, row_of(observations, slot))

    def _put_env_infos(self, infos: Mapping[str, Any], live: Sequence[int]) -> None:
        if not self._env_infos_by_rows:
            if self._recording.env_infos.ticks.put(self._tick, infos):
                return
            self._replay(self._recording.env_infos.ticks, self._env_infos)
            self._turn_over(with_this_tick=True)
            self._recording.env_infos.forget_ticks()
            self._env_infos_by_rows = self._told = True
        for slot in live:
            info = row_infos(infos, slot)
            if info:
                self._env_infos[slot].add(self._tick - self._starts[slot], info)


def checked_rewards(rewards: Any, n: int) -> Array:
    """Return the rewards of a tick.

    Raises:
        TypeError, ValueError: if they are not `n` real numbers.
    """
    array = np.asarray(rewards)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"rewards have dtype {array.dtype}, but must be real numbers")
    if array.shape != (n,):
        raise ValueError(f"rewards have shape {array.shape}, but must be one number for each of {n} slots")
    return array
