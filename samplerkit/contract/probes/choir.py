"""Vector environments made of tattoo environments: seeded as a whole, or slot by slot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from samplerkit.contract.probes.tattoo import TattooEnv


class ChoirEnv(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """Slots whose episodes are drawn from one generator, so that each depends on those before and beside it.

    Observations, which stand in one buffer, are those of `TattooEnv`.

    Args:
        num_envs: how many slots.
        mode: autoreset mode, by name.
        kind: of the slots.
        namesake: whether there is an info ``final_obs`` at every step, which is no final observation; not for
            SAME_STEP.
        arguments: of each of them.
    """

    def __init__(
        self,
        num_envs: int,
        mode: str = "NEXT_STEP",
        kind: type[TattooEnv] = TattooEnv,
        namesake: bool = False,
        **arguments: Any,
    ) -> None:
        self.num_envs = num_envs
        self._namesake = namesake
        self.metadata = {"autoreset_mode": AutoresetMode[mode]}
        self._mode = mode
        self._envs = [kind(**arguments) for _ in range(num_envs)]
        self.single_observation_space = self._envs[0].observation_space
        self.single_action_space = self._envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        space: Any = self.observation_space
        self._buffer = np.zeros(space.shape, space.dtype)
        self._over = np.zeros(num_envs, np.bool_)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        infos: dict[str, Any] = {}
        for slot in self._wanted(options):
            infos = self._reset(slot, infos)
        return self._buffer, self._with_namesake(infos)

    def _with_namesake(self, infos: dict[str, Any]) -> dict[str, Any]:
        return {**infos, "final_obs": self._buffer + 1} if self._namesake else infos

    def _wanted(self, options: dict[str, Any] | None) -> list[int]:
        every = np.ones(self.num_envs, np.bool_)
        slots: list[int] = np.flatnonzero((options or {}).get("reset_mask", every)).tolist()
        return slots

    def _reset(self, slot: int, infos: dict[str, Any], seed: int | None = None) -> dict[str, Any]:
        seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self._buffer[slot], info = self._envs[slot].reset(seed=seed)
        self._over[slot] = False
        return self._add_info(infos, info, slot)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), np.bool_)
        infos: dict[str, Any] = {}
        for slot, env in enumerate(self._envs):
            if self._over[slot]:
                assert self._mode == "NEXT_STEP", "a step after the end"
                infos = self._reset(slot, infos)
                continue
            observation, rewards[slot], terminated[slot], truncated[slot], info = env.step(actions[slot])
            self._over[slot] = terminated[slot] or truncated[slot]
            if self._over[slot] and self._mode == "SAME_STEP":
                last: Mapping[str, Any] = {"final_obs": observation.copy(), "final_info": info}
                infos = self._reset(slot, self._add_info(infos, dict(last), slot))
            else:
                self._buffer[slot] = observation
                infos = self._add_info(infos, info, slot)
        return self._buffer, rewards, terminated, truncated, self._with_namesake(infos)

    def close_extras(self, **arguments: Any) -> None:
        for env in self._envs:
            env.close()


class ChorusEnv(ChoirEnv):
    """The same, but that each slot takes a seed of its own: episodes are those of single environments."""

    seeds_each_slot = True

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        infos: dict[str, Any] = {}
        slots = self._wanted(options)
        seeds = [None] * len(slots) if seed is None else [int(one) for one in seed]
        for slot, one in zip(slots, seeds, strict=True):
            infos = self._reset(slot, infos, one)
        return self._buffer, infos
