"""Clauses of C5, D, E and F: who is right holds them, who is broken fails the one that should say so."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from samplerkit import LocalSampler, SamplerClosed, WorkerError
from samplerkit.contract import State, all_clauses, check, find_subject, subject_of
from samplerkit.contract.examine import Verdict, examine
from samplerkit.contract.lab import Lab
from samplerkit.interfaces import YES

MINE = ("C5", "D", "E", "F")


def verdict(sampler: Any, clause_id: str) -> Verdict:
    """Examine one clause here, without a sandbox."""
    (it,) = (it for it in all_clauses() if it.id == clause_id)
    return examine(it, Lab(subject_of(sampler)))


@pytest.mark.slow
def test_the_local_sampler_holds_all_of_them() -> None:
    report = check(find_subject("local"), only=MINE)
    assert report.green, [(it.clause, it.what) for it in report.verdicts if it.bad]
    assert len(report.of(State.HELD)) >= 30


@pytest.mark.slow
def test_worker_processes_hold_those_that_only_apply_to_processes() -> None:
    report = check(find_subject("multiprocessing"), only=["D2", "D3", "E3.parent-killed"])
    assert [it.clause for it in report.verdicts if it.state is not State.HELD] == []


class CommitsTooSoon(LocalSampler):
    """The cursor moves although the call raises."""

    def _obtain(self, goal: Any, agent_update: Any, env_update: Any) -> Any:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except WorkerError:
            self._cursor += 1
            raise


class KeepsTheUpdate(LocalSampler):
    """A call that raised has updated the agents all the same."""

    def _obtain(self, goal: Any, agent_update: Any, env_update: Any) -> Any:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except WorkerError:
            if agent_update is not None:
                self._record = self._record.changed(self._agent_changes(agent_update), None)
            raise


class ForgetsTheType(LocalSampler):
    """Errors do not say what they were."""

    def _obtain(self, goal: Any, agent_update: Any, env_update: Any) -> Any:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except WorkerError as error:
            raise WorkerError(error.worker, error.unit, "Error", "?", error.remote_traceback) from error


class SwallowsCtrlC(LocalSampler):
    """Ctrl-C begins the call again."""

    def _obtain(self, goal: Any, agent_update: Any, env_update: Any) -> Any:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except KeyboardInterrupt:
            return super()._obtain(goal, agent_update, env_update)


class SwallowsCtrlCInExactEpisodes(LocalSampler):
    """Ctrl-C begins a call for exact episodes again."""

    def obtain_exact_episodes(
        self, n_eps_per_worker: int, agent_update: Any = None, env_update: Any = None
    ) -> Any:
        try:
            return super().obtain_exact_episodes(n_eps_per_worker, agent_update, env_update)
        except KeyboardInterrupt:
            return super().obtain_exact_episodes(n_eps_per_worker, agent_update, env_update)


class KeepsTheUpdateOfExactEpisodes(LocalSampler):
    """A call for exact episodes that raised has updated the agents all the same."""

    def obtain_exact_episodes(
        self, n_eps_per_worker: int, agent_update: Any = None, env_update: Any = None
    ) -> Any:
        try:
            return super().obtain_exact_episodes(n_eps_per_worker, agent_update, env_update)
        except WorkerError:
            if agent_update is not None:
                self._record = self._record.changed(self._agent_changes(agent_update), None)
            raise


class ForgetsTheTypeInExactEpisodes(LocalSampler):
    """Errors of exact episodes do not say what they were."""

    def obtain_exact_episodes(
        self, n_eps_per_worker: int, agent_update: Any = None, env_update: Any = None
    ) -> Any:
        try:
            return super().obtain_exact_episodes(n_eps_per_worker, agent_update, env_update)
        except WorkerError as error:
            raise WorkerError(error.worker, error.unit, "Error", "?", error.remote_traceback) from error


class RestoresMeanwhile(LocalSampler):
    """A state is set while a call runs."""

    def set_state(self, state: Any) -> None:
        if not self._lock.locked():
            super().set_state(state)


class UpdatesBeforeItCounts(LocalSampler):
    """The environments are told before the count is looked at."""

    def obtain_samples(
        self, itr: int, num_samples: Any, agent_update: Any = None, env_update: Any = None
    ) -> Any:
        assert self._host is not None
        for seat in self._host._seats.values() if env_update is not None else ():
            if seat.worker is not None and isinstance(num_samples, float):
                seat.worker.env.unwrapped.set_task(9)
        return super().obtain_samples(itr, num_samples, agent_update, env_update)


class LeavesADescriptorWithEachCopy(LocalSampler):
    """Whoever pickles it loses a descriptor."""

    def __reduce__(self) -> Any:
        os.open(os.devnull, os.O_RDONLY)
        return super().__reduce__()


class TakesFloats(LocalSampler):
    """2.5 steps are 2."""

    def obtain_samples(
        self, itr: int, num_samples: Any, agent_update: Any = None, env_update: Any = None
    ) -> Any:
        count = int(num_samples) if isinstance(num_samples, float) and num_samples > 1 else num_samples
        return super().obtain_samples(itr, count, agent_update, env_update)


class ClosedIsAnAttributeError(LocalSampler):
    """After the shutdown, something that was torn down is missing."""

    def _check_open(self) -> None:
        try:
            super()._check_open()
        except SamplerClosed as closed:
            raise AttributeError("'NoneType' object has no attribute 'run'") from closed


helpers: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _no_helpers_left() -> Iterator[None]:
    yield
    while helpers:
        with helpers.pop() as helper:
            helper.kill()


class LeavesAProcess(LocalSampler):
    """A helper is never ended."""

    def _start(self, record: Any) -> None:
        helpers.append(subprocess.Popen(["sleep", "3"]))
        super()._start(record)


class LeavesAFile(LocalSampler):
    """A descriptor is never closed."""

    def _start(self, record: Any) -> None:
        os.open(os.devnull, os.O_RDONLY)
        super()._start(record)


class RaisesTheSecondTime(LocalSampler):
    """Shut down twice is once too often."""

    def shutdown_worker(self) -> None:
        self._check_open()
        super().shutdown_worker()


class StartsLate(LocalSampler):
    """Workers start at the first call."""

    def _begin(self) -> None:
        self._closed = None


class DropsOptions(LocalSampler):
    """Options that it does not know are none."""

    def __init__(self, agents: Any, envs: Any, **arguments: Any) -> None:
        arguments.pop("n_fluxcapacitors", None)
        super().__init__(agents, envs, **arguments)


class Boasts(LocalSampler):
    """It cannot do what it says."""

    capabilities: ClassVar[Any] = {**LocalSampler.capabilities, "unit_timeout": YES}


class IsModest(LocalSampler):
    """It can do what it does not say."""

    capabilities: ClassVar[Any] = {
        k: v for k, v in LocalSampler.capabilities.items() if k != "exact_episodes"
    }

    def _require(self, capability: str) -> None:
        if capability != "exact_episodes":
            super()._require(capability)


class Renames(LocalSampler):
    """Its arguments have other names."""

    def obtain_samples(self, n: int, count: int, agents: Any = None, envs: Any = None) -> Any:
        return super().obtain_samples(n, count, agents, envs)


BROKEN = [
    (CommitsTooSoon, "D1.typed-errors", "cursor"),
    (KeepsTheUpdate, "C5.atomic", "not atomic"),
    (ForgetsTheType, "D1.every-kind", "error_type"),
    (SwallowsCtrlC, "D4.any-moment", "expected KeyboardInterrupt"),
    (SwallowsCtrlCInExactEpisodes, "D4.any-moment", "obtain_exact_episodes, Ctrl-C after"),
    (KeepsTheUpdateOfExactEpisodes, "C5.atomic", "of obtain_exact_episodes: not atomic"),
    (ForgetsTheTypeInExactEpisodes, "D1.every-kind", "of obtain_exact_episodes: not typed"),
    (RestoresMeanwhile, "D6.busy", "set_state while another call runs: expected SamplerBusy"),
    (UpdatesBeforeItCounts, "D5.counts", "after updates were refused"),
    (LeavesADescriptorWithEachCopy, "E3.nothing-left", "5 file descriptors"),
    (TakesFloats, "D5.counts", "num_samples=2.5"),
    (ClosedIsAnAttributeError, "D6.closed", "expected SamplerClosed"),
    (LeavesAProcess, "E3.nothing-left", "sleep 3"),
    (LeavesAFile, "E3.nothing-left", "5 file descriptors"),
    (RaisesTheSecondTime, "E2.again-and-again", "the second shutdown"),
    (StartsLate, "E1.up", "no worker has an environment"),
    (DropsOptions, "F4.options", "n_fluxcapacitors"),
    (Boasts, "F4.declared-is-there", "'unit_timeout' is declared and absent"),
    (IsModest, "F4.undeclared-is-refused", "'exact_episodes' is present and undeclared"),
    (Renames, "F4.signatures", "obtain_samples"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "clause_id", "says"), BROKEN, ids=[sampler.__name__ for sampler, _, _ in BROKEN]
)
def test_a_broken_sampler_fails_the_clause_that_should_and_is_told_why(
    sampler: type[LocalSampler], clause_id: str, says: str
) -> None:
    found = verdict(sampler, clause_id)
    assert found.bad, f"{clause_id} held"
    assert says in found.what


def test_a_description_that_declares_something_else_than_the_class_is_told_so() -> None:
    right = subject_of(LocalSampler)
    wrong = replace(right, capabilities={**right.capabilities, "restartable": YES})
    (clause,) = (it for it in all_clauses() if it.id == "F4.reasons")
    said = examine(clause, Lab(wrong))
    assert said.state is State.FAILED
    assert "'restartable': the description declares" in said.what


@pytest.mark.slow
def test_a_cell_that_fails_is_named_in_the_report() -> None:
    found = verdict(CommitsTooSoon, "D1.typed-errors")
    assert " in " in found.what.partition(":")[0]
    assert "worker" in found.what.partition(":")[0] or "unit" in found.what.partition(":")[0]


@pytest.mark.slow
def test_a_bench_that_hangs_names_the_cell() -> None:
    class Deaf(LocalSampler):
        """Hangs in a way that no alarm ends."""

        def _obtain(self, goal: Any, agent_update: Any, env_update: Any) -> Any:
            while True:
                try:
                    time.sleep(60)
                except BaseException:
                    continue

    from samplerkit.contract.profiles import PROFILES
    from samplerkit.contract.sandbox import Sandbox

    (it,) = (it for it in all_clauses() if it.id == "D1.every-kind")
    with Sandbox(subject_of(Deaf), replace(PROFILES["quick"], deadline=3.0)) as sandbox:
        found = sandbox.examine(it)
    assert found.state is State.HUNG
