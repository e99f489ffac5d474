"""The tattoo environment: every observation says which environment, episode, step and actions it is of."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from samplerkit.contract.probes.faults import Fault, Faults
from samplerkit.contract.probes.ledger import note

N_ACTIONS = 997
_PRIME = 2_147_483_647
_instances = itertools.count()


def chain(previous: int, action: int) -> int:
    """Return the hash of the actions so far, with one more."""
    return (previous * 1_000_003 + int(action) + 1) % _PRIME


def mix(*numbers: int) -> int:
    """Return a number that looks random and depends on all of these."""
    mixed = 0
    for number in numbers:
        mixed = ((mixed ^ (int(number) & 0xFFFF_FFFF_FFFF_FFFF)) * 0x9E37_79B9_7F4A_7C15 + 1) % 2**64
        mixed ^= mixed >> 29
    return mixed


def reward_of(mark: Sequence[int]) -> float:
    """Return the reward that comes with an observation: exact in float64."""
    tag, key, t, actions = (int(part) for part in mark)
    return mix(tag, key, t, actions) % 4096 / 16 - 100


def word_of(key: int, t: int) -> str:
    """Return the word among the late infos of a step; how long it may be depends on the episode."""
    return f"step {t}" + "!" * (mix(key, 4) % 2)


def mark_of(observation: Any) -> np.ndarray:
    """Return ``[tag, key, t, hash]`` of an observation (or of each row of a column) in any layout."""
    while not isinstance(observation, np.ndarray):
        observation = observation["mark"] if isinstance(observation, dict) else observation[0]
    return observation.astype(np.int64)


class TattooEnv(gymnasium.Env[Any, Any]):
    """Observation: ``[tag, key, t, hash of the actions so far]``, where key is the seed of the episode.

    Arrays that it returns are its own buffers, which the next step overwrites.

    Args:
        tag: of this environment; `set_task` changes it.
        lengths: an episode's length is one of these, drawn from its seed.
        ends: ``terminated``, ``truncated``, ``both`` at once, or ``mixed``: one of the first two, drawn from
            its seed.
        layout: ``flat`` (4 numbers), ``dict`` or ``tuple`` (nested).
        dtype: of the four numbers.
        infos: ``none``, ``plain``, ``rich`` (nested, arrays, keys that come and go) or ``late`` (from the
            third step on a word and a flag, of which vector environments make objects) or ``unlike`` (values
            that differ in type between tags and between episodes, and keys in another order in some).
        delays: seconds to sleep at a reset; one of these, drawn from the seed.
        fault: what goes wrong, and where.
        ledger: path of a file for life-cycle events.
    """

    def __init__(
        self,
        *,
        tag: int = 0,
        lengths: Sequence[int] = range(1, 9),
        ends: str = "mixed",
        layout: str = "flat",
        dtype: str = "float64",
        infos: str = "rich",
        delays: Sequence[float] = (0.0,),
        fault: Fault | Faults | None = None,
        ledger: str | os.PathLike[str] | None = None,
    ) -> None:
        self.tag, self.lengths, self.ends, self.layout, self.infos = tag, lengths, ends, layout, infos
        self.delays, self.fault = delays, fault
        self.ledger = None if ledger is None else str(ledger)
        info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
        box = spaces.Box(info.min, info.max, (4,), np.dtype(dtype).type)
        parity = spaces.Discrete(2)
        self.observation_space: spaces.Space[Any] = {
            "flat": box,
            "dict": spaces.Dict({"mark": box, "more": spaces.Dict({"odd": parity})}),
            "tuple": spaces.Tuple((box, spaces.Tuple((parity,)))),
        }[layout]
        self.action_space: spaces.Space[Any] = spaces.Discrete(N_ACTIONS)
        self._buffer = np.zeros(4, dtype)
        self._info_buffer = np.zeros(2, np.float32)
        self._open()

    def _open(self) -> None:
        self.who = f"env-{os.getpid()}-{next(_instances)}"
        self._strike("construct")
        note(self.ledger, self.who, "open", self.tag)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # An unpickled copy is one more environment that must be closed.
        self.__dict__.update(state)
        self._open()

    def set_task(self, task: int) -> None:
        """Change the tag."""
        self._strike("set_task")
        self.tag = task

    def length_of(self, key: int) -> int:
        """Return the length of the episode with this seed."""
        return self.lengths[mix(key, 1) % len(self.lengths)]

    def is_truncated(self, key: int) -> bool:
        """Whether the environment itself truncates the episode with this seed, rather than ending it."""
        return self.ends == "truncated" or (self.ends == "mixed" and mix(key, 2) % 2 == 1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.key = int(self.np_random.integers(2**31)) if seed is None else seed
        self.t = self.actions = 0
        note(self.ledger, self.who, "reset", "unseeded" if seed is None else seed)
        self._strike("reset")
        time.sleep(self.delays[mix(self.key, 3) % len(self.delays)])
        info = {"length": self.length_of(self.key), "tag": self.tag} if self.infos != "none" else {}
        return self._observe(), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._strike("step")
        assert self.t < self.length_of(self.key), "a step after the end of the episode"
        self.t += 1
        self.actions = chain(self.actions, action)
        over = self.t == self.length_of(self.key)
        truncated = over and self.is_truncated(self.key)
        observation = self._observe()
        terminated, truncated = over and not truncated, truncated or (over and self.ends == "both")
        return observation, reward_of(self._mark()), terminated, truncated, self._info(action)

    def close(self) -> None:
        note(self.ledger, self.who, "close", self.tag)
        self._strike("close")

    def _mark(self) -> tuple[int, int, int, int]:
        return self.tag, self.key, self.t, self.actions

    def _observe(self) -> Any:
        self._buffer[:] = self._mark()
        odd = self.t % 2
        if self.layout == "flat":
            return self._buffer
        return {
            "dict": {"mark": self._buffer, "more": {"odd": odd}},
            "tuple": (self._buffer, (odd,)),
        }[self.layout]

    def _info(self, action: Any) -> dict[str, Any]:
        if self.infos == "none":
            return {}
        info: dict[str, Any] = {"action": int(action), "t": self.t}
        if self.infos == "rich":
            self._info_buffer[:] = self.t, -0.0
            info["nested"] = {"array": self._info_buffer, "key": self.key}
            if self.t % 2:
                info["at_odd_steps"] = self.t / 4
        if self.infos == "late" and self.t >= 3:
            info |= {"word": word_of(self.key, self.t), "odd": np.bool_(self.t % 2)}
        if self.infos == "unlike":
            number = np.uint64((1 << 63) + 5) if mix(self.key, 5) % 2 else np.int64(-3)
            info["note"] = None if self.tag % 2 else number
            if mix(self.key, 6) % 2:
                info = dict(reversed(info.items()))
        return info

    def _strike(self, site: str) -> None:
        if self.fault is not None:
            self.fault.strike(site, key=getattr(self, "key", None), step=getattr(self, "t", None))
