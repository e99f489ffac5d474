"""Bringing open episodes back: the same seed, the same actions, and so the same episode."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samplerkit.episodes import EnvSpec
from samplerkit.episodes.columns import Column, arrays_of, map_column
from samplerkit.episodes.space_columns import space_column
from samplerkit.interfaces import Env, OpenEpisode, Unit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replayed:
    """An episode that an environment is in the middle of again.

    Attributes:
        slot: of the environment.
        unit: the episode's.
        info: of the reset.
        actions: (n_steps, …), as recorded.
        observations: (n_steps, …), what each of them was chosen on.
        observation: what the next action will be chosen on.
        n_steps: so far.
        one_policy: see `OpenEpisode`.
    """

    slot: int
    unit: Unit
    info: dict[str, Any]
    actions: Column
    observations: Column
    observation: Any
    n_steps: int
    one_policy: bool


def replayed(
    env: Env, spec: EnvSpec, episode: OpenEpisode, unit: Unit, env_seed: int | None
) -> Replayed | None:
    """Reset an environment and play an episode's actions again.

    Returns:
        None where that does not lead to the same observation: the environment is not determined by seed and
        actions, or raises an exception.
    """
    try:
        return _replayed(env, spec, episode, unit, env_seed)
    except Exception as error:
        log.warning("unit %d cannot be brought back: %s: %s", unit.number, type(error).__name__, error)
        return None


def _replayed(
    env: Env, spec: EnvSpec, episode: OpenEpisode, unit: Unit, env_seed: int | None
) -> Replayed | None:
    n_steps = episode.n_steps
    seen = space_column(spec.observation_space, "observation", n_steps + 1, {"observation"})
    actions = space_column(spec.action_space, "action", 1, set())
    observation, info = env.reset(seed=env_seed)
    for step in range(n_steps):
        seen.put(step, observation)
        # In the form in which the environment got it the first time.
        action = actions.cast(0, _row(episode.actions, step))
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            log.warning("unit %d cannot be brought back: it ends after %d steps", unit.number, step + 1)
            return None
    observation = seen.put(n_steps, observation)
    if not _same(seen.rows(slice(n_steps, n_steps + 1)), episode.observation):
        log.warning("unit %d cannot be brought back: the same actions lead elsewhere", unit.number)
        return None
    observations = seen.copy_rows(0, n_steps)
    return Replayed(
        episode.slot,
        unit,
        dict(info),
        episode.actions,
        observations,
        observation,
        n_steps,
        episode.one_policy,
    )


class PolicyReplay:
    """Brings a policy without `get_state` back by letting it choose again.

    Episodes are played side by side so that all of them end at once: no row goes on while another catches up.

    Args:
        agent: the policy.
        spec: of the environments.
        n_slots: how many rows the policy acts on.
    """

    def __init__(self, agent: Any, spec: EnvSpec, n_slots: int) -> None:
        self._agent = agent
        self._spec = spec
        self._n_slots = n_slots

    def agreed(self, episodes: Sequence[Replayed]) -> list[Replayed]:
        """Return the episodes in which the policy chose every action again."""
        told = [it for it in episodes if it.one_policy]
        for it in episodes:
            if not it.one_policy:
                log.warning("unit %d cannot be brought back: its policy has no get_state", it.unit.number)
        wrong: set[int] = set()
        longest = max((it.n_steps for it in told), default=0)
        for tick in range(longest):
            begun = [it for it in told if tick >= longest - it.n_steps]
            self._reset([it for it in begun if tick == longest - it.n_steps])
            chosen, _ = self._agent.get_actions(self._observations(begun, tick - longest))
            wrong |= {it.slot for it in begun if not self._same_action(it, chosen, tick - longest)}
        for it in told:
            if it.slot in wrong:
                log.warning("unit %d cannot be brought back: its policy acts otherwise", it.unit.number)
        return [it for it in told if it.slot not in wrong]

    def _reset(self, fresh: Sequence[Replayed]) -> None:
        if not fresh:
            return
        do_resets = np.zeros(self._n_slots, np.bool_)
        do_resets[[it.slot for it in fresh]] = True
        self._agent.reset(do_resets)
        seed = getattr(self._agent, "seed", None)
        if seed is not None:
            by_slot = sorted(fresh, key=lambda it: it.slot)
            seed(np.array([it.unit.policy_seed for it in by_slot], np.uint64))

    def _observations(self, begun: Sequence[Replayed], before_end: int) -> Column:
        rows = space_column(self._spec.observation_space, "observation", self._n_slots, set())
        by_slot = {it.slot: it for it in begun}
        for slot in range(self._n_slots):
            it = by_slot.get(slot, begun[0])
            rows.put(slot, _row(it.observations, it.n_steps + before_end))
        return rows.rows(slice(None))

    def _same_action(self, it: Replayed, chosen: Any, before_end: int) -> bool:
        step = it.n_steps + before_end
        actions = space_column(self._spec.action_space, "action", 1, {"action"})
        actions.cast(0, _row(chosen, it.slot))
        wanted = map_column(lambda array: array[step : step + 1], it.actions)
        return _same(actions.rows(slice(None)), wanted)


def _row(column: Any, row: int) -> Any:
    if isinstance(column, dict):
        return {key: _row(child, row) for key, child in column.items()}
    if isinstance(column, tuple):
        return tuple(_row(child, row) for child in column)
    return column[row]


def _same(one: Column, other: Column) -> bool:
    pairs = zip(arrays_of(one), arrays_of(other), strict=True)
    return all(here.tobytes() == there.tobytes() for (_, here), (_, there) in pairs)
