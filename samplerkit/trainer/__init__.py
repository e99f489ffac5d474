"""The reference consumer of the sampler interface: trainer, snapshots, records, experiments."""

from __future__ import annotations

from samplerkit.episodes.returns import episode_returns
from samplerkit.trainer.arguments import ExperimentStats, NotSetupError, TrainArgs
from samplerkit.trainer.csv_output import CsvOutput, read_progress
from samplerkit.trainer.experiment import Algorithm, Experiment, ExperimentConfig
from samplerkit.trainer.learning_curve import LearningCurve
from samplerkit.trainer.performance import log_performance, performance
from samplerkit.trainer.progress import progress_display
from samplerkit.trainer.records import TIMING_COLUMNS, Output, RunStart
from samplerkit.trainer.snapshots import SnapshotConfig, SnapshotError, Snapshotter
from samplerkit.trainer.tables import ConfigError, table_as
from samplerkit.trainer.tensorboard_output import TensorBoardOutput
from samplerkit.trainer.trainer import Trainer

__all__ = [
    "TIMING_COLUMNS",
    "Algorithm",
    "ConfigError",
    "CsvOutput",
    "Experiment",
    "ExperimentConfig",
    "ExperimentStats",
    "LearningCurve",
    "NotSetupError",
    "Output",
    "RunStart",
    "SnapshotConfig",
    "SnapshotError",
    "Snapshotter",
    "TensorBoardOutput",
    "TrainArgs",
    "Trainer",
    "episode_returns",
    "log_performance",
    "performance",
    "progress_display",
    "read_progress",
    "table_as",
]
