"""Which configuration to use, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from samplerkit.bench.results import Outcome, Results

NEAR = 0.95
"""What reaches this part of the fastest one's steps per second is as good."""


def recommended(results: Results, names: Sequence[str]) -> Outcome | None:
    """Return the lightest of those that are about as fast as the fastest.

    Args:
        results: what was measured.
        names: who may be recommended.

    Returns:
        The outcome; None where nobody delivered anything.
    """
    delivered = _delivered(results, names)
    best = max(map(_rate, delivered), default=0.0)
    good = [outcome for outcome in delivered if _rate(outcome) >= NEAR * best]
    return min(good, key=_weight, default=None)


def recommendation(results: Results, names: Sequence[str]) -> str:
    """Return one sentence; see `recommended`."""
    best = recommended(results, names)
    if best is None:
        return "None of the backends delivered a batch, so there is nothing to recommend."
    fraction = results.ratio(best.name)
    part = "" if fraction is None else f", {fraction.median:.0%} of the limit"
    return f"Use {best.name}: {_rate(best):,.0f} steps per second{part}{_against(best, results, names)}."


def _against(best: Outcome, results: Results, names: Sequence[str]) -> str:
    """What the others do that one might have taken instead."""
    fastest = max(_delivered(results, names), key=_rate, default=best)
    if fastest.name != best.name:
        return f"; {fastest.name} is no more than {1 / NEAR - 1:.0%} faster and takes more memory"
    if best.name == "local" or "local" not in names:
        return ""
    times = results.ratio(best.name, "local")
    return "" if times is None else f", {times.median:.2g} times what local gives"


def _delivered(results: Results, names: Sequence[str]) -> list[Outcome]:
    """Those that came through: one that failed on its way may have been fast until then."""
    return [one for one in map(results.__getitem__, names) if one.rate is not None and not one.skipped]


def _rate(outcome: Outcome) -> float:
    return outcome.rate.median if outcome.rate is not None else 0.0


def _weight(outcome: Outcome) -> float:
    """All memory that it takes, in MB."""
    memory = outcome.memory
    return 0.0 if memory is None else memory.parent + memory.worker * memory.n_workers
