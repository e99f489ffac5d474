"""An environment for each slot, out of one update or a list of them."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import gymnasium
import numpy as np

from samplerkit.interfaces import Env, EnvUpdate, close_replaced

VectorEnv = gymnasium.vector.VectorEnv


def slot_envs(update: Any, present: Sequence[Env], n_envs: int) -> list[Env]:
    """Return the environments of all slots after an update; see `slot_envs_or_native`.

    Raises:
        TypeError: for a vector environment.
    """
    envs = slot_envs_or_native(update, present, n_envs)
    if isinstance(envs, list):
        return envs
    envs.close()
    raise TypeError(
        f"{type(envs).__name__} is a vector environment, which this kind of worker does not step: pass one "
        "of its environments"
    )


def slot_envs_or_native(
    update: Any, present: Sequence[Any], n_envs: int
) -> list[Env] | VectorEnv[Any, Any, Any]:
    """Return the environments of all slots after an update, or the vector environment that it gave.

    Replaced ones are closed.

    Args:
        update: an environment or an `EnvUpdate`, of which every slot gets a copy of its own, or a list with
            one of these for each slot.
        present: the environments there are: none, one for each slot, or a single vector environment.
        n_envs: how many slots.

    Raises:
        ValueError: if a list has another length, or spaces differ.
        TypeError: for anything else.
    """
    updates = _for_each_slot(update, n_envs)
    before: list[Any] = [*present, *[None] * (n_envs - len(present))]
    envs: list[Env] = []
    try:
        for old, each, again in zip(before, updates, _same_draws(n_envs), strict=True):
            with again:
                new = _applied(each, old)
            if isinstance(new, VectorEnv) and not envs and not isinstance(update, list):
                return _native(new, old, n_envs)
            if not isinstance(new, gymnasium.Env):
                raise TypeError(_not_an_environment(update, new))
            envs.append(new)
        _check(envs)
    except BaseException:
        _close_new(envs, present)
        raise
    for old, env in zip(before, envs, strict=True):
        if env is not old:
            close_replaced(old, env)
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


def _native(env: VectorEnv[Any, Any, Any], old: Any, n_envs: int) -> VectorEnv[Any, Any, Any]:
    if env.num_envs != n_envs:
        raise ValueError(
            f"{type(env.unwrapped).__name__} has {env.num_envs} environments, but the worker has "
            f"n_envs={n_envs}: pass n_envs={env.num_envs}"
        )
    if old is not None and old is not env:
        close_replaced(old, cast(Any, env))
    return env


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
            one, other = getattr(envs[0], name), getattr(env, name)
            if one != other:
                raise ValueError(
                    f"the environments of a vectorized worker differ in their {name}: {one} and {other}; "
                    "give those with other spaces to workers of their own"
                )


def _close_new(envs: Sequence[Env], present: Sequence[Env]) -> None:
    kept = {id(env.unwrapped) for env in present}
    for env in envs:
        if id(env.unwrapped) not in kept:
            env.close()


def _same_draws(n: int) -> Iterator[Any]:
    """Yield contexts in which the global generators draw the same numbers, each time anew.

    A constructor that draws from them makes the same environment in every slot, as it does in every process.
    """
    state = _global_state()
    for index in range(n):
        yield _from(state if index else None)


@contextmanager
def _from(state: tuple[Any, ...] | None) -> Iterator[None]:
    if state is not None:
        random.setstate(state[0])
        np.random.set_state(state[1])
        if state[2] is not None:
            sys.modules["torch"].set_rng_state(state[2])
    yield


def _global_state() -> tuple[Any, ...]:
    torch: Any = sys.modules.get("torch")
    return random.getstate(), np.random.get_state(), None if torch is None else torch.get_rng_state()
