"""Small environments, most of them impure in one way each."""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import NormalizeObservation, NormalizeReward, RecordEpisodeStatistics


class Drawing(gymnasium.Env[Any, Any]):
    """Pure: eight steps, each showing two numbers that follow from the seed."""

    spec = EnvSpec("Drawing-v0", max_episode_steps=8)
    action_space = Discrete(2)

    def __init__(self) -> None:
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float64)

    def draw(self) -> Any:
        return self.np_random.random(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.draw(), {}

    def step(self, action: Any) -> Any:
        return self.draw(), float(action), False, False, {}


class FromGlobals(Drawing):
    def draw(self) -> Any:
        return np.array([random.random(), np.random.random()])


class Counting(Drawing):
    """Remembers how many episodes there were."""

    episodes = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.episodes += 1
        return super().reset(seed=seed)

    def draw(self) -> Any:
        return super().draw() + self.episodes


class CountingInClass(Drawing):
    episodes = 0

    def draw(self) -> Any:
        CountingInClass.episodes += 1
        return np.array([CountingInClass.episodes, 0.0])


class GeneratorInClass(Drawing):
    """Entangled: each reset seeds a generator that all copies draw from."""

    generator: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        GeneratorInClass.generator = np.random.default_rng(seed)
        return self.draw(), {}

    def draw(self) -> Any:
        return self.generator.random(2)


class Unfinished(Drawing):
    """Remembers an episode that was given up."""

    left = 0.0
    steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.steps = 0
        observation, info = super().reset(seed=seed)
        return observation + self.left, info

    def step(self, action: Any) -> Any:
        self.steps += 1
        over = self.steps == 5
        self.left = 0.0 if over else 1.0
        return self.draw(), 0.0, over, False, {}


class OwnGenerator(Drawing):
    """Draws from a generator that no reset ever seeds."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)

    def draw(self) -> Any:
        return self.generator.random(2)


class SeededOnce(Drawing):
    generator: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if self.generator is None:
            self.generator = np.random.default_rng(seed)
        return self.draw(), {}

    def draw(self) -> Any:
        return self.generator.random(2)


class RefusesSecondSeed(SeededOnce):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None and self.generator is not None:
            raise ValueError("it was seeded already")
        return super().reset(seed=seed)


class FromOperatingSystem(Drawing):
    def draw(self) -> Any:
        return np.array([secrets.randbits(30), 0.0])


class FromSpace(Drawing):
    def draw(self) -> Any:
        return self.observation_space.sample()


class RandomMap(Drawing):
    """Pure once it is constructed, but no two constructions are alike."""

    def __init__(self) -> None:
        super().__init__()
        self.map = secrets.randbits(30)

    def draw(self) -> Any:
        return super().draw() + self.map


class GlobalMap(Drawing):
    """Its constructor draws from a global generator, which samplers set."""

    def __init__(self) -> None:
        super().__init__()
        self.map = np.random.random()

    def draw(self) -> Any:
        return super().draw() + self.map


class HashOrder(Drawing):
    def draw(self) -> Any:
        return super().draw() + "abcdefghijklmnop".index(next(iter(set("abcdefghijklmnop"))))


class ProcessNumber(Drawing):
    def draw(self) -> Any:
        return super().draw() + os.getpid()


class Clock(Drawing):
    def draw(self) -> Any:
        return np.array([time.time(), 0.0])


class LosesWhenPickled(Drawing):
    gain = 1.0

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.gain = 2.0

    def draw(self) -> Any:
        return super().draw() * self.gain


class Unpicklable(Drawing):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Raising(Drawing):
    def step(self, action: Any) -> Any:
        raise RuntimeError("the door is locked")


class Odd(Drawing):
    """Pure, without a limit, but not what a learner expects."""

    spec = None

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Box(0.0, 1.0, (2,), np.float32)

    def step(self, action: Any) -> Any:
        return self.draw(), np.nan, True, False, {"thing": object}


class Noise(gymnasium.ObservationWrapper[Any, Any, Any]):
    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.generator = np.random.default_rng()

    def observation(self, observation: Any) -> Any:
        return observation + self.generator.random()


class WithoutTime(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Drops the seconds that RecordEpisodeStatistics counts."""

    def step(self, action: Any) -> Any:
        *step, info = self.env.step(action)
        info.get("episode", {}).pop("t", None)
        return *step, info


def cartpole() -> Any:
    return gymnasium.make("CartPole-v1", disable_env_checker=True)


def normalized() -> Any:
    return NormalizeObservation(cartpole())


def normalized_twice() -> Any:
    return NormalizeReward(NormalizeObservation(cartpole()))


def timed() -> Any:
    return RecordEpisodeStatistics(cartpole())


def timed_and_normalized() -> Any:
    return RecordEpisodeStatistics(normalized())


def without_time() -> Any:
    return WithoutTime(timed())


def noisy() -> Any:
    return gymnasium.wrappers.TimeLimit(Noise(Drawing()), 5)
