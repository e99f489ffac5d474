"""``samplerkit bench``: how fast each backend delivers steps here, beside a loop that delivers nothing."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from samplerkit.bench import Contestant, Outcome, Results, interleave
from samplerkit.bench.field import (
    Candidate,
    bare_loops,
    bare_name,
    check_options,
    chosen,
    contestant,
    filled,
    installed,
)
from samplerkit.bench.interleaving import Progress
from samplerkit.bench.machine import machine, versions
from samplerkit.bench.processes import usable_cpus
from samplerkit.bench.recommendation import recommendation, recommended
from samplerkit.bench.workload import Workload
from samplerkit.cli.asked_files import refuse_unwritable
from samplerkit.cli.errors import FAILURE, UsageError
from samplerkit.cli.quiet import prints_on_stderr, without_native_chatter
from samplerkit.cli.search_path import search_here
from samplerkit.episodes import EnvSpec
from samplerkit.errors import SamplerKitError
from samplerkit.plugins.option_words import parse_options


@dataclass(frozen=True)
class Course:
    """How to measure.

    Args:
        backends: names, with options as in ``multiprocessing:n_processes=2``; none: everything installed.
        seconds: the least duration of a turn.
        rounds: how many.
        processes: of the bare loop and the backends; None: the usable processors.
    """

    backends: Sequence[str] = ()
    seconds: float = 1.0
    rounds: int = 5
    processes: int | None = None


def bench(workload: Workload, course: Course, *, json_file: Path | None, plot: Path | None) -> int:
    """Measure, print a table, recommend.

    Returns:
        0; 1 if no backend delivered anything.

    Raises:
        UsageError: for an environment, a policy, a backend or a file that cannot be.
    """
    refuse_unwritable("--json", json_file)
    refuse_unwritable("--plot", plot)
    _check_format(plot)
    folders = [search_here()]
    policy, step_bytes = _try_out(workload)
    n_processes = course.processes or usable_cpus()
    candidates = _candidates(course.backends, workload.num_samples, n_processes, step_bytes)
    title = f"{workload.env}, policy {policy}, {workload.num_samples:,} steps a batch"
    contestants = _contestants(candidates, workload, n_processes, folders)
    with _progress(sys.stderr) as tell:
        outcomes = interleave(contestants, rounds=course.rounds, seconds=course.seconds, tell=tell)
    outcomes += [Outcome(one.label, skipped=one.reason) for one in candidates if one.reason]
    results = Results(outcomes, bare_name(n_processes))
    names = [candidate.label for candidate in candidates]
    sentence = recommendation(results, names)
    _show(results, title, sentence)
    if json_file is not None:
        found = {
            "workload": {**workload.as_dict(), "policy": policy},
            "arguments": _arguments(course, n_processes),
        }
        _write_json(json_file, {**found, **_figures(results, sentence)})
    if plot is not None:
        _draw(results, plot, title)
    return FAILURE if recommended(results, names) is None else 0


def _check_format(plot: Path | None) -> None:
    if plot is None:
        return
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise UsageError(f"--plot needs matplotlib: run `pip install matplotlib` ({error})") from error
    known = sorted(FigureCanvasAgg.get_supported_filetypes())
    if plot.suffix.removeprefix(".") not in known:
        raise UsageError(f"--plot {plot}: its ending must be one of {', '.join(known)}")


def _try_out(workload: Workload) -> tuple[str, int]:
    """Construct everything once, so that mistakes are found before anything is measured.

    Returns:
        The policy's name, and what a step takes in bytes.
    """
    try:
        with prints_on_stderr(), without_native_chatter():
            env = workload.make_env()
            try:
                workload.episode_limit(env)
                policy = workload.make_policy(env)
                observation, _ = env.reset(seed=0)
                policy.reset()
                env.step(policy.get_action(observation)[0])
                return workload.policy_name(env), EnvSpec.from_env(env).step_bytes
            finally:
                env.close()
    except (Exception, SystemExit) as error:  # whatever a stranger's environment or policy may raise
        told = isinstance(error, (SamplerKitError, ValueError, TypeError))
        text = str(error) if told else f"{type(error).__name__}: {error}"
        raise UsageError(f"{workload.env} cannot be measured: {text}") from error


def _candidates(words: Sequence[str], num_samples: int, n_workers: int, step_bytes: int) -> list[Candidate]:
    try:
        found = [_candidate(word) for word in dict.fromkeys(words)] if words else installed()
        return [filled(one, num_samples, n_workers, step_bytes) for one in found]
    except (SamplerKitError, ValueError, TypeError) as error:
        raise UsageError(f"--backend: {error}") from error


def _candidate(word: str) -> Candidate:
    name, colon, rest = word.partition(":")
    options = parse_options(rest.split(",")) if colon else {}
    check_options(name, options)
    return chosen(word, name, options)


def _contestants(
    candidates: Sequence[Candidate], workload: Workload, n_processes: int, folders: Sequence[str]
) -> list[Contestant]:
    loops: list[Contestant] = [bare_loops(workload, n, folders) for n in dict.fromkeys((n_processes, 1))]
    able = [candidate for candidate in candidates if not candidate.reason]
    return loops + [contestant(candidate, workload, n_processes, folders) for candidate in able]


@contextlib.contextmanager
def _progress(stream: Any) -> Iterator[Progress | None]:
    """A line that says how far it is; nothing but on a terminal."""
    if not stream.isatty():
        yield None
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Display

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Display(*columns, console=Console(file=stream), transient=True, refresh_per_second=2) as display:
        task = display.add_task("", total=None)
        yield lambda what, done, total: display.update(task, description=what, completed=done, total=total)


def _show(results: Results, title: str, sentence: str) -> None:
    console = Console(highlight=False)
    console.print(title, style="italic", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for heading in ("steps/s", "limit", "min..max", "start s", "MB", "worker"):
        table.add_column(heading, justify="right", no_wrap=True)
    for outcome in results.outcomes:
        if not outcome.skipped:
            table.add_row(outcome.name, *_cells(outcome, results))
    # In a narrower terminal lines are broken, and no figure is cut.
    unbounded = console.options.update(width=sys.maxsize)
    console.width = max(console.width, console.measure(table, options=unbounded).maximum)
    if table.row_count:
        console.print(table)
    for outcome in results.outcomes:
        if outcome.skipped:
            console.print(
                f"skipped: {outcome.name}: {outcome.skipped}", style="yellow", markup=False, soft_wrap=True
            )
        elif outcome.idle_load > 0.05:
            console.print(
                f"{outcome.name} kept {outcome.idle_load:.2f} processors busy while others were measured",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )
    console.print(f"\n{sentence}", soft_wrap=True, markup=False)


def _cells(outcome: Outcome, results: Results) -> list[str]:
    rate, fraction, memory = outcome.rate, results.ratio(outcome.name), outcome.memory
    return [
        f"{rate.median:,.0f}" if rate else "",
        f"{fraction.median:.2f}" if fraction else "",
        f"{fraction.low:.2f}..{fraction.high:.2f}" if fraction else "",
        f"{outcome.start_seconds:.2f}" if outcome.start_seconds is not None else "",
        f"{memory.parent:.0f}" if memory and memory.parent else "",
        f"{memory.worker:.0f}" if memory and memory.n_workers else "",
    ]


def _arguments(course: Course, n_processes: int) -> dict[str, Any]:
    return {
        "backends": list(course.backends),
        "seconds": course.seconds,
        "rounds": course.rounds,
        "processes": n_processes,
    }


def _figures(results: Results, sentence: str) -> dict[str, Any]:
    return {
        "machine": machine(),
        "versions": versions(),
        "limit": results.limit,
        "contestants": results.as_dicts(),
        "recommendation": sentence,
    }


def _write_json(path: Path, figures: dict[str, Any]) -> None:
    path.write_text(json.dumps(figures, indent=2) + "\n")


def _draw(results: Results, path: Path, title: str) -> None:
    from samplerkit.bench.picture import save_picture

    save_picture(results, path, title)
