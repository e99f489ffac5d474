"""The global random generators: set for each unit, put back for the caller.

Policies and environments that draw from `random`, `numpy.random` or torch's global generator are served
by seeding these for each unit; nobody else notices, since their state is restored after the call.
"""

from __future__ import annotations

import _random
import random
import sys
from types import TracebackType
from typing import Any, Self

import numpy as np

_WITH_THEIR_OWN = tuple(
    f"gymnasium.{name}."
    for name in ("envs.classic_control", "envs.toy_text", "envs.mujoco", "wrappers.common")
)
"""Modules whose classes draw from generators of their own only; a test looks at all that are installed."""

_python = random.seed.__self__  # type: ignore[attr-defined]
_seed_python = _random.Random.seed


def seed_globals(seed: int) -> None:
    """Set every loaded global generator from one 64-bit seed."""
    _seed_python(_python, seed)  # what random.seed does with an integer, without asking what it is
    _python.gauss_next = None
    np.random.seed(seed & 0xFFFFFFFF)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed >> 1)


def may_draw_from_globals(part: object) -> bool:
    """Whether an environment, one of its wrappers or a policy may draw from the global generators.

    Its class says that it does not by ``draws_from_global_random = False``. Subclasses have other methods,
    and say so for themselves.
    """
    kind = type(part)
    said = vars(kind).get("draws_from_global_random")
    return bool(said) if said is not None else not f"{kind.__module__}.".startswith(_WITH_THEIR_OWN)


def global_state() -> tuple[Any, ...]:
    """Return where the global generators stand."""
    torch: Any = sys.modules.get("torch")
    return random.getstate(), np.random.get_state(), None if torch is None else torch.get_rng_state()


def set_global_state(state: tuple[Any, ...]) -> None:
    """Bring them to where they stood when `global_state` was called."""
    of_python, of_numpy, of_torch = state
    random.setstate(of_python)
    np.random.set_state(of_numpy)
    if of_torch is not None:
        sys.modules["torch"].set_rng_state(of_torch)


class GlobalRandomState:
    """Puts the global generators back at the end of a ``with`` block (about 50 µs: once per call)."""

    def __enter__(self) -> Self:
        self._before = global_state()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        set_global_state(self._before)
