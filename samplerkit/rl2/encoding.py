"""Writing an observation or an action into its place in a flat float32 row.

The same numbers as `gymnasium.spaces.flatten`, without its dispatch and allocations: `RL2Env.step` is on the
path of every sampled step.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

Row = npt.NDArray[np.float32]


class Writer(Protocol):
    """Writes elements of a space to fixed places of a row of zeros."""

    def write(self, row: Row, value: Any) -> None:
        """Write the element."""


class OneHotWriter:
    """Elements of a `Discrete` space."""

    def __init__(self, space: Discrete, offset: int) -> None:
        self._n = int(space.n)
        self._start = int(space.start)
        self._offset = offset

    def write(self, row: Row, value: Any) -> None:
        """Set the one place."""
        index = int(value) - self._start
        if not 0 <= index < self._n:
            raise ValueError(f"{value} is not in Discrete({self._n}, start={self._start})")
        row[self._offset + index] = 1.0


class ArrayWriter:
    """Elements of spaces that are arrays of numbers already: `Box` and `MultiBinary`."""

    def __init__(self, space: Box | MultiBinary, offset: int) -> None:
        self._places = slice(offset, offset + math.prod(space.shape))

    def write(self, row: Row, value: Any) -> None:
        """Copy the numbers."""
        row[self._places] = np.asarray(value).reshape(-1)


class FlattenWriter:
    """Elements of any other space with a fixed flat size."""

    def __init__(self, space: gymnasium.Space[Any], offset: int) -> None:
        self._space = space
        self._places = slice(offset, offset + gymnasium.spaces.flatdim(space))

    def write(self, row: Row, value: Any) -> None:
        """Copy what gymnasium makes of it."""
        flat: Any = gymnasium.spaces.flatten(self._space, value)
        row[self._places] = flat


def make_writer(space: gymnasium.Space[Any], offset: int) -> Writer:
    """Return the cheapest writer for the space, writing from `offset` on."""
    if isinstance(space, Discrete):
        return OneHotWriter(space, offset)
    if isinstance(space, Box | MultiBinary):
        return ArrayWriter(space, offset)
    return FlattenWriter(space, offset)


def check_observation_space(space: gymnasium.Space[Any]) -> None:
    """Refuse observations without a fixed flat size.

    Raises:
        TypeError: names the space.
    """
    if not space.is_np_flattenable:
        raise TypeError(
            f"RL2Env needs observations of a fixed flat size, which {type(space).__name__} has not: "
            "wrap the environment so that it observes one of the other spaces"
        )


def check_action_space(space: gymnasium.Space[Any]) -> None:
    """Refuse actions that do not become one flat part of the observation.

    Raises:
        TypeError: names the space.
    """
    if not isinstance(space, Box | Discrete | MultiBinary | MultiDiscrete):
        raise TypeError(
            "RL2Env appends the last action to the observation, which cannot be done with "
            f"{type(space).__name__} actions: wrap the environment so that it takes a Box or Discrete"
        )


def default_action(space: gymnasium.Space[Any], size: int) -> Row:
    """What stands for the last action at the start of a trial: index 0, or zeros; shape (size,)."""
    row = np.zeros(size, dtype=np.float32)
    if isinstance(space, Discrete):
        row[0] = 1.0
    elif isinstance(space, MultiDiscrete):
        first: Any = gymnasium.spaces.flatten(space, np.asarray(space.start))
        row[:] = first
    return row
