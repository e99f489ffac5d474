"""The echo environment and the scripted policy: they give, step by step, exactly what they were told."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class EchoEnv(gymnasium.Env[Any, Any]):
    """Gives these observations in this order, in every episode, and reports the actions that it got.

    Args:
        observations: L + 1 of them; the last one comes with the end of the episode.
        space: of the observations; None means a Box that fits the first one.
        action_space: None means ``Discrete(2)``.
        infos: for each step; ``seen``, the action, is added.
        rewards: for each step; None means zeros.
    """

    def __init__(
        self,
        observations: Sequence[Any],
        space: spaces.Space[Any] | None = None,
        *,
        action_space: spaces.Space[Any] | None = None,
        infos: Sequence[Mapping[str, Any]] | None = None,
        rewards: Sequence[Any] | None = None,
    ) -> None:
        self.observations = observations
        self.observation_space = space or _box(observations[0])
        self.action_space = action_space or spaces.Discrete(2)
        self.infos = infos
        self.rewards = rewards

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.observations[0], {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        t, self.t = self.t, self.t + 1
        info = {**({} if self.infos is None else self.infos[t]), "seen": _as_info(action)}
        reward = 0.0 if self.rewards is None else self.rewards[t]
        return self.observations[self.t], reward, self.t == len(self.observations) - 1, False, info


def _as_info(action: Any) -> Any:
    """Return a copy in which tuples are dicts: infos know no tuples."""
    if isinstance(action, tuple):
        return {str(index): _as_info(item) for index, item in enumerate(action)}
    if isinstance(action, Mapping):
        return {key: _as_info(item) for key, item in action.items()}
    return copy.deepcopy(action)


def counting(n: int) -> list[np.ndarray]:
    """Return n observations, float32 of shape (1,), that count from 0."""
    return [np.array([t], np.float32) for t in range(n)]


def _box(observation: Any) -> spaces.Box:
    array = np.asarray(observation)
    return spaces.Box(-np.inf, np.inf, array.shape, array.dtype.type)


class ScriptedPolicy:
    """Gives these actions in this order, over and over, from each reset on.

    Args:
        actions: of one row.
        one_buffer: whether all actions are one and the same array, written anew each time.
    """

    def __init__(self, actions: Sequence[Any], *, one_buffer: bool = False) -> None:
        self.actions = actions
        self.params: Any = {}
        self._buffer = np.zeros_like(actions[0]) if one_buffer else None
        self._counts = [0]

    def reset(self, do_resets: Any = None) -> None:
        flags = [True] if do_resets is None else list(do_resets)
        if len(flags) != len(self._counts):
            self._counts = [0] * len(flags)
        self._counts = [0 if flag else count for flag, count in zip(flags, self._counts, strict=True)]

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        del observation
        return self._next(0), {}

    def get_actions(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        del observations
        return [copy.deepcopy(self._next(row)) for row in range(len(self._counts))], {}

    def _next(self, row: int) -> Any:
        action = self.actions[self._counts[row] % len(self.actions)]
        self._counts[row] += 1
        if self._buffer is None:
            return action
        self._buffer[...] = action
        return self._buffer

    def get_param_values(self) -> Any:
        return self.params

    def set_param_values(self, params: Any) -> None:
        self.params = params
