"""learning_curve.png: how the return grew over environment steps."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samplerkit.trainer.files import write_atomically
from samplerkit.trainer.records import AVERAGE_RETURN, TOTAL_ENV_STEPS, Number, RunStart

LEARNING_CURVE = "learning_curve.png"
_MEAN_RETURN = "mean return per episode"
_logger = logging.getLogger(__name__)


class LearningCurve:
    """Draws ``learning_curve.png`` into the run's folder: at the end, on interrupt, and every so often.

    Needs matplotlib (in ``samplerkit[cli]``), imported when the first picture is drawn; where it is missing
    a warning says so once, and there is no picture. Nor is there one of a column without a number in any row,
    as one whose name is misspelt: a warning says so at the end.

    Args:
        y: The column drawn over environment steps.
        y_label: Its name and unit for the axis; left as it is, that of the column, where ``y`` is another.
        title: Above the picture.
        references: Known values of ``y`` by name, drawn as dashed lines.
        every_seconds: Least time between two pictures during training.
    """

    _told = False

    def __init__(
        self,
        *,
        y: str = AVERAGE_RETURN,
        y_label: str = _MEAN_RETURN,
        title: str | None = None,
        references: Mapping[str, float] | None = None,
        every_seconds: float = 30.0,
    ) -> None:
        if y != AVERAGE_RETURN and y_label == _MEAN_RETURN:
            y_label = y
        self._y, self._y_label, self._title = y, y_label, title
        self._references = dict(references or {})
        self._every_seconds = every_seconds
        self._points: list[tuple[Number, Number]] = []
        self._path: Path | None = None
        self._drawn_at = 0.0
        self._changed = False
        self._seen: set[str] = set()

    def open(self, start: RunStart) -> None:
        """Begin with the points of the epochs before a resumption."""
        self._path = start.folder / LEARNING_CURVE
        self._points = []
        self._seen = set()
        for row in start.rows:
            self._add(row)
        self._drawn_at = time.monotonic()

    def write(self, row: Mapping[str, Number]) -> None:
        """Add a point; draw if the last picture is old."""
        self._add(row)
        if self._changed and time.monotonic() - self._drawn_at > self._every_seconds:
            self._draw()

    def close(self) -> None:
        """Draw what is not drawn yet."""
        if self._changed:
            self._draw()
        elif self._seen and not self._points:
            _logger.warning(
                "no %s: no row has a number in the column %r%s",
                LEARNING_CURVE,
                self._y,
                "" if self._y in self._seen else f"; there are {', '.join(sorted(self._seen))}",
            )

    def _add(self, row: Mapping[str, Number]) -> None:
        self._seen.update(row)
        value = row.get(self._y)
        if value is not None and math.isfinite(value):
            self._points.append((row[TOTAL_ENV_STEPS], value))
            self._changed = True

    def _draw(self) -> None:
        self._changed = False
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError:
            self._tell_once()
            return
        # The object interface: pyplot would keep global state and choose a backend for the whole process.
        figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        self._plot(figure.add_subplot())
        path = self._path
        if path is not None:
            write_atomically(path, lambda file: figure.savefig(file, format="png"))
        self._drawn_at = time.monotonic()

    def _plot(self, axes: Any) -> None:
        steps, values = zip(*self._points, strict=True)
        axes.plot(steps, values, color="tab:blue", marker="o" if len(steps) < 30 else "", markersize=3)
        for index, (name, value) in enumerate(self._references.items()):
            color = f"C{1 + index % 9}"
            axes.axhline(value, linestyle="--", linewidth=1, color=color, label=f"{name}: {value:g}")
        axes.set_xlabel("environment steps")
        axes.set_ylabel(self._y_label)
        axes.set_title(self._title or "learning curve")
        axes.xaxis.set_major_formatter(lambda value, _: _short(value))
        axes.grid(alpha=0.3)
        if self._references:
            axes.legend(loc="best")

    @classmethod
    def _tell_once(cls) -> None:
        if not cls._told:
            cls._told = True
            _logger.warning("no learning_curve.png: run `pip install matplotlib` to have it")


def _short(value: float) -> str:
    """10000 as 10k, 2500000 as 2.5M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
