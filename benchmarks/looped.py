"""CartPole in slots that are stepped in turn: vectorized workers beside the loop that limits them."""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np
import threadpoolctl

from benchmarks.running import ROOT, Course
from samplerkit.bench import Contestant, Hosted, Measurement, Results, interleave
from samplerkit.bench.field import spread
from samplerkit.bench.hosted import Together
from samplerkit.bench.workload import Workload
from samplerkit.sampling.numbering import UnitSeeds

N_ENVS = 8

_CHUNK = 64
"""Ticks between two looks at the clock."""

_POLICY = "benchmarks.policies:mlp32"

_FINALS = 1 << 12


def entries() -> dict[str, tuple[str, Any]]:
    """Return the title and the function of each, by key.

    Episodes take about 22 steps: ten of them for each slot of two processes are 3,500 steps.
    """
    known: dict[str, tuple[str, Any]] = {}
    for batch in (4_000, 16_000, 40_000):
        title = (
            f"CartPole-v1, {N_ENVS} environments to a process, stepped one by one, MLP 4-32-32-2 for all at "
            f"once, episodes of about 22 steps, batches of {batch:,}"
        )
        known[f"W1-looped-{batch}"] = title, functools.partial(run, f"W1-looped-{batch}", title, batch)
    return known


def run(key: str, title: str, batch: int, course: Course) -> dict[str, Any]:
    """Measure samplers with as many slots in each process beside bare loops of as many."""
    limit = _bare_name(course.processes)
    contestants: list[Contestant] = [bare(batch, course.processes), bare(batch, 1)]
    contestants += [_sampler(name, batch, course) for name in ("vectorized", "multiprocessing+vectorized")]
    chosen = [it for it in contestants if it.name == limit or course.wants(it.name)]
    found = interleave(chosen, rounds=course.rounds, seconds=course.seconds, tell=course.tell)
    return {"key": key, "title": title, "limit": limit, "contestants": Results(found, limit).as_dicts()}


def bare(batch: int, n_processes: int) -> Together:
    """Return the bare loop in n processes; together their arrays are as large as a batch."""
    members = [
        Hosted(
            f"bare loop {index}",
            "benchmarks.looped:BareLooped",
            {"num_samples": batch // n_processes, "first": index << 32},
            path=[ROOT],
        )
        for index in range(n_processes)
    ]
    return Together(_bare_name(n_processes), members)


def _sampler(backend: str, batch: int, course: Course) -> Hosted:
    options = spread(backend, course.processes)
    arguments = {
        "workload": Workload("CartPole-v1", _POLICY, batch).as_dict(),
        "backend": backend,
        "n_workers": course.processes if options else 1,
        "options": {**options, "n_envs": N_ENVS},
    }
    factory = "samplerkit.bench.sampler_contestant:SamplerContestant"
    return Hosted(f"{backend} ({N_ENVS})", factory, arguments, path=[ROOT])


def _bare_name(n_processes: int) -> str:
    return f"bare loop ({N_ENVS}), {n_processes} process{'es' if n_processes > 1 else ''}"


class BareLooped(Contestant):
    """Steps some environments in turn, with one policy call for all, and stores what comes.

    Whoever ends is reset with the seed of its next unit, and the policy for its row, reset and seeded.

    Args:
        num_samples: steps that the arrays hold; after these it writes from the first row again.
        first: number of the first unit.
    """

    distributions = ("numpy", "gymnasium")

    def __init__(self, num_samples: int, *, first: int = 0) -> None:
        super().__init__("bare loop")
        self._n_ticks = -(-num_samples // N_ENVS)
        self._unit = first
        self._seeds = UnitSeeds(0)

    def start(self) -> float:
        """Construct all, touch the arrays, fill them once."""
        began = time.perf_counter()
        self._one_thread = threadpoolctl.threadpool_limits(1)
        workload = Workload("CartPole-v1", _POLICY)
        self._envs = [workload.make_env() for _ in range(N_ENVS)]
        self._policy = workload.make_policy(self._envs[0])
        self._limit = workload.episode_limit(self._envs[0])
        space, shape = self._envs[0].observation_space, (self._n_ticks, N_ENVS)
        assert space.shape is not None
        self._observations = np.full((self._n_ticks, N_ENVS, *space.shape), 0, space.dtype)
        self._actions = np.full(shape, 0, np.int64)
        self._rewards = np.full(shape, 0.0)
        self._terminated, self._truncated = np.full(shape, False), np.full(shape, False)
        self._finals = np.full((_FINALS, *space.shape), 0, space.dtype)
        self._present = np.zeros((N_ENVS, *space.shape), space.dtype)
        self._lengths = [0] * N_ENVS
        self._tick = self._final = 0
        self._begin(list(range(N_ENVS)))
        self._ticks(self._n_ticks)
        return time.perf_counter() - began

    def measure(self, seconds: float) -> Measurement:
        """Step on from where it stood."""
        began, ticks = time.perf_counter(), 0
        while True:
            self._ticks(_CHUNK)
            ticks += _CHUNK
            passed = time.perf_counter() - began
            if passed >= seconds:
                return Measurement(ticks * N_ENVS, passed)

    def _ticks(self, n: int) -> None:
        act, steps, present = self._policy.get_actions, [env.step for env in self._envs], self._present
        lengths, limit = self._lengths, self._limit
        for _ in range(n):
            tick = self._tick
            self._observations[tick] = present
            actions, _infos = act(present.copy())
            self._actions[tick] = actions
            rewards, terminations, truncations = (
                self._rewards[tick],
                self._terminated[tick],
                self._truncated[tick],
            )
            ended = []
            for slot, (step, action) in enumerate(zip(steps, list(actions), strict=True)):
                present[slot], rewards[slot], terminated, truncated, _info = step(action)
                lengths[slot] += 1
                terminations[slot] = terminated
                truncations[slot] = truncated
                if terminated or truncated or lengths[slot] >= limit:
                    ended.append(slot)
            self._tick = (tick + 1) % self._n_ticks
            if ended:
                self._keep_finals(ended)
                self._begin(ended)

    def _keep_finals(self, slots: list[int]) -> None:
        for slot in slots:
            self._finals[self._final % _FINALS] = self._present[slot]
            self._final += 1

    def _begin(self, slots: list[int]) -> None:
        seeds, mask = [], np.zeros(N_ENVS, np.bool_)
        for slot in slots:
            unit = self._seeds.unit(self._unit)
            self._unit += 1
            self._present[slot], _ = self._envs[slot].reset(seed=unit.env_seed)
            self._lengths[slot] = 0
            mask[slot] = True
            seeds.append(unit.policy_seed)
        self._policy.reset(mask)
        self._policy.seed(np.array(seeds, np.uint64))

    def stop(self) -> None:
        """Close the environments."""
        for env in self.__dict__.pop("_envs", []):
            env.close()
