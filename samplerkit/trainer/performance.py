"""The usual figures of a batch of episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from samplerkit.episodes import EpisodeBatch, StepType
from samplerkit.episodes.returns import episode_returns
from samplerkit.trainer.records import Number


def performance(episodes: EpisodeBatch, *, discount: float = 1.0) -> dict[str, Number]:
    """Average, spread and extremes of the returns, plain and discounted, and how the episodes ended.

    Returns:
        ``NumEpisodes``, ``AverageEpisodeLength``, ``TerminationRate`` (share of episodes that ended
        TERMINAL), and Average-, Std-, Max-, Min- of ``Return`` and ``DiscountedReturn``.
    """
    lengths = np.asarray(episodes.lengths)
    ends = np.cumsum(lengths) - 1
    return {
        "NumEpisodes": len(lengths),
        "AverageEpisodeLength": float(lengths.mean()),
        "TerminationRate": float(np.mean(np.asarray(episodes.step_types)[ends] == StepType.TERMINAL)),
        **_summary("Return", episode_returns(episodes)),
        **_summary("DiscountedReturn", episode_returns(episodes, discount=discount)),
    }


class _Records(Protocol):
    def record(self, values: Mapping[str, object], *, prefix: str = "") -> None: ...


def log_performance(
    trainer: _Records, episodes: EpisodeBatch, *, discount: float = 1.0, prefix: str = "Train/"
) -> npt.NDArray[np.float64]:
    """Record `performance` in the row of the running epoch.

    Returns:
        The undiscounted return of each episode.
    """
    trainer.record(performance(episodes, discount=discount), prefix=prefix)
    return episode_returns(episodes)


def _summary(name: str, values: npt.NDArray[np.float64]) -> dict[str, Number]:
    return {
        f"Average{name}": float(values.mean()),
        f"Std{name}": float(values.std()),
        f"Max{name}": float(values.max()),
        f"Min{name}": float(values.min()),
    }
