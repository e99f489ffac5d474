"""What a batch must be: small checks, made once in its constructor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from samplerkit.episodes.columns import Array, Column, Columns
from samplerkit.episodes.spec import Space
from samplerkit.episodes.step_type import StepType


def check_is_array(value: Any, name: str) -> None:
    """Raise a ValueError unless the value is an array."""
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name} is not of type {np.ndarray}, but of type {type(value)}: give an array.")


def check_fields(values: Any, names: Iterable[str], what: str) -> None:
    """Raise a ValueError unless a dict has all of some fields."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{what} is of type {type(values).__name__}: give a dict of its columns.")
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(
            f"{what} lacks {', '.join(missing)}: it has {', '.join(map(str, values)) or 'nothing'}."
        )


def check_lengths(lengths: Any) -> Array:
    """Return the lengths of episodes as int64; raise a ValueError unless they are integers of at least 1."""
    check_is_array(lengths, "lengths")
    if lengths.ndim != 1:
        raise ValueError(
            f"lengths has shape {lengths.shape}, but must have one entry per episode, shape (n_episodes,)."
        )
    if lengths.dtype.kind not in "iu":
        raise ValueError(f"lengths has dtype {lengths.dtype}, but must have an integer dtype.")
    if len(lengths) == 0:
        raise ValueError("lengths is empty, but a batch holds at least one episode.")
    if lengths.min() < 1:
        episode = int(np.argmin(lengths))
        raise ValueError(f"lengths[{episode}] is {lengths[episode]}, but an episode has at least one step.")
    return np.asarray(lengths, np.int64)


def check_lengths_sum(lengths: Array, rows: int) -> None:
    """Raise a ValueError unless the episodes fill the rows."""
    if lengths.sum() != rows:
        raise ValueError(
            f"lengths sum to {lengths.sum()}, but rewards has {rows} rows: both must count all steps."
        )


def check_rewards(rewards: Any) -> Array:
    """Return the rewards as float64; raise a ValueError unless they are one real number per step."""
    check_is_array(rewards, "rewards")
    if rewards.ndim != 1:
        raise ValueError(
            f"rewards has shape {rewards.shape}, but must have one entry per step, shape (n_steps,)."
        )
    if rewards.dtype.kind not in "biuf":
        raise ValueError(f"rewards has dtype {rewards.dtype}, but must hold real numbers.")
    return np.asarray(rewards, np.float64)


def check_step_types(step_types: Any, rows: int) -> Array:
    """Return the step types as int8; raise a ValueError unless they are one `StepType` per step."""
    check_is_array(step_types, "step_types")
    if step_types.ndim != 1:
        raise ValueError(
            f"step_types has shape {step_types.shape}, but must have one entry per step, shape (n_steps,)."
        )
    check_batch_size(step_types, "step_types", rows, "rewards")
    kind = step_types.dtype.kind
    if kind not in "iu" and not (kind == "O" and all(isinstance(item, StepType) for item in step_types)):
        raise ValueError(f"step_types has dtype {step_types.dtype}, but must hold StepType values, as int8.")
    if rows and not (step_types.min() >= StepType.FIRST and step_types.max() <= StepType.TIMEOUT):
        raise ValueError(
            f"step_types holds {np.unique(step_types).tolist()}, but must hold StepType values, 0 to 3."
        )
    return np.asarray(step_types, np.int8)


def check_step_order(step_types: Array, lengths: Array) -> None:
    """Raise a ValueError unless FIRST only starts episodes, and TERMINAL and TIMEOUT only end them."""
    ends = np.cumsum(lengths)
    misplaced = step_types == StepType.FIRST
    misplaced[ends - lengths] = False
    late = step_types >= StepType.TERMINAL
    late[ends - 1] = False
    misplaced |= late
    if misplaced.any():
        row = int(np.argmax(misplaced))
        episode = int(np.searchsorted(ends, row, side="right"))
        step = row - int(ends[episode] - lengths[episode])
        raise ValueError(
            f"step_types has {StepType(step_types[row]).name} at step {step} of {lengths[episode]} in "
            f"episode {episode}, but an episode reads FIRST, MID, ..., then TERMINAL or TIMEOUT (a fragment "
            "may start or end with MID)."
        )


def check_batch_size(array: Array, name: str, rows: int, match: str) -> None:
    """Raise a ValueError unless the array has this many rows."""
    size = array.shape[0] if array.ndim else 0
    if size != rows:
        raise ValueError(f"{name} has batch size {size}, but must have batch size {rows} to match {match}.")


def check_column(column: Any, space: Space, name: str, rows: int, match: str) -> None:
    """Raise a ValueError unless a column has one row per step, and rows shaped as the space says.

    Rows flattened to one dimension are fine too; the dtype is the caller's.

    Args:
        column: an array, or a dict or tuple of columns for Dict and Tuple spaces.
        space: the space of the rows.
        name: what errors call the column, such as "observations".
        rows: the number of rows it must have.
        match: what that number comes from, such as "rewards".
    """
    if isinstance(space, spaces.Dict) and isinstance(column, Mapping):
        if column.keys() != space.spaces.keys():
            raise ValueError(f"{name} has the keys {list(column)}, but its space says {list(space.spaces)}.")
        for key, child in space.spaces.items():
            check_column(column[key], child, f"{name}[{key!r}]", rows, match)
        return
    if isinstance(space, spaces.Tuple) and isinstance(column, tuple):
        if len(column) != len(space.spaces):
            raise ValueError(f"{name} has {len(column)} entries, but its space says {len(space.spaces)}.")
        for index, child in enumerate(space.spaces):
            check_column(column[index], child, f"{name}[{index}]", rows, match)
        return
    check_is_array(column, name)
    check_batch_size(column, name, rows, match)
    if column.shape[1:] != space.shape and column.shape[1:] != (spaces.flatdim(space),):
        kind = name.split("[")[0].removeprefix("last_").removeprefix("next_").removesuffix("s")
        raise ValueError(
            f"Each {kind} has shape {column.shape[1:]} in {name}, but must match its space, which has shape "
            f"{space.shape} and {spaces.flatdim(space)} numbers when flattened."
        )


def check_infos(infos: Any, name: str, rows: int, match: str) -> None:
    """Raise a ValueError unless infos are a dict of arrays, or of such dicts, with this many rows."""
    if not isinstance(infos, dict):
        raise ValueError(f"{name} is of type {type(infos)}, but must be a dict of arrays.")
    for key, column in infos.items():
        _check_info(column, key, name, rows, match)


def _check_info(column: Column | Columns, key: str, name: str, rows: int, match: str) -> None:
    if isinstance(column, dict):
        for inner, child in column.items():
            _check_info(child, f"{key}.{inner}", name, rows, match)
        return
    if not isinstance(column, np.ndarray):
        raise ValueError(
            f"Entry {key!r} in {name} is of type {type(column)}, but must be of type {np.ndarray} or a dict "
            "of these."
        )
    size = column.shape[0] if column.ndim else 0
    if size != rows:
        raise ValueError(
            f"Entry {key!r} in {name} has batch size {size}, but must have batch size {rows} to match "
            f"{match}."
        )
