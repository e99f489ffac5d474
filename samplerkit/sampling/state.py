"""A sampler's state: the same on every backend, so that a restore may change the backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from samplerkit.interfaces import CallShape
from samplerkit.sampling.continuation import Continuation, load_continuation, save_continuation
from samplerkit.sampling.packing import Packed
from samplerkit.sampling.recipes import EnvChange, Recipe, Record

FORMAT = 2
"""1 had no large weights whose arrays stand behind their pickle."""

_NO_STATE = "this is no sampler state: pass what get_state() returned"


@dataclass(frozen=True)
class SavedState:
    """What a state holds."""

    seed: int
    cursor: int
    total_env_steps: int
    record: Record
    continuation: Continuation | None = None


def save_state(
    *,
    seed: int,
    cursor: int,
    total_env_steps: int,
    record: Record,
    continuation: Continuation | None = None,
) -> dict[str, Any]:
    """Return a dict of numbers, bytes and lists of these."""
    recipes = list({id(recipe): recipe for recipe in record.recipes}.values())
    index = {id(recipe): i for i, recipe in enumerate(recipes)}
    going_on = {} if continuation is None else {"fragments": save_continuation(continuation)}
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
        **going_on,
    }


def load_state(state: dict[str, Any], *, n_workers: int, shape: CallShape | None = None) -> SavedState:
    """Read what `save_state` returned.

    Args:
        state: the state.
        n_workers: of the sampler that it is for.
        shape: of a call of its workers, where their episodes go on from call to call.

    Raises:
        ValueError: if it is no state of a sampler with `n_workers` such workers, or of a newer format.
    """
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        raise ValueError(_NO_STATE)
    if state["format"] > FORMAT:
        raise ValueError(
            f"this state has format {state['format']}, and this samplerkit reads up to {FORMAT}: "
            "update samplerkit"
        )
    _check_kind(state, shape)
    try:
        saved = _read(state, shape)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{_NO_STATE} ({type(error).__name__}: {error})") from error
    present = len(saved.record.recipes)
    if present != n_workers:
        raise ValueError(
            f"this state belongs to a sampler with {present} workers, and this one has "
            f"{n_workers}: make one with n_workers={present}"
        )
    return saved


def _check_kind(state: dict[str, Any], shape: CallShape | None) -> None:
    if ("fragments" in state) != (shape is not None):
        theirs, ours = ("fragments", "whole episodes") if shape is None else ("whole episodes", "fragments")
        raise ValueError(
            f"this state belongs to a sampler that gathers {theirs}, and this one gathers {ours}: make one "
            "with the same kind of worker"
        )
    if shape is not None and state["fragments"].get("n_slots") != shape.n_slots:
        raise ValueError(
            f"this state belongs to workers with {state['fragments'].get('n_slots')} environments each, and "
            f"these have {shape.n_slots}: pass as many (n_envs)"
        )


def _read(state: dict[str, Any], shape: CallShape | None) -> SavedState:
    recipes = [
        Recipe(
            Packed(saved["agent"]),
            None if saved["params"] is None else Packed(saved["params"]),
            tuple(EnvChange(Packed(data), seed) for data, seed in saved["envs"]),
        )
        for saved in state["recipes"]
    ]
    record = Record(tuple(recipes[i] for i in state["workers"]), state["agent_version"], state["env_version"])
    going_on = None if shape is None else load_continuation(state["fragments"], shape)
    return SavedState(state["seed"], state["cursor"], state["total_env_steps"], record, going_on)
