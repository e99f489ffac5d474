"""The vectorized worker: many environments, one policy call a tick, units that overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from samplerkit.episodes import EpisodeBatch, EpisodeSlice, StepType, join
from samplerkit.interfaces import Unit, UnitCancelled
from samplerkit.sampling import check_count
from samplerkit.workers.slot_worker import DEFAULT_N_ENVS, SlotWorker
from samplerkit_vectorized.line import Line


class VecWorker(SlotWorker):
    """Steps several environments, with one ``policy.get_actions`` for all of them; a unit is an episode.

    A slot whose episode ends takes the next unit at once, so that as many units are under way as there are
    environments, as long as there are units. Which slot a unit runs in is never seen in its data, if the
    policy is exact row by row.

    Environments may be one for all, of which every slot gets a copy, or a list of exactly `n_envs`; then unit
    m of the worker (0, 1, 2, …) runs in slot ``m % n_envs``.

    Args:
        seed, max_episode_length, worker_number: as for `Worker`.
        n_envs: how many environments.

    Raises:
        TypeError, ValueError: if `n_envs` is no integer of at least 1.
    """

    stateful: ClassVar[bool] = False

    def __init__(
        self,
        *,
        seed: int | None,
        max_episode_length: float,
        worker_number: int,
        n_envs: int = DEFAULT_N_ENVS,
    ) -> None:
        super().__init__(
            seed=seed,
            max_episode_length=max_episode_length,
            worker_number=worker_number,
            n_envs=check_count("n_envs", n_envs),
        )
        self._own_slots = False

    @classmethod
    def overlap(cls, *, n_envs: int = DEFAULT_N_ENVS, **worker_args: Any) -> int:
        """See `Worker.overlap`: one unit for each environment."""
        del worker_args
        return check_count("n_envs", n_envs)

    # -- updates ---------------------------------------------------------------------------------

    def update_agent(self, agent_update: Any) -> None:
        """See `SlotWorker.update_agent`; what is under way is dropped."""
        if agent_update is not None:
            self._slots.clear()
        super().update_agent(agent_update)

    def update_env(self, env_update: Any) -> None:
        """See `SlotWorker.update_env`; what is under way is dropped."""
        if env_update is None:
            return
        self._slots.clear()
        super().update_env(env_update)
        self._own_slots = isinstance(env_update, list)

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

    def rollouts(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, EpisodeBatch | EpisodeSlice]]:
        """Run units as they are handed out, up to `n_envs` at a time, and yield each with its episode."""
        slots = self._slots
        slots.clear()
        line = Line(units, self._home)
        while True:
            if len(slots.live) < self.n_envs:
                self._fill(line)
                if not slots.live:
                    return
            ended = self._tick(line)
            if self.cancelled:
                raise UnitCancelled
            if ended:
                units_of = [slots.units[slot] for slot, _ in ended]
                kept = slots.keep_all(ended)
                for unit in units_of:
                    self.unit = unit
                    assert unit is not None, "begun with a unit"
                    yield unit, next(kept)

    def _fill(self, line: Line) -> None:
        """Begin units in idle slots, as far as there are any."""
        live = set(self._slots.live)
        if live and (line.alone or (self.one_at_a_time and not self._own_slots)):
            return
        idle = [slot for slot in range(self.n_envs) if slot not in live]
        if self.one_at_a_time and not self._own_slots:
            del idle[1:]
        for slot, unit in line.take(idle):
            self.unit = unit
            self._begin(slot, unit)
            if self.cancelled:
                raise UnitCancelled

    def _begin(self, slot: int, unit: Unit | None) -> None:
        self._slots.begin(slot, unit, self._slot_seed(slot, unit))

    def _tick(self, line: Line) -> list[tuple[int, StepType]]:
        """Advance all slots; on an exception, find out which unit it belongs to."""
        slots = self._slots
        try:
            return slots.tick(self)
        except BaseException as error:
            guilty = slots.live[0] if len(slots.live) == 1 else slots.failing
            if guilty is None and isinstance(error, (Exception, SystemExit)):
                # The policy acts for all rows at once. Run each of them alone: the guilty one fails again.
                line.run_alone(unit for unit in slots.units if unit is not None)
                slots.clear()
                return []
            self.unit = None if guilty is None else slots.units[guilty]
            raise

    def _home(self, unit: Unit) -> int | None:
        """Return the only slot that may run a unit; None where any may."""
        return unit.number // self.n_workers % self.n_envs if self._own_slots else None
