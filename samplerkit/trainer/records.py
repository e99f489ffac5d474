"""One row of numbers for each epoch, and who receives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

Number: TypeAlias = int | float
Row: TypeAlias = dict[str, Number]

EPOCH = "Epoch"
TOTAL_ENV_STEPS = "TotalEnvSteps"
AVERAGE_RETURN = "Train/AverageReturn"
TIMING_COLUMNS = ("Time", "EpochTime", "SamplingTime")
"""Seconds: of the whole run so far, of this epoch, of this epoch's sampling. All other columns are
reproducible."""


@dataclass(frozen=True)
class RunStart:
    """What an output is told when training begins.

    Attributes:
        folder: The run's folder; it exists.
        n_epochs: Total number of epochs.
        start_epoch: The first epoch to come; 0 for a new run.
        rows: The rows of the epochs before it.
    """

    folder: Path
    n_epochs: int
    start_epoch: int = 0
    rows: list[Row] = field(default_factory=list)


class Output(Protocol):
    """Receives the rows: a file, a picture, a display.

    ``open`` comes once before the first row, ``close`` once at the end, also after an error or Ctrl-C. An
    output can be opened again for another run.
    """

    def open(self, start: RunStart) -> None:
        """Training begins."""

    def write(self, row: Mapping[str, Number]) -> None:
        """An epoch has ended; the first keys are ``Epoch`` and ``TotalEnvSteps``."""

    def close(self) -> None:
        """Training has ended, or was interrupted."""


class Recorder:
    """Collects the numbers of the running epoch and hands the finished row to the outputs."""

    def __init__(self, outputs: Iterable[Output] = ()) -> None:
        self.outputs: list[Output] = list(outputs)
        self._row: Row = {}
        self._open: list[Output] = []

    def record(self, values: Mapping[str, object], *, prefix: str = "") -> None:
        """Add numbers to the row of the running epoch, all or none; a key given again replaces the value.

        Raises:
            TypeError: These are no values by their names; one is not one number (bools and numpy scalars are
                numbers).
            ValueError: A key is one of the two by which rows are found again.
        """
        added: Row = {}
        for key, value in named_values(values):
            if prefix + key in (EPOCH, TOTAL_ENV_STEPS):
                raise own_column(prefix + key)
            added[prefix + key] = as_number(key, value)
        self._row.update(added)

    def open(self, start: RunStart, *, before_first: Callable[[], None] | None = None) -> None:
        """Open the outputs, the first one last; when one fails, those already open are closed.

        Args:
            start: What they are told.
            before_first: Called when only the first is left to open. That is progress.csv, which drops rows
                for good: here is the place to drop what must go before these, and only when all else is up.
        """
        self._row = {}
        try:
            for output in self.outputs[1:]:
                self._open.append(output)
                output.open(start)
            if before_first is not None:
                before_first()
            for output in self.outputs[:1]:
                self._open.insert(0, output)
                output.open(start)
        except BaseException:
            self.close()
            raise

    def end_row(self, epoch: int, total_env_steps: int) -> Row:
        """Hand the row to every output, and begin the next."""
        row: Row = {EPOCH: epoch, TOTAL_ENV_STEPS: total_env_steps, **self._row}
        self._row = {}
        for output in self._open:
            output.write(row)
        return row

    def close(self) -> None:
        """Close all open outputs, each once, whatever the others raise; the first error is raised."""
        errors = []
        while self._open:
            try:
                self._open.pop().close()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


def own_column(name: str) -> ValueError:
    """The error for a column that is not the algorithm's to record."""
    return ValueError(f"{name!r} is the trainer's own column: record it by another name.")


def named_values(values: object) -> list[tuple[str, object]]:
    """The names with their values.

    Raises:
        TypeError: It is no dict, or a name is no string.
    """
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise TypeError(f"got {values!r:.200}: record numbers by their names, such as {{'Loss': 0.3}}.")
    return [*values.items()]


def as_number(key: str, value: object) -> Number:
    """A Python int or float.

    Raises:
        TypeError: It is not one number.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        if value.size != 1:
            raise TypeError(f"{key!r} has {value.size} values: record one number, its mean for instance.")
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    raise TypeError(f"{key!r} is {value!r} ({type(value).__name__}): record a number.")
