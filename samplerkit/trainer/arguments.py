"""The small records that a trainer keeps and hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from samplerkit.errors import SamplerKitError


class NotSetupError(SamplerKitError):
    """A trainer was used before `Trainer.setup` (or, for `Trainer.resume`, before `Trainer.restore`)."""


@dataclass
class ExperimentStats:
    """Where a training run stands.

    Attributes:
        total_epoch: Number of the last finished epoch; -1 before the first.
        total_itr: The algorithm's own count, as it left it in ``trainer.step_itr``.
        total_env_steps: Steps in all batches obtained so far.
        last_episode: What the algorithm left in ``trainer.step_episode``, if episodes are stored.
    """

    total_epoch: int = -1
    total_itr: int = 0
    total_env_steps: int = 0
    last_episode: Any = None


@dataclass
class TrainArgs:
    """The arguments of `Trainer.train` or `Trainer.resume`.

    Attributes:
        n_epochs: Total number of epochs of the run, over all resumptions.
        batch_size: Least number of environment steps in a batch.
        plot: Always False: there is no live plotter; see `samplerkit.trainer.LearningCurve`.
        store_episodes: Whether the last episodes go into the snapshot.
        pause_for_plot: Always False.
        start_epoch: The first epoch to run.
    """

    n_epochs: int
    batch_size: int | None = None
    plot: bool = False
    store_episodes: bool = False
    pause_for_plot: bool = False
    start_epoch: int = 0
