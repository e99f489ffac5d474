"""What a policy and a batch need to know of an environment."""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import dataclass
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces

from samplerkit.attributes import quicken
from samplerkit.episodes.objects import plain_bytes

Space = gymnasium.Space[Any]


@dataclass(frozen=True)
class EnvSpec:
    """The observation space, the action space and the limit on the length of an episode.

    Two specs are equal where both spaces and the limit are.

    Args:
        observation_space: a Box, Discrete, MultiBinary or MultiDiscrete, or a Dict or Tuple of these, nested
            as one likes.
        action_space: the same.
        max_episode_length: an integer of at least 1, `math.inf`, or None for "no limit known".

    Raises:
        TypeError: for a space of another kind (Text, Sequence, Graph, OneOf), with the path to it; for a
            limit that is no integer.
        ValueError: for a limit below 1.
    """

    observation_space: Space
    action_space: Space
    max_episode_length: float | None = None

    def __post_init__(self) -> None:
        check_space(self.observation_space, "observation_space")
        check_space(self.action_space, "action_space")
        object.__setattr__(self, "max_episode_length", _checked_limit(self.max_episode_length))

    @functools.cached_property
    def step_bytes(self) -> int:
        """What an observation and an action take as rows of columns."""
        return _row_bytes(self.observation_space) + _row_bytes(self.action_space)

    @classmethod
    def from_env(cls, env: gymnasium.Env[Any, Any], max_episode_length: float | None = None) -> EnvSpec:
        """Return the spec of an environment; its own time limit serves where no other is given.

        Raises:
            TypeError: if it lacks a space, or has one of another kind.
        """
        if max_episode_length is None:
            max_episode_length = episode_limit(env)
        # They are the environment's own, and are pickled wherever episodes travel.
        spaces_of = space_of(env, "observation_space"), space_of(env, "action_space")
        for space in spaces_of:
            quicken(space)
        return cls(*spaces_of, max_episode_length)


def space_of(env: gymnasium.Env[Any, Any], name: str) -> Space:
    """Return the ``observation_space`` or ``action_space`` of an environment.

    Raises:
        TypeError: if it has none.
    """
    try:
        space: Space = getattr(env, name)
    except AttributeError as error:
        raise TypeError(
            f"{type(env.unwrapped).__name__} has no {name}: set self.{name} in its __init__ ({error})"
        ) from error
    return space


def episode_limit(env: gymnasium.Env[Any, Any]) -> float | None:
    """Return the environment's own limit on the length of an episode, or None where it has none.

    The limit is that of the gymnasium registry, of a `TimeLimit` wrapper, or an attribute
    ``max_episode_length``; the smallest where there are several.
    """
    limits: list[Any] = []
    layer: Any = env
    while layer is not None:
        spec = getattr(layer, "spec", None)
        limits += [getattr(spec, "max_episode_steps", None), getattr(layer, "max_episode_length", None)]
        if isinstance(layer, gymnasium.wrappers.TimeLimit):
            limits.append(layer._max_episode_steps)
        # Not out of its `__dict__`: see `samplerkit.attributes`.
        layer = getattr(layer, "env", None) if isinstance(layer, gymnasium.Wrapper) else None
    return min((limit for limit in map(_checked_limit, limits) if limit is not None), default=None)


def check_space(space: Any, path: str) -> None:
    """Raise a TypeError, with the path inside nested spaces, unless steps of this space fit into columns."""
    if isinstance(space, spaces.Dict):
        for key, child in space.spaces.items():
            check_space(child, f"{path}[{key!r}]")
    elif isinstance(space, spaces.Tuple):
        for index, child in enumerate(space.spaces):
            check_space(child, f"{path}[{index}]")
    elif not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)):
        kind = f"a {type(space).__name__} space" if isinstance(space, gymnasium.Space) else repr(type(space))
        raise TypeError(
            f"{path} is {kind}, which cannot be stored in columns of one dtype and shape: use a Box, "
            "Discrete, MultiBinary or MultiDiscrete space, or a Dict or Tuple of these."
        )


def space_key(space: Space) -> tuple[Any, ...]:
    """Return a tuple of plain values that two spaces share exactly when they are equal, bit for bit."""
    if isinstance(space, spaces.Dict):
        return ("Dict", tuple(sorted((repr(key), space_key(child)) for key, child in space.spaces.items())))
    if isinstance(space, spaces.Tuple):
        return ("Tuple", tuple(space_key(child) for child in space.spaces))
    kind: tuple[Any, ...] = (str(space.dtype), space.shape)
    if isinstance(space, spaces.Box):
        return ("Box", *kind, plain_bytes(space.low), plain_bytes(space.high))
    if isinstance(space, spaces.Discrete):
        return ("Discrete", *kind, int(space.n), int(space.start))
    if isinstance(space, spaces.MultiDiscrete):
        return ("MultiDiscrete", *kind, space.nvec.tolist(), space.start.tolist())
    return (type(space).__name__, *kind)


def spec_key(spec: EnvSpec) -> tuple[Any, ...]:
    """Return a tuple of plain values that two specs share exactly when they are equal, bit for bit."""
    return space_key(spec.observation_space), space_key(spec.action_space), repr(spec.max_episode_length)


def _checked_limit(limit: Any) -> float | None:
    if limit is None:
        return None
    if isinstance(limit, float) and math.isinf(limit) and limit > 0:
        return math.inf
    try:
        if isinstance(limit, bool):
            raise TypeError
        number = operator.index(limit)
    except TypeError:
        raise TypeError(
            f"max_episode_length is {limit!r}, but must be an integer of at least 1, math.inf or None."
        ) from None
    if number < 1:
        raise ValueError(
            f"max_episode_length is {number}, but an episode has at least one step: pass 1 or more."
        )
    return number


def _row_bytes(space: Space) -> int:
    if isinstance(space, spaces.Dict):
        return sum(_row_bytes(child) for child in space.spaces.values())
    if isinstance(space, spaces.Tuple):
        return sum(_row_bytes(child) for child in space.spaces)
    return int(np.dtype(cast("Any", space.dtype)).itemsize * np.prod(cast("tuple[int, ...]", space.shape)))
