"""The vectorized worker: many environments, one policy call a tick, units that overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any, ClassVar, TypeVar

from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeSlice, StepType, join
from samplerkit.interfaces import Unit, UnitCancelled, Worker, is_policy
from samplerkit.workers.native_slots import NativeSlots, checked_seeding
from samplerkit.workers.slot_envs import slot_envs_or_native
from samplerkit.workers.slots import Slots
from samplerkit_vectorized.line import Line

DEFAULT_N_ENVS = 8

S = TypeVar("S", bound=Slots)


class VecWorker(Worker):
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

    takes_vector_envs: ClassVar[bool] = True

    slots_type: ClassVar[type[Slots]] = Slots
    """What steps environments in turn."""

    native_type: ClassVar[type[NativeSlots]] = NativeSlots
    """What steps a vector environment."""

    def __init__(
        self,
        *,
        seed: int | None,
        max_episode_length: float,
        worker_number: int,
        n_envs: int = DEFAULT_N_ENVS,
    ) -> None:
        super().__init__(seed=seed, max_episode_length=max_episode_length, worker_number=worker_number)
        self.n_envs = check_n_envs(n_envs)
        self._slots: Slots = self.slots_type(self.n_envs, max_episode_length)
        self._agent: Any = None
        self._own_slots = False
        self._seeded = [False] * self.n_envs

    @classmethod
    def overlap(cls, *, n_envs: int = DEFAULT_N_ENVS, **worker_args: Any) -> int:
        """See `Worker.overlap`: one unit for each environment."""
        del worker_args
        return check_n_envs(n_envs)

    # -- updates ---------------------------------------------------------------------------------

    def update_agent(self, agent_update: Any) -> None:
        """Take a new policy, or weights for the present one; what is under way is dropped.

        Raises:
            TypeError: for a policy without ``get_actions``.
        """
        if agent_update is None:
            return
        self._slots.clear()
        if is_policy(agent_update):
            self._slots.take_agent(agent_update)
            self._agent = agent_update
        else:
            self._agent.set_param_values(agent_update)

    def update_env(self, env_update: Any) -> None:
        """Take new environments, or the results of updates: one for all slots, or a list with one for each.

        A vector environment (`gymnasium.vector.VectorEnv`) of `n_envs` slots is stepped as one object.

        Raises:
            TypeError: if they are none of these; for a vector environment that cannot seed its slots one by
                one.
            ValueError: for another number of environments than `n_envs`, and for environments that differ in
                their spaces.
        """
        if env_update is None:
            return
        before = self._slots
        before.clear()
        new = slot_envs_or_native(env_update, before.present, self.n_envs)
        self._own_slots = isinstance(env_update, list)
        if isinstance(new, list):
            old = before.present if before.envs else [None] * self.n_envs
            self._seeded = [was and env is one for was, env, one in zip(self._seeded, new, old, strict=True)]
            self._slots_of(self.slots_type).take_envs(new, EnvSpec.from_env(new[0], self._max_episode_length))
        else:
            if new not in before.present:
                self._seeded = [False] * self.n_envs
            spaces = new.single_observation_space, new.single_action_space
            slots = self._slots_of(self.native_type)
            slots.take_vector_env(checked_seeding(new), EnvSpec(*spaces, self._max_episode_length))

    def _slots_of(self, kind: type[S]) -> S:
        """Return the slots; new ones, where those there are cannot step such environments."""
        if type(self._slots) is not kind:
            self._slots = kind(self.n_envs, self._max_episode_length)
            if self._agent is not None:
                self._slots.take_agent(self._agent)
        return self._slots

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
            for slot, last_step_type in ended:
                self.unit = unit = slots.units[slot]
                assert unit is not None, "begun with a unit"
                yield unit, slots.keep(slot, last_step_type)

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
        seed = None if unit is None or (self._seeded[slot] and not self.reseed) else unit.env_seed
        self._seeded[slot] = self._seeded[slot] or seed is not None
        self._slots.begin(slot, unit, seed)

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

    def shutdown(self) -> None:
        """Close the environments."""
        self._slots.close()


def check_n_envs(n_envs: Any) -> int:
    """Return a number of environments as an int.

    Raises:
        TypeError, ValueError: if it is no integer of at least 1.
    """
    if isinstance(n_envs, bool) or not isinstance(n_envs, Integral):
        raise TypeError(f"n_envs must be an integer of at least 1, not {n_envs!r}")
    if n_envs < 1:
        raise ValueError(f"n_envs must be at least 1, not {n_envs}")
    return int(n_envs)
