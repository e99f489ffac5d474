"""What an update of 10 MB of weights costs, by the number of processes that get it."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np

from benchmarks.environments import OneStep
from benchmarks.policies import Laden
from benchmarks.running import ROOT, Course
from samplerkit.bench import Contestant, Hosted, Measurement, interleave
from samplerkit.bench.field import installed, spread

PROCESSES = (1, 2, 4, 8)
ACTORS = (1, 4, 16)
"""There may be many of them on a machine."""

TITLE = "An update of 10 MB of numpy weights: milliseconds per update"


class Updating(Contestant):
    """Calls for one episode of one step for each process, again and again; a "step" is such a call.

    Args:
        backend: a name for `make_sampler`.
        n_processes: over which it spreads.
        update: whether each call brings weights that it has not seen.
    """

    distributions: ClassVar[tuple[str, ...]] = ("samplerkit", "numpy")

    def __init__(self, backend: str, n_processes: int, update: bool) -> None:
        super().__init__(backend)
        self._backend = backend
        self._n = n_processes
        self._update = update
        self._sampler: Any = None

    def start(self) -> float:
        """Make the sampler."""
        import samplerkit

        began = time.perf_counter()
        self._sampler = samplerkit.make_sampler(
            self._backend,
            agents=Laden(None, None),
            envs=OneStep,
            n_workers=self._n,
            seed=0,
            **spread(self._backend, self._n),
        )
        self._weights = {"weights": np.zeros((10, 125_000))}
        self._call()
        return time.perf_counter() - began

    def measure(self, seconds: float) -> Measurement:
        """Call and call."""
        began, calls = time.perf_counter(), 0
        while True:
            self._call()
            calls += 1
            passed = time.perf_counter() - began
            if passed >= seconds:
                return Measurement(calls, passed)

    def _call(self) -> None:
        if self._update:
            self._weights["weights"][:, 0] += 1.0
        self._sampler.obtain_exact_episodes(1, self._weights if self._update else None)

    def stop(self) -> None:
        """Shut the sampler down."""
        if self._sampler is not None:
            self._sampler.shutdown_worker()


def run(course: Course) -> dict[str, Any]:
    """Measure every backend that spreads over processes."""
    names = [
        it.backend for it in installed() if not it.reason and spread(it.backend, 1) and "+" not in it.label
    ]
    rows = []
    for backend in names:
        counts = ACTORS if backend == "ray" else PROCESSES
        contestants = [
            Hosted(
                f"{n} {'with' if update else 'without'}",
                "benchmarks.weights:Updating",
                {"backend": backend, "n_processes": n, "update": update},
                path=[ROOT],
            )
            for n in counts
            for update in (True, False)
        ]
        outcomes = interleave(contestants, rounds=course.rounds, seconds=course.seconds, tell=course.tell)
        found = {outcome.name: outcome for outcome in outcomes}
        rows += [_row(backend, n, found) for n in counts]
    return {
        "key": "weights",
        "title": TITLE,
        "columns": ["backend", "processes", "call with an update, ms", "without, ms", "the update, ms"],
        "rows": rows,
    }


def _row(backend: str, n: int, found: dict[str, Any]) -> list[Any]:
    """Calls with and without are compared within each round."""
    with_it, without = found[f"{n} with"].rounds, found[f"{n} without"].rounds
    if not with_it or not without:
        return [backend, n, found[f"{n} with"].skipped or found[f"{n} without"].skipped, None, None]
    rounds = [index for index in with_it if index in without]
    slow = [1e3 / with_it[index].rate for index in rounds]
    fast = [1e3 / without[index].rate for index in rounds]
    extra = [one - other for one, other in zip(slow, fast, strict=True)]
    return [backend, n, *(round(float(np.median(values)), 2) for values in (slow, fast, extra))]
