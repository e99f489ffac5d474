"""Updates of environments: callables that get the old environment and return the new one."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import gymnasium

Env: TypeAlias = gymnasium.Env[Any, Any]

VectorEnv: TypeAlias = gymnasium.vector.VectorEnv[Any, Any, Any]

ENVIRONMENTS = gymnasium.Env, gymnasium.vector.VectorEnv
"""What `isinstance` asks of an environment, or of a vector environment."""


class EnvUpdate(abc.ABC):
    """A callable that makes a new environment out of an old one, or out of nothing.

    It runs where the worker is, so it must be picklable (cloudpickle: closures and lambdas are fine), and
    it is the way to change environments without sending environments. It may change and return the old
    environment. The worker closes a replaced one, unless the new one contains it.
    """

    @abc.abstractmethod
    def __call__(self, old_env: Env | None = None) -> Env:
        """Return the environment to use from now on.

        Args:
            old_env: the present environment; None if there is none yet.
        """

    def supersedes(self, previous: EnvUpdate) -> bool:
        """Whether applying `previous` first makes no difference to the result of this update.

        Samplers keep the updates that lead to the present environment, to build it again after a crash;
        they forget those that a later one supersedes.
        """
        del previous
        return False


class NewEnvUpdate(EnvUpdate):
    """Constructs a new environment at every update.

    Args:
        env_constructor: called without arguments where the worker is.
    """

    def __init__(self, env_constructor: Callable[[], Env]) -> None:
        if not callable(env_constructor):
            raise TypeError(
                f"env_constructor must be a callable without arguments that returns an environment, "
                f"not {type(env_constructor).__name__}"
            )
        self._env_constructor = env_constructor

    def __call__(self, old_env: Env | None = None) -> Env:
        """Return ``env_constructor()``."""
        del old_env
        return self._env_constructor()

    def supersedes(self, previous: EnvUpdate) -> bool:
        """Always: what was there before plays no part."""
        del previous
        return True


class ExistingEnvUpdate(EnvUpdate):
    """Carries an environment that has already been constructed.

    Each worker gets a copy of its own (made by pickling). A `NewEnvUpdate` or `SetTaskUpdate` is
    cheaper to send where it does.

    Args:
        env: the environment.
    """

    def __init__(self, env: Env) -> None:
        self._env = env

    def __call__(self, old_env: Env | None = None) -> Env:
        """Return the environment that was carried here."""
        del old_env
        return self._env

    def supersedes(self, previous: EnvUpdate) -> bool:
        """Always: what was there before plays no part."""
        del previous
        return True


class SetTaskUpdate(EnvUpdate):
    """Calls ``set_task(task)`` on an environment of a known type, constructing it where needed.

    If the innermost environment is exactly an `env_type` it is kept and told the task; otherwise a new
    one is constructed and told. With a `wrapper_constructor`, the wrapper is made anew for every task, so
    that nothing in it speaks of an earlier one.

    Args:
        env_type: class of the environment, callable without arguments.
        task: opaque to samplers; an element of what ``env.sample_tasks(n)`` returns.
        wrapper_constructor: ``wrapper_constructor(env, task)`` returns the wrapped environment.
    """

    def __init__(
        self, env_type: type[Any], task: Any, wrapper_constructor: Callable[[Any, Any], Env] | None = None
    ) -> None:
        if not isinstance(env_type, type):
            raise ValueError(
                f"env_type must be a class, not {env_type!r}: pass the class of the environment, "
                "and build variants of it in a NewEnvUpdate"
            )
        self._env_type = env_type
        self._task = task
        self._wrapper_constructor = wrapper_constructor

    def __call__(self, old_env: Env | None = None) -> Env:
        """Return an environment of the type with the task set."""
        fits = old_env is not None and type(old_env.unwrapped) is self._env_type
        base: Any = old_env.unwrapped if fits and old_env is not None else self._env_type()
        base.set_task(self._task)
        if self._wrapper_constructor is not None:
            return self._wrapper_constructor(base, self._task)
        return old_env if fits and old_env is not None else base

    def supersedes(self, previous: EnvUpdate) -> bool:
        """An earlier task of the same kind leaves no trace."""
        return (
            type(previous) is type(self)
            and isinstance(previous, SetTaskUpdate)
            and previous._env_type is self._env_type
            and previous._wrapper_constructor is self._wrapper_constructor
        )


def layers_of(env: Env) -> list[Env]:
    """Return the wrappers from the outermost to the environment itself; of a vector environment, too."""
    layers: list[Any] = []
    layer: Any = env
    while isinstance(layer, ENVIRONMENTS) and not any(layer is known for known in layers):
        layers.append(layer)
        # Not out of `vars`, which would slow its attributes down: see `samplerkit.attributes`.
        layer = getattr(layer, "env", None)
    return layers


def close_replaced(old: Env | None, new: Env) -> None:
    """Close an environment that was replaced, unless the new one is it, wraps it, or shares its core."""
    if old is not None:
        close_others([old], [new])


def close_others(envs: Sequence[Any], kept: Sequence[Any]) -> None:
    """Close those environments that none of some others is, wraps, or shares its core with.

    Each of them is closed, even if one raises; the first exception is raised after that.
    """
    parts = {part for env in kept for part in _parts_of(env)}
    errors: list[BaseException] = []
    for env in envs:
        if id(env) not in parts and id(env.unwrapped) not in parts:
            try:
                env.close()
            except BaseException as error:
                errors.append(error)
    if errors:
        raise errors[0]


def _parts_of(env: Any) -> set[int]:
    """Return the identities of an environment, its core, and what it wraps, which may be of any kind."""
    core, parts = id(env.unwrapped), set()
    while env is not None and id(env) not in parts:
        parts.add(id(env))
        env = getattr(env, "env", None)
    return {core, *parts}
