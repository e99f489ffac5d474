"""What is measured: an environment, a policy and the size of a batch, all by name."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from samplerkit.episodes import episode_limit
from samplerkit.interfaces import Env, is_policy
from samplerkit.sampling import boundary

NAMED_POLICIES = ("mlp", "random", "constant")

_LARGE_OBSERVATION = 1_024
"""Numbers in an observation for which a perceptron is no likely policy."""


@dataclass(frozen=True)
class Workload:
    """An environment, a policy, and how they are sampled.

    Args:
        env: a gymnasium id, or ``module:callable`` of what constructs an environment.
        policy: ``mlp``, ``random``, ``constant``, or ``module:callable`` of a policy or of what makes
            one from the observation space and the action space. None: ``mlp`` where it fits, else ``random``.
        num_samples: steps of a batch.
        seed: of samplers, and of resets in bare loops.
        max_episode_length: most steps of an episode; None: the environment's own limit.
    """

    env: str
    policy: str | None = None
    num_samples: int = 4_000
    seed: int = 0
    max_episode_length: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the arguments of the constructor."""
        return asdict(self)

    def env_source(self) -> Any:
        """Return what a sampler takes as ``envs``.

        Raises:
            ValueError: if there is nothing of this name.
        """
        if ":" not in self.env:
            boundary.registered_spec(self.env)
        return environment_named(self.env)

    def make_env(self) -> Env:
        """Construct the environment as a worker does.

        Raises:
            Exception: whatever its constructor raises.
            TypeError: if it is no environment.
        """
        env = boundary.env_update(self.env_source())(None)
        if not hasattr(env, "step") or not hasattr(env, "observation_space"):
            raise TypeError(f"{self.env} gave a {type(env).__name__}; it must construct a gymnasium.Env")
        return env

    def episode_limit(self, env: Env) -> float:
        """Return the most steps of an episode.

        Raises:
            ValueError: if neither the workload nor the environment knows.
        """
        limit = self.max_episode_length or episode_limit(env)
        if limit is None:
            raise ValueError(f"{self.env} has no episode limit of its own: give --max-episode-length")
        return limit

    def make_policy(self, env: Env) -> Any:
        """Make the policy for an environment.

        Raises:
            ValueError, TypeError: if there is none of this name, or it does not fit the environment.
        """
        name = self.policy or _likely_policy(env)
        if name in NAMED_POLICIES:
            return _named_policy(name)(env.observation_space, env.action_space)
        module, colon, attribute = name.partition(":")
        if not colon:
            raise ValueError(f"there is no policy {name!r}: {', '.join(NAMED_POLICIES)} or module:callable")
        found = getattr(_module(module), attribute, None)
        if found is None:
            raise ValueError(f"{module} has no {attribute!r}")
        policy = found if is_policy(found) and not isinstance(found, type) else _made(found, env)
        return boundary.sampling_policy(policy)

    def policy_name(self, env: Env) -> str:
        """Return the name of the policy that `make_policy` makes."""
        return self.policy or _likely_policy(env)


def environment_named(reference: str) -> Any:
    """Return what a name stands for: a gymnasium id as it is, ``module:name`` imported.

    Raises:
        ValueError: if the module cannot be imported, or has no such name.
    """
    module, colon, name = reference.partition(":")
    if not colon:
        return reference
    found = getattr(_module(module), name, None)
    if found is None and "-v" in name:
        return reference  # gymnasium's own form of an id, with the module that registers it
    if found is None:
        raise ValueError(f"{module} has no {name!r}: write module:callable, or an id such as CartPole-v1")
    return found


def weights_in_turn(policy: Any) -> tuple[Any, Any] | None:
    """Return two sets of weights that differ by the least amount; None of a policy without weights.

    Updating with them in turn costs what an update costs; a sampler need not send weights that it has sent
    already.
    """
    weights = policy.get_param_values()
    changed = _nudged(weights)
    return None if changed is None else (weights, changed)


def _nudged(weights: Any) -> Any:
    """A copy whose floating-point numbers are the next ones; None where there are none."""
    if isinstance(weights, tuple):
        parts = [_nudged(part) for part in weights]
        if all(part is None for part in parts):
            return None
        return tuple(old if new is None else new for old, new in zip(weights, parts, strict=True))
    if hasattr(weights, "items"):
        found = {key: new for key, part in weights.items() if (new := _nudged(part)) is not None}
        return {**weights, **found} if found else None
    array = np.asarray(weights)
    return np.nextafter(array, array.dtype.type(math.inf)) if array.dtype.kind == "f" and array.size else None


def _likely_policy(env: Env) -> str:
    space = env.observation_space
    small = isinstance(space, spaces.Discrete) or (
        isinstance(space, spaces.Box) and math.prod(space.shape) <= _LARGE_OBSERVATION
    )
    acts = isinstance(env.action_space, (spaces.Discrete, spaces.Box))
    if isinstance(env.action_space, spaces.Box):
        acts = env.action_space.dtype.kind == "f"
    return "mlp" if small and acts else "random"


def _named_policy(name: str) -> Callable[[Any, Any], Any]:
    if name == "constant":
        from samplerkit.bench.policies import ConstantPolicy

        return ConstantPolicy
    from samplerkit.policies import MLPPolicy, RandomPolicy

    return MLPPolicy if name == "mlp" else lambda observations, actions: RandomPolicy(actions)


def _made(found: Any, env: Env) -> Any:
    """Call what makes a policy: with two spaces, or with nothing where it takes nothing."""
    if not callable(found):
        raise TypeError(f"the policy is a {type(found).__name__}; it must be a policy, or make one")
    arguments = (env.observation_space, env.action_space)
    try:
        inspect.signature(found).bind(*arguments)
    except TypeError:
        return found()
    except ValueError:  # builtins may have no signature
        pass
    return found(*arguments)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(f"{name} cannot be imported: {error}") from error
