"""Episodes of different lengths as rectangles."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from samplerkit.episodes.columns import Array


def padded_length(lengths: Array, max_episode_length: float | None) -> int:
    """Return the width of the padded arrays: the limit on episodes, or the longest where there is no finite limit.

    An episode longer than the limit makes the arrays wider, with a UserWarning.
    """
    longest = int(lengths.max())
    if max_episode_length is None or math.isinf(max_episode_length):
        return longest
    if longest > max_episode_length:
        warnings.warn(
            f"Creating a padded array with longer length than requested: an episode has {longest} steps, but "
            f"max_episode_length is {max_episode_length}.",
            UserWarning,
            stacklevel=4,
        )
        return longest
    return int(max_episode_length)


def valid_steps(lengths: Array, width: int) -> Array:
    """Return (n_episodes, width) bool: which entries of a padded array are steps."""
    valid: Array = np.arange(width) < lengths[:, np.newaxis]
    return valid


def pad(array: Array, valid: Array, filling: Any = 0) -> Array:
    """Return (n_episodes, width, *shape): the rows of an array spread over the entries that are steps."""
    padded = np.full((*valid.shape, *array.shape[1:]), _filling(array, filling), array.dtype)
    padded[valid] = array
    return padded


def _filling(array: Array, filling: Any) -> Any:
    return (
        np.zeros((), array.dtype)[()]
        if array.dtype.kind in "USMm"
        else None
        if array.dtype.kind == "O"
        else filling
    )
