"""Pictures beside the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_COLORS = {"tensorflow": "#c44e52", "numpy": "#4878a8"}


def draw_recurrent(figures: dict[str, Any], path: Path) -> None:
    """Draw steps/s against the environments of each worker, a line for each policy and way of stepping.

    Args:
        figures: of the key ``recurrent``.
        path: of the SVG, which is the same whenever it is drawn of the same figures.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    rows = [row for row in figures["rows"] if isinstance(row[1], int)]
    for policy in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == policy]
        n_envs, color = [row[1] for row in mine], _COLORS.get(policy, "#333333")
        looped, native = ([_number(row[column]) for row in mine] for column in (2, 3))
        low, high = zip(*(map(_number, (row[4] or "..").split("..")) for row in mine), strict=True)
        axes.fill_between(n_envs, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(n_envs, native, color=color, marker="o", label=f"{policy}, one vector environment")
        axes.plot(n_envs, looped, color=color, marker="s", linestyle="--", label=f"{policy}, one by one")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = sorted({row[1] for row in rows})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("environments of each worker")
    axes.set_ylabel("steps/s")
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    axes.legend(frameon=False, fontsize="small")
    with matplotlib.rc_context({"svg.hashsalt": "samplerkit", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


PICTURES: Mapping[str, Callable[[dict[str, Any], Path], None]] = {"recurrent": draw_recurrent}
"""What draws the figures of a key."""


def _number(text: str) -> float:
    """Return the number; none, which leaves a gap, where it says instead why there is none."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return math.nan
