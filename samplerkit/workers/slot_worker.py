"""What workers of several environments share: an environment for each slot, and who seeds it when."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar

from samplerkit.episodes import EnvSpec
from samplerkit.interfaces import Env, Unit, Units, VectorEnv, Worker, close_others, is_policy
from samplerkit.workers.native_slots import NativeSlots, check_seeding, check_wrappers
from samplerkit.workers.slot_envs import slot_envs
from samplerkit.workers.slots import Seeds, Slots

DEFAULT_N_ENVS = 8


class SlotWorker(Worker):
    """Steps several environments, with one ``policy.get_actions`` for all of them.

    What a unit is, and when it begins, is left to subclasses.

    Args:
        seed, max_episode_length, worker_number: as for `Worker`.
        n_envs: how many environments; checked by the subclass.
    """

    takes_vector_envs: ClassVar[bool] = True

    slots_type: ClassVar[type[Slots]] = Slots
    """What steps and records environments in turn."""

    native_type: ClassVar[type[NativeSlots]] = NativeSlots
    """The same, where they are one vector environment."""

    interrupts: tuple[type[BaseException], ...] = (KeyboardInterrupt,)
    """Set by whoever runs workers: what is the caller's, and not the failure of a unit; none where the caller
    is elsewhere."""

    def __init__(
        self, *, seed: int | None, max_episode_length: float, worker_number: int, n_envs: int
    ) -> None:
        super().__init__(seed=seed, max_episode_length=max_episode_length, worker_number=worker_number)
        self.n_envs = n_envs
        self._slots: Slots = self.slots_type(n_envs, max_episode_length)
        self.agent: Any = None
        self._seeded = [False] * n_envs

    @property
    def present_envs(self) -> Sequence[Any]:
        """The environments: one for each slot, or a vector environment alone; none before there are any."""
        return self._slots.present

    def update_agent(self, agent_update: Any) -> None:
        """Take a new policy, or weights for the present one.

        Raises:
            TypeError: for a policy without ``get_actions``.
        """
        if agent_update is None:
            return
        if is_policy(agent_update):
            self._slots.take_agent(agent_update)
            self.agent = agent_update
        else:
            self.agent.set_param_values(agent_update)

    def update_env(self, env_update: Any) -> None:
        """Take new environments, or the results of updates: one for all slots, or a list with one for each.

        A vector environment (`gymnasium.vector.VectorEnv`) of `n_envs` slots is stepped as one object.

        Raises:
            TypeError: if they are none of these; for a vector environment that cannot seed its slots one by
                one, or in a wrapper that does not know that they are reset one by one.
            ValueError: for another number of environments than `n_envs`, and for environments that differ in
                their spaces.
        """
        if env_update is None:
            return
        old = [*self._slots.present]
        new = slot_envs(env_update, old, self.n_envs)
        now = new if isinstance(new, list) else [new]
        try:
            slots, spec = self._slots_for(new)
        except BaseException:
            with suppress(Exception):  # what is wrong was wrong before
                close_others(now, old)
            raise
        self._slots = slots
        # From here on `shutdown` closes them; whatever those before them raise then.
        if isinstance(new, list):
            was = old if len(old) == self.n_envs else [None] * self.n_envs
            self._seeded = [
                seeded and env is one for seeded, env, one in zip(self._seeded, new, was, strict=True)
            ]
            slots.take_envs(new, spec)
        else:
            if new not in old:
                self._seeded = [False] * self.n_envs
            slots.take_vector_env(new, spec)
        close_others(old, now)

    def _slots_for(self, envs: list[Env] | VectorEnv) -> tuple[Any, EnvSpec]:
        """Return slots for some environments, those there are or new ones, and what they record."""
        limit = self._max_episode_length
        if isinstance(envs, list):
            return self._slots_of(self.slots_type), EnvSpec.from_env(envs[0], limit)
        kind = self._native_type(envs)
        check_wrappers(envs)
        return self._slots_of(kind), EnvSpec(envs.single_observation_space, envs.single_action_space, limit)

    def _native_type(self, env: VectorEnv) -> type[NativeSlots]:
        """Return what steps a vector environment.

        Raises:
            TypeError: if nothing does.
        """
        check_seeding(env)
        return self.native_type

    def _slots_of(self, kind: type[Slots]) -> Slots:
        if type(self._slots) is kind:
            return self._slots
        slots = kind(self.n_envs, self._max_episode_length)
        if self.agent is not None:
            slots.take_agent(self.agent)
        return slots

    def _slot_seed(self, slot: int, unit: Unit | None) -> int | None:
        """Return what a unit passes to ``reset(seed=…)`` of a slot's environment; see `Worker.env_seed`."""
        if unit is None or (self._seeded[slot] and not self.reseed):
            return None
        self._seeded[slot] = True
        return unit.env_seed

    def _slot_seeds(self, slots: Sequence[int], units: Sequence[Unit]) -> Seeds:
        """Return the same for units of several slots."""
        if not self.reseed:
            return [self._slot_seed(slot, unit) for slot, unit in zip(slots, units, strict=True)]
        return units.env_seeds if isinstance(units, Units) else [unit.env_seed for unit in units]

    def shutdown(self) -> None:
        """Close the environments."""
        self._slots.close()
