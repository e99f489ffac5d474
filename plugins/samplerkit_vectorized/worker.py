"""The vectorized worker: many environments, one policy call a tick, units that overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import gymnasium

from samplerkit.episodes import EpisodeBatch, EpisodeSlice, StepType, join
from samplerkit.interfaces import StreamingWorker, Unit, UnitCancelled, VectorEnv
from samplerkit.interfaces.unit_feeds import InGroups
from samplerkit.sampling import check_count
from samplerkit.sampling.options import check_flag
from samplerkit.workers.native_slots import NativeSlots, seeds_each_slot
from samplerkit.workers.native_stream import StreamSlots
from samplerkit.workers.slot_worker import DEFAULT_N_ENVS, SlotWorker
from samplerkit_vectorized.waiting_units import WaitingUnits

_PIECES = 4
"""Pieces of a stream for each generation of its slots: more of them waste less at the end of a batch."""


class VecWorker(SlotWorker, StreamingWorker):
    """Steps several environments, with one ``policy.get_actions`` for all of them; a unit is an episode.

    A slot whose episode ends takes the next unit at once, so that as many units are under way as there are
    environments, as long as there are units. Which slot a unit runs in is never seen in its data, if the
    policy is exact row by row.

    Environments may be one for all, of which every slot gets a copy, or a list of exactly `n_envs`; then unit
    m of the worker (0, 1, 2, …) runs in slot ``m % n_envs``.

    With a vector environment that can only be seeded as a whole its episodes are a stream: see
    `StreamingWorker`.

    Args:
        seed, max_episode_length, worker_number: as for `Worker`.
        n_envs: how many environments.
        fixed_slots: whether unit m of the worker always runs in slot ``m % n_envs``, as it does with a list:
            what a policy does for a row may then depend on the row's place, though not on other rows.
        native: whether a gymnasium id stands for its native vector environment (its vector entry point).

    Raises:
        TypeError, ValueError: if `n_envs` is no integer of at least 1, `fixed_slots` or `native` no bool.
    """

    stateful: ClassVar[bool] = False

    draws_from_global_random: ClassVar[bool] = False

    stream_type: ClassVar[type[StreamSlots]] = StreamSlots
    """What steps a vector environment that can only be seeded as a whole."""

    def __init__(
        self,
        *,
        seed: int | None,
        max_episode_length: float,
        worker_number: int,
        n_envs: int = DEFAULT_N_ENVS,
        fixed_slots: bool = False,
        native: bool = False,
    ) -> None:
        del native  # it has been looked at by whoever turned an id into an update
        super().__init__(
            seed=seed,
            max_episode_length=max_episode_length,
            worker_number=worker_number,
            n_envs=check_count("n_envs", n_envs),
        )
        self._fixed_slots = check_flag("fixed_slots", fixed_slots)
        self._own_slots = False
        self._stream: Iterator[EpisodeSlice] | None = None

    @classmethod
    def native_slots(
        cls, *, n_envs: int = DEFAULT_N_ENVS, native: bool = False, **worker_args: Any
    ) -> int | None:
        """See `Worker.native_slots`."""
        del worker_args
        return check_count("n_envs", n_envs) if check_flag("native", native) else None

    @classmethod
    def overlap(cls, *, n_envs: int = DEFAULT_N_ENVS, **worker_args: Any) -> int:
        """See `Worker.overlap`: one unit for each environment."""
        del worker_args
        return check_count("n_envs", n_envs)

    # -- updates ---------------------------------------------------------------------------------

    def update_agent(self, agent_update: Any) -> None:
        """See `SlotWorker.update_agent`; what is under way is dropped."""
        if agent_update is not None:
            self._forget()
        super().update_agent(agent_update)

    def update_env(self, env_update: Any) -> None:
        """See `SlotWorker.update_env`; what is under way is dropped."""
        if env_update is None:
            return
        self._forget()
        super().update_env(env_update)
        self._own_slots = isinstance(env_update, list)

    def _forget(self) -> None:
        self._slots.clear()
        self._stream = None

    def _native_type(self, env: VectorEnv) -> type[NativeSlots]:
        if not self.streams(env):
            return self.native_type
        self.stream_type.check(env)
        return self.stream_type

    # -- streams ---------------------------------------------------------------------------------

    @classmethod
    def streams(cls, env: Any) -> bool:
        """See `StreamingWorker.streams`."""
        return isinstance(env, gymnasium.vector.VectorEnv) and not seeds_each_slot(env)

    @classmethod
    def piece_size(cls, *, n_envs: int = DEFAULT_N_ENVS, **worker_args: Any) -> int:
        """See `StreamingWorker.piece_size`."""
        del worker_args
        return -(-check_count("n_envs", n_envs) // _PIECES)

    def begin_stream(self, first: Unit) -> None:
        """See `StreamingWorker.begin_stream`."""
        if not isinstance(self._slots, StreamSlots):
            raise TypeError(
                "these environments can be seeded one by one, and this sampler was made for such as can only "
                "be seeded as a whole: make a new sampler for them"
            )
        self._stream = self._slots.stream(self, first, self.piece_size(n_envs=self.n_envs))

    def _pieces(self, pieces: Iterable[Unit]) -> Iterator[tuple[Unit, EpisodeSlice]]:
        if self._stream is None:
            raise TypeError(
                "these environments can only be seeded as a whole, and this sampler was made for such as can "
                "be seeded one by one: make a new sampler for them"
            )
        for piece in pieces:
            self.unit = piece
            yield piece, next(self._stream)

    # -- units -----------------------------------------------------------------------------------

    def rollout(self) -> EpisodeBatch:
        """Run the unit in `self.unit`, or an unseeded one where there is none, alone, and return it."""
        slots, unit = self._slots, self.unit
        slots.clear()
        self._begin(0 if unit is None else self._home(unit) or 0, unit)
        while not self.cancelled:
            for slot, last_step_type in slots.tick(self):
                return join([slots.keep(slot, last_step_type)])
        raise UnitCancelled

    def rollouts(self, units: Iterable[Unit]) -> Iterator[tuple[Any, EpisodeBatch | EpisodeSlice]]:
        """Run units as they are handed out, up to `n_envs` at a time, and yield each with its episode.

        Whoever hands them out in groups gets those that end together as a list, with all their episodes.
        """
        slots = self._slots
        slots.clear()
        if isinstance(slots, StreamSlots):
            yield from self._pieces(units)
            return
        in_groups = isinstance(units, InGroups)
        waiting = WaitingUnits(units, self._home if self._has_homes else None)
        while True:
            if len(slots.live) < self.n_envs:
                self._fill(waiting)
                if not slots.live:
                    return
            ended = self._tick(waiting)
            if self.cancelled:
                raise UnitCancelled
            if len(ended) == 1:
                slot, last_step_type = ended[0]
                self.unit = slots.units[slot]
                yield self.unit, slots.keep(slot, last_step_type)
            elif ended:
                units_of = slots.units_of(ended)
                if in_groups and slots.end_together(ended):
                    yield units_of, slots.keep_together(ended)
                    continue
                kept = slots.keep_all(ended)
                for unit in units_of:
                    self.unit = unit
                    assert unit is not None, "begun with a unit"
                    yield unit, next(kept)

    def _fill(self, waiting: WaitingUnits) -> None:
        """Begin units in idle slots, as far as there are any."""
        slots = self._slots
        if slots.live and (waiting.alone or (self.one_at_a_time and not self._own_slots)):
            return
        if len(slots.live) == self.n_envs - 1:
            idle = [slots.units.index(None)]
        else:
            idle = [slot for slot, unit in enumerate(slots.units) if unit is None]
        if self.one_at_a_time and not self._own_slots:
            del idle[1:]
        if slots.begins_together:
            begun, units = waiting.take_together(idle)
            slots.begin_all(begun, units, self._slot_seeds(begun, units))
            return
        for slot, unit in waiting.take(idle):
            self.unit = unit
            self._begin(slot, unit)
            if self.cancelled:
                raise UnitCancelled

    def _begin(self, slot: int, unit: Unit | None) -> None:
        self._slots.begin(slot, unit, self._slot_seed(slot, unit))

    def _tick(self, waiting: WaitingUnits) -> list[tuple[int, StepType]]:
        """Advance all slots; on an exception, find out which unit it belongs to."""
        slots = self._slots
        try:
            return slots.tick(self)
        except BaseException as error:
            guilty = slots.live[0] if len(slots.live) == 1 else slots.failing
            if guilty is None and not isinstance(error, self.interrupts):
                # The policy acts for all rows at once. Run each of them alone: the guilty one fails again.
                waiting.run_alone(unit for unit in slots.units if unit is not None)
                slots.clear()
                return []
            self.unit = None if guilty is None else slots.units[guilty]
            raise

    @property
    def _has_homes(self) -> bool:
        return self._own_slots or (self._fixed_slots and not self.one_at_a_time)

    def _home(self, unit: Unit) -> int | None:
        """Return the only slot that may run a unit; None where any may."""
        if self._has_homes:
            return unit.number // self.n_workers % self.n_envs
        return None
