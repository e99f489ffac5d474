"""Slots of a native vector environment: stepped as one object, without a loop over environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from samplerkit.episodes import EnvSpec, StepType, TickRecorder
from samplerkit.episodes.native_recorder import NativeRecorder
from samplerkit.interfaces import Unit, Units, VectorEnv, Worker, layers_of
from samplerkit.workers.slots import Seeds, Slots

_IDLE = 0
"""Seed of a slot without a unit."""

_RESETS_LATER = AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED
"""Modes in which what an environment returns at the end of an episode is the final observation."""

_ALE_SLOT = frozenset({"env_id"})
"""Infos of ale_py's vector environment that tell the slot."""


def seeds_each_slot(env: VectorEnv) -> bool:
    """Whether ``reset`` takes a seed for each slot, and a mask of those to reset.

    Vector environments of others say so by an attribute ``seeds_each_slot = True``; they then get an array
    with a seed for each slot that is reset, as ale_py's do.
    """
    base: Any = env.unwrapped
    declared = getattr(base, "seeds_each_slot", None)
    if declared is not None:
        return bool(declared)
    return isinstance(base, (SyncVectorEnv, AsyncVectorEnv)) or is_ale(base)


def is_ale(env: VectorEnv) -> bool:
    """Whether it is ale_py's vector environment."""
    return type(env.unwrapped).__module__.startswith("ale_py.")


def seeded_reset(
    env: VectorEnv, slots: Sequence[int], seeds: Sequence[int | None]
) -> tuple[Any, dict[str, Any]]:
    """Reset some slots of a vector environment that `seeds_each_slot`, each with its own seed.

    Returns:
        Observations and infos of all slots, of which those that were reset count.
    """
    mask = np.zeros(env.num_envs, np.bool_)
    mask[list(slots)] = True
    given: Any
    if isinstance(env.unwrapped, (SyncVectorEnv, AsyncVectorEnv)):
        given = [None] * env.num_envs
        for slot, seed in zip(slots, seeds, strict=True):
            given[slot] = seed
    else:
        given = None if None in seeds else np.array(seeds, np.int64)
    return env.reset(seed=given, options={"reset_mask": mask})


def check_seeding(env: VectorEnv) -> None:
    """Raise a TypeError for a vector environment whose slots cannot be seeded one by one."""
    if not seeds_each_slot(env):
        raise seeded_as_a_whole(env)


def check_wrappers(env: VectorEnv) -> None:
    """Raise a TypeError for a wrapper that takes the reset of some slots for one of all.

    `SyncVectorEnv` and `AsyncVectorEnv` pop the mask from the options of a reset, and gymnasium's statistics,
    which look for it afterwards, begin anew in every slot: what they say of an episode would depend on those
    beside it.
    """
    layers: Any = env
    if isinstance(env.unwrapped, (SyncVectorEnv, AsyncVectorEnv)) and any(
        isinstance(layer, RecordEpisodeStatistics) for layer in layers_of(layers)
    ):
        raise TypeError(
            f"gymnasium's vector.RecordEpisodeStatistics around a {type(env.unwrapped).__name__} forgets "
            "what it counted in all slots whenever one is reset: put gymnasium.wrappers."
            "RecordEpisodeStatistics around each of its environments, or leave it out, since batch.lengths "
            "and batch.rewards say the same"
        )


def seeded_as_a_whole(env: VectorEnv) -> TypeError:
    """Return the error for a unit that is to run by itself in a vector environment where none can."""
    return TypeError(
        f"{type(env.unwrapped).__name__} can only be seeded as a whole: an episode depends on those beside "
        "it. Pass its environments one by one (a gymnasium id, or a callable that makes one)"
    )


def _as_list(seeds: Seeds) -> Sequence[int | None]:
    return seeds.tolist() if isinstance(seeds, np.ndarray) else seeds


class NativeSlots(Slots):
    """Slots that are those of one vector environment, which takes a seed for each of them.

    Whatever its autoreset mode, a slot whose episode ended is reset with the seed of its next unit before the
    next tick. Slots without a unit are reset too, since all of them are stepped, with what the policy does on
    what they observe.

    Args:
        n_slots, max_episode_length: as for `Slots`.
    """

    recorder_type: ClassVar[type[TickRecorder]] = NativeRecorder

    begins_together: ClassVar[bool] = True

    def __init__(self, n_slots: int, max_episode_length: float) -> None:
        super().__init__(n_slots, max_episode_length)
        self._env: Any = None
        self._units: Sequence[Unit | None]
        self._told: frozenset[str] = frozenset()
        self._seeds: dict[int, int | None] = {}
        self._over: set[int] = set()

    def take_vector_env(self, env: VectorEnv, spec: EnvSpec) -> None:
        """Take a vector environment of `n_slots` slots; what is open is forgotten."""
        self.clear()
        self._env = env
        self._told = _ALE_SLOT if is_ale(env) else frozenset()
        self._over = set(range(self.n_slots))
        if self._recorder is None or self._recorder.env_spec != spec:
            self._recorder = self.recorder_type(spec, self.n_slots)
        recorder: Any = self.recorder
        recorder.resets_in_step = env.metadata.get("autoreset_mode") not in _RESETS_LATER

    @property
    def present(self) -> Sequence[Any]:
        """The vector environment alone; empty if there is none."""
        return [] if self._env is None else [self._env]

    def begin(self, slot: int, unit: Unit | None, env_seed: int | None) -> None:
        """Let an episode begin in a slot; it is reset with others, before the next tick."""
        self._seeds[slot] = env_seed
        self._over.discard(slot)
        self.units[slot] = unit
        self._wake(slot)

    @property
    def units(self) -> list[Unit | None]:
        """See `Slots.units`; as long as nobody asks, those that began together stay as they came."""
        if type(self._units) is not list:
            self._units = [*self._units]
        return self._units

    @units.setter
    def units(self, units: list[Unit | None]) -> None:
        self._units = units

    def units_of(self, ended: Sequence[tuple[int, StepType]]) -> Sequence[Unit | None]:
        """See `Slots.units_of`."""
        units = self._units
        return units if isinstance(units, Units) and len(ended) == len(units) else super().units_of(ended)

    def _policy_seeds(self, slots: Sequence[int]) -> npt.NDArray[np.uint64] | None:
        units = self._units  # arrays only where all slots have begun
        return units.policy_seeds if isinstance(units, Units) else super()._policy_seeds(slots)

    def begin_all(self, slots: Sequence[int], units: Sequence[Unit], env_seeds: Seeds) -> None:
        """See `Slots.begin_all`."""
        self._seeds.update(zip(slots, _as_list(env_seeds), strict=True))
        self._fresh += slots
        if len(slots) == self.n_slots:  # all of them, in order
            self._over.clear()
            self.live, self._units = [*slots], units
            return
        self._over.difference_update(slots)
        for slot, unit in zip(slots, units, strict=True):
            self.units[slot] = unit
        self.live = sorted({*self.live, *slots})

    def tick(self, worker: Worker | None = None) -> list[tuple[int, StepType]]:
        """See `Slots.tick`."""
        recorder: Any = self._recorder or self.recorder
        live = self.live
        if self._seeds or self._over:
            self._reset_envs()
        if self._fresh:
            self._reset_agent()
        if worker is not None and worker.cancelled:
            return []
        actions, infos = self._agent.get_actions(recorder.observations(live))
        try:
            given = recorder.act_together(actions, infos, live)
        except BaseException:
            self.failing, recorder.failing = recorder.failing, None
            raise
        observations, rewards, terminated, truncated, infos = self._env.step(given)
        if self._told:
            infos = self._of_units(infos)
        try:
            ended: list[tuple[int, StepType]] = recorder.step_together(
                observations, rewards, terminated, truncated, infos, live, self._max_episode_length
            )
            return ended
        finally:
            self._over.update(recorder.over)

    def _reset_envs(self) -> None:
        """Reset the slots whose episodes begin, and those that would be stepped after their end."""
        seeds, self._seeds = self._seeds, {}
        idle = sorted(self._over.difference(seeds)) if self._over else []
        slots = sorted({*seeds, *idle}) if idle else sorted(seeds)
        self._over.clear()
        given = [*seeds.values()] if slots == [*seeds] else [seeds.get(slot, _IDLE) for slot in slots]
        observations, infos = seeded_reset(self._env, slots, given)
        recorder: Any = self.recorder
        if seeds:
            recorder.begin_all(sorted(seeds), observations, self._of_units(infos))
        if idle:
            recorder.stand_by(idle, observations)

    def _of_units(self, infos: dict[str, Any]) -> dict[str, Any]:
        """Return the infos without those that tell the slot rather than the episode."""
        if self._told and not self._told.isdisjoint(infos):
            return {key: column for key, column in infos.items() if key not in self._told}
        return infos

    def clear(self) -> None:
        """Forget all that is open."""
        self._over.update(range(self.n_slots))  # after an error nobody knows where the idle ones stand
        self._seeds = {}
        super().clear()

    def _rest(self, slot: int) -> None:
        super()._rest(slot)
        self._over.add(slot)

    def _rest_all(self, slots: Sequence[int]) -> None:
        super()._rest_all(slots)
        self._over.update(slots)

    def close(self) -> None:
        """Close the environment."""
        self.clear()
        env, self._env = self._env, None
        if env is not None:
            env.close()
