"""An environment for each slot, out of one update or a list of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import gymnasium

from samplerkit.episodes.spec import space_of
from samplerkit.global_random import global_state, set_global_state
from samplerkit.interfaces import Env, EnvUpdate, VectorEnv, close_others


def slot_envs(update: Any, present: Sequence[Any], n_envs: int) -> list[Env] | VectorEnv:
    """Return the environments of all slots after an update, or the vector environment that it gave.

    Those that are replaced are left for the caller to close: `close_others`.

    Args:
        update: an environment or an `EnvUpdate`, of which every slot gets a copy of its own, or a list with
            one of these for each slot.
        present: the environments there are: none, one for each slot, or a single vector environment.
        n_envs: how many slots.

    Raises:
        ValueError: if a list has another length, or spaces differ; for a vector environment of another size.
        TypeError: for anything else. What was made is closed.
    """
    updates = _for_each_slot(update, n_envs)
    before: list[Any] = [*present, *[None] * (n_envs - len(present))]
    envs: list[Any] = []
    try:
        for old, each, again in zip(before, updates, _same_draws(n_envs), strict=True):
            with again:
                envs.append(_applied(each, old))
            if isinstance(envs[0], gymnasium.vector.VectorEnv) and not isinstance(update, list):
                _check_size(envs[0], n_envs)
                return envs[0]
            if not isinstance(envs[-1], gymnasium.Env):
                raise TypeError(_not_an_environment(update, envs.pop()))
        _check(envs)
    except BaseException:
        with suppress(Exception):  # what is wrong was wrong before
            close_others(envs, present)
        raise
    return envs


def _for_each_slot(update: Any, n_envs: int) -> list[Any]:
    if isinstance(update, list):
        if len(update) != n_envs:
            raise ValueError(
                f"a list of environments for a vectorized worker must have exactly n_envs items: got "
                f"{len(update)} for n_envs={n_envs}; pass one for each slot, or one for all of them"
            )
        first: dict[int, Any] = {}
        return [
            copy.deepcopy(item) if id(item) in first else first.setdefault(id(item), item) for item in update
        ]
    return [update, *(copy.deepcopy(update) for _ in range(n_envs - 1))]


def _check_size(env: VectorEnv, n_envs: int) -> None:
    if env.num_envs != n_envs:
        raise ValueError(
            f"{type(env.unwrapped).__name__} has {env.num_envs} environments, but the worker has "
            f"n_envs={n_envs}: pass n_envs={env.num_envs}"
        )


def _applied(update: Any, old: Any) -> Any:
    return update(old) if isinstance(update, EnvUpdate) else update


def _not_an_environment(update: Any, result: Any) -> str:
    if isinstance(update, EnvUpdate):
        return f"{type(update).__name__} returned {type(result).__name__}; it must return a gymnasium.Env"
    return f"env_update must be a gymnasium.Env, an EnvUpdate or a list of these, not {type(result).__name__}"


def _check(envs: Sequence[Env]) -> None:
    if len({id(env) for env in envs}) < len(envs):
        raise ValueError(
            "an EnvUpdate returned the same environment for two slots: each must get one of its own"
        )
    for env in envs[1:]:
        for name in ("observation_space", "action_space"):
            one, other = space_of(envs[0], name), space_of(env, name)
            if one != other:
                raise ValueError(
                    f"the environments of a vectorized worker differ in their {name}: {one} and {other}; "
                    "give those with other spaces to workers of their own"
                )


def _same_draws(n: int) -> Iterator[Any]:
    """Yield contexts in which the global generators draw the same numbers, each time anew.

    A constructor that draws from them makes the same environment in every slot, as it does in every process.
    """
    state = global_state()
    for index in range(n):
        yield _from(state if index else None)


@contextmanager
def _from(state: tuple[Any, ...] | None) -> Iterator[None]:
    if state is not None:
        set_global_state(state)
    yield
