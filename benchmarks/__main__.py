"""``python -m benchmarks``: measure, and write the page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from benchmarks import results, show
from benchmarks.catalogue import entries
from benchmarks.running import Course
from samplerkit.bench.processes import usable_cpus


def main() -> int:
    """Run what the command line asks for."""
    arguments = _parser().parse_args()
    chosen = _chosen(arguments.only)
    if arguments.list:
        for key, (title, _) in chosen.items():
            print(f"{key:<16} {title}")
        return 0
    if arguments.page:
        from benchmarks.page import write_page

        print(f"wrote {write_page(arguments.results)}")
        return 0
    course = _course(arguments)
    told = {"rounds": course.rounds, "seconds": course.seconds, "processes": course.processes}
    for _, run in chosen.values():
        figures = run(course)
        print(show.table(figures), flush=True)
        results.save(arguments.results, figures, told, add=bool(arguments.who))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="KEY", help="those whose key begins so; may be repeated"
    )
    parser.add_argument(
        "--who",
        action="append",
        metavar="PART",
        help="contestants with this in their name, added to the results of others; may be repeated",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="the least duration of a turn")
    parser.add_argument("--processes", type=int, default=usable_cpus())
    parser.add_argument(
        "--python",
        action="append",
        metavar="PEER=PATH",
        default=[],
        help="the interpreter for a peer, where it cannot be installed beside the others; may be repeated",
    )
    parser.add_argument(
        "--results", type=Path, default=results.FOLDER, help="folder of the files with the results"
    )
    parser.add_argument("--list", action="store_true", help="say what there is, and end")
    parser.add_argument("--page", action="store_true", help="only write docs/benchmarks.md from the results")
    return parser


def _chosen(only: list[str] | None) -> dict[str, tuple[str, Any]]:
    known = entries()
    if not only:
        return known
    exact = {key: known[key] for key in only if key in known}
    begun = [word for word in only if word not in known]
    found = {key: value for key, value in known.items() if key in exact or key.startswith(tuple(begun))}
    if not found:
        sys.exit(f"--only {' '.join(only)}: there is no such key; these are {', '.join(known)}")
    return found


def _course(arguments: argparse.Namespace) -> Course:
    tell = None
    if sys.stderr.isatty():

        def tell(what: str, done: int, total: int) -> None:
            print(f"\r\033[K[{done}/{total}] {what}", end="\r", file=sys.stderr, flush=True)

    return Course(
        arguments.rounds,
        arguments.seconds,
        arguments.processes,
        tuple(arguments.who or ()),
        dict(word.split("=", 1) for word in arguments.python),
        tell,
    )


if __name__ == "__main__":
    sys.exit(main())
