"""Results as a picture."""

from __future__ import annotations

from pathlib import Path

from samplerkit.bench.results import Results


def save_picture(results: Results, path: Path, title: str) -> None:
    """Draw each contestant's fraction of the limit as a bar, with the range over the rounds.

    Args:
        results: what was measured.
        path: the file; its ending says which format.
        title: the line above.

    Raises:
        OSError: if it cannot be written.
        ValueError: for a format that matplotlib does not know.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [(one, ratio) for one in results.outcomes if (ratio := results.ratio(one.name)) is not None]
    figure = Figure(figsize=(8, 1.4 + 0.4 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = range(len(shown))
    medians = [ratio.median for _, ratio in shown]
    below = [ratio.median - ratio.low for _, ratio in shown]
    above = [ratio.high - ratio.median for _, ratio in shown]
    axes.barh(places, medians, xerr=(below, above), color="#4878a8", ecolor="#333333", capsize=3)
    for place, (outcome, ratio) in zip(places, shown, strict=True):
        rate = outcome.rate.median if outcome.rate is not None else 0.0
        axes.annotate(
            f"{rate:,.0f}/s", (ratio.high, place), xytext=(5, 0), textcoords="offset points", va="center"
        )
    axes.axvline(1.0, color="#999999", linewidth=1)
    axes.set_yticks(list(places), [outcome.name for outcome, _ in shown])
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"fraction of the limit ({results.limit}), median and range over the rounds")
    axes.set_title(title)
    figure.savefig(path, dpi=120)
