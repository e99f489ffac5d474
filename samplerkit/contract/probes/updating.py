"""Updates that tell how they were applied, and a policy that tells what it was told."""

from __future__ import annotations

import math
import os
from typing import Any

import gymnasium
import numpy as np

from samplerkit.contract.probes.ledger import note
from samplerkit.contract.probes.tattoo import TattooEnv, mark_of
from samplerkit.interfaces import EnvUpdate


class TaggedEnv:
    """A constructor of environments with a tag, whose episodes have two steps."""

    def __init__(self, tag: int) -> None:
        self.tag = tag

    def __call__(self) -> TattooEnv:
        return TattooEnv(tag=self.tag, lengths=(2,))


class BumpUpdate(EnvUpdate):
    """Adds to the tag of the old environment, and returns it."""

    def __init__(self, more: int) -> None:
        self.more = more

    def __call__(self, old_env: Any = None) -> Any:
        old_env.unwrapped.tag += self.more
        return old_env


class FalsyUpdate(EnvUpdate):
    """Makes a new environment, and counts as false."""

    def __init__(self, tag: int) -> None:
        self.tag = tag

    def __bool__(self) -> bool:
        return False

    def __call__(self, old_env: Any = None) -> Any:
        return TattooEnv(tag=self.tag)


class ReplaceUpdate(EnvUpdate):
    """Makes a new environment, and notes in the ledger whom it replaces."""

    def __init__(self, tag: int, ledger: str | os.PathLike[str]) -> None:
        self.tag, self.ledger = tag, str(ledger)

    def __call__(self, old_env: Any = None) -> Any:
        env = TattooEnv(tag=self.tag, ledger=self.ledger)
        note(self.ledger, env.who, "replaces", "" if old_env is None else old_env.unwrapped.who)
        return env


class WrapUpdate(EnvUpdate):
    """Puts one more wrapper around the old environment."""

    def __call__(self, old_env: Any = None) -> Any:
        return gymnasium.Wrapper(old_env)


class ReportingPolicy:
    """Reports, as ``report``, a number that stands for what `set_param_values` got last; -1 before."""

    def __init__(self) -> None:
        self.params: Any = np.zeros(1)
        self.report = -1

    @staticmethod
    def report_of(params: Any) -> int:
        """Return the number for a value: of its type, and of its length where it has one."""
        kinds = (bool, int, dict, tuple, str, np.ndarray)
        kind = next(index for index, kind in enumerate(kinds) if type(params) is kind)
        return 100 * kind + (len(params) if hasattr(params, "__len__") else int(params))

    def reset(self, do_resets: Any = None) -> None:
        del do_resets

    def get_action(self, observation: Any) -> tuple[int, dict[str, Any]]:
        del observation
        return 0, {"report": self.report}

    def get_actions(self, observations: Any) -> tuple[np.ndarray, dict[str, Any]]:
        n = len(mark_of(observations))
        return np.zeros(n, np.int64), {"report": np.full(n, self.report)}

    def get_param_values(self) -> Any:
        return self.params

    def set_param_values(self, params: Any) -> None:
        self.params = params
        self.report = self.report_of(params)


class KeepingPolicy:
    """Keeps all weights that it ever got, a number in many places.

    Reports as ``got`` the last one, and as ``kept`` whether the arrays of all of them are as they were left:
    as they came where it reads them in place, else with the sign turned.
    """

    def __init__(self, *, in_place: bool) -> None:
        self.reads_params_in_place = in_place
        self._kept: list[tuple[Any, float]] = []
        self._got = math.nan

    @staticmethod
    def weights(number: float) -> dict[str, np.ndarray]:
        """Return weights of this number, too large for any pipe."""
        return {"many": np.full((64, 1024), number), "transposed": np.full((8, 4), number).T}

    def reset(self, do_resets: Any = None) -> None:
        del do_resets

    def get_action(self, observation: Any) -> tuple[int, dict[str, Any]]:
        del observation
        return 0, {"got": self._got, "kept": self._all_kept()}

    def get_actions(self, observations: Any) -> tuple[np.ndarray, dict[str, Any]]:
        n = len(mark_of(observations))
        return np.zeros(n, np.int64), {"got": np.full(n, self._got), "kept": np.full(n, self._all_kept())}

    def _all_kept(self) -> bool:
        return all((array == number).all() for params, number in self._kept for array in params.values())

    def get_param_values(self) -> Any:
        return {}

    def set_param_values(self, params: Any) -> None:
        numbers = {number for array in params.values() for number in (array.min(), array.max())}
        self._got = float(numbers.pop()) if len(numbers) == 1 else math.nan
        if not self.reads_params_in_place:
            for array in params.values():
                array *= -1
        self._kept.append((params, self._got if self.reads_params_in_place else -self._got))
