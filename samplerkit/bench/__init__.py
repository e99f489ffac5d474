"""Measuring how fast steps are delivered: contestants, run side by side in interleaved rounds.

A `Contestant` delivers steps; `interleave` measures several of them in turn, so that whatever drifts on a
machine hits all alike; `Results` compares each with the limit, the bare loop, within the same round.
`samplerkit bench` and the benchmarks of this project are both built from these.
"""

from samplerkit.bench.contestant import Contestant, ContestantFailed, Measurement, Skipped
from samplerkit.bench.hosted import Hosted, Together
from samplerkit.bench.interleaving import Progress, interleave
from samplerkit.bench.results import Outcome, Results, Spread

__all__ = [
    "Contestant",
    "ContestantFailed",
    "Hosted",
    "Measurement",
    "Outcome",
    "Progress",
    "Results",
    "Skipped",
    "Spread",
    "Together",
    "interleave",
]
