"""Bringing open episodes back: the same seeds, the same actions, and so the same episodes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samplerkit.episodes.bits import array_bytes
from samplerkit.episodes.columns import Column, arrays_of, concatenate_columns, row_of, rows_of
from samplerkit.episodes.space_columns import space_column
from samplerkit.interfaces import OpenEpisode, Unit
from samplerkit.workers.slots import Slots

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """An episode to be brought back.

    Attributes:
        episode: what was recorded of it.
        unit: it is.
        env_seed: for the reset.
    """

    episode: OpenEpisode
    unit: Unit
    env_seed: int | None

    @property
    def slot(self) -> int:
        """Where it is played."""
        return self.episode.slot


class Rehearsal:
    """Plays open episodes again, side by side, so that all of them get to where they stood in the same tick.

    Args:
        slots: that play them; all are idle. They have those episodes open then that could be brought back.
        agent: the policy.
        ask: whether to bring its hidden state back as well, by asking it for all actions again: that tells
            whether it stands where it stood.
    """

    def __init__(self, slots: Slots, agent: Any, *, ask: bool) -> None:
        self._slots = slots
        self._agent = agent
        self._ask = ask
        self._lost: set[int] = set()

    def play(self, parts: Sequence[Part]) -> set[int]:
        """Return the slots whose episodes cannot be brought back."""
        for part in parts:
            if self._ask and not part.episode.one_policy:
                self._lose(part, "its policy has no get_state, and had other weights when it began")
        try:
            # After an exception nobody knows how far the others got: those begin once more.
            while not self._played([part for part in parts if part.slot not in self._lost]):
                self._slots.clear()
        finally:
            self._slots.take_agent(self._agent)
        return self._lost

    def _played(self, parts: Sequence[Part]) -> bool:
        slots, longest = self._slots, max((part.episode.n_steps for part in parts), default=0)
        prompter = _Prompter(
            parts, slots.n_slots, self._agent if self._ask else None, slots.recorder.env_spec
        )
        slots.take_agent(prompter)
        for tick in range(longest):
            try:
                for part in parts:
                    if tick == longest - part.episode.n_steps:
                        slots.begin(part.slot, part.unit, part.env_seed)
                prompter.before_end = longest - tick
                ended = slots.tick()
            except Exception as error:
                self._blame(parts, error)
                return False
            for slot, _ in ended:
                self._lose(_of(parts, slot), f"it ends {longest - tick - 1} steps too early")
                slots.drop(slot)
            if not slots.live:
                break
        self._compare(parts, prompter.disagreed)
        return True

    def _blame(self, parts: Sequence[Part], error: Exception) -> None:
        guilty = [part for part in parts if self._slots.failing in (None, part.slot)]
        for part in guilty:
            self._lose(part, f"{type(error).__name__}: {error}")

    def _compare(self, parts: Sequence[Part], disagreed: set[int]) -> None:
        """Keep those open that stand where they stood."""
        slots = self._slots
        if not slots.live:
            return
        seen = slots.recorder.observations(slots.live)
        for slot in list(slots.live):
            part = _of(parts, slot)
            if not self.same(rows_of(seen, slice(slot, slot + 1)), part.episode.observation):
                self._lose(part, "the same actions lead elsewhere")
            elif slot in disagreed:
                self._lose(part, "its policy acts otherwise")
            else:
                slots.cut(slot)  # these steps are known
                continue
            slots.drop(slot)

    @staticmethod
    def same(one: Column, other: Column) -> bool:
        """Whether two observations are the same, bit for bit."""
        return _same(one, other)

    def _lose(self, part: Part, why: str) -> None:
        log.warning("unit %d cannot be brought back: %s", part.unit.number, why)
        self._lost.add(part.slot)


class _Prompter:
    """A policy that gives the recorded actions.

    Args:
        parts: the episodes.
        n_slots: rows.
        agent: is asked too, if given; whose actions are others is in `disagreed`.
        spec: of the environments.
    """

    def __init__(self, parts: Sequence[Part], n_slots: int, agent: Any, spec: Any) -> None:
        self._parts = parts
        self._n_slots = n_slots
        self._agent = agent
        self._space = spec.action_space
        self.before_end = 0
        self.disagreed: set[int] = set()
        if hasattr(agent, "seed"):
            self.seed = agent.seed

    def get_actions(self, observations: Any) -> tuple[Column, dict[str, Any]]:
        """Return the recorded actions of this tick, and any for slots whose episodes have not begun."""
        begun = {part.slot: part for part in self._parts if part.episode.n_steps >= self.before_end}
        given = {slot: self._recorded(part) for slot, part in begun.items()}
        if self._agent is not None:
            chosen, _ = self._agent.get_actions(observations)
            self.disagreed.update(
                slot for slot, action in given.items() if not _same(self._as_recorded(chosen, slot), action)
            )
        any_action = next(iter(given.values()))
        rows = [given.get(slot, any_action) for slot in range(self._n_slots)]
        return concatenate_columns(rows, "actions"), {}

    def _recorded(self, part: Part) -> Column:
        step = part.episode.n_steps - self.before_end
        return rows_of(part.episode.actions, slice(step, step + 1))

    def _as_recorded(self, chosen: Any, slot: int) -> Column:
        column = space_column(self._space, "action", 1, {"action"})
        column.cast(0, row_of(chosen, slot))
        return column.rows(slice(None))

    def reset(self, do_resets: npt.NDArray[np.bool_] | None = None) -> None:
        """Reset rows of the policy that is asked."""
        if self._agent is not None:
            self._agent.reset(do_resets)


def _of(parts: Sequence[Part], slot: int) -> Part:
    return next(part for part in parts if part.slot == slot)


def _same(one: Column, other: Column) -> bool:
    """Whether two columns are the same, bit for bit."""
    pairs = zip(arrays_of(one), arrays_of(other), strict=True)
    return all(array_bytes(here) == array_bytes(there) for (_, here), (_, there) in pairs)
