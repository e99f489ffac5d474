"""A batch of episodes as rectangles of numbers, which is what TensorFlow compiles for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samplerkit.episodes import EpisodeBatch, StepType
from samplerkit.policies.flattening import flatten_observations

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Sequences:
    """n episodes of at most T steps; shorter ones are padded with zeros at the end.

    Attributes:
        observations: float32 (n, T + 1, size), flattened; an episode's final observation follows its last
            step.
        actions: (n, T, …), as `encode_actions` gives them.
        log_probs: float32 (n, T), of these actions when they were chosen.
        rewards: float64 (n, T).
        mask: float32 (n, T), 1 for steps, 0 for padding.
        lengths: int64 (n,).
        terminated: bool (n,), whether the episode ended of its own accord.
    """

    observations: Array
    actions: Array
    log_probs: Array
    rewards: Array
    mask: Array
    lengths: Array
    terminated: Array

    @classmethod
    def of(cls, batch: EpisodeBatch, *, encode_actions: Callable[[Any], Array]) -> Sequences:
        """Lay out a batch.

        Args:
            batch: episodes.
            encode_actions: makes numbers of the actions column.

        Raises:
            ValueError: the agent infos have no ``"log_prob"``.
        """
        if "log_prob" not in batch.agent_infos:
            raise ValueError(
                'PPO needs the log-probability of each action in the agent infos, under "log_prob": use a '
                "policy of samplerkit.policies or samplerkit.tf"
            )
        space = batch.env_spec.observation_space
        lengths = np.asarray(batch.lengths)
        n, width = len(lengths), padded_width(int(lengths.max()))
        rows, columns = places(lengths)
        flat = flatten_observations(space, batch.observations)
        observations = np.zeros((n, width + 1, flat.shape[1]), dtype=np.float32)
        observations[rows, columns] = flat
        observations[np.arange(n), lengths] = flatten_observations(space, batch.last_observations)

        def padded(column: Array) -> Array:
            out = np.zeros((n, width, *column.shape[1:]), dtype=column.dtype)
            out[rows, columns] = column
            return out

        return cls(
            observations=observations,
            actions=padded(encode_actions(batch.actions)),
            log_probs=padded(np.asarray(batch.agent_infos["log_prob"], dtype=np.float32)),
            rewards=padded(batch.rewards),
            mask=padded(np.ones(len(batch.rewards), dtype=np.float32)),
            lengths=lengths,
            terminated=batch.step_types[np.cumsum(lengths) - 1] == StepType.TERMINAL,
        )


def places(lengths: Array) -> tuple[Array, Array]:
    """Row and column of each step in a rectangle with a row for each episode."""
    starts = np.cumsum(lengths) - lengths
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return rows, np.arange(int(lengths.sum())) - np.repeat(starts, lengths)


def padded_width(longest: int) -> int:
    """Round up, by a quarter at most: lengths that vary from batch to batch then give few shapes."""
    step = 1 << max(0, longest.bit_length() - 3)
    return -(-longest // step) * step


def minibatches(
    columns: dict[str, Array], *, size: int, generator: np.random.Generator
) -> Iterator[dict[str, Array]]:
    """Deal all rows into parts of nearly equal numbers, in random order.

    Each part is filled up with rows of zeros to exactly `size` rows, so that there is one shape to compile.
    """
    n = len(next(iter(columns.values())))
    order = generator.permutation(n)
    for rows in np.array_split(order, -(-n // size)):
        yield {name: filled(column[rows], size) for name, column in columns.items()}


def filled(column: Array, size: int) -> Array:
    """The column with rows of zeros behind it, `size` rows in all."""
    if len(column) == size:
        return column
    return np.concatenate([column, np.zeros((size - len(column), *column.shape[1:]), dtype=column.dtype)])
