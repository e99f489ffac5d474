from __future__ import annotations

import csv
import json
import math
import os
import pty
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

import samplerkit
from samplerkit import make_sampler
from samplerkit.cli import main
from samplerkit.cli.run_folder import save_evaluation
from samplerkit.plugins.hooks import register_hooks, unregister_hooks
from samplerkit.plugins.hookspecs import hookimpl
from samplerkit.trainer import TIMING_COLUMNS, Trainer
from samplerkit.trainer.reinforce import Reinforce

QUICK = ["--set", "train.n_epochs=3", "--set", "train.batch_size=100", "--set", "evaluation.trials=4"]
RUN_FILES = {"config.toml", "progress.csv", "params.pkl", "learning_curve.png", "evaluation.json"}


def run(*words: str) -> int:
    return main(list(words))


def train(folder: Path, *words: str) -> int:
    return run("train", "cartpole-reinforce", "--logdir", str(folder), *QUICK, *words)


def reproducible(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMING_COLUMNS} for row in csv.DictReader(file)]


@pytest.fixture
def on_path(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell finds the program by its name, as where its environment is activated."""
    program = tmp_path_factory.mktemp("bin") / "samplerkit"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """What stood on stderr, which must be one line and no traceback."""
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1, errors
    assert errors.startswith("Error: ")
    return errors


# ---- help and backends


@pytest.mark.parametrize("words", [[], ["--help"], ["train", "--help"], ["resume", "-h"], ["--version"]])
def test_help_exits_with_zero(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 0
    assert "samplerkit" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from samplerkit.cli import main; main(['--help'])\n"
        "heavy = {'tensorflow', 'matplotlib', 'tensorboard', 'ray', 'torch'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_backends_are_listed_with_their_states(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("backends") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["backend", "state", "reason", "summary", "distribution", "api"]
    assert any(line.split()[:2] == ["local", "ok"] for line in lines)


def test_in_a_narrow_terminal_names_of_backends_are_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run("backends") == 0
    table = capsys.readouterr().out
    assert "multiprocessing" in table
    assert "…" not in table


def test_backends_are_listed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("backends", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    keys = {"name", "kind", "state", "reason", "summary", "distribution", "api", "capabilities"}
    assert keys == set(rows["local"])
    assert rows["local"]["state"] == "ok"
    assert rows["local"]["kind"] == "sampler"
    assert rows["local"]["capabilities"]["exact_episodes"] == {"yes": True, "reason": ""}


class Observing:
    @hookimpl
    def samplerkit_sampler_created(self, sampler: object) -> None:
        """Do nothing."""


def test_plugins_of_hooks_are_listed_after_the_backends(capsys: pytest.CaptureFixture[str]) -> None:
    plugin = register_hooks(Observing())
    try:
        assert run("backends") == 0
        table = capsys.readouterr().out
        assert run("backends", "--json") == 0
        rows = json.loads(capsys.readouterr().out)
    finally:
        unregister_hooks(plugin)
    assert "plugin of hooks" in table
    last = table.splitlines()[-1]
    assert last.split()[1] == "ok"
    assert "samplerkit_sampler_created" in last
    assert rows[-1]["kind"] == "hooks"
    assert rows[-1]["distribution"] == "registered by hand"


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("samplerkit.cli._NEEDED", ("typer", "no_such_package"))
    assert run("backends") == 1
    errors = capsys.readouterr().err
    assert "needs no_such_package: run `pip install 'samplerkit[cli]'`" in errors


# ---- train


def test_a_run_leaves_all_that_belongs_into_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= RUN_FILES
    assert any(name.startswith("events.out.tfevents.") for name in names)
    assert not any(name.endswith(".tmp") for name in names)
    output = capsys.readouterr().out
    assert "epoch 3/3" in output
    assert "AverageReturn" in output
    assert "(random play)" in output


def test_the_configuration_in_the_folder_gives_the_same_run(tmp_path: Path) -> None:
    assert train(tmp_path / "a", "--seed", "5", "--set", "algo.learning_rate=0.2") == 0
    tables = tomllib.loads((tmp_path / "a" / "config.toml").read_text())
    assert tables["experiment"]["seed"] == 5
    assert tables["train"]["n_epochs"] == 3
    assert tables["algo"]["learning_rate"] == 0.2
    assert run("train", str(tmp_path / "a" / "config.toml"), "--logdir", str(tmp_path / "b")) == 0
    assert reproducible(tmp_path / "a") == reproducible(tmp_path / "b")


def test_another_seed_gives_another_run(tmp_path: Path) -> None:
    train(tmp_path / "a", "--seed", "5")
    train(tmp_path / "b", "--seed", "6")
    assert reproducible(tmp_path / "a") != reproducible(tmp_path / "b")


def test_the_backend_changes_nothing(tmp_path: Path) -> None:
    assert train(tmp_path / "a") == 0
    options = ["--sampler", "multiprocessing", "--set", "sampler.n_processes=2"]
    assert train(tmp_path / "b", *options) == 0
    assert reproducible(tmp_path / "a") == reproducible(tmp_path / "b")
    tables = tomllib.loads((tmp_path / "b" / "config.toml").read_text())
    assert tables["sampler"] == {"name": "multiprocessing", "n_workers": 4, "n_processes": 2}


def test_options_of_the_backend_in_the_file_do_not_go_to_another(tmp_path: Path) -> None:
    assert train(tmp_path / "a", "--sampler", "multiprocessing", "--set", "sampler.n_processes=2") == 0
    config = str(tmp_path / "a" / "config.toml")
    assert run("train", config, "--sampler", "local", "--logdir", str(tmp_path / "b")) == 0


def sampler_table(folder: Path) -> dict[str, Any]:
    tables = tomllib.loads((folder / "config.toml").read_text())
    table: dict[str, Any] = tables["sampler"]
    return table


def test_what_means_the_same_on_every_backend_goes_to_another(tmp_path: Path) -> None:
    common = {"seed": 7, "reseed": False, "stateful": True, "n_workers": 2, "max_episode_length": 50}
    words = [
        word for key, value in common.items() for word in ("--set", f"sampler.{key}={json.dumps(value)}")
    ]
    assert train(tmp_path / "a", *words, "--set", "sampler.is_tf_worker=false") == 0
    config = str(tmp_path / "a" / "config.toml")
    assert run("train", config, "--sampler", "multiprocessing", "--logdir", str(tmp_path / "b")) == 0
    assert reproducible(tmp_path / "b") == reproducible(tmp_path / "a")
    assert sampler_table(tmp_path / "b") == {**common, "is_tf_worker": False, "name": "multiprocessing"}
    assert run("resume", str(tmp_path / "b"), "--sampler", "local", "--n-epochs", "4") == 0
    assert sampler_table(tmp_path / "b") == {**common, "is_tf_worker": False, "name": "local"}


def test_options_of_the_kind_of_worker_go_to_another_backend_with_it(tmp_path: Path) -> None:
    words = ["--sampler", "multiprocessing+vectorized", "--set", "sampler.n_processes=1"]
    assert train(tmp_path / "a", *words, "--set", "sampler.n_envs=3") == 0
    config = str(tmp_path / "a" / "config.toml")
    assert run("train", config, "--sampler", "vectorized", "--logdir", str(tmp_path / "b")) == 0
    assert sampler_table(tmp_path / "b") == {"name": "vectorized", "n_workers": 4, "n_envs": 3}
    assert run("train", config, "--sampler", "local", "--logdir", str(tmp_path / "c")) == 0
    assert sampler_table(tmp_path / "c") == {"name": "local", "n_workers": 4}


def test_without_a_seed_one_is_drawn_and_kept(tmp_path: Path) -> None:
    text = "\n".join(
        [
            '[experiment]\nname = "mine"\nbuild = "samplerkit.trainer.reinforce:build"',
            "[train]\nn_epochs = 1\nbatch_size = 50",
        ]
    )
    (tmp_path / "mine.toml").write_text(text)
    assert run("train", str(tmp_path / "mine.toml"), "--logdir", str(tmp_path / "a")) == 0
    assert isinstance(tomllib.loads((tmp_path / "a" / "config.toml").read_text())["experiment"]["seed"], int)


def test_a_builder_may_stand_beside_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "builder_beside_it.py").write_text("from samplerkit.trainer.reinforce import build\n")
    text = (
        '[experiment]\nname = "x"\nbuild = "builder_beside_it:build"\n[train]\nn_epochs = 1\nbatch_size = 50'
    )
    (tmp_path / "x.toml").write_text(text)
    assert run("train", str(tmp_path / "x.toml"), "--logdir", str(tmp_path / "a")) == 0


BESIDE = """
from samplerkit.trainer.experiment import Experiment
from samplerkit.trainer.reinforce import LinearSoftmaxPolicy, Reinforce


class Own(Reinforce):
    pass


def build(config):
    policy = LinearSoftmaxPolicy(4, 2, seed=config.seed)
    return Experiment(algo=Own(policy, learning_rate=0.1, discount=0.99), env="CartPole-v1")
"""


@pytest.fixture
def run_of_a_builder_beside(tmp_path: Path) -> Path:
    """The folder of a run whose builder and algorithm stand beside its configuration, and nowhere else."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own_builder.py").write_text(BESIDE)
    (tmp_path / "mine" / "x.toml").write_text(
        '[experiment]\nname = "x"\nbuild = "own_builder:build"\nseed = 1\n'
        "[train]\nn_epochs = 1\nbatch_size = 50\n[sampler]\nn_workers = 1\n"
    )
    assert elsewhere(tmp_path, "train", "mine/x.toml", "--logdir", "run").returncode == 0
    return tmp_path / "run"


def elsewhere(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with this working directory."""
    return subprocess.run(
        [sys.executable, "-m", "samplerkit.cli", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_run_whose_builder_stands_beside_its_configuration_goes_on_anywhere(
    run_of_a_builder_beside: Path,
) -> None:
    folder = run_of_a_builder_beside
    (folder.parent / "other").mkdir()
    for words in (["resume", str(folder), "--n-epochs", "2"], ["evaluate", str(folder), "--trials", "2"]):
        done = elsewhere(folder.parent / "other", *words)
        assert done.returncode == 0, done.stderr
    assert len(reproducible(folder)) == 2


def test_a_builder_that_has_moved_is_sought_where_the_run_says(run_of_a_builder_beside: Path) -> None:
    folder = run_of_a_builder_beside
    config = folder / "config.toml"
    before = str(folder.parent / "mine")
    (folder.parent / "mine").rename(folder.parent / "moved")
    done = elsewhere(folder, "resume", ".", "--n-epochs", "2")
    assert done.returncode == 2
    assert f"sought in {before}, which is not there any more" in done.stderr
    assert "write another folder under [experiment]" in done.stderr
    config.write_text(config.read_text().replace(before, "../moved"))
    done = elsewhere(folder, "resume", ".", "--n-epochs", "2")
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(config.read_text())["experiment"]["folder"] == str(folder.parent / "moved")


def test_a_configuration_that_comes_along_names_no_folder(tmp_path: Path) -> None:
    assert train(tmp_path) == 0
    assert "folder" not in tomllib.loads((tmp_path / "config.toml").read_text())["experiment"]


def test_without_a_logdir_the_first_free_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cartpole-reinforce", "cartpole-reinforce_1"):
        assert run("train", "cartpole-reinforce", *QUICK) == 0
        assert (tmp_path / "runs" / name / "progress.csv").exists()


def test_the_named_configurations_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--list") == 0
    assert "cartpole-reinforce  REINFORCE on CartPole-v1" in capsys.readouterr().out


@pytest.mark.parametrize(("target", "status"), [("1.0", 0), ("501.0", 1)])
def test_a_missed_target_fails_only_when_required(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, status: int
) -> None:
    assert train(tmp_path / "a", "--set", f"evaluation.target={target}") == 0
    capsys.readouterr()
    assert run("evaluate", str(tmp_path / "a"), "--trials", "3", "--require-target") == status
    if status:
        assert "below the target 501" in one_sentence(capsys)


# ---- mistakes


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["train", "cartpole-reinforc"], "Did you mean 'cartpole-reinforce'"),
        (["train", "nowhere/x.toml"], "no configuration"),
        (["train"], "Which configuration?"),
        (["trin"], "No such command"),
        (["train", "cartpole-reinforce", "--sampler", "lokal"], "Did you mean 'local'"),
        (["train", "cartpole-reinforce", "--set", "train.n_epoch=3"], "Did you mean 'n_epochs'"),
        (["train", "cartpole-reinforce", "--set", "trian.n_epochs=3"], "Did you mean 'train'"),
        (["train", "cartpole-reinforce", "--set", "algo.discuont=3"], "Did you mean 'discount'"),
        (["train", "cartpole-reinforce", "--set", "train.n_epochs=many"], "train.n_epochs must be"),
        (["train", "cartpole-reinforce", "--set", "train.n_epochs=0"], "train.n_epochs is 0"),
        (["train", "cartpole-reinforce", "--set", "train.batch_size=0"], "train.batch_size is 0"),
        (
            ["train", "cartpole-reinforce", "--set", "experiment.seed=-1"],
            "experiment.seed is -1: pass at least 0",
        ),
        (["train", "cartpole-reinforce", "--set", "evaluation.trials=-1"], "evaluation.trials is -1"),
        (["train", "cartpole-reinforce", "--set", "evaluation.seed=-1"], "evaluation.seed is -1"),
        (["train", "cartpole-reinforce", "--set", "n_epochs=3"], "table.key=value"),
        (["train", "cartpole-reinforce", "--set", "train.n_epochs"], "table.key=value"),
        (["train", "cartpole-reinforce", "--set", "experiment.build=nowhere:f"], "cannot be imported"),
        (["train", "cartpole-reinforce", "--set", "experiment.build=json:f"], "no attribute 'f'"),
        (["train", "cartpole-reinforce", "--set", "experiment.build=json"], "'module:name'"),
        (
            ["train", "cartpole-reinforce", "--set", "env.id=CatPole-v1"],
            "env.id: 'CatPole-v1' cannot be made: ",
        ),
        (["train", "cartpole-reinforce", "--seed", "-1"], "seed"),
        (["resume", "nowhere"], "holds no run"),
        (["evaluate", "nowhere"], "holds no run"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_trace(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    part: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    assert part in one_sentence(capsys)
    assert not list(tmp_path.rglob("*.*")), "nothing may be written"


@pytest.mark.parametrize("line", ["1 / 0", "raise SystemExit(4)"])
def test_a_builder_whose_module_breaks_off_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    (tmp_path / "breaks_off.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    assert train(tmp_path / "run", "--set", "experiment.build=breaks_off:build") == 2
    assert "experiment.build: importing breaks_off raised" in one_sentence(capsys)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("experiment = 3", "'experiment' must be a table"),
        ("train = 3", "'train' is a value and has no keys below it"),
        ("sampler = 3", "'sampler' must be a table"),
        ("[trian]", "Did you mean 'train'"),
        ("", "lacks 'name'"),
    ],
)
def test_a_configuration_of_a_run_that_was_edited_badly_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, part: str
) -> None:
    (tmp_path / "config.toml").write_text(text)
    assert run("resume", str(tmp_path), "--n-epochs", "3", "--sampler", "local") == 2
    assert part in one_sentence(capsys)


def test_a_file_that_is_no_toml_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.toml").write_text("[train\n")
    assert run("train", str(tmp_path / "x.toml")) == 2
    assert "is not a TOML file" in one_sentence(capsys)


def test_a_failure_in_the_environment_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, "--set", "sampler.no_such_option=1") == 1
    assert "no_such_option" in one_sentence(capsys)


def test_a_sampler_of_fragments_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", "--sampler", "multiprocessing+fragment") == 1
    assert "Reinforce needs whole episodes" in one_sentence(capsys)
    assert not list(tmp_path.rglob("*.*")), "nothing may be written"


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "--set", "sampler.no_such_option=1", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert train(tmp_path) == 2
    assert "is not empty" in one_sentence(capsys)


@pytest.mark.parametrize("left", ["notes.txt", "config.toml"])
def test_a_folder_without_a_snapshot_is_not_said_to_be_resumable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], left: str
) -> None:
    (tmp_path / left).write_text("")
    assert train(tmp_path) == 2
    refusal = one_sentence(capsys)
    assert "resume" not in refusal
    assert "--overwrite" in refusal


@pytest.mark.usefixtures("on_path")
def test_a_folder_with_a_snapshot_is_said_to_be_resumable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path) == 0
    capsys.readouterr()
    assert train(tmp_path) == 2
    assert f"`samplerkit resume {tmp_path}`" in one_sentence(capsys)


def interrupted(algo: Reinforce, trainer: Any) -> None:
    raise KeyboardInterrupt


def test_the_folder_of_a_run_without_epochs_can_be_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Reinforce, "train", interrupted)
        assert train(tmp_path) == 130
    assert "0 epochs are kept. There is nothing to resume." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert train(tmp_path) == 0


def test_a_run_without_epochs_deletes_nothing_in_a_folder_that_was_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(Reinforce, "train", interrupted)
    assert train(tmp_path, "--overwrite") == 130
    assert {"notes.txt", "config.toml"} <= {path.name for path in tmp_path.iterdir()}


def test_overwrite_replaces_the_run_and_nothing_else(tmp_path: Path) -> None:
    assert train(tmp_path) == 0
    first = reproducible(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert train(tmp_path, "--overwrite", "--seed", "77") == 0
    assert reproducible(tmp_path) != first
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.glob("events.*"))) == 1


@pytest.mark.parametrize(
    "words", [["--sampler", "lokal"], ["--set", "sampler.no_such_option=1"], ["--sampler", "fragment"]]
)
def test_overwriting_changes_nothing_when_the_new_run_cannot_begin(tmp_path: Path, words: list[str]) -> None:
    assert train(tmp_path) == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert train(tmp_path, "--overwrite", *words) != 0
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# ---- resume


@pytest.mark.parametrize("other", [[], ["--sampler", "multiprocessing", "--set", "sampler.n_processes=1"]])
def test_a_resumed_run_equals_one_that_was_not_interrupted(tmp_path: Path, other: list[str]) -> None:
    assert train(tmp_path / "whole", "--set", "train.n_epochs=6") == 0
    assert train(tmp_path / "halves") == 0
    assert run("resume", str(tmp_path / "halves"), "--n-epochs", "6", *other) == 0
    assert reproducible(tmp_path / "halves") == reproducible(tmp_path / "whole")
    tables = tomllib.loads((tmp_path / "halves" / "config.toml").read_text())
    assert tables["train"]["n_epochs"] == 6, "the folder's configuration is that of the run as it now is"
    assert tables["sampler"]["name"] == (other[1] if other else "local")


def test_a_finished_run_asks_for_more_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path) == 0
    capsys.readouterr()
    assert run("resume", str(tmp_path)) == 2
    assert "--n-epochs" in one_sentence(capsys)


def test_only_options_of_the_sampler_can_change_on_resuming(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path) == 0
    capsys.readouterr()
    assert run("resume", str(tmp_path), "--n-epochs", "6", "--set", "algo.discount=0.5") == 2
    assert "options of its sampler only" in one_sentence(capsys)


def test_a_resume_that_was_interrupted_at_once_is_gone_on_with_as_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "obtain_episodes", interrupt)
        words = ["--sampler", "multiprocessing", "--set", "sampler.n_processes=2", "--n-epochs", "5"]
        assert run("resume", str(tmp_path), *words) == 130
    asked: list[tuple[str, Any]] = []

    def make(name: str, **options: Any) -> Any:
        asked.append((name, options.get("n_processes")))
        return make_sampler("local", **{key: options[key] for key in ("agents", "envs", "seed", "n_workers")})

    monkeypatch.setattr(samplerkit, "make_sampler", make)
    capsys.readouterr()
    assert run("resume", str(tmp_path)) == 0
    assert "resuming cartpole-reinforce on multiprocessing" in capsys.readouterr().out
    assert asked[0] == ("multiprocessing", 2)


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def edit(folder: Path, before: str, after: str) -> None:
    text = (folder / "config.toml").read_text()
    assert before in text
    (folder / "config.toml").write_text(text.replace(before, after))


def test_a_resumed_run_has_the_batch_size_that_its_configuration_says(tmp_path: Path) -> None:
    assert train(tmp_path) == 0
    edit(tmp_path, "batch_size = 100\n", "batch_size = 1000\n")
    assert run("resume", str(tmp_path), "--n-epochs", "4") == 0
    steps = [int(row["TotalEnvSteps"]) for row in reproducible(tmp_path)]
    assert steps[3] - steps[2] >= 1000


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [("n_workers = 4", "n_workers = 2", "n_workers"), ("seed = 1\n", "seed = 2\n", "seed")],
)
def test_what_is_part_of_the_state_of_a_run_cannot_be_edited(
    tmp_path: Path, before: str, after: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path) == 0
    capsys.readouterr()
    edit(tmp_path, before, after)
    assert run("resume", str(tmp_path), "--n-epochs", "4") == 1
    assert f"{what} of this run is" in one_sentence(capsys)
    assert len(reproducible(tmp_path)) == 3


def test_without_a_damaged_snapshot_a_run_goes_on_from_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "whole", "--set", "train.n_epochs=4") == 0
    folder = tmp_path / "run"
    assert train(folder, "--set", 'train.snapshot_mode="all"') == 0
    damaged = folder / "itr_2.pkl"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    capsys.readouterr()
    assert run("resume", str(folder), "--n-epochs", "4") == 1
    assert "move this file away" in one_sentence(capsys)
    damaged.unlink()
    assert run("resume", str(folder), "--n-epochs", "4") == 0
    assert reproducible(folder) == reproducible(tmp_path / "whole")


def test_evaluation_is_reproducible_on_every_backend(tmp_path: Path) -> None:
    assert train(tmp_path) == 0
    figures = []
    for backend in ("local", "multiprocessing"):
        assert run("evaluate", str(tmp_path), "--trials", "4", "--sampler", backend) == 0
        figures.append(json.loads((tmp_path / "evaluation.json").read_text())["figures"])
    assert figures[0] == figures[1]


def test_a_figure_that_is_not_finite_is_null_in_the_file(tmp_path: Path) -> None:
    save_evaluation(tmp_path, {"Return": 1.5, "Regret": math.nan}, trials=2, seed=3, epoch=4)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    kept = json.loads((tmp_path / "evaluation.json").read_text(), parse_constant=refuse)
    assert kept["figures"] == {"Return": 1.5, "Regret": None}


# ---- Ctrl-C and terminals


def start(folder: Path, backend: str, **streams: Any) -> subprocess.Popen[str]:
    words = ["train", "cartpole-reinforce", "--sampler", backend, "--logdir", str(folder)]
    settings = ["--set", "train.n_epochs=100000", "--set", "train.batch_size=100"]
    return subprocess.Popen(
        [sys.executable, "-m", "samplerkit.cli", *words, *settings],
        text=True,
        start_new_session=True,
        **streams,
    )


def wait_for_rows(process: subprocess.Popen[str], folder: Path, n: int) -> None:
    deadline = time.monotonic() + 60
    path = folder / "progress.csv"
    while not path.exists() or path.read_text().count("\n") < n + 1:
        assert process.poll() is None, "it ended before it began"
        assert time.monotonic() < deadline, "no rows came"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize("backend", ["local", "multiprocessing"])
def test_ctrl_c_ends_with_a_message_and_a_resumable_run(
    tmp_path: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start(tmp_path, backend, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_rows(process, tmp_path, 5)
    interrupted = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - interrupted < 8
    assert "Traceback" not in errors + output
    assert f"Go on with: samplerkit resume {tmp_path}" in errors
    assert (tmp_path / "learning_curve.png").exists()
    n_epochs = len(reproducible(tmp_path)) + 2
    assert run("resume", str(tmp_path), "--n-epochs", str(n_epochs)) == 0
    assert [int(row["Epoch"]) for row in reproducible(tmp_path)] == list(range(n_epochs))


def interrupted_in_its_second_epoch(algo: Reinforce, trainer: Any) -> None:
    for epoch in trainer.step_epochs():
        if epoch:
            raise KeyboardInterrupt
        trainer.obtain_episodes(epoch)


@pytest.mark.usefixtures("on_path")
def test_the_way_to_go_on_keeps_the_required_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Reinforce, "train", interrupted_in_its_second_epoch)
    assert train(tmp_path, "--require-target") == 130
    assert f"Go on with: samplerkit resume {tmp_path} --require-target\n" in capsys.readouterr().err
    monkeypatch.undo()
    assert run("resume", str(tmp_path), "--require-target") == 1, "random play does not reach the target"


def test_a_run_needs_no_stream_to_be_open(tmp_path: Path) -> None:
    words = ["train", "cartpole-reinforce", "--logdir", str(tmp_path), *QUICK, "-s", "multiprocessing"]
    command = 'exec "$@" <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-m", "samplerkit.cli", *words], timeout=60, check=False
    )
    assert done.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} >= RUN_FILES
    for name in ("config.toml", "progress.csv"):
        assert "epoch 1/3" not in (tmp_path / name).read_text(), "what is printed belongs into no file"


def test_a_character_that_cannot_be_shown_does_not_end_a_run(tmp_path: Path) -> None:
    words = ["train", "cartpole-reinforce", "--logdir", str(tmp_path / "Läufe"), *QUICK]
    done = subprocess.run(
        [sys.executable, "-m", "samplerkit.cli", *words],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "seed 1, in " in done.stdout
    assert "L?ufe" in done.stdout


def test_with_stdout_closed_an_error_is_still_a_sentence() -> None:
    command = f'exec "{sys.executable}" -m samplerkit.cli check-env NoSuchEnv-v0 >&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: NoSuchEnv-v0 cannot be checked: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_on_a_terminal_the_display_is_live(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    process = start(tmp_path, "local", stdout=follower, stderr=follower)
    os.close(follower)
    wait_for_rows(process, tmp_path, 5)
    os.killpg(process.pid, signal.SIGINT)
    shown = b""
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(leader)
    assert process.wait(timeout=20) == 130
    assert b"\x1b[" in shown, "a live display moves the cursor"
    assert b"steps/s" in shown
    assert b"Traceback" not in shown
