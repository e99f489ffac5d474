"""What episodes earned."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from samplerkit.episodes.episode_batch import EpisodeBatch


def episode_returns(episodes: EpisodeBatch, *, discount: float = 1.0) -> npt.NDArray[np.float64]:
    """The (discounted) sum of rewards of each episode, float64 of shape ``(n_episodes,)``."""
    lengths = np.asarray(episodes.lengths, dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    rewards = np.asarray(episodes.rewards, dtype=np.float64)
    if discount != 1.0:
        steps_into_episode = np.arange(len(rewards)) - np.repeat(starts, lengths)
        rewards = rewards * discount**steps_into_episode
    return np.add.reduceat(rewards, starts)
