"""The environments of the workloads. Nothing here needs samplerkit: peers use them too."""

from __future__ import annotations

import importlib
import math
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

Env = gymnasium.Env[Any, Any]

FRAME = (84, 84, 4)


def make(reference: str) -> Env:
    """Construct an environment from a gymnasium id or ``module:callable``, as samplerkit's workers do."""
    module, colon, name = reference.partition(":")
    if colon:
        made: Env = getattr(importlib.import_module(module), name)()
        return made
    return gymnasium.make(reference, disable_env_checker=True)


class Frames(Env):
    """A fresh 84x84x4 uint8 frame at each step, at the cost of copying it; episodes of 200 steps."""

    observation_space = spaces.Box(0, 255, FRAME, np.uint8)
    action_space = spaces.Discrete(2)
    max_episode_length = 200

    def __init__(self) -> None:
        self._picture = np.random.default_rng(0).integers(0, 256, FRAME, np.uint8)
        self._t = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin at the first frame; nothing is random."""
        del seed, options
        self._t = 0
        return self._picture.copy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Return a frame that nobody else holds; its first byte counts the steps."""
        self._t += 1
        frame = self._picture.copy()
        frame[0, 0, 0] = self._t & 255
        return frame, 1.0, False, self._t >= self.max_episode_length, {}


class HeavyTails(CartPoleEnv):
    """CartPole's physics and cost, but episodes of lognormal length: sigma 1, mean 50, drawn from the seed.

    A pole that falls is put up again, so that only the drawn length ends an episode.
    """

    max_episode_length = 10_000
    mean_length, sigma = 50.0, 1.0

    def __init__(self) -> None:
        super().__init__()
        self._t = self.length = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Draw a length, and begin."""
        observation, info = super().reset(seed=seed, options=options)
        location = math.log(self.mean_length) - self.sigma**2 / 2
        drawn = round(self.np_random.lognormal(location, self.sigma))
        self.length = min(max(1, drawn), self.max_episode_length)
        self._t = 0
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the pole."""
        observation, reward, fallen, _, info = super().step(action)
        self._t += 1
        if fallen:
            self.state = np.zeros(4)
            self.steps_beyond_terminated = None
        return observation, float(reward), self._t >= self.length, False, info


def pong() -> Env:
    """ALE's Pong, preprocessed as usual (frame skip 4, 84x84 grey), 4 frames stacked; uint8 (84, 84, 4)."""
    import ale_py

    gymnasium.register_envs(ale_py)
    env = gymnasium.make("ALE/Pong-v5", frameskip=1, disable_env_checker=True)
    env = gymnasium.wrappers.AtariPreprocessing(env)
    stack = getattr(gymnasium.wrappers, "FrameStackObservation", None)
    if stack is None:
        raise ImportError("gymnasium 1.0 or newer is needed for FrameStackObservation")
    channels_last = gymnasium.wrappers.TransformObservation(
        stack(env, 4), _channels_last, spaces.Box(0, 255, FRAME, np.uint8)
    )
    return gymnasium.wrappers.TimeLimit(channels_last, 27_000)  # ALE's own limit of 108,000 frames


def _channels_last(frames: Any) -> Any:
    return np.ascontiguousarray(np.moveaxis(frames, 0, -1))


class OneStep(Env):
    """Episodes of one step that cost nothing."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)
    max_episode_length = 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin."""
        del seed, options
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """End."""
        return np.zeros(1, np.float32), 0.0, True, False, {}


class Sleeper(OneStep):
    """Episodes of one step that take a while and no core."""

    seconds = 0.1

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Sleep, and end."""
        time.sleep(self.seconds)
        return super().step(action)
