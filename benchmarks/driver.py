"""What one driver admits: its own CPU time for each unit and each megabyte, by carriers and logical workers.

Carriers share the machine's cores with the driver here, so that units per second of work say little about a
cluster. Two things do: what a unit costs the driver (CPU time of its process: Python, and the threads of the
backend's libraries), and how many units that only sleep are delivered of those that could be.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.environments import Frames, OneStep, Sleeper
from benchmarks.policies import First, Laden
from benchmarks.running import Course
from samplerkit.bench.field import installed, spread

TITLE = "What one driver admits: its CPU time for each unit, by carriers and logical workers"


class Load(NamedTuple):
    """Units of one kind on so many carriers.

    Attributes:
        env: the environment's class.
        carriers: processes or actors.
        workers: logical workers.
        units_each: in a batch, for each carrier.
        steps: of a unit.
    """

    env: Any
    carriers: int
    workers: int
    units_each: int
    steps: int = 1


def loads(backend: str) -> Iterator[Load]:
    """Yield what is measured: actors may be on other machines, and so be many."""
    many = (1, 4, 16, 64) if backend == "ray" else (1, 4)
    for carriers in many:
        yield Load(Sleeper, carriers, 4096, 10)
    for workers in (64, 512, 4096):
        yield Load(OneStep, 4, workers, 500)
    yield Load(Frames, 2, 64, 20, Frames.max_episode_length)


def run(course: Course) -> dict[str, Any]:
    """Measure the backends that spread over processes or actors."""
    named = [it.backend for it in installed() if not it.reason and "+" not in it.label]
    rows = [
        row(backend, load, measure(backend, load, course))
        for backend in named
        if spread(backend, 1)
        for load in loads(backend)
    ]
    columns = ["backend", "carriers", "logical workers", "a unit", "units/s here", "of what could be"]
    columns += ["driver, us a unit", "units/s that fill a driver", "MB/s"]
    return {"key": "driver", "title": TITLE, "columns": columns, "rows": rows}


def measure(backend: str, load: Load, course: Course) -> list[tuple[float, float]]:
    """Return for each round units per second, and seconds of the driver's CPU for each unit."""
    import samplerkit

    found = []
    options = spread(backend, load.carriers)
    if backend == "ray":
        options["start_timeout"] = 900.0  # a machine with few cores takes minutes to start 64
    num_samples = load.units_each * load.carriers * load.steps
    with samplerkit.make_sampler(
        backend, agents=First(), envs=load.env, n_workers=load.workers, seed=0, **options
    ) as sampler:
        for _ in range(3):  # everybody is up, and lengths are known
            sampler.obtain_samples(0, num_samples)
        for _ in range(course.rounds):
            units = 0
            began, cpu = time.perf_counter(), time.process_time()
            while time.perf_counter() - began < course.seconds:
                units += len(sampler.obtain_samples(0, num_samples).lengths)
            spent = time.process_time() - cpu
            found.append((units / (time.perf_counter() - began), spent / units))
    return found


def row(backend: str, load: Load, rounds: list[tuple[float, float]]) -> list[Any]:
    """Return a row of the table: medians."""
    rate, each = (statistics.median(values) for values in zip(*rounds, strict=True))
    ideal = load.carriers / Sleeper.seconds if load.env is Sleeper else None
    kind = {Sleeper: f"sleeps {Sleeper.seconds:g} s", OneStep: "does nothing", Frames: "5.6 MB of frames"}
    megabytes = load.steps * 84 * 84 * 4 / 1e6 if load.env is Frames else None
    return [
        backend,
        load.carriers,
        load.workers,
        kind[load.env],
        round(rate),
        None if ideal is None else round(rate / ideal, 2),
        round(1e6 * each, 1),
        round(1 / each),
        None if megabytes is None else round(megabytes / each),
    ]


UPDATES = "What an update of the weights costs one driver, by carriers"


def run_updates(course: Course) -> dict[str, Any]:
    """Measure calls for one unit of each carrier, with new weights and without."""
    named = [it.backend for it in installed() if not it.reason and "+" not in it.label]
    rows = [
        [backend, carriers, *update_cost(backend, carriers, course)]
        for backend in named
        if spread(backend, 1)
        for carriers in ((4, 16, 64) if backend == "ray" else (4,))
    ]
    columns = ["backend", "carriers", "driver, ms a call", "with an update, ms", "us a carrier"]
    return {"key": "driver-updates", "title": UPDATES, "columns": columns, "rows": rows}


def update_cost(backend: str, carriers: int, course: Course) -> list[float]:
    """Return the driver's CPU time: ms a call, ms a call with an update, and us of the update a carrier."""
    import samplerkit

    options = spread(backend, carriers)
    if backend == "ray":
        options["start_timeout"] = 900.0
    weights = {"weights": np.zeros((10, 1_000))}
    calls: dict[bool, list[float]] = {True: [], False: []}
    with samplerkit.make_sampler(
        backend, agents=Laden(None, None), envs=OneStep, n_workers=carriers, seed=0, **options
    ) as sampler:
        for _ in range(course.rounds):
            for update, found in calls.items():
                cpu, began, n_calls = time.process_time(), time.perf_counter(), 0
                while time.perf_counter() - began < course.seconds:
                    weights["weights"][:, 0] += 1.0
                    sampler.obtain_exact_episodes(1, weights if update else None)
                    n_calls += 1
                found.append(1e3 * (time.process_time() - cpu) / n_calls)
    without, with_it = (statistics.median(calls[update]) for update in (False, True))
    return [round(without, 2), round(with_it, 2), round(1e3 * (with_it - without) / carriers)]
