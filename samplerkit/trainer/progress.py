"""A live display of a training run: a bar on a terminal, plain lines elsewhere. Only when asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from samplerkit.trainer.records import AVERAGE_RETURN, EPOCH, TOTAL_ENV_STEPS, Number, Output, RunStart

_LEAST_WIDTH = 80
"""Columns that the figures beside a bar may take."""


def progress_display(*, y: str = AVERAGE_RETURN, stream: TextIO | None = None) -> Output:
    """A display on ``stream`` (stderr by default): rich's where it is a terminal and rich is installed.

    In a terminal so narrow that a bar would leave no room for figures they come as lines.

    Args:
        y: The column shown, as average return or by the last part of its name.
        stream: Where to show it.
    """
    stream = stream or sys.stderr
    if stream.isatty():
        try:
            from rich.console import Console
        except ImportError:
            return PlainProgress(y=y, stream=stream)
        if Console(file=stream).width >= _LEAST_WIDTH:
            return RichProgress(y=y, stream=stream)
    return PlainProgress(y=y, stream=stream)


class _Pace:
    """How fast the present session runs, and how long it will take."""

    def __init__(self, start: RunStart) -> None:
        self._start = start
        self._steps_before = start.rows[-1][TOTAL_ENV_STEPS] if start.rows else 0
        self._began = time.monotonic()

    def describe(self, row: Mapping[str, Number], y: str) -> dict[str, str]:
        """The texts of one display."""
        elapsed = max(time.monotonic() - self._began, 1e-9)
        done = int(row[EPOCH]) + 1
        left = elapsed / (done - self._start.start_epoch) * (self._start.n_epochs - done)
        steps = int(row[TOTAL_ENV_STEPS])
        return {
            "epochs": f"{done}/{self._start.n_epochs}",
            "steps": f"{steps:,}",
            "rate": f"{(steps - self._steps_before) / elapsed:,.0f}",
            "average": f"{row[y]:.2f}" if y in row else "-",
            "left": clock(left),
        }


def _label(y: str, of_return: str) -> str:
    return of_return if y == AVERAGE_RETURN else y.rpartition("/")[2]


def clock(seconds: float) -> str:
    """75 as ``1:15``, 3675 as ``1:01:15``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class PlainProgress:
    """One line for an epoch, at most one a second; always one for the last epoch."""

    def __init__(self, *, y: str, stream: TextIO, every_seconds: float = 1.0) -> None:
        self._y, self._stream, self._every_seconds = y, stream, every_seconds
        self._pace: _Pace | None = None
        self._shown_at = -float("inf")
        self._unshown: str | None = None

    def open(self, start: RunStart) -> None:
        """Start the clock."""
        self._pace = _Pace(start)
        self._unshown = None

    def write(self, row: Mapping[str, Number]) -> None:
        """Show the epoch, unless the last line is too fresh."""
        if self._pace is None:
            return
        texts = self._pace.describe(row, self._y)
        self._unshown = (
            f"epoch {texts['epochs']}  steps {texts['steps']}  steps/s {texts['rate']}  "
            f"{_label(self._y, 'average return')} {texts['average']}  time left {texts['left']}"
        )
        if time.monotonic() - self._shown_at >= self._every_seconds:
            self._show()

    def close(self) -> None:
        """Show the last epoch."""
        self._show()

    def _show(self) -> None:
        if self._unshown is not None:
            self._stream.write(self._unshown + "\n")
            self._stream.flush()
            self._unshown, self._shown_at = None, time.monotonic()


class RichProgress:
    """A bar with the figures beside it, kept current while an epoch runs."""

    def __init__(self, *, y: str, stream: TextIO) -> None:
        self._y, self._stream = y, stream
        self._pace: _Pace | None = None
        self._progress: Any = None
        self._task: Any = None

    def open(self, start: RunStart) -> None:
        """Show an empty bar."""
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = ("epoch {task.fields[epochs]}", "steps {task.fields[steps]}", "{task.fields[rate]} steps/s")
        more = ("[bold]{task.fields[label]} {task.fields[average]}", "left {task.fields[left]}")
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=None),
            *(TextColumn(column) for column in columns + more),
            TimeElapsedColumn(),
            console=Console(file=self._stream),
            refresh_per_second=4,
        )
        self._pace = _Pace(start)
        waiting = {"epochs": f"{start.start_epoch}/{start.n_epochs}", "steps": "-", "rate": "-"}
        waiting["label"] = escape(_label(self._y, "return"))
        self._task = self._progress.add_task(
            "", total=start.n_epochs, completed=start.start_epoch, average="-", left="-", **waiting
        )
        self._progress.start()

    def write(self, row: Mapping[str, Number]) -> None:
        """Move the bar."""
        if self._pace is not None:
            texts = self._pace.describe(row, self._y)
            self._progress.update(self._task, completed=int(row[EPOCH]) + 1, **texts)

    def close(self) -> None:
        """Leave the last state standing."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._pace = None
