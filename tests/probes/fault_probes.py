"""An environment that fails in a chosen way, for real: exceptions, signals, exits, hangs."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class OddError(Exception):
    """Pickles, but does not unpickle: its constructor wants more than its args."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"odd {first} {second}")


def raise_unpicklable() -> None:
    error = RuntimeError("holds a lock")
    error.lock = threading.Lock()
    raise error


def raise_odd() -> None:
    raise OddError(1, 2)


def raise_key_error() -> None:
    raise KeyError("bad step")


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    time.sleep(1000)


FAULTS = {
    "key error": raise_key_error,
    "odd error": raise_odd,
    "unpicklable error": raise_unpicklable,
    "system exit": lambda: sys.exit(3),
    "kill": kill_self,
    "exit 0": lambda: os._exit(0),
    "hang": hang,
}


class DiesOnItsWay:
    """An info that ends the process which pickles it first; after that it travels as a number.

    Args:
        once: path of a file that is there once it has happened.
    """

    def __init__(self, once: str) -> None:
        self.once = once

    def __deepcopy__(self, memo: dict[int, Any]) -> DiesOnItsWay:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if not Path(self.once).exists():
            Path(self.once).touch()
            kill_self()
        return int, (7,)


class TellsOnce(gymnasium.Env):
    """Episodes of 30 steps with a number as info of each, and once `DiesOnItsWay` as well.

    Args:
        at: the step where it does; from the one before on numbers are floats, not integers.
        once: see `DiesOnItsWay`.
    """

    observation_space = spaces.Box(0, 30, (1,), np.float32)
    action_space = spaces.Discrete(1000)

    def __init__(self, at: int, once: str) -> None:
        self.at, self.once = at, once

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        info: dict[str, Any] = {"t": self.t if self.t < self.at - 1 else float(self.t)}
        if self.t == self.at:
            info["late"] = DiesOnItsWay(self.once)
        return np.full(1, self.t, np.float32), 0.0, self.t == 30, False, info


class FaultyEnv(gymnasium.Env):
    """Episodes of 1 to 7 steps, drawn from the seed; step `at` of every episode does what `fault` says.

    With `once`, a path, only the first process that gets there fails.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(2)

    def __init__(
        self, fault: str | None = None, *, site: str = "step", at: int = 3, once: Path | None = None
    ):
        self.fault, self.site, self.at, self.once = fault, site, at, once
        if site == "constructor":
            self._fail()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        if self.site == "reset":
            self._fail()
        self.t = 0
        self.length = int(self.np_random.integers(1, 8))
        self.key = float(self.np_random.random())
        return np.array([self.key, 0.0]), {"length": self.length}

    def step(self, action: int):
        self.t += 1
        if self.site == "step" and self.t == self.at:
            self._fail()
        return np.array([self.key, self.t + 0.5 * action]), float(self.t), self.t >= self.length, False, {}

    def close(self) -> None:
        if self.site == "close":
            self._fail()

    def _fail(self) -> None:
        if self.fault is None or self._done_before():
            return
        FAULTS[self.fault]()

    def _done_before(self) -> bool:
        if self.once is None:
            return False
        try:
            self.once.touch(exist_ok=False)
        except FileExistsError:
            return True
        return False


class DictEnv(gymnasium.Env):
    """Nested Dict observations with arrays of several dtypes, and a Dict action."""

    observation_space = spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (4, 4, 1), np.uint8),
            "state": spaces.Tuple((spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Discrete(5))),
        }
    )
    action_space = spaces.Dict({"move": spaces.Discrete(3), "force": spaces.Box(-1, 1, (2,), np.float32)})

    def _observation(self) -> dict[str, Any]:
        return {
            "camera": self.np_random.integers(0, 256, (4, 4, 1), dtype=np.uint8),
            "state": (self.np_random.standard_normal(3, dtype=np.float32), self.np_random.integers(5)),
        }

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 30))
        return self._observation(), {}

    def step(self, action: dict[str, Any]):
        self.left -= 1
        reward = float(action["force"].sum()) + int(action["move"])
        return self._observation(), reward, self.left <= 0, False, {"left": self.left}


class TwoLengthsEnv(gymnasium.Env):
    """Episodes of 10 or 500 steps, half each; whoever takes the first to finish gets fewer long ones."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.left = 500 if self.np_random.random() < 0.5 else 10
        return np.zeros(1, np.float32), {}

    def step(self, action: int):
        self.left -= 1
        return np.zeros(1, np.float32), 0.0, self.left == 0, False, {}
