"""From the start of a Python program to its first batch."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.running import ROOT, Course
from samplerkit.bench.field import installed, spread

TITLE = "Start-up: seconds from the start of Python to the first batch of 1,000 CartPole steps"

_IMPORTS = """
import gymnasium, samplerkit
from samplerkit.policies import MLPPolicy
env = gymnasium.make("CartPole-v1")
policy = MLPPolicy(env.observation_space, env.action_space)
"""

_PROGRAM = (
    _IMPORTS
    + """
sampler = samplerkit.make_sampler(
    {backend!r}, agents=policy, envs="CartPole-v1", seed=1, n_workers={n_workers}, **{options!r}
)
sampler.obtain_samples(0, 1_000)
print("first", flush=True)
sampler.shutdown_worker()
"""
)


def run(course: Course) -> dict[str, Any]:
    """Start each program as often as there are rounds, in turn."""
    programs = {("imports and policy alone", ""): _IMPORTS + 'print("first", flush=True)'}
    for candidate in installed():
        if not candidate.reason:
            for n_workers in (course.processes, 40):
                options = spread(candidate.backend, course.processes)
                text = _PROGRAM.format(backend=candidate.backend, n_workers=n_workers, options=options)
                programs[candidate.label, str(n_workers)] = text
    times: dict[tuple[str, str], list[float]] = {key: [] for key in programs}
    for _ in range(course.rounds):
        for key, text in programs.items():
            times[key].append(seconds_to_first_line(text))
    return {
        "key": "startup",
        "title": TITLE,
        "columns": ["backend", "logical workers", "median, s", "fastest, s", "slowest, s"],
        "rows": [
            [*key, *(round(value, 2) for value in (statistics.median(taken), min(taken), max(taken)))]
            for key, taken in times.items()
        ],
    }


def seconds_to_first_line(program: str) -> float:
    """Run a program with ``python -c``, and wait for the first line that it prints.

    Raises:
        RuntimeError: if it ends without one.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        passed = time.perf_counter() - began
    if line != "first\n" or process.returncode:
        raise RuntimeError(f"a program ended with status {process.returncode} and said {line!r}:\n{program}")
    return passed
