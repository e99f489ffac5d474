"""Running a setting: bare loops, backends and peers in interleaved rounds."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer, peers
from benchmarks.workloads import Setting
from samplerkit.bench import Contestant, Hosted, Outcome, Results, interleave
from samplerkit.bench.field import bare_loops, bare_name, contestant, filled, installed
from samplerkit.bench.interleaving import Progress
from samplerkit.bench.workload import Workload
from samplerkit.episodes import EnvSpec

ROOT = str(Path(__file__).parents[1])


@dataclass(frozen=True)
class Course:
    """How to measure.

    Args:
        rounds: how many turns each has.
        seconds: the least duration of a turn.
        processes: over how many everybody spreads.
        names: parts of the names of those who take part; none: all.
        pythons: interpreters of peers, by the peer's module.
        tell: progress.
    """

    rounds: int
    seconds: float
    processes: int
    names: Sequence[str] = ()
    pythons: dict[str, str] | None = None
    tell: Progress | None = None

    def wants(self, name: str) -> bool:
        """Whether one of this name takes part."""
        return not self.names or any(part.lower() in name.lower() for part in self.names)


def run_setting(setting: Setting, course: Course) -> dict[str, Any]:
    """Measure a setting; returns what goes into the results, as JSON can say it.

    Where not all can be measured together, the limit runs in every heat, and each is compared with its own.
    """
    missing = [name for name in setting.needs if importlib.util.find_spec(name) is None]
    if missing:
        return {"key": setting.key, "title": setting.title, "skipped": f"not installed: {', '.join(missing)}"}
    limit = bare_name(course.processes)
    makers, outcomes = _field(setting, course)
    heats = [makers[start : start + setting.heat] for start in range(0, len(makers), setting.heat)] or [[]]
    rows, limits = [], []
    for index, heat in enumerate(heats):
        loops = [limit, bare_name(1)] if index == 0 else [limit]
        contestants: list[Contestant] = [_loop(setting, name, course) for name in dict.fromkeys(loops)]
        contestants += [make() for make in heat]
        measured = interleave(contestants, rounds=course.rounds, seconds=course.seconds, tell=course.tell)
        found = Results(measured, limit).as_dicts()
        limits.append(found[0])
        rows += found if index == 0 else found[1:]
    return {
        "key": setting.key,
        "title": setting.title,
        "workload": setting.workload.as_dict(),
        "limit": limit,
        "limits": limits,
        "contestants": rows + Results(outcomes, limit).as_dicts(),
    }


def _loop(setting: Setting, name: str, course: Course) -> Contestant:
    return bare_loops(setting.workload, 1 if name == bare_name(1) else course.processes, [ROOT])


def _field(setting: Setting, course: Course) -> tuple[list[Callable[[], Contestant]], list[Outcome]]:
    """Who runs, made when wanted; and who does not, with the reason."""
    makers: list[Callable[[], Contestant]] = []
    absent = []
    step_bytes = _step_bytes(setting.workload)
    for candidate in installed():
        if not course.wants(candidate.label):
            continue
        if candidate.reason:
            absent.append(Outcome(candidate.label, skipped=candidate.reason))
        else:
            full = filled(candidate, setting.workload.num_samples, course.processes, step_bytes)
            it = replace(full, label=candidate.label)  # rows of the page keep their names
            makers.append(lambda it=it: contestant(it, setting.workload, course.processes, [ROOT]))  # type: ignore[misc]
    makers += [
        lambda it=peer: hosted(it, setting, course)  # type: ignore[misc]
        for peer in peers(course.processes)
        if course.wants(peer.name)
    ]
    return makers, absent


def _step_bytes(workload: Workload) -> int:
    with contextlib.closing(workload.make_env()) as env:
        return EnvSpec.from_env(env).step_bytes


def hosted(peer: Peer, setting: Setting, course: Course) -> Hosted:
    """Return a peer's contestant, in the interpreter that was named for it."""
    workload = setting.workload
    arguments = {
        **peer.arguments,
        "env": workload.env,
        "policy": workload.policy if peer.loop else setting.plain_policy,
        "num_samples": workload.num_samples,
        "n_processes": course.processes,
    }
    python = (course.pythons or {}).get(peer.module)
    return Hosted(
        peer.name,
        f"benchmarks.peers.{peer.module}:{peer.factory}",
        arguments,
        python=python,
        environment={"PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"},
        restless=peer.restless,
    )
