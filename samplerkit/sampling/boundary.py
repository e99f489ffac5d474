"""The boundary: what callers pass, checked once and brought into one form."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from numbers import Integral
from typing import Any, NamedTuple, cast

import gymnasium

from samplerkit.episodes import episode_limit
from samplerkit.interfaces import Env, EnvUpdate, ExistingEnvUpdate, NewEnvUpdate, is_policy
from samplerkit.interfaces.env_update import ENVIRONMENTS
from samplerkit.sampling.packing import pack
from samplerkit.sampling.recipes import AgentChange, EnvChange

log = logging.getLogger(__name__)


def check_count(name: str, value: Any) -> int:
    """Return a whole number of at least 1 as an int.

    Raises:
        TypeError: for anything but an integer (numpy's are welcome, bools are not).
        ValueError: if it is less than 1.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer of at least 1, not {value!r} ({type(value).__name__})")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return int(value)


def agent_change(update: Any) -> AgentChange | None:
    """Pack an agent update: a policy or weights."""
    if update is None:
        return None
    if is_policy(update):
        return AgentChange(pack(sampling_policy(update), "the policy"), True)
    return AgentChange(pack(update, "the weights"), False)


def sampling_policy(policy: Any) -> Any:
    """Return what workers get of a policy, and check that it is one.

    Raises:
        TypeError: if it lacks a method of the `Policy` protocol, or gives its weights as a list.
    """
    if isinstance(policy, type):
        name = policy.__name__
        raise TypeError(f"agents must be policies, and {name} is a class: pass an instance, {name}(…)")
    for_sampling = getattr(policy, "for_sampling", None)
    if callable(for_sampling):
        policy = for_sampling()
    missing = [
        name
        for name in ("get_action", "reset", "get_param_values", "set_param_values")
        if not callable(getattr(policy, name, None))
    ]
    if missing:
        raise TypeError(
            f"agents must be policies: {type(policy).__name__} has no method {', '.join(missing)} "
            "(see samplerkit.Policy)"
        )
    if isinstance(policy.get_param_values(), list):
        raise TypeError(
            f"{type(policy).__name__}.get_param_values() returned a list, and a list of updates means "
            "one for each worker: return an array, a tuple or a dict of arrays"
        )
    return policy


def env_change(
    update: Any, seed: int, *, vector_envs: bool = False, native_slots: int | None = None
) -> EnvChange | None:
    """Pack an environment update; a list is for the slots of a vectorized worker.

    Args:
        update: as a caller gives it.
        seed: see `EnvChange`.
        vector_envs: whether vector environments are taken.
        native_slots: see `Worker.native_slots`.

    Raises:
        TypeError: if it is none, or a vector environment where these are not taken.
        ValueError: for an id that stands for nothing.
    """
    if update is None:
        return None
    if isinstance(update, list):
        normal: Any = [env_update(item) for item in update]
    elif native_slots is not None and isinstance(update, str):
        normal = NewEnvUpdate(_MakeVectorEnv(update, native_slots))
    elif vector_envs and isinstance(update, gymnasium.vector.VectorEnv):
        normal = ExistingEnvUpdate(cast(Any, update))
    else:
        normal = env_update(update)
    return EnvChange(pack(normal, "the environment"), seed, normal)


def env_update(value: Any) -> EnvUpdate:
    """Turn whatever stands for an environment into an `EnvUpdate`.

    Args:
        value: a gymnasium id, an environment, an `EnvUpdate` or a callable without arguments.

    Raises:
        TypeError: if it is none of these.
    """
    if isinstance(value, str):
        return NewEnvUpdate(_MakeEnv(registered_spec(value)))
    if isinstance(value, gymnasium.vector.VectorEnv):
        raise TypeError("a vector environment needs a vectorized worker; pass one of its environments")
    if isinstance(value, gymnasium.Env):
        return ExistingEnvUpdate(value)
    if isinstance(value, EnvUpdate):
        return value
    if callable(value):
        return NewEnvUpdate(value)
    raise TypeError(
        f"envs and env_update take an environment, an EnvUpdate, a gymnasium id, a callable without "
        f"arguments, or a list with one of these for each worker, not {type(value).__name__}"
    )


def registered_spec(env_id: str) -> Any:
    """Look a gymnasium id up here, so that one registered by the caller's script works in any process.

    Raises:
        ValueError: if no environment of this id is registered.
    """
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        return gymnasium.spec(name)
    except (gymnasium.error.Error, ImportError) as error:
        raise ValueError(f"there is no gymnasium environment {env_id!r}: {error}") from error


class _MakeEnv:
    """Constructor of a registered environment; carries its specification, not just its id."""

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    def __call__(self) -> Env:
        # The passive checker only warns, at every step; samplerkit checks batches itself.
        return gymnasium.make(self.spec, disable_env_checker=True)


class _MakeVectorEnv:
    """Constructor of the native vector environment of a registered id."""

    def __init__(self, env_id: str, n_slots: int) -> None:
        self.spec = registered_spec(env_id)
        self.n_slots = n_slots
        if self.spec.vector_entry_point is None:
            raise ValueError(
                f"{env_id} has no native vector environment (no vector_entry_point is registered): leave "
                "native out, and it is made once for each slot"
            )

    def __call__(self) -> Any:
        return gymnasium.make_vec(self.spec, num_envs=self.n_slots, vectorization_mode="vector_entry_point")


class Facts(NamedTuple):
    """What an environment tells about itself.

    Attributes:
        limit: on the length of episodes, in steps; None if it has none.
        streams: see `StreamingWorker.streams`.
    """

    limit: float | None
    streams: bool


def facts(update: Any, streams: Callable[[Any], bool]) -> Facts:
    """Ask an environment; one that is only described is constructed here for a moment.

    Args:
        update: that it is the result of; a list is for the slots of a vectorized worker.
        streams: of the worker.

    Raises:
        TypeError: if it is no environment, and has no limit either.
    """
    if isinstance(update, list):
        each = [facts(item, streams) for item in update]
        limits = [it.limit for it in each]
        longest = None if None in limits else max(filter(None, limits))
        return Facts(longest, any(it.streams for it in each))
    if isinstance(update, NewEnvUpdate) and isinstance(update._env_constructor, _MakeEnv):
        limit: int | None = update._env_constructor.spec.max_episode_steps
        if limit is not None:
            return Facts(limit, False)
    env = update(None)
    if not isinstance(env, ENVIRONMENTS) and episode_limit(env) is None:
        raise TypeError(_no_environment(update, env))
    try:
        return Facts(episode_limit(env), streams(env))
    finally:
        _close(env)


def _no_environment(update: Any, made: Any) -> str:
    maker = "the callable for envs" if isinstance(update, NewEnvUpdate) else type(update).__name__
    instead = ": pass a gymnasium id itself" if isinstance(made, str) else ""
    return f"{maker} must return a gymnasium.Env, not {made!r} ({type(made).__name__}){instead}"


def _close(env: Any) -> None:
    try:
        env.close()
    except KeyboardInterrupt:
        raise
    except BaseException:
        log.warning("%s raised while it was closed", type(env).__name__, exc_info=True)


def for_each_distinct(function: Callable[[int, Any], Any], values: list[Any]) -> list[Any]:
    """Call ``function(index, value)`` once for each distinct object of a list, at its first index."""
    first = {id(value): index for index, value in reversed(list(enumerate(values)))}
    done = {index: function(index, values[index]) for index in sorted(set(first.values()))}
    return [done[first[id(value)]] for value in values]
