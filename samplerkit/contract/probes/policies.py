"""Probe policies: integer arithmetic only, so that equal means equal on any machine and in any batch."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np

from samplerkit.contract.probes.faults import Fault
from samplerkit.contract.probes.tattoo import N_ACTIONS, mark_of, mix


class ProbePolicy:
    """Acts on the row's seed, the observation, its weights, and how often it acted since the reset.

    The infos report all of these, so that a stale, unseeded or unreset policy shows in the batch.

    Args:
        version: its weights, ``{"version": array([version])}``.
        fault: what goes wrong, and where.
    """

    def __init__(self, version: int = 0, fault: Fault | None = None) -> None:
        self.params = {"version": np.array([version])}
        self.fault = fault
        self._seeds = [0]
        self._counts = [0]

    def reset(self, do_resets: Any = None) -> None:
        self._strike("reset_policy")
        flags = [True] if do_resets is None else list(do_resets)
        if len(flags) != len(self._counts):
            self._counts, self._seeds = [0] * len(flags), [0] * len(flags)
        self._fresh = [row for row, flag in enumerate(flags) if flag]
        for row in self._fresh:
            self._counts[row] = self._seeds[row] = 0

    def seed(self, seeds: Any) -> None:
        assert isinstance(seeds, np.ndarray), type(seeds)
        assert seeds.dtype == np.uint64
        assert seeds.shape == (len(self._fresh),), "one seed for each row that was reset"
        for row, seed in zip(self._fresh, seeds.tolist(), strict=True):
            self._seeds[row] = seed
        self._fresh = []

    def get_action(self, observation: Any) -> tuple[int, dict[str, Any]]:
        mark = mark_of(observation)
        self._strike_at([mark])
        return self._act(0, mark)

    def get_actions(self, observations: Any) -> tuple[np.ndarray, dict[str, Any]]:
        marks = mark_of(observations)
        self._strike_at(marks)
        rows = [self._act(row, mark) for row, mark in enumerate(marks)]
        infos = {key: np.array([info[key] for _, info in rows]) for key in rows[0][1]}
        return np.array([action for action, _ in rows]), infos

    def _act(self, row: int, mark: np.ndarray) -> tuple[int, dict[str, Any]]:
        count, seed, version = self._counts[row], self._seeds[row], int(self.params["version"][0])
        self._counts[row] += 1
        action = mix(*mark.tolist(), count, seed, version) % N_ACTIONS
        return action, {"version": version, "count": count, "seed": np.uint64(seed)}

    def get_param_values(self) -> dict[str, np.ndarray]:
        return {name: value.copy() for name, value in self.params.items()}

    def set_param_values(self, params: Any) -> None:
        self._strike("set_param_values")
        self.params = {name: np.array(value) for name, value in params.items()}

    def get_state(self, rows: Any) -> list[tuple[int, int]]:
        return [(self._seeds[row], self._counts[row]) for row in rows]

    def set_state(self, rows: Any, state: list[tuple[int, int]]) -> None:
        for row, (seed, count) in zip(rows, state, strict=True):
            self._seeds[row], self._counts[row] = seed, count

    def _strike(self, site: str, **when: Any) -> None:
        if self.fault is not None:
            self.fault.strike(site, **when)

    def _strike_at(self, marks: Iterable[np.ndarray]) -> None:
        """Go off once for each state: idle rows may repeat another's, and would make what is slow hang."""
        if self.fault is not None:
            for key, step in dict.fromkeys((int(mark[1]), int(mark[2])) for mark in marks):
                self._strike("get_action", key=key, step=step)


class WordyPolicy(ProbePolicy):
    """Says ``word``, of as many letters as the step has before it in its episode, up to `MOST_LETTERS`, in
    columns that have room for all of these; and ``halves`` (2,), in the byte order of other machines.
    """

    MOST_LETTERS = 9

    def get_action(self, observation: Any) -> tuple[int, dict[str, Any]]:
        action, info = super().get_action(observation)
        infos = self._more([info["count"]])
        return action, {**info, "word": str(infos["word"][0]), "halves": infos["halves"][0]}

    def get_actions(self, observations: Any) -> tuple[np.ndarray, dict[str, Any]]:
        actions, infos = super().get_actions(observations)
        return actions, infos | self._more(infos["count"])

    def _more(self, counts: Any) -> dict[str, Any]:
        return {
            "word": np.array(self.words_after(counts), f"U{self.MOST_LETTERS}"),
            "halves": self.halves_after(counts).astype(np.dtype(np.float64).newbyteorder()),
        }

    @classmethod
    def words_after(cls, counts: Any) -> list[str]:
        """Return the word of each step, given how many steps its episode has before it."""
        return ["w" * min(int(count), cls.MOST_LETTERS) for count in counts]

    @staticmethod
    def halves_after(counts: Any) -> np.ndarray:
        """Return the same for ``halves``, in the byte order of this machine."""
        return np.asarray(counts, np.float64)[:, None] / 2 + [0.0, 1.0]


class _NoDrawPolicy:
    """Says that it draws from none of the global generators, which does not count for its subclasses."""

    draws_from_global_random = False


class GlobalDrawPolicy(_NoDrawPolicy):
    """Draws from the global generators of `random` and numpy, and offers no `seed`."""

    def reset(self, do_resets: Any = None) -> None:
        del do_resets

    def get_action(self, observation: Any) -> tuple[int, dict[str, Any]]:
        del observation
        return int(np.random.randint(N_ACTIONS)), {"draw": random.random()}

    def get_actions(self, observations: Any) -> tuple[np.ndarray, dict[str, Any]]:
        n = len(mark_of(observations))
        return np.random.randint(N_ACTIONS, size=n), {"draw": np.array([random.random() for _ in range(n)])}

    def get_param_values(self) -> dict[str, np.ndarray]:
        return {}

    def set_param_values(self, params: Any) -> None:
        del params
