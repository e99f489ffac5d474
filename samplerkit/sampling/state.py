"""A sampler's state: the same on every backend, so that a restore may change the backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from samplerkit.sampling.packing import Packed
from samplerkit.sampling.recipes import EnvChange, Recipe, Record

FORMAT = 1

_NO_STATE = "this is no sampler state: pass what get_state() returned"


@dataclass(frozen=True)
class SavedState:
    """What a state holds."""

    seed: int
    cursor: int
    total_env_steps: int
    record: Record


def save_state(*, seed: int, cursor: int, total_env_steps: int, record: Record) -> dict[str, Any]:
    """Return a dict of numbers, bytes and lists of these."""
    recipes = list({id(recipe): recipe for recipe in record.recipes}.values())
    index = {id(recipe): i for i, recipe in enumerate(recipes)}
    return {
        "format": FORMAT,
        "seed": seed,
        "cursor": cursor,
        "total_env_steps": total_env_steps,
        "agent_version": record.agent_version,
        "env_version": record.env_version,
        "workers": [index[id(recipe)] for recipe in record.recipes],
        "recipes": [
            {
                "agent": recipe.agent.data,
                "params": None if recipe.params is None else recipe.params.data,
                "envs": [(env.packed.data, env.seed) for env in recipe.envs],
            }
            for recipe in recipes
        ],
    }


def load_state(state: dict[str, Any], *, n_workers: int) -> SavedState:
    """Read what `save_state` returned.

    Raises:
        ValueError: if it is no state of a sampler with `n_workers` workers, or of a newer format.
    """
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        raise ValueError(_NO_STATE)
    if state["format"] > FORMAT:
        raise ValueError(
            f"this state has format {state['format']}, and this samplerkit reads up to {FORMAT}: "
            "update samplerkit"
        )
    try:
        saved = _read(state)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{_NO_STATE} ({type(error).__name__}: {error})") from error
    present = len(saved.record.recipes)
    if present != n_workers:
        raise ValueError(
            f"this state belongs to a sampler with {present} workers, and this one has "
            f"{n_workers}: make one with n_workers={present}"
        )
    return saved


def _read(state: dict[str, Any]) -> SavedState:
    recipes = [
        Recipe(
            Packed(saved["agent"]),
            None if saved["params"] is None else Packed(saved["params"]),
            tuple(EnvChange(Packed(data), seed) for data, seed in saved["envs"]),
        )
        for saved in state["recipes"]
    ]
    record = Record(tuple(recipes[i] for i in state["workers"]), state["agent_version"], state["env_version"])
    return SavedState(state["seed"], state["cursor"], state["total_env_steps"], record)
