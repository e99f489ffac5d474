"""Which folder a run may use."""

from __future__ import annotations

from pathlib import Path

from samplerkit.trainer.csv_output import PROGRESS_CSV
from samplerkit.trainer.snapshots import snapshot_epochs


def begin_run(folder: Path, *, overwrite: bool = False) -> Path:
    """Make the folder of a new run.

    Raises:
        FileExistsError: It holds another run, which is not to be overwritten.
    """
    if holds_run(folder) and not overwrite:
        raise FileExistsError(
            f"{folder} holds another run: restore() and resume() it, pass another snapshot_dir, or "
            "overwrite=True to train()."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def continue_run(folder: Path, source: Path) -> Path:
    """The folder of a run that goes on from a snapshot in ``source``: the same, or a new run's.

    Raises:
        FileExistsError: It is another folder, and holds another run.
    """
    return folder if folder.resolve() == source.resolve() else begin_run(folder)


def holds_run(folder: Path) -> bool:
    """Whether there are rows or snapshots in it."""
    return (folder / PROGRESS_CSV).exists() or (folder.is_dir() and bool(snapshot_epochs(folder)))


def first_free(wanted: Path) -> Path:
    """``wanted``, or the first of ``wanted_1``, ``wanted_2``, … that does not exist."""
    folder, number = wanted, 0
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}_{number}")
    return folder
