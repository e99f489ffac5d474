"""On which CPUs processes run, and on which they rest."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import samplerkit
from samplerkit.policies import RandomPolicy
from samplerkit_multiprocessing.idle_cpu import IdleCpu

on_cpus = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to choose a CPU here")

PATIENCE = 20.0


class WhereaboutsEnv(gymnasium.Env):
    """Says where it may run."""

    observation_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 40))
        return np.zeros(2, np.float32), {}

    def step(self, action: int):
        self.left -= 1
        cpus = np.array(sorted(os.sched_getaffinity(0)))
        return np.zeros(2, np.float32), 0.0, self.left == 0, False, {"cpus": cpus}


def sampler(**arguments: Any):
    return samplerkit.make_sampler(
        "multiprocessing",
        agents=RandomPolicy(WhereaboutsEnv.action_space),
        envs=WhereaboutsEnv,
        seed=11,
        n_workers=3,
        max_episode_length=60,
        **arguments,
    )


def children() -> dict[str, int]:
    return {child.name: child.pid for child in multiprocessing.active_children()}


def whereabouts() -> dict[str, set[int]]:
    return {name: os.sched_getaffinity(pid) for name, pid in children().items()}


def places_of_rest(expected: dict[str, set[int]]) -> dict[str, set[int]]:
    """Where processes are once they do nothing, which is a moment after a call."""
    deadline = time.monotonic() + PATIENCE
    while (found := whereabouts()) != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def in_a_thread(do) -> Any:
    """What a thread returns that may be sent from CPU to CPU; the others stay where they are."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(do()))
    thread.start()
    thread.join()
    return results[0]


# ---------------------------------------------------------------- one thread


@on_cpus
def test_who_rests_is_on_that_cpu_and_goes_everywhere_afterwards():
    usable = os.sched_getaffinity(0)

    def rest():
        for cpu in sorted(usable):
            with IdleCpu(cpu):
                assert os.sched_getaffinity(0) == {cpu}
            assert os.sched_getaffinity(0) == usable
        return True

    assert in_a_thread(rest)
    assert os.sched_getaffinity(0) == usable, "others do not notice"


@on_cpus
def test_a_cpu_that_may_not_be_used_is_no_place_to_rest():
    usable = os.sched_getaffinity(0)

    def rest():
        with IdleCpu(max(usable) + 1):
            return os.sched_getaffinity(0)

    assert in_a_thread(rest) == usable


@on_cpus
def test_what_somebody_else_says_meanwhile_is_not_undone():
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) == 1:
        pytest.skip("there is one CPU only")

    def rest():
        with IdleCpu(usable[0]):
            os.sched_setaffinity(0, {usable[-1]})
        return os.sched_getaffinity(0)

    assert in_a_thread(rest) == {usable[-1]}


@on_cpus
def test_where_the_operating_system_refuses_one_rests_anywhere(monkeypatch):
    def refuse(pid, cpus):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with IdleCpu(min(os.sched_getaffinity(0))):
        pass


# ---------------------------------------------------------------- processes


@on_cpus
def test_processes_run_wherever_the_program_may_and_rest_each_on_a_cpu_of_its_own():
    usable = sorted(os.sched_getaffinity(0))
    with sampler(n_processes=len(usable)) as s:
        for call in range(3):
            batch = s.obtain_samples(call, 200)
            assert all(list(cpus) == usable for cpus in batch.env_infos["cpus"])
        expected = {f"samplerkit-{index}": {cpu} for index, cpu in enumerate(usable)}
        assert places_of_rest(expected) == expected


@on_cpus
def test_of_more_processes_than_cpus_some_rest_on_the_same():
    usable = sorted(os.sched_getaffinity(0))
    expected = {f"samplerkit-{index}": {usable[index % len(usable)]} for index in range(len(usable) + 1)}
    with sampler(n_processes=len(usable) + 1) as s:
        s.obtain_samples(0, 200)
        assert places_of_rest(expected) == expected


@on_cpus
def test_of_fewer_processes_than_cpus_each_rests_anywhere():
    usable = os.sched_getaffinity(0)
    if len(usable) == 1:
        pytest.skip("there is one CPU only")
    with sampler(n_processes=len(usable) - 1) as s:
        s.obtain_samples(0, 10)
        time.sleep(0.2)
        assert set(map(frozenset, whereabouts().values())) == {frozenset(usable)}


@on_cpus
def test_each_pinned_process_has_a_cpu_in_turn_and_so_has_the_one_that_takes_its_place():
    usable = sorted(os.sched_getaffinity(0))
    expected = {f"samplerkit-{index}": {usable[index % len(usable)]} for index in range(3)}
    with sampler(n_processes=3, pin=True) as s:
        before = children()
        assert whereabouts() == expected
        batch = s.obtain_samples(0, 50)
        assert all(len(cpus) == 1 for cpus in batch.env_infos["cpus"])
        os.kill(before["samplerkit-1"], signal.SIGKILL)
        call = 0
        while not s.statistics().restarts:
            call += 1
            s.obtain_samples(call, 50)
        s.obtain_exact_episodes(9)  # by now the new one is up
        assert children()["samplerkit-1"] != before["samplerkit-1"]
        assert whereabouts() == expected
    assert sorted(os.sched_getaffinity(0)) == usable, "the caller stays where it was"


@pytest.mark.parametrize("value", [1, "yes", "0"])
def test_whether_to_pin_is_true_or_false(value):
    with pytest.raises(TypeError, match="pin must be True or False"):
        sampler(n_processes=1, pin=value)
