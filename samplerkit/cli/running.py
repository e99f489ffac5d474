"""What ``train``, ``resume`` and ``evaluate`` do once their arguments are understood."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from samplerkit.cli.configuration import build, configuration_text, load_name
from samplerkit.cli.errors import FAILURE, INTERRUPTED, UsageError
from samplerkit.cli.evaluation import evaluate, missed_target, report
from samplerkit.cli.run_folder import ConfigOutput, save_evaluation
from samplerkit.cli.typed_again import command_line
from samplerkit.trainer import (
    LearningCurve,
    RunStart,
    SnapshotConfig,
    TensorBoardOutput,
    Trainer,
    progress_display,
)
from samplerkit.trainer.experiment import Experiment, ExperimentConfig
from samplerkit.trainer.snapshots import snapshot_epochs


def train_run(config: ExperimentConfig, folder: Path, *, overwrite: bool, require_target: bool) -> int:
    """Train in a new folder, then evaluate; returns the exit status."""
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)
    experiment = build(config)
    trainer = _trainer(experiment, config, folder)
    options = _sampler_options(experiment, config)
    with trainer:
        trainer.setup(experiment.algo, experiment.env, sampler=config.sampler.name, sampler_options=options)
        status = _until_done_or_interrupted(
            trainer,
            lambda: trainer.train(
                config.train.n_epochs,
                config.train.batch_size,
                store_episodes=config.train.store_episodes,
                overwrite=overwrite,
            ),
            require_target=require_target,
        )
        return status or _evaluate_after(trainer, experiment, config, require_target=require_target)


def resume_run(config: ExperimentConfig, folder: Path, *, require_target: bool) -> int:
    """Go on with the run in a folder, then evaluate; returns the exit status.

    Its configuration decides, and not what the snapshot remembers of it: they differ where the file was
    edited, or where a resume that asked for something else was interrupted before its first epoch had ended.
    """
    experiment = build(config)
    trainer = _trainer(experiment, config, folder)
    with trainer:
        done = trainer.restore(folder).start_epoch
        if config.train.n_epochs <= done:
            raise UsageError(
                f"The run in {folder} has all its {done} epochs: pass --n-epochs with a larger total."
            )
        status = _until_done_or_interrupted(
            trainer,
            lambda: trainer.resume(
                config.train.n_epochs,
                config.train.batch_size,
                store_episodes=config.train.store_episodes,
                sampler=config.sampler.name,
                sampler_options=_configured_options(config),
            ),
            require_target=require_target,
        )
        return status or _evaluate_after(trainer, experiment, config, require_target=require_target)


def evaluate_run(config: ExperimentConfig, folder: Path, *, trials: int, require_target: bool) -> int:
    """Measure the last snapshot of a run; returns the exit status."""
    experiment = build(config)
    with _trainer_class(experiment)(None) as trainer:
        trainer.restore(folder)
        return _evaluate(trainer, experiment, config, trials, folder, require_target=require_target)


def _trainer_class(experiment: Experiment) -> Callable[[SnapshotConfig | None], Trainer]:
    loaded: Callable[[SnapshotConfig | None], Trainer] = load_name(experiment.trainer, what="the trainer")
    return loaded


def _trainer(experiment: Experiment, config: ExperimentConfig, folder: Path) -> Trainer:
    """A trainer with all that a run's folder holds, and the display."""
    settings, chart = config.train, config.chart
    trainer = _trainer_class(experiment)(
        SnapshotConfig(folder, settings.snapshot_mode, settings.snapshot_gap)
    )
    trainer.add_output(ConfigOutput(configuration_text(config), lambda start: _announce(config, start)))
    trainer.add_output(TensorBoardOutput())
    trainer.add_output(
        LearningCurve(
            y=chart.y,
            y_label=chart.y_label,
            title=chart.title or config.name,
            references=config.evaluation.references,
        )
    )
    trainer.add_output(progress_display(y=chart.y, stream=sys.stdout))
    return trainer


def _sampler_options(experiment: Experiment, config: ExperimentConfig) -> dict[str, Any]:
    return {**experiment.sampler_options, **_configured_options(config)}


def _configured_options(config: ExperimentConfig) -> dict[str, Any]:
    options: dict[str, Any] = {"seed": config.seed, **config.sampler.options}
    if config.sampler.n_workers is not None:
        options["n_workers"] = config.sampler.n_workers
    return options


def _announce(config: ExperimentConfig, start: RunStart) -> None:
    what = "resuming" if start.start_epoch else "training"
    _say(f"{what} {config.name} on {config.sampler.name}, seed {config.seed}, in {start.folder}")


def _until_done_or_interrupted(trainer: Trainer, call: Callable[[], Any], *, require_target: bool) -> int:
    """The exit status: 0, or that of Ctrl-C with a sentence on how to go on."""
    try:
        call()
    except KeyboardInterrupt:
        folder = trainer.snapshotter.snapshot_dir
        # What counts is the disk: the interrupt may have come between an epoch's row and its snapshot.
        done = max(snapshot_epochs(folder).values(), default=-1) + 1
        again = command_line("resume", str(folder), *(["--require-target"] if require_target else []))
        advice = f"Go on with: {again}" if done else "There is nothing to resume."
        sys.stderr.write(f"\nInterrupted; {done} epochs are kept. {advice}\n")
        return INTERRUPTED
    return 0


def _evaluate_after(
    trainer: Trainer, experiment: Experiment, config: ExperimentConfig, *, require_target: bool
) -> int:
    folder, trials = trainer.snapshotter.snapshot_dir, config.evaluation.trials
    _say(f"done: {trainer.stats.total_epoch + 1} epochs, {trainer.total_env_steps:,} steps; see {folder}")
    if not trials:
        return 0
    return _evaluate(trainer, experiment, config, trials, folder, require_target=require_target)


def _evaluate(
    trainer: Trainer,
    experiment: Experiment,
    config: ExperimentConfig,
    trials: int,
    folder: Path,
    *,
    require_target: bool,
) -> int:
    figures = evaluate(trainer, experiment, config, trials)
    for line in report(figures, config.evaluation, trials):
        _say(line)
    epoch = trainer.stats.total_epoch
    save_evaluation(folder, figures, trials=trials, seed=config.evaluation.seed, epoch=epoch)
    missed = missed_target(figures, config.evaluation)
    if missed and require_target:
        sys.stderr.write(f"Error: {missed}\n")
        return FAILURE
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
