"""A run's folder: chosen or refused before anything is written, filled by outputs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from samplerkit.cli.configuration import CONFIG_FILE
from samplerkit.cli.errors import UsageError
from samplerkit.cli.typed_again import command_line
from samplerkit.trainer.csv_output import PROGRESS_CSV
from samplerkit.trainer.files import write_text_atomically
from samplerkit.trainer.folders import first_free, holds_run
from samplerkit.trainer.learning_curve import LEARNING_CURVE
from samplerkit.trainer.records import Number, RunStart
from samplerkit.trainer.snapshots import snapshot_epochs

EVALUATION_FILE = "evaluation.json"
_RUN_FILES = (
    CONFIG_FILE,
    PROGRESS_CSV,
    LEARNING_CURVE,
    EVALUATION_FILE,
    "events.out.tfevents.*",
    "params.pkl",
    "itr_*.pkl",
    ".*.tmp",
)


def choose_folder(logdir: Path | None, name: str, *, overwrite: bool) -> Path:
    """The folder for a new run; ``runs/NAME``, ``runs/NAME_1``, … where none is given.

    Raises:
        UsageError: It has files in it, and nobody said ``--overwrite``.
    """
    if logdir is None:
        return first_free(Path("runs", name))
    if logdir.exists() and not logdir.is_dir():
        raise UsageError(f"{logdir} is a file: pass a folder as --logdir.")
    if logdir.is_dir() and any(logdir.iterdir()) and not overwrite:
        resumable = (logdir / CONFIG_FILE).is_file() and snapshot_epochs(logdir)
        go_on = f"go on with `{command_line('resume', str(logdir))}`, " if resumable else ""
        raise UsageError(
            f"{logdir} is not empty: {go_on}pass another --logdir, or --overwrite to replace the run in it."
        )
    return logdir


def clear_run(folder: Path) -> None:
    """Delete the files of an earlier run, and only those."""
    for pattern in _RUN_FILES:
        for path in folder.glob(pattern):
            path.unlink()


class ConfigOutput:
    """Writes config.toml when training begins, and not before: a run that cannot start leaves no trace.

    Nor does one that ends before its first epoch in a folder that was empty: all in there is the run's own.
    What another run has left is deleted when a new one begins: `choose_folder` has seen to it that this was
    asked for.

    Args:
        text: The file's text.
        began: Called then.
    """

    def __init__(self, text: str, began: Callable[[RunStart], None]) -> None:
        self._text, self._began = text, began
        self._own_folder: Path | None = None

    def open(self, start: RunStart) -> None:
        """Write the file."""
        if not start.start_epoch:
            clear_run(start.folder)
        self._own_folder = None if any(start.folder.iterdir()) else start.folder
        write_text_atomically(start.folder / CONFIG_FILE, self._text)
        self._began(start)

    def write(self, row: Mapping[str, Number]) -> None:
        """Nothing changes from epoch to epoch."""

    def close(self) -> None:
        """Leave no folder that can neither be resumed nor trained in."""
        if self._own_folder is not None and not holds_run(self._own_folder):
            clear_run(self._own_folder)


def save_evaluation(
    folder: Path, figures: Mapping[str, float], *, trials: int, seed: int, epoch: int
) -> None:
    """Keep the figures of an evaluation beside the run; null for one that is not finite, which JSON lacks."""
    finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    report = {"trials": trials, "seed": seed, "epoch": epoch, "figures": finite}
    write_text_atomically(folder / EVALUATION_FILE, json.dumps(report, indent=2) + "\n")
