"""Recurrent policies in slots: the bandit of the RL2 paper, by the number of environments of each worker."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

from benchmarks.running import ROOT, Course
from samplerkit.bench import Contestant, Hosted, Outcome, Results, interleave
from samplerkit.bench.field import spread
from samplerkit.bench.hosted import Together
from samplerkit.bench.workload import Workload
from samplerkit.rl2 import BanditVectorEnv, RL2Env, StreamBanditEnv

N_ENVS = (1, 8, 64, 256)

PULLS = 10

POLICIES = {
    "tensorflow": ("benchmarks.gru_policies:tensorflow_gru", "one call of a TensorFlow function a tick"),
    "numpy": ("benchmarks.gru_policies:numpy_gru", "the numpy twin that samplerkit.tf samples with"),
}

# A worker's vector environment is named in a workload, so there is one for each number of slots.
bandits_1 = functools.partial(BanditVectorEnv, 1, n_pulls=PULLS)
bandits_8 = functools.partial(BanditVectorEnv, 8, n_pulls=PULLS)
bandits_64 = functools.partial(BanditVectorEnv, 64, n_pulls=PULLS)
bandits_128 = functools.partial(BanditVectorEnv, 128, n_pulls=PULLS)
bandits_256 = functools.partial(BanditVectorEnv, 256, n_pulls=PULLS)


def bandit() -> RL2Env:
    """Return a single one, which `BanditVectorEnv` is many of."""
    return RL2Env(StreamBanditEnv(), episodes_per_trial=PULLS)


def entries() -> dict[str, tuple[str, Any]]:
    """Return the title and the function of each, by key."""
    known: dict[str, tuple[str, Any]] = {}
    for policy, (_, told) in POLICIES.items():
        for batch in (25_600, 102_400):
            key = f"W4b-{policy}-{batch}"
            title = (
                f"bandit with 5 arms, 10 pulls a trial, 128 to a process as one vector environment; GRU of "
                f"64 units, {told}; batches of {batch:,}"
            )
            known[key] = title, functools.partial(run_w4b, key, title, policy, batch)
    return {**known, "recurrent": (TITLE, run)}


# -- against the bare loop -----------------------------------------------------------------------------------


def run_w4b(key: str, title: str, policy: str, batch: int, course: Course) -> dict[str, Any]:
    """Measure samplers with 128 slots in each process beside bare loops of as many."""
    if missing := _missing(policy):
        return {"key": key, "title": title, "skipped": missing}
    limit = _bare_name(course.processes)
    contestants = [
        bare_slots(policy, 128, batch, course.processes),
        bare_slots(policy, 128, batch, 1),
        slots("vectorized", policy, 128, batch, course),
        slots("multiprocessing+vectorized", policy, 128, batch, course),
    ]
    chosen = [it for it in contestants if it.name == limit or course.wants(it.name)]
    found = interleave(chosen, rounds=course.rounds, seconds=course.seconds, tell=course.tell)
    return {
        "key": key,
        "title": title,
        "limit": limit,
        "contestants": Results(found, limit).as_dicts(),
    }


def bare_slots(policy: str, n_envs: int, batch: int, n_processes: int) -> Together:
    """Return the bare loop in n processes; together their arrays are as large as a batch."""
    arguments = {
        "env": f"benchmarks.recurrent:bandits_{n_envs}",
        "policy": POLICIES[policy][0],
        "num_samples": batch // n_processes,
    }
    members = [
        Hosted(
            f"bare loop {index}",
            "benchmarks.bare_slots:BareSlots",
            {**arguments, "first": index << 32},
            path=[ROOT],
            environment=_ONE_THREAD,
        )
        for index in range(n_processes)
    ]
    return Together(_bare_name(n_processes), members)


def slots(backend: str, policy: str, n_envs: int, batch: int, course: Course, *, name: str = "") -> Hosted:
    """Return a sampler whose workers have so many slots, natively; a worker for each process."""
    options = {**spread(backend, course.processes), "n_envs": n_envs}
    return _sampler(
        backend, policy, f"bandits_{n_envs}", batch, options, name or f"{backend} ({n_envs})", course
    )


def _sampler(
    backend: str, policy: str, env: str, batch: int, options: dict[str, Any], name: str, course: Course
) -> Hosted:
    workload = Workload(f"benchmarks.recurrent:{env}", POLICIES[policy][0], batch)
    local = not spread(backend, 1)
    arguments = {
        "workload": workload.as_dict(),
        "backend": backend,
        "n_workers": 1 if local else course.processes,
        "options": {**options, "is_tf_worker": policy == "tensorflow"},
    }
    return Hosted(
        name,
        "samplerkit.bench.sampler_contestant:SamplerContestant",
        arguments,
        path=[ROOT],
        environment=_ONE_THREAD,
    )


_ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def _bare_name(n_processes: int) -> str:
    return f"bare loop (128), {n_processes} process{'es' if n_processes > 1 else ''}"


def _missing(policy: str) -> str:
    absent = policy == "tensorflow" and importlib.util.find_spec("tensorflow") is None
    return "not installed: tensorflow" if absent else ""


# -- by the number of environments ---------------------------------------------------------------------------

TITLE = "The bandit with a GRU of 64 units on multiprocessing: steps/s by the environments of each worker"

_COLUMNS = ["environments", "one by one", "as one vector environment", "min..max"]


def run(course: Course) -> dict[str, Any]:
    """Measure both policies, with environments that are stepped one by one and as one."""
    rows: list[list[Any]] = []
    for policy in POLICIES:
        if missing := _missing(policy):
            rows.append([f"{policy}: {missing}", None, None, None])
            continue
        contestants = [_alone(policy, course)]
        for n_envs in N_ENVS:
            contestants += [_looped(policy, n_envs, course), _native(policy, n_envs, course)]
        found = interleave(contestants, rounds=course.rounds, seconds=course.seconds, tell=course.tell)
        rows += _rows(policy, {outcome.name: outcome for outcome in found})
    return {"key": "recurrent", "title": TITLE, "columns": ["policy", *_COLUMNS], "rows": rows}


def _batch(n_envs: int, course: Course) -> int:
    """Ten trials for each slot, and no less than a few thousand steps."""
    return max(4_000, 10 * PULLS * n_envs * course.processes)


def _alone(policy: str, course: Course) -> Contestant:
    options = spread("multiprocessing", course.processes)
    return _sampler("multiprocessing", policy, "bandit", 4_000, options, "alone", course)


def _looped(policy: str, n_envs: int, course: Course) -> Contestant:
    backend = "multiprocessing+vectorized"
    options = {**spread(backend, course.processes), "n_envs": n_envs}
    return _sampler(backend, policy, "bandit", _batch(n_envs, course), options, f"looped {n_envs}", course)


def _native(policy: str, n_envs: int, course: Course) -> Contestant:
    batch = _batch(n_envs, course)
    return slots("multiprocessing+vectorized", policy, n_envs, batch, course, name=f"native {n_envs}")


def _rows(policy: str, found: dict[str, Outcome]) -> Sequence[list[Any]]:
    rows: list[list[Any]] = [[policy, "1, by get_action", _rate(found["alone"]), None, None]]
    for n_envs in N_ENVS:
        native = found[f"native {n_envs}"]
        rate = native.rate
        spread_of = f"{rate.low:,.0f}..{rate.high:,.0f}" if rate else None
        rows.append([policy, n_envs, _rate(found[f"looped {n_envs}"]), _rate(native), spread_of])
    return rows


def _rate(outcome: Outcome) -> str:
    return f"{outcome.rate.median:,.0f}" if outcome.rate else outcome.skipped
