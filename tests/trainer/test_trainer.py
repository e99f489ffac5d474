from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from samplerkit.errors import UnknownBackend
from samplerkit.trainer import (
    TIMING_COLUMNS,
    CsvOutput,
    NotSetupError,
    RunStart,
    SnapshotConfig,
    SnapshotError,
    Trainer,
    read_progress,
)
from samplerkit.trainer.records import Recorder, as_number


def reproducible(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in TIMING_COLUMNS} for row in read_progress(folder)]


def seed_globals() -> None:
    random.seed(7)
    np.random.seed(7)


def trained(folder: Path, algo: Any, n_epochs: int, **options: Any) -> Trainer:
    seed_globals()
    trainer = Trainer(SnapshotConfig(folder))
    trainer.setup(algo, None, sampler="fake", sampler_options={"seed": 5, **options})
    trainer.train(n_epochs, 20)
    return trainer


def rewound(folder: Path, algo: Any) -> Trainer:
    """A trainer restored at the first of four epochs, all of which were kept."""
    seed_globals()
    trainer = Trainer(SnapshotConfig(folder, "all"))
    trainer.setup(algo, None, sampler="fake", sampler_options={"seed": 5})
    trainer.train(4, 20)
    trainer = Trainer()
    trainer.restore(folder, from_epoch=0)
    return trainer


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class CannotOpen:
    """An output that fails when training begins."""

    def open(self, start: Any) -> None:
        raise OSError("disk")

    def write(self, row: Any) -> None: ...

    def close(self) -> None: ...


# ---- setting up


@pytest.mark.parametrize(
    "use",
    [
        lambda t: t.train(1),
        lambda t: t.obtain_episodes(0, 5),
        lambda t: t.obtain_exact_episodes(1),
        lambda t: t.obtain_samples(0, 5),
        lambda t: t.save(0),
        lambda t: t.get_env_copy(),
        lambda t: t.resume(),
        lambda t: next(t.step_epochs()),
    ],
)
def test_everything_that_needs_setup_says_so(tmp_path: Path, use: Any) -> None:
    with pytest.raises(NotSetupError):
        use(Trainer(SnapshotConfig(tmp_path)))


def test_a_trainer_without_a_folder_takes_the_first_free_default_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backends: Any, fake_algo: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("experiment", "experiment_1"):
        trainer = Trainer()
        trainer.setup(fake_algo, None, sampler="fake")
        trainer.train(1, 20)
        assert (tmp_path / "data" / "local" / name / "params.pkl").exists()


def test_a_sampler_by_name_gets_policy_environment_and_options(
    tmp_path: Path, backends: Any, fake_algo: Any
) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, "env", sampler="fake", sampler_options={"n_workers": 3, "seed": 9})
    trainer.train(1, 20)
    assert backends.made[0][0] == "fake"
    assert backends.arguments == [{"agents": fake_algo.policy, "envs": "env", "n_workers": 3, "seed": 9}]


def test_the_algorithms_own_sampler_is_used_where_none_is_given(
    tmp_path: Path, fake_algo: Any, fake_sampler: Any
) -> None:
    fake_algo._sampler = fake_sampler
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None)
    trainer.train(1, 20)
    assert len(fake_sampler.calls) == 1


def test_options_without_a_name_are_refused(tmp_path: Path, fake_algo: Any, fake_sampler: Any) -> None:
    with pytest.raises(TypeError, match="sampler_options"):
        Trainer(SnapshotConfig(tmp_path)).setup(
            fake_algo, None, sampler=fake_sampler, sampler_options={"seed": 1}
        )


def test_a_copy_of_the_environment_leaves_its_class_as_it_was(tmp_path: Path, fake_algo: Any) -> None:
    class Local(gymnasium.Env[Any, Any]):
        def describe(self) -> str:
            return "as it was"

    before, env = vars(Local)["describe"], Local()
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, env)
    copy = trainer.get_env_copy()
    assert type(copy) is Local
    assert copy is not env
    assert vars(Local)["describe"] is before


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_in_the_place_of_a_configuration_is_refused(tmp_path: Path, kind: Any) -> None:
    with pytest.raises(TypeError, match=r"pass SnapshotConfig\('/"):
        Trainer(kind(tmp_path))


def test_something_that_is_no_sampler_is_refused(tmp_path: Path, fake_algo: Any) -> None:
    with pytest.raises(TypeError, match="name of a backend"):
        Trainer(SnapshotConfig(tmp_path)).setup(fake_algo, None, sampler=5)  # type: ignore[arg-type]


# ---- samples


def test_without_a_sampler_obtaining_says_where_to_pass_one(tmp_path: Path, fake_algo: Any) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None)
    with pytest.raises(ValueError, match="no sampler"):
        trainer.obtain_episodes(0, 20)


def test_without_a_batch_size_anywhere_obtaining_says_so(
    tmp_path: Path, fake_algo: Any, fake_sampler: Any
) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None, sampler=fake_sampler)
    with pytest.raises(ValueError, match="batch_size"):
        trainer.obtain_episodes(0)


def test_the_present_weights_of_the_policy_are_sampled_by_default(
    tmp_path: Path, fake_algo: Any, fake_sampler: Any
) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None, sampler=fake_sampler)
    fake_algo.policy.weights = np.array([4.0])
    trainer.obtain_episodes(3, 20)
    assert fake_sampler.calls == [(3, 20, np.array([4.0]), None)]


def test_an_exploration_policy_goes_first(tmp_path: Path, fake_algo: Any, fake_sampler: Any) -> None:
    fake_algo.exploration_policy = type(fake_algo.policy)()
    fake_algo.exploration_policy.weights = np.array([8.0])
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None, sampler=fake_sampler)
    trainer.obtain_exact_episodes(2)
    assert fake_sampler.calls == [(2, np.array([8.0]), None)]


def test_updates_that_are_given_are_passed_on(tmp_path: Path, fake_algo: Any, fake_sampler: Any) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None, sampler=fake_sampler)
    trainer.obtain_episodes(0, 20, agent_update=0, env_update="env")
    assert fake_sampler.calls == [(0, 20, 0, "env")], "0 is an update; only None means none"


def test_all_ways_of_sampling_count_steps(tmp_path: Path, fake_algo: Any, fake_sampler: Any) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None, sampler=fake_sampler)
    trainer.obtain_episodes(0, 20)
    trainer.obtain_exact_episodes(1)
    assert isinstance(trainer.obtain_samples(0, 5)[0], dict)
    assert trainer.total_env_steps == 20 + 10 + 5


# ---- training


def test_train_returns_what_the_algorithm_returns(tmp_path: Path, backends: Any, fake_algo: Any) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None, sampler="fake")
    last = trainer.train(3, 20)
    assert last == read_progress(tmp_path)[-1]["Train/AverageReturn"]


def test_each_epoch_has_a_row_with_the_diagnostics(tmp_path: Path, backends: Any, fake_algo: Any) -> None:
    trained(tmp_path, fake_algo, 3)
    rows = read_progress(tmp_path)
    assert [row["Epoch"] for row in rows] == [0, 1, 2]
    assert [row["TotalEnvSteps"] for row in rows] == [20, 40, 60]
    assert all(set(TIMING_COLUMNS) <= set(row) for row in rows)


class TwoLoops:
    def train(self, trainer: Any) -> None:
        for epoch in trainer.step_epochs():
            trainer.record({"Loop": 1})
            if epoch == 2:
                break
        for _ in trainer.step_epochs():
            trainer.record({"Loop": 2})
        assert not list(trainer.step_epochs())


def test_a_second_loop_goes_on_where_the_first_broke_off(tmp_path: Path) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(TwoLoops(), None)
    trainer.train(5)
    rows = [(row["Epoch"], row["Loop"]) for row in read_progress(tmp_path)]
    assert rows == [(0, 1), (1, 1), (2, 2), (3, 2), (4, 2)]


def test_there_are_no_epochs_outside_of_training(tmp_path: Path, backends: Any) -> None:
    trainer = trained(tmp_path, backends.new_algo(), 2)
    with pytest.raises(NotSetupError, match="no training"):
        next(trainer.step_epochs())
    restored = Trainer()
    restored.restore(tmp_path)
    with pytest.raises(NotSetupError, match="no training"):
        next(restored.step_epochs())


def test_a_column_may_appear_later(tmp_path: Path, backends: Any, fake_algo: Any) -> None:
    trained(tmp_path, fake_algo, 14)
    rows = read_progress(tmp_path)
    assert "Late" not in rows[11]
    assert rows[12]["Late"] == 12
    header = (tmp_path / "progress.csv").read_text().splitlines()[0].split(",")
    assert len(header) == len(set(header))


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_the_trainers_sampler_is_shut_down_whatever_happens(
    tmp_path: Path, backends: Any, fake_algo: Any, error: BaseException
) -> None:
    def fail(epoch: int) -> None:
        raise error

    fake_algo.after_sampling = fail
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None, sampler="fake")
    with pytest.raises(type(error)):
        trainer.train(3, 20)
    assert [sampler.shutdowns for _, sampler in backends.made] == [1]


def test_a_sampler_that_was_handed_over_stays_up(tmp_path: Path, fake_algo: Any, fake_sampler: Any) -> None:
    with Trainer(SnapshotConfig(tmp_path)) as trainer:
        trainer.setup(fake_algo, None, sampler=fake_sampler)
        trainer.train(2, 20)
    assert fake_sampler.shutdowns == 0


def test_after_training_the_trainer_samples_on_where_it_stopped(
    tmp_path: Path, backends: Any, fake_algo: Any
) -> None:
    with trained(tmp_path, fake_algo, 2) as trainer:
        trainer.obtain_episodes(2, 20)
    (_, first), (_, second) = backends.made
    assert second.cursor == first.cursor + 4
    assert second.shutdowns == 1


def test_a_trainer_that_is_set_up_again_stops_its_sampler(tmp_path: Path, backends: Any) -> None:
    trainer = trained(tmp_path, backends.new_algo(), 1)
    trainer.obtain_episodes(1, 20)
    trainer.setup(backends.new_algo(), None, sampler="other")
    assert [sampler.shutdowns for _, sampler in backends.made] == [1, 1]


def test_a_trainer_that_restores_stops_its_sampler(tmp_path: Path, backends: Any) -> None:
    trainer = trained(tmp_path, backends.new_algo(), 1)
    trainer.obtain_episodes(1, 20)
    trainer.restore(tmp_path)
    assert [sampler.shutdowns for _, sampler in backends.made] == [1, 1]


def test_a_setup_that_is_refused_stops_nothing(tmp_path: Path, backends: Any) -> None:
    trainer = trained(tmp_path, backends.new_algo(), 1)
    trainer.obtain_episodes(1, 20)
    with pytest.raises(TypeError):
        trainer.setup(backends.new_algo(), None, sampler=5)  # type: ignore[arg-type]
    trainer.obtain_episodes(2, 20)
    trainer.shutdown()


def test_the_trainers_sampler_stays_up_when_the_algorithm_brings_it_again(
    tmp_path: Path, backends: Any, fake_algo: Any
) -> None:
    fake_algo._sampler = None
    trainer = trained(tmp_path, fake_algo, 1)
    fake_algo._sampler = None
    trainer.obtain_episodes(1, 20)
    trainer.setup(fake_algo, None)
    trainer.obtain_episodes(2, 20)


def test_a_folder_with_another_run_is_refused(tmp_path: Path, backends: Any, fake_algo: Any) -> None:
    trained(tmp_path, fake_algo, 1)
    with pytest.raises(FileExistsError, match="another run"):
        trained(tmp_path, fake_algo, 1)


def test_overwriting_drops_the_rows_and_snapshots_of_the_other_run(tmp_path: Path, backends: Any) -> None:
    trained(tmp_path / "whole", backends.new_algo(), 2)
    rewound(tmp_path / "run", backends.new_algo())
    seed_globals()
    trainer = Trainer(SnapshotConfig(tmp_path / "run"))
    trainer.setup(backends.new_algo(), None, sampler="fake", sampler_options={"seed": 5})
    trainer.train(2, 20, overwrite=True)
    assert reproducible(tmp_path / "run") == reproducible(tmp_path / "whole")
    assert names(tmp_path / "run") == {"progress.csv", "params.pkl"}


def test_overwriting_that_cannot_begin_drops_nothing(tmp_path: Path, backends: Any) -> None:
    rewound(tmp_path, backends.new_algo())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(backends.new_algo(), None, sampler="unknown")
    with pytest.raises(UnknownBackend):
        trainer.train(2, 20, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("n_epochs", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_a_number_of_epochs_that_makes_no_sense_is_refused(
    tmp_path: Path, fake_algo: Any, n_epochs: Any, error: type[Exception]
) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None)
    with pytest.raises(error, match="n_epochs"):
        trainer.train(n_epochs)


@pytest.mark.parametrize(("prefix", "key"), [("", "Epoch"), ("", "TotalEnvSteps"), ("Total", "EnvSteps")])
def test_the_columns_by_which_rows_are_found_again_cannot_be_recorded(
    tmp_path: Path, prefix: str, key: str
) -> None:
    with pytest.raises(ValueError, match="the trainer's own column"):
        Trainer(SnapshotConfig(tmp_path)).record({key: 1}, prefix=prefix)


@pytest.mark.parametrize("key", TIMING_COLUMNS)
def test_what_would_be_lost_to_a_time_of_the_trainer_cannot_be_recorded(tmp_path: Path, key: str) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    with pytest.raises(ValueError, match="the trainer's own column"):
        trainer.record({key: 1})
    trainer.record({key: 1}, prefix="Mine/")


def test_what_is_no_number_cannot_be_recorded(tmp_path: Path) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    with pytest.raises(TypeError, match="'Loss'"):
        trainer.record({"Loss": np.zeros(3)})
    with pytest.raises(TypeError, match="'Loss'"):
        trainer.record({"Loss": "small"})
    for values in (3, ["Loss"], {1: 2.0}):
        with pytest.raises(TypeError, match="record numbers by their names"):
            trainer.record(values)


def test_of_numbers_that_cannot_all_be_recorded_none_is(tmp_path: Path) -> None:
    recorder = Recorder([CsvOutput()])
    recorder.open(RunStart(tmp_path, n_epochs=1))
    with pytest.raises(TypeError, match="'Loss'"):
        recorder.record({"Return": 1.0, "Loss": "small"})
    recorder.end_row(0, 10)
    recorder.close()
    assert read_progress(tmp_path) == [{"Epoch": 0, "TotalEnvSteps": 10}]


@pytest.mark.parametrize(
    ("value", "text"), [(True, "1"), (np.bool_(False), "0"), (np.float32(0.5), "0.5"), (np.array([3]), "3")]
)
def test_whatever_is_one_number_is_recorded_as_one(value: Any, text: str) -> None:
    assert repr(as_number("key", value)) == text


@pytest.mark.parametrize("stored", [True, False])
def test_episodes_are_stored_only_when_asked(
    tmp_path: Path, backends: Any, fake_algo: Any, stored: bool
) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None, sampler="fake")
    trainer.train(2, 20, store_episodes=stored)
    again = Trainer()
    again.restore(tmp_path)
    assert (again.stats.last_episode is not None) == stored
    assert again.stats.total_itr == 2


# ---- snapshots and resuming


@pytest.mark.parametrize("backend", [None, "other"])
def test_ten_epochs_and_ten_more_equal_twenty_at_once(tmp_path: Path, backends: Any, backend: Any) -> None:
    trained(tmp_path / "whole", backends.new_algo(), 20)
    trained(tmp_path / "halves", backends.new_algo(), 10)
    random.seed(0)
    np.random.seed(0)
    trainer = Trainer()
    arguments = trainer.restore(tmp_path / "halves")
    assert arguments.start_epoch == 10
    trainer.resume(20, sampler=backend)
    assert reproducible(tmp_path / "halves") == reproducible(tmp_path / "whole")
    assert len(read_progress(tmp_path / "whole")) == 20
    assert backends.made[-1][0] == (backend or "fake")


def test_an_interrupted_epoch_is_run_again_and_nothing_is_lost(tmp_path: Path, backends: Any) -> None:
    trained(tmp_path / "whole", backends.new_algo(), 20)
    algo = backends.new_algo()
    interruptions = iter([7])

    def interrupt(sampler: Any) -> None:
        if len(sampler.calls) == 8 and next(interruptions, None):
            raise KeyboardInterrupt

    backends.on_call = interrupt
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", algo, 20)
    assert len(read_progress(tmp_path / "cut")) == 7
    trainer = Trainer()
    trainer.restore(tmp_path / "cut")
    trainer.resume()
    assert reproducible(tmp_path / "cut") == reproducible(tmp_path / "whole")


def test_interrupted_between_row_and_snapshot_the_row_is_not_doubled(
    tmp_path: Path, backends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path / "whole", backends.new_algo(), 6)
    real_save = Trainer.save

    def save(self: Trainer, epoch: int) -> None:
        if epoch == 3:
            raise KeyboardInterrupt
        real_save(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", save)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "cut", backends.new_algo(), 6)
    trainer = Trainer()
    assert trainer.restore(tmp_path / "cut").start_epoch == 3
    trainer.resume()
    assert reproducible(tmp_path / "cut") == reproducible(tmp_path / "whole")


def test_interrupted_before_the_row_is_written_the_row_is_not_lost(
    tmp_path: Path, backends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path / "whole", backends.new_algo(), 6)
    real = Trainer.log_diagnostics

    def interrupt(self: Trainer, pause_for_plot: bool = False) -> None:
        if self.stats.total_epoch == 3:
            raise KeyboardInterrupt
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "log_diagnostics", interrupt)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "cut", backends.new_algo(), 6)
    trainer = Trainer()
    trainer.restore(tmp_path / "cut")
    trainer.resume()
    assert reproducible(tmp_path / "cut") == reproducible(tmp_path / "whole")


def test_going_on_from_an_earlier_epoch_drops_what_came_after(tmp_path: Path, backends: Any) -> None:
    seed_globals()
    trainer = Trainer(SnapshotConfig(tmp_path, "all"))
    trainer.setup(backends.new_algo(), None, sampler="fake", sampler_options={"seed": 5})
    trainer.train(6, 20)
    before = reproducible(tmp_path)
    trainer = Trainer()
    trainer.restore(tmp_path, from_epoch=2)
    trainer.resume(5)
    assert reproducible(tmp_path) == before[:5]
    assert not (tmp_path / "itr_5.pkl").exists(), "epoch 5 belongs to a future that was given up"
    assert (tmp_path / "itr_4.pkl").exists(), "the mode of the run goes on"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"n_epochs": 0}, ValueError),
        ({"n_epochs": 1, "batch_size": 40}, ValueError),
        ({"sampler": 5}, TypeError),
        ({"sampler": "unknown", "n_epochs": 9, "batch_size": 40, "store_episodes": True}, UnknownBackend),
    ],
)
def test_a_resume_that_is_refused_has_not_happened(
    tmp_path: Path, backends: Any, arguments: Any, error: type[Exception]
) -> None:
    trained(tmp_path / "whole", backends.new_algo(), 4)
    trainer = rewound(tmp_path / "run", backends.new_algo())
    before = (tmp_path / "run" / "progress.csv").read_bytes()
    with pytest.raises(error):
        trainer.resume(**arguments)
    assert names(tmp_path / "run") == {"progress.csv", *(f"itr_{epoch}.pkl" for epoch in range(4))}
    assert (tmp_path / "run" / "progress.csv").read_bytes() == before
    trainer.resume()
    assert reproducible(tmp_path / "run") == reproducible(tmp_path / "whole"), "its arguments must not stay"


def test_later_snapshots_stay_when_an_output_cannot_open(tmp_path: Path, backends: Any) -> None:
    trainer = rewound(tmp_path, backends.new_algo())
    trainer.add_output(CannotOpen())
    with pytest.raises(OSError, match="disk"):
        trainer.resume(sampler="other")
    assert {f"itr_{epoch}.pkl" for epoch in range(4)} <= names(tmp_path)
    assert backends.made[-1][1].shutdowns == 1


def killed_at_call(number: int, function: Any) -> Any:
    """The function, but its process dies when it is called so often; SystemExit stands for the death."""
    calls = iter(range(1, number + 1))

    def call(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            raise SystemExit
        return function(*arguments, **named)

    return call


@pytest.mark.parametrize("death", [(Path, "unlink", 1), (Path, "unlink", 2), (CsvOutput, "open", 1)])
def test_a_process_that_dies_while_it_goes_back_leaves_no_gap_in_the_rows(
    tmp_path: Path, backends: Any, monkeypatch: pytest.MonkeyPatch, death: tuple[Any, str, int]
) -> None:
    trained(tmp_path / "whole", backends.new_algo(), 6)
    trainer = rewound(tmp_path / "run", backends.new_algo())
    where, name, number = death
    with monkeypatch.context() as patch:
        patch.setattr(where, name, killed_at_call(number, getattr(where, name)))
        with pytest.raises(SystemExit):
            trainer.resume(6)
    trainer = Trainer()
    trainer.restore(tmp_path / "run")
    trainer.resume(6)
    assert reproducible(tmp_path / "run") == reproducible(tmp_path / "whole")


def test_rows_stay_when_an_output_cannot_open(tmp_path: Path, backends: Any) -> None:
    trainer = rewound(tmp_path, backends.new_algo())
    trainer.add_output(CannotOpen())
    before = reproducible(tmp_path)
    with pytest.raises(OSError, match="disk"):
        trainer.resume()
    assert reproducible(tmp_path) == before


def test_resuming_in_another_folder_takes_the_earlier_rows_along(tmp_path: Path, backends: Any) -> None:
    trained(tmp_path / "whole", backends.new_algo(), 6)
    trained(tmp_path / "old", backends.new_algo(), 3)
    trainer = Trainer(SnapshotConfig(tmp_path / "new"))
    trainer.restore(tmp_path / "old")
    trainer.resume(6)
    assert reproducible(tmp_path / "new") == reproducible(tmp_path / "whole")
    assert len(read_progress(tmp_path / "old")) == 3


def test_a_run_without_a_seed_resumes_with_the_drawn_one(
    tmp_path: Path, backends: Any, fake_algo: Any
) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None, sampler="fake")
    trainer.train(1, 20)
    trainer = Trainer()
    trainer.restore(tmp_path)
    trainer.resume(2)
    assert backends.arguments[1]["seed"] == backends.made[0][1].seed
    assert backends.arguments[1]["n_workers"] == backends.made[0][1].n_workers


def test_options_of_the_old_backend_do_not_go_to_another(tmp_path: Path, backends: Any) -> None:
    trained(tmp_path, backends.new_algo(), 1, n_processes=2, max_episode_length=9)
    trainer = Trainer()
    trainer.restore(tmp_path)
    trainer.resume(2, sampler="other")
    assert "n_processes" not in backends.arguments[-1]
    assert backends.arguments[-1]["max_episode_length"] == 9
    trainer = Trainer()
    trainer.restore(tmp_path)
    trainer.resume(3, sampler="third", sampler_options={"n_actors": 4})
    assert backends.arguments[-1]["n_actors"] == 4


@pytest.mark.parametrize("option", [{"n_workers": 7}, {"seed": 99}])
def test_the_number_of_workers_and_the_seed_stay(tmp_path: Path, backends: Any, option: Any) -> None:
    trained(tmp_path, backends.new_algo(), 1)
    trainer = Trainer()
    trainer.restore(tmp_path)
    with pytest.raises(ValueError, match="part of its state"):
        trainer.resume(2, sampler_options=option)


def test_a_run_with_a_sampler_object_asks_for_one_when_it_resumes(
    tmp_path: Path, fake_algo: Any, fake_sampler: Any
) -> None:
    fake_algo._sampler = fake_sampler
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None)
    trainer.train(1, 20)
    trainer = Trainer()
    trainer.restore(tmp_path)
    assert trainer.algo._sampler is None, "a snapshot holds no sampler"
    with pytest.raises(TypeError, match="pass sampler="):
        trainer.resume(2)
    another = type(fake_sampler)(seed=123)
    trainer.resume(2, sampler=another)
    assert another.seed == fake_sampler.seed, "the state was set"
    assert trainer.algo._sampler is another


def test_a_snapshot_saved_after_training_can_be_resumed(tmp_path: Path, backends: Any) -> None:
    trained(tmp_path / "whole", backends.new_algo(), 6)
    trained(tmp_path / "cut", backends.new_algo(), 3).save(2)
    trainer = Trainer()
    trainer.restore(tmp_path / "cut")
    trainer.resume(6)
    assert reproducible(tmp_path / "cut") == reproducible(tmp_path / "whole")


def test_a_snapshot_saved_before_resuming_can_be_resumed(tmp_path: Path, backends: Any) -> None:
    trained(tmp_path / "whole", backends.new_algo(), 6)
    trained(tmp_path / "cut", backends.new_algo(), 3)
    trainer = Trainer()
    trainer.restore(tmp_path / "cut")
    np.random.seed(0)
    trainer.save(2)
    trainer = Trainer()
    trainer.restore(tmp_path / "cut")
    trainer.resume(6)
    assert reproducible(tmp_path / "cut") == reproducible(tmp_path / "whole"), "its random state, too"


def test_a_snapshot_saved_after_training_holds_no_sampler(tmp_path: Path, backends: Any) -> None:
    algo = backends.new_algo()
    algo._sampler = None
    with trained(tmp_path, algo, 2) as trainer:
        assert algo._sampler.shutdowns == 1
        trainer.save(1)
        trainer.obtain_episodes(2, 20)
        trainer.save(1)
    again = Trainer()
    again.restore(tmp_path)
    assert again.algo._sampler is None


def test_an_algorithm_may_refer_to_the_trainer_and_its_sampler(
    tmp_path: Path, backends: Any, fake_algo: Any
) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    fake_algo.trainer = trainer
    fake_algo.after_sampling = None
    fake_algo.__class__ = type("Keeper", (type(fake_algo),), {"train": _keeping_train})
    trainer.setup(fake_algo, None, sampler="fake")
    trainer.train(1, 20)
    again = Trainer()
    again.restore(tmp_path)
    assert again.algo.trainer is again
    assert again.algo.kept is None


def test_all_epochs_done_means_that_a_larger_total_is_needed(tmp_path: Path, backends: Any) -> None:
    trained(tmp_path, backends.new_algo(), 2)
    trainer = Trainer()
    trainer.restore(tmp_path)
    with pytest.raises(ValueError, match="already has 2 epochs"):
        trainer.resume()


def test_an_algorithm_that_does_not_pickle_is_named(tmp_path: Path, backends: Any, fake_algo: Any) -> None:
    fake_algo.lock = __import__("threading").Lock()
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, None, sampler="fake")
    with pytest.raises(SnapshotError, match=r"algo \(FakeAlgo\) cannot be pickled"):
        trainer.train(1, 20)


def test_an_environment_copy_is_a_copy(tmp_path: Path, fake_algo: Any) -> None:
    env = gymnasium.make("CartPole-v1")
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.setup(fake_algo, env)
    copy = trainer.get_env_copy()
    assert copy is not env
    assert copy.observation_space == env.observation_space
    for described in ("CartPole-v1", lambda: gymnasium.make("CartPole-v1")):
        trainer.setup(fake_algo, described)
        assert trainer.get_env_copy().spec.id == "CartPole-v1"


def test_outputs_are_closed_when_one_cannot_open(tmp_path: Path, backends: Any, fake_algo: Any) -> None:
    trainer = Trainer(SnapshotConfig(tmp_path))
    trainer.add_output(CannotOpen())
    trainer.setup(fake_algo, None, sampler="fake")
    with pytest.raises(OSError, match="disk"):
        trainer.train(1, 20)
    assert backends.made[0][1].shutdowns == 1


def _keeping_train(self: Any, trainer: Any) -> None:
    for epoch in trainer.step_epochs():
        trainer.obtain_episodes(epoch)
        self.kept = trainer.sampler
