"""What stands in the infos of gymnasium's vector environments: masks, and what belongs to last steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from samplerkit.episodes.columns import Array, row_of

_FINAL_OBSERVATION = ("final_obs", "final_observation")
_FINAL = (*_FINAL_OBSERVATION, "final_info")


def row_infos(infos: Mapping[str, Any], row: int) -> dict[str, Any]:
    """Return the infos of one row of a dict of columns: the keys that it has, with their values.

    Values are what stands in the columns, not copied: numbers, or views of arrays. Keys that are no strings
    are left to whoever records them.
    """
    single: dict[str, Any] = {}
    for key, column in infos.items():
        if isinstance(key, str) and key[:1] == "_" and is_flags(column) and key[1:] in infos:
            continue
        mask = infos.get(f"_{key}")
        if mask is not None and is_flags(mask) and not mask[row]:
            continue
        single[key] = row_infos(column, row) if isinstance(column, Mapping) else row_of(column, row)
    return single


def is_flags(column: Any) -> bool:
    """Whether a column may be the mask of another one: a flag for each row."""
    return isinstance(column, np.ndarray) and column.dtype == np.bool_ and column.ndim == 1


def final_observations(infos: Mapping[str, Any], over: Array) -> tuple[Any, Array] | None:
    """Return the final observations in the infos of an environment that resets itself, and of whom.

    Of slots that go on there are none: what they have under this name is an info of their own.
    """
    for key in _FINAL_OBSERVATION:
        if key in infos:
            return infos[key], np.asarray(infos.get("_" + key, over)) & over
    return None


def reset_infos(infos: Mapping[str, Any]) -> dict[str, Any]:
    """Return the infos without those of last steps, of an environment that resets itself in the same step."""
    return {key: column for key, column in infos.items() if key.removeprefix("_") not in _FINAL}


def step_infos(infos: Mapping[str, Any], over: Array) -> dict[str, Any]:
    """Return the infos of the steps that were taken, where some slots reset themselves in the same step.

    What stands in `infos` for these (`over`) belongs to their next episodes; the infos of their last steps
    are in ``final_info``. Without that, nobody can tell, and the infos are taken as they are.
    """
    merged = reset_infos(infos)
    last = infos.get("final_info")
    if last is None:
        return merged
    names = [key for key in {**merged, **last} if not (key[:1] == "_" and key[1:] in {**merged, **last})]
    result: dict[str, Any] = {}
    for key in names:
        one, other = merged.get(key), last.get(key)
        has = np.asarray(merged.get("_" + key, np.full(len(over), one is not None))) & ~over
        had = np.asarray(last.get("_" + key, over)) & over if other is not None else np.zeros_like(over)
        if isinstance(one, Mapping) or isinstance(other, Mapping):
            result[key] = step_infos({**(one or {}), "final_info": other or {}}, over)
        elif one is None or other is None:
            result[key] = one if other is None else other
        else:
            result[key] = np.where(_along(had, other), other, one).astype(np.asarray(one).dtype, copy=False)
        result["_" + key] = has | had
    return result


def _along(flags: Array, column: Any) -> Array:
    return flags.reshape(-1, *[1] * (np.asarray(column).ndim - 1))
