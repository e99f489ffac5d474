"""The page ``docs/benchmarks.md``, from the files with the results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.catalogue import entries
from benchmarks.pictures import PICTURES

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

_INTRODUCTION = """\
# Benchmarks

Written by `python -m benchmarks --page` from `benchmarks/results`; [benchmarking](benchmarking.md) says how
to measure your own environment, [the README of the benchmarks](../benchmarks/README.md) how to repeat
these.

**The limit** is a bare loop: {processes} independent processes, each calling `policy.get_action` and
`env.step` and storing into arrays that were touched before, its resets seeded and its policy reset and
seeded for each episode; nothing is sent anywhere. Steps are counted when they are numpy arrays in the
caller's process (observation, action, reward, terminated, truncated, final observation). Samplers get new
weights with every call, and each batch is dropped before the next call.

Everybody runs in an interpreter of their own and rests while others are measured: in each round everybody
has a turn, and the order changes from round to round. Above each table stands how many rounds there were,
how long a turn was at least, and the command that repeats it with whoever is installed. **Of the limit** is
the median over the rounds of the ratio within a round, with the least and the greatest; absolute
figures drift with the machine, ratios much less; who was measured later (`--who`) is compared with the limit
of that run, whatever the machine did then. **Start** is from nothing to the first batch. **MB** are
peaks of resident memory, of the caller's process and of the largest other one.

Frameworks act by a plain numpy policy on the whole batch of their environments, which is cheaper than one
call per step; RLlib acts at random, and Sample Factory by its own network. Loops *by hand* return chunks of
the bare loop: they keep no promise about which episodes are in a batch, and are limits rather than peers.
Fragment workers have the `timesteps_per_call` with which one call of each fills a batch; of
frames, several of some 30 MB.

Where a number of environments stands behind a name, as in *bare loop (128)*, each process has so many as one
vector environment, and a tick is one call of `policy.get_actions` and one step of them all.
"""


def write_page(folder: Path, page: Path = PAGE) -> Path:
    """Write the page, and beside it the pictures that it shows.

    Raises:
        SystemExit: if there are no results.
    """
    found = results.load(folder)
    if not found:
        raise SystemExit(f"there are no results in {folder}: run python -m benchmarks first")
    page.write_text(text(found))
    for key in PICTURES.keys() & found.keys():
        if not found[key].get("skipped"):
            PICTURES[key](found[key], page.with_name(f"{key}.svg"))
    return page


def text(found: dict[str, dict[str, Any]]) -> str:
    """Return the page."""
    ordered = [found[key] for key in entries() if key in found]
    arguments = ordered[0]["arguments"]
    parts = [_INTRODUCTION.format(**arguments), _machine(ordered)]
    parts += [_section(figures) for figures in ordered]
    return "\n".join(parts)


def _machine(all_figures: Sequence[dict[str, Any]]) -> str:
    machines = {str(figures["machine"]): figures["machine"] for figures in all_figures}
    lines = [
        f"- {it['cpu']}; {it['cpus_usable']} usable CPUs ({it['cpus_physical']} physical cores), "
        f"{it['memory_gb']:g} GB of memory, {it['system']}"
        for it in machines.values()
    ]
    versions: dict[str, set[str]] = {}
    for figures in all_figures:
        _collect(versions, figures["versions"])
        for row in figures.get("contestants", ()):
            _collect(versions, row["versions"])
    told = [f"{name} {' and '.join(sorted(several))}" for name, several in sorted(versions.items())]
    return "\n".join(["## The machine", "", *lines, f"- {', '.join(told)}", ""])


def _collect(into: dict[str, set[str]], versions: dict[str, str]) -> None:
    for name, version in versions.items():
        into.setdefault(name, set()).add(version)


def _section(figures: dict[str, Any]) -> str:
    lines = [f"## {figures['key']}: {figures['title']}", ""]
    if figures.get("skipped"):
        lines += [f"Skipped: {_clean(figures['skipped'])}.", ""]
        return "\n".join(lines)
    lines += [_told(figures), ""]
    if figures["key"] in PICTURES:
        lines += [f"![{figures['title']}]({figures['key']}.svg)", ""]
    if "rows" in figures:
        lines += _table(figures["columns"], figures["rows"])
    else:
        lines += _throughput(figures)
    return "\n".join(lines)


def _told(figures: dict[str, Any]) -> str:
    told = figures["arguments"]
    if figures.get("runs", 1) > 1:
        return (
            f"Rows of {figures['runs']} runs of {told['rounds']} or more rounds, each compared with its own "
            f"limit: `python -m benchmarks --only {figures['key']} --who ROW`"
        )
    return (
        f"{told['rounds']} rounds, turns of at least {told['seconds']:g} s: `python -m benchmarks "
        f"--only {figures['key']} --rounds {told['rounds']} --seconds {told['seconds']:g}`"
    )


def _throughput(figures: dict[str, Any]) -> list[str]:
    columns = ["", "steps/s", "of the limit", "min..max", "start, s", "MB"]
    lines = []
    if "clairvoyant" in figures:
        columns.append("of clairvoyant")
        lines = [
            f"A clairvoyant schedule, which knows all lengths beforehand and costs nothing, would reach "
            f"{figures['clairvoyant']:.3f} of the limit: an update stands between two batches.",
            "",
        ]
    ran = [row for row in figures["contestants"] if not row["skipped"]]
    lines += _table(columns, [_cells(row, "clairvoyant" in figures) for row in ran])
    for row in figures["contestants"]:
        if row["skipped"]:
            lines.append(f"- {row['name']} was skipped: {_clean(row['skipped'])}")
    if lines[-1]:
        lines.append("")
    return lines


def _cells(row: dict[str, Any], clairvoyant: bool) -> list[str]:
    rate, part, memory = row["steps_per_second"], row["fraction_of_limit"], row["memory_mb"]
    cells = [
        row["name"],
        f"{rate['median']:,.0f}",
        f"**{_ratio(part['median'])}**" if part else "",
        f"{_ratio(part['min'])}..{_ratio(part['max'])}" if part else "",
        f"{row['start_seconds']:.1f}",
        f"{memory['parent']:.0f} + {memory['worker']:.0f}" if memory else "",
    ]
    if clairvoyant:
        whole = row.get("fraction_of_clairvoyant")
        cells.append(_ratio(whole["median"]) if whole else "")
    return cells


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"


def _table(columns: Iterable[Any], rows: Iterable[Iterable[Any]]) -> list[str]:
    head = [str(column) for column in columns]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += [
        "| " + " | ".join("" if cell is None else _clean(str(cell)) for cell in row) + " |" for row in rows
    ]
    return [*lines, ""]


def _clean(sentence: str) -> str:
    """Without paths of the machine, which mean nothing to a reader, and without what would break a table."""
    return re.sub(r"\s*\(?(?<![\w.])/[\w.+-]+/[\w./+-]*\)?", "", sentence).replace("|", "/")
