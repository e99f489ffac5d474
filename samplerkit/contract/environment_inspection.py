"""Looking at an environment directly: what it returns, what it draws from, what its resets cost."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from samplerkit.contract.environment_layers import chain_text
from samplerkit.contract.global_states import global_states, moved
from samplerkit.contract.unit_runs import undisturbed
from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeRecorder, episode_limit
from samplerkit.episodes.columns import arrays_of
from samplerkit.global_random import may_draw_from_globals, seed_globals
from samplerkit.interfaces import Env, layers_of
from samplerkit.sampling.packing import pack

_STEPS = 200
_SECONDS = 0.15
_UNSEEN = object()


@dataclass(frozen=True)
class Costs:
    """Medians in microseconds; NaN where the call raised."""

    seeded_reset: float
    plain_reset: float
    step: float


@dataclass(frozen=True)
class Inspection:
    """What a look at one copy of an environment showed.

    Args:
        chain: its wrappers, outermost first.
        limit: its own limit on the length of an episode; None where it has none.
        unpicklable: why it cannot be pickled; None where it can.
        action_space: its action space.
        global_draws: which global generators it draws from, and where.
        denies_draws: whether it says that it draws from none.
        unseeded: generators inside it that ``reset(seed=…)`` does not set, as ``Class.attribute``.
        costs: of resets and steps.
        notes: sentences on values that a learner may not expect.
    """

    chain: str
    limit: float | None
    unpicklable: str | None
    action_space: gymnasium.Space[Any]
    global_draws: tuple[str, ...]
    denies_draws: bool
    unseeded: tuple[str, ...]
    costs: Costs
    notes: tuple[str, ...]


def inspect(make: Callable[[], Env], make_policy: Callable[[Env], Any], seed: int) -> Inspection:
    """Make a copy of an environment and look at it.

    Args:
        make: makes the copy.
        make_policy: returns the policy for it.
        seed: of resets and actions.

    Raises:
        Exception: whatever making the environment raises.
    """
    with undisturbed():
        draws = _GlobalDraws()
        seed_globals(seed)
        env = draws.during("its constructor", make)
        try:
            unpicklable = _unpicklable(env)
            notes: dict[str, None] = {}
            play = _Play(env, make_policy(env), seed)
            _attempt(lambda: _watch(play, draws, notes), notes)
            unseeded: list[str] = []
            _attempt(lambda: unseeded.extend(_unseeded(env, play)), {})
            return Inspection(
                chain=chain_text(env),
                limit=episode_limit(env),
                unpicklable=unpicklable,
                action_space=env.action_space,
                global_draws=tuple(draws.found),
                denies_draws=not any(map(may_draw_from_globals, layers_of(env))),
                unseeded=tuple(unseeded),
                costs=_costs(env, play),
                notes=tuple(notes),
            )
        finally:
            env.close()


def _attempt(call: Callable[[], Any], notes: dict[str, None]) -> None:
    try:
        call()
    except Exception as error:
        # Units raise it too, where it matters; here is only said what was seen.
        notes[f"raised {type(error).__name__} when it was looked at: {error}"] = None


def _unpicklable(env: Env) -> str | None:
    try:
        pack(env, "the environment").load().close()
    except Exception as error:
        return str(error)
    return None


class _Play:
    """Steps of a policy in an environment, without any recording."""

    def __init__(self, env: Env, policy: Any, seed: int) -> None:
        self.env = env
        self.policy = policy
        self.seed = seed
        self._recorder = EpisodeRecorder(EnvSpec.from_env(env))
        self._observation: Any = None

    def reset(self, seed: int | None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment, and the policy with it."""
        self.policy.reset()
        if hasattr(self.policy, "seed"):
            self.policy.seed(np.array([self.seed], np.uint64))
        observation, info = self.env.reset(seed=seed)
        self._observation = self._recorder.start(observation, info)
        return observation, info

    def action(self) -> Any:
        """Choose the next action."""
        return self._recorder.cast_action(self.policy.get_action(self._observation)[0])

    def step(self, action: Any) -> tuple[Any, Any, bool]:
        """Take a step and return observation, reward, and whether the episode is over."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._observation = self._recorder.add(reward, observation, info, {})
        return observation, reward, bool(terminated or truncated)


def _watch(play: _Play, draws: _GlobalDraws, notes: dict[str, None]) -> None:
    over = True
    space = play.env.observation_space
    for count in range(_STEPS):
        if over:
            observation, _ = draws.during("reset", lambda: play.reset(play.seed))
            _note_observation(observation, space, "reset", notes)
        action = play.action()
        observation, reward, over = draws.during("step", lambda: play.step(action))  # noqa: B023
        _note_observation(observation, space, "step", notes)
        if not math.isfinite(reward):
            notes.setdefault(f"step returned the reward {reward}, which is kept as it is", None)
        if over and count > _STEPS // 2:
            break


def _note_observation(observation: Any, space: Any, where: str, notes: dict[str, None]) -> None:
    if space.contains(observation):
        return
    if isinstance(observation, (np.ndarray, np.generic)) and observation.dtype != space.dtype:
        notes[f"{where} returned {observation.dtype} for a space of {space.dtype}: samplers cast it"] = None
    elif isinstance(observation, np.ndarray) and isinstance(space, gymnasium.spaces.Box):
        notes[f"{where} returned an observation outside its space, which is kept as it is"] = None
    else:
        notes[f"{where} returned an observation that its space does not contain: {observation!r:.60}"] = None


class _GlobalDraws:
    """Notes which global generators a call moved."""

    def __init__(self) -> None:
        self.found: dict[str, None] = {}

    def during(self, where: str, call: Callable[[], Any]) -> Any:
        """Return the call's result."""
        before = global_states()
        result = call()
        for name in moved(before, global_states()):
            self.found[f"{name} in {where}"] = None
        return result


def _unseeded(env: Env, play: _Play) -> list[str]:
    """Generators in the environment's attributes that equal seeds leave in different states."""
    states = []
    for _ in range(2):
        play.reset(play.seed)
        states.append(dict(_generators(env)))
        for _ in range(20):
            if play.step(play.action())[2]:
                break
        play.reset(None)
    one, other = states
    return [name for name in other if one.get(name, _UNSEEN) != other[name]]


def _generators(env: Env) -> Iterator[tuple[str, Any]]:
    for layer in layers_of(env):
        for attribute, value in vars(layer).items():
            for path, generator in _inside(value, f"{type(layer).__name__}.{attribute}"):
                yield path, _state(generator)


def _inside(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (np.random.Generator, np.random.RandomState, random.Random)):
        yield path, value
    elif isinstance(value, gymnasium.Space):
        yield path, value._np_random
        children: Any = getattr(value, "spaces", ())
        for child in children.values() if isinstance(children, dict) else children:
            yield from _inside(child, f"{path} (nested)")


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return repr(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return repr(generator.get_state(legacy=False))
    return generator.getstate() if isinstance(generator, random.Random) else None


def _costs(env: Env, play: _Play) -> Costs:
    seeds = iter(range(10**9))
    steps: list[float] = []

    def play_on() -> None:
        if not steps:
            play.reset(play.seed)
        action = play.action()
        began = time.perf_counter()
        over = play.step(action)[2]
        steps.append(time.perf_counter() - began)
        if over:
            play.reset(play.seed)

    return Costs(
        seeded_reset=_median(lambda: env.reset(seed=next(seeds))),
        plain_reset=_median(env.reset),
        step=_median_of(steps) if _repeat(play_on, _STEPS) else math.nan,
    )


def _median(call: Callable[[], Any]) -> float:
    times: list[float] = []

    def timed() -> None:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)

    return _median_of(times) if _repeat(timed, 50) else math.nan


def _repeat(call: Callable[[], Any], most: int) -> bool:
    """Call for a while, three times at least; False if it raised."""
    end = time.perf_counter() + _SECONDS
    try:
        for count in range(most):
            if count >= 3 and time.perf_counter() > end:
                break
            call()
    except Exception:
        return False
    return True


def _median_of(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1e6


def info_notes(batches: list[EpisodeBatch]) -> list[str]:
    """Return sentences on infos: keys that only some steps have, values that stay objects."""
    notes: dict[str, None] = {}
    for batch in batches:
        for path, array in arrays_of(batch.env_infos, "env_infos"):
            if array.dtype.hasobject:
                notes[f"{path} holds Python objects: slow to send, and no array to learn from"] = None
        for key in batch.env_infos:
            if "_" + key in batch.env_infos:
                notes[
                    f"env_infos[{key!r}] comes on some steps only: zeros elsewhere, the mask is "
                    f"env_infos['_{key}']"
                ] = None
    return list(notes)
