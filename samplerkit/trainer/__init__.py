"""The reference consumer of the sampler interface: trainer, snapshots, records, experiments."""

from __future__ import annotations

from samplerkit.trainer.experiment import Algorithm, Experiment, ExperimentConfig
from samplerkit.trainer.tables import ConfigError, table_as

__all__ = ["Algorithm", "ConfigError", "Experiment", "ExperimentConfig", "table_as"]
