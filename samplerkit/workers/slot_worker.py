"""What workers of several environments share: an environment for each slot, and who seeds it when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from samplerkit.episodes import EnvSpec
from samplerkit.interfaces import Unit, Units, Worker, is_policy
from samplerkit.workers.native_slots import NativeSlots, VectorEnv, checked_seeding
from samplerkit.workers.slot_envs import slot_envs_or_native
from samplerkit.workers.slots import Seeds, Slots

DEFAULT_N_ENVS = 8

S = TypeVar("S", bound=Slots)


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

    unit_errors: tuple[type[BaseException], ...] = (Exception, SystemExit)
    """Set by whoever runs workers: what is the failure of one of the units that run, and not Ctrl-C."""

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
                one.
            ValueError: for another number of environments than `n_envs`, and for environments that differ in
                their spaces.
        """
        if env_update is None:
            return
        before = self._slots
        new = slot_envs_or_native(env_update, before.present, self.n_envs)
        if isinstance(new, list):
            old = before.present if before.envs else [None] * self.n_envs
            self._seeded = [was and env is one for was, env, one in zip(self._seeded, new, old, strict=True)]
            self._slots_of(self.slots_type).take_envs(new, EnvSpec.from_env(new[0], self._max_episode_length))
        else:
            if new not in before.present:
                self._seeded = [False] * self.n_envs
            spaces = new.single_observation_space, new.single_action_space
            slots = self._slots_of(self._native_type(new))
            slots.take_vector_env(new, EnvSpec(*spaces, self._max_episode_length))

    def _native_type(self, env: VectorEnv) -> type[NativeSlots]:
        """Return what steps a vector environment.

        Raises:
            TypeError: if nothing does.
        """
        checked_seeding(env)
        return self.native_type

    def _slots_of(self, kind: type[S]) -> S:
        """Return the slots; new ones, where those there are cannot step such environments."""
        if type(self._slots) is not kind:
            self._slots = kind(self.n_envs, self._max_episode_length)
            if self.agent is not None:
                self._slots.take_agent(self.agent)
        return self._slots

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
