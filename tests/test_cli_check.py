"""``samplerkit check``: lines as it goes, reports, a count, and an exit status."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import contract_fakes as fakes
import psutil
import pytest

from samplerkit.cli import main
from samplerkit.plugins.hooks import register_hooks, unregister_hooks

PROBES = Path(fakes.__file__).parent


def check(*words: str) -> int:
    return main(["check", *words])


@pytest.fixture
def every_state():
    """Adds a clause that ends in each way."""
    checks = [fakes.breaks, fakes.breaks_too, fakes.does_not_apply, fakes.holds]
    plugin = register_hooks(fakes.Adding([fakes.fake(check) for check in checks]))
    yield
    unregister_hooks(plugin)


def test_a_backend_that_is_right_exits_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("local", "--only", "A5.one-sequence", "--contract", "1.0") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Sampler contract 1.0, profile quick, samplerkit ")
    assert lines[1].startswith("Backend 'local' (samplerkit ")
    assert any(line.split()[:2] == ["A5.one-sequence", "held"] for line in lines), lines
    assert lines[-1] == "1 clause: 1 held"


def test_every_violation_is_reported_and_the_status_is_one(
    every_state: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert check("local", "--only", "F9", "--report", str(tmp_path / "r.json")) == 1
    out = capsys.readouterr().out
    first = out.index("CONTRACT F9.breaks VIOLATED by backend 'local'")
    second = out.index("CONTRACT F9.breaks-too VIOLATED by backend 'local'")
    assert first < out.index("rewards[0]: expected 1.0, got 2.0") < second
    assert second < out.index("actions[3]: expected 0, got 1")
    assert "      print('the program that shows it')" in out.splitlines()
    assert "Not applicable, local declares no 'remote': it stays at home: F9.does-not-apply" in out
    assert out.rstrip().endswith("4 clauses: 1 held, 1 not applicable, 2 FAILED")
    read = json.loads((tmp_path / "r.json").read_text())
    assert [it["state"] for it in read["verdicts"]] == ["failed", "failed", "not applicable", "held"]
    assert read["green"] is False


@pytest.mark.slow
def test_a_class_is_checked_by_its_address_and_the_smallest_script_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check("contract_fakes:Surplus", "--only", "A3") == 1
    out = capsys.readouterr().out
    assert "      replay('contract_fakes:Surplus', Script(limit=1, lengths=(1,)))\n" in out
    assert "  Reproduce: samplerkit check contract_fakes:Surplus --only A3.shortest-run\n" in out
    assert "Falsifying" not in out


@pytest.mark.slow
def test_few_clauses_are_not_green_either_for_what_never_comes_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = tmp_path / "r.json"
    assert check("contract_fakes:NeverUp", "--only", "A3", "--only", "B1", "--report", str(report)) == 1
    out = capsys.readouterr().out
    assert "  Found: the constructor raised RuntimeError: no carrier came up" in out
    assert out.rstrip().endswith("6 clauses: 0 held, 6 FAILED")
    assert json.loads(report.read_text())["green"] is False


@pytest.mark.slow
def test_options_reach_the_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("multiprocessing", "--option", "n_processes=1", "--only", "A5.one-sequence") == 0
    assert "Options: n_processes=1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Which backend?"),
        (["lcal"], "there is no backend 'lcal'. Did you mean 'local'?"),
        (["nobody:Class"], "nobody:Class cannot be loaded: ModuleNotFoundError"),
        (["contract_fakes:Nothing"], "contract_fakes:Nothing cannot be loaded: AttributeError"),
        (["contract_fakes:__name__"], "is a str, not a class of samplers or of workers"),
        (
            ["os:getcwd"],
            "os:getcwd cannot be checked: called like a class of samplers, it raised TypeError: ",
        ),
        (["contract_fakes:make_nothing"], "called like a class of samplers, it made a NoneType"),
        (["samplerkit.policies:RandomPolicy"], "RandomPolicy derives neither from Sampler nor from Worker"),
        (["local", "--option", "foo=1"], "local cannot be checked: LocalSampler has no option 'foo'. Its"),
        (
            ["multiprocessing", "--option", "n_proceses=2", "--only", "A3"],
            "MultiprocessingSampler has no option 'n_proceses'. Did you mean 'n_processes'?",
        ),
        (["multiprocessing", "--option", "n_processes=0"], "n_processes must be at least 1, not 0"),
        (["local", "--option", "unit_timeout=3"], "LocalSampler does not support 'unit_timeout': workers"),
        (["vectorized", "--option", "n_env=3"], "'vectorized' has no option 'n_env'. Did you mean 'n_envs'?"),
        (["vectorized", "--option", "n_envs=0"], "n_envs must be at least 1, not 0"),
        (["fragment", "--option", "timesteps_per_call=0"], "timesteps_per_call must be at least 1, not 0"),
        (["local", "--only", "Z9"], "there is no clause 'Z9'; these are: A0.reference"),
        (["local", "--profile", "slow"], "'slow'"),
        (["local", "--contract", "one"], "written like 1.0, not 'one'"),
        (["local", "--contract", "9.9"], "this suite knows the versions 1.0 to"),
        (["local", "--option", "n"], "written key=value, not 'n'"),
        (["local", "--report", "/no/such/folder/r.json"], "there is no folder /no/such/folder"),
        (["local", "--report", "/"], "--report /: that is a folder; give a file"),
        (["local", "--matrix"], "--matrix goes with --self-test"),
        (["local", "--self-test"], "without a backend"),
        (["--self-test", "--only", "nobody"], "there is no mutant 'nobody'"),
    ],
    ids=lambda part: "-".join(part) if isinstance(part, list) else "",
)
def test_what_cannot_be_checked_exits_with_two(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert check(*words) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1, errors


def test_without_hypothesis_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "hypothesis" else real(name, *more)
    )
    assert check("local") == 2
    assert "pip install 'samplerkit[contract]'" in capsys.readouterr().err


def outside(*words: str, path: Path, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "samplerkit.cli", "check", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROBES,
        env={**os.environ, "PYTHONPATH": str(path)},
        **more,
    )


@pytest.mark.slow
def test_it_works_without_pytest_and_finds_classes_in_the_working_directory(tmp_path: Path) -> None:
    for name in ("pytest", "_pytest"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('there is no pytest here')\n")
    command = outside("contract_fakes:PlainWorker", "--only", "A5.one-sequence", path=tmp_path)
    out, errors = command.communicate(timeout=120)
    assert command.returncode == 0, errors
    assert errors == ""
    assert out.rstrip().endswith("1 clause: 1 held")


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    with outside("contract_fakes:Hanging", "--only", "A0", path=tmp_path, start_new_session=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline().startswith("Sampler contract")
        me = psutil.Process(command.pid)
        while not (bench := me.children(recursive=True)):
            assert command.poll() is None
        time.sleep(1.0)  # it hangs by now
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=20)
    assert command.returncode == 130
    assert errors.strip() == "", "no traceback, of either process"
    _, alive = psutil.wait_procs(bench, timeout=5)
    assert not alive


@pytest.mark.slow
def test_the_suite_tests_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--self-test", "--only", "local:reversed-batch") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("local:reversed-batch ")
    assert "killed by " in lines[0]
    assert lines[-1].startswith("1 mutants: 1 killed, 1 by a clause that should; median ")
