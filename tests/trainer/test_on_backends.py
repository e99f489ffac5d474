"""The trainer on real samplers: what the fakes promise must hold there."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import samplerkit
from samplerkit.trainer import TIMING_COLUMNS, SnapshotConfig, Trainer
from samplerkit.trainer.reinforce import LinearSoftmaxPolicy, Reinforce

BACKENDS = [("local", {}), ("multiprocessing", {"n_processes": 2})]


def reproducible(folder: Path) -> list[dict[str, str]]:
    """The rows as text: every character counts."""
    with (folder / "progress.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMING_COLUMNS} for row in csv.DictReader(file)]


def train(
    folder: Path, n_epochs: int, backend: str = "local", *, snapshot_mode: str = "last", **options: Any
) -> None:
    trainer = Trainer(SnapshotConfig(folder, snapshot_mode))
    algo = Reinforce(LinearSoftmaxPolicy(4, 2), learning_rate=0.1, discount=0.99)
    options = {"seed": 1, "n_workers": 3, **options}
    trainer.setup(algo, "CartPole-v1", sampler=backend, sampler_options=options)
    trainer.train(n_epochs, 300)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp("whole")
    train(folder, 20)
    return reproducible(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "first_options"), BACKENDS)
@pytest.mark.parametrize(("then", "then_options"), BACKENDS)
def test_ten_epochs_and_ten_more_equal_twenty_at_once_on_any_backends(
    tmp_path: Path, whole: Any, first: str, first_options: Any, then: str, then_options: Any
) -> None:
    train(tmp_path, 10, first, **first_options)
    trainer = Trainer()
    trainer.restore(tmp_path)
    trainer.resume(20, sampler=then, sampler_options=then_options)
    assert len(whole) == 20
    assert reproducible(tmp_path) == whole


def test_environments_of_all_kinds_can_be_kept_and_resumed(tmp_path: Path, whole: Any) -> None:
    import gymnasium

    kinds: dict[str, Any] = {
        "env": gymnasium.make("CartPole-v1"),
        "callable": lambda: gymnasium.make("CartPole-v1"),
        "list": ["CartPole-v1"] * 3,
    }
    for name, env in kinds.items():
        trainer = Trainer(SnapshotConfig(tmp_path / name))
        algo = Reinforce(LinearSoftmaxPolicy(4, 2), learning_rate=0.1, discount=0.99)
        trainer.setup(algo, env, sampler="local", sampler_options={"seed": 1, "n_workers": 3})
        trainer.train(2, 300)
        trainer = Trainer()
        trainer.restore(tmp_path / name)
        trainer.resume(4)
        assert reproducible(tmp_path / name) == whole[:4], name


def test_a_sampler_object_is_resumed_on_another_object(tmp_path: Path, whole: Any) -> None:
    algo = Reinforce(LinearSoftmaxPolicy(4, 2), learning_rate=0.1, discount=0.99)
    with samplerkit.make_sampler(
        "local", agents=algo.policy, envs="CartPole-v1", seed=1, n_workers=3
    ) as sampler:
        trainer = Trainer(SnapshotConfig(tmp_path))
        trainer.setup(algo, "CartPole-v1", sampler=sampler)
        trainer.train(2, 300)
        sampler.obtain_samples(0, 10)  # still up
    with samplerkit.make_sampler(
        "local", agents=algo.policy, envs="CartPole-v1", seed=99, n_workers=3
    ) as another:
        trainer = Trainer()
        trainer.restore(tmp_path)
        trainer.resume(4, sampler=another)
    assert reproducible(tmp_path) == whole[:4]


class Hasty(samplerkit.DefaultWorker):
    """Ends its episodes early."""

    def __init__(self, *, most: int, max_episode_length: float, **others: Any) -> None:
        super().__init__(max_episode_length=min(most, max_episode_length), **others)


@pytest.mark.parametrize(
    ("made", "options", "then"),
    [
        ("local", {"max_episode_length": 9}, "local"),
        ("local", {"max_episode_length": 9}, "vectorized"),
        ("local", {"worker_class": Hasty, "worker_args": {"most": 9}}, "local"),
        ("vectorized", {"n_envs": 2, "native": True}, "local"),
        ("vectorized", {"n_envs": 2, "native": True}, "local+vectorized"),
    ],
)
def test_a_sampler_object_is_resumed_by_a_backends_name_with_what_it_was_made_with(
    tmp_path: Path, made: str, options: Any, then: str
) -> None:
    rows = {}
    for name, n_epochs in (("whole", 4), ("cut", 2)):
        algo = Reinforce(LinearSoftmaxPolicy(4, 2), learning_rate=0.1, discount=0.99)
        with samplerkit.make_sampler(
            made, agents=algo.policy, envs="CartPole-v1", seed=1, n_workers=3, **options
        ) as sampler:
            trainer = Trainer(SnapshotConfig(tmp_path / name))
            trainer.setup(algo, "CartPole-v1", sampler=sampler)
            trainer.train(n_epochs, 300)
        rows[name] = reproducible(tmp_path / name)
    trainer = Trainer()
    trainer.restore(tmp_path / "cut")
    trainer.resume(4, sampler=then)
    assert reproducible(tmp_path / "cut") == rows["whole"]


def test_options_given_now_go_before_what_a_sampler_object_was_made_with(tmp_path: Path) -> None:
    algo = Reinforce(LinearSoftmaxPolicy(4, 2), learning_rate=0.1, discount=0.99)
    with samplerkit.make_sampler(
        "vectorized", agents=algo.policy, envs="CartPole-v1", seed=1, n_workers=3, n_envs=2
    ) as sampler:
        trainer = Trainer(SnapshotConfig(tmp_path, "all"))
        trainer.setup(algo, "CartPole-v1", sampler=sampler)
        trainer.train(1, 300)
    factory = samplerkit.WorkerFactory(max_episode_length=9)
    for name, options in (
        ("local", {"max_episode_length": 9}),
        ("local", {"worker_factory": factory}),
        ("local+vectorized", {"max_episode_length": 9, "n_envs": 5}),
    ):
        trainer = Trainer()
        trainer.restore(tmp_path, 0)
        trainer.resume(2, sampler=name, sampler_options=options)
        assert float(reproducible(tmp_path)[1]["Train/MaxReturn"]) == 9, (name, options)


@pytest.mark.parametrize(
    ("first", "then", "options"),
    [
        ("fragment", "local+fragment", {"n_envs": 2, "timesteps_per_call": 7}),
        ("local+vectorized", "vectorized", {"n_envs": 2, "native": True}),
        ("local", "vectorized", {"reseed": False}),
    ],
)
def test_options_that_decide_about_episodes_stay_when_the_backend_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str, options: Any
) -> None:
    monkeypatch.setattr(Reinforce, "takes_fragments", True, raising=False)  # it learns nothing, but it runs
    train(tmp_path, 1, first, snapshot_mode="all", **options)
    rows = []
    for name in (first, then):
        trainer = Trainer()
        trainer.restore(tmp_path, 0)
        trainer.resume(3, sampler=name)
        rows.append(reproducible(tmp_path))
    assert rows[0] == rows[1]


SCRIPT = """
    import sys
    from samplerkit.trainer import SnapshotConfig, Trainer
    from samplerkit.trainer.reinforce import LinearSoftmaxPolicy, Reinforce

    trainer = Trainer(SnapshotConfig(sys.argv[1]))
    algo = Reinforce(LinearSoftmaxPolicy(4, 2), learning_rate=0.1, discount=0.99)
    options = {"seed": 1, "n_workers": 3}
    trainer.setup(algo, "CartPole-v1", sampler=sys.argv[2], sampler_options=options)
    trainer.train(100_000, 300)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["local", "multiprocessing"])
def test_after_ctrl_c_nothing_runs_and_the_run_can_go_on(tmp_path: Path, whole: Any, backend: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path), backend],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_rows(process, tmp_path, 5)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, errors = process.communicate(timeout=15)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert_group_is_gone(process.pid)
    trainer = Trainer()
    done = trainer.restore(tmp_path).start_epoch
    trainer.resume(max(20, done + 1))
    assert reproducible(tmp_path)[:20] == whole


def wait_for_rows(process: subprocess.Popen[str], folder: Path, n: int) -> None:
    deadline = time.monotonic() + 60
    path = folder / "progress.csv"
    while not path.exists() or path.read_text().count("\n") < n + 1:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline, "no rows came"
        time.sleep(0.02)


def assert_group_is_gone(group: int, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        assert time.monotonic() < deadline, "a process of the run is left"
        time.sleep(0.05)
