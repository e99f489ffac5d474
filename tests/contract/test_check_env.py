from __future__ import annotations

import json
from pathlib import Path

import pytest

from samplerkit.cli import main


def check_env(*words: str) -> int:
    return main(["check-env", *words])


def test_a_pure_environment_exits_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_env("CartPole-v1", "--units", "2") == 0
    output = capsys.readouterr().out
    assert "PURE  " in output
    assert "TimeLimit<OrderEnforcing<CartPoleEnv>>" in output


def test_an_impure_environment_exits_with_one_and_says_why_on_one_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check_env("environment_zoo:normalized", "--units", "2", "--max-episode-length", "20") == 1
    output = capsys.readouterr().out
    for words in ("IMPURE", "remembers earlier episodes", "NormalizeObservation", "stateful=True", "µs"):
        assert words in output
    assert output.count("\n") <= 24
    assert max(map(len, output.splitlines())) <= 110


def test_the_report_comes_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_env("environment_zoo:Odd", "--seed", "5", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pure"] is True
    assert report["seed"] == 5
    assert report["max_episode_length"] == 1000


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("Nowhere-v0", "there is no gymnasium environment 'Nowhere-v0'"),
        ("no_such_module:Env", "no_such_module cannot be imported"),
        ("environment_zoo:nothing", "environment_zoo has no 'nothing'"),
        ("environment_zoo:Noise", "cannot be checked: TypeError"),
        ("json:dumps", "cannot be checked: TypeError"),
    ],
)
def test_what_cannot_be_checked_exits_with_two_and_one_sentence(
    reference: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_env(reference) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count("\n") == 1


@pytest.mark.slow
def test_an_id_with_its_module_is_gymnasium_s_own_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_env("gymnasium:FrozenLake-v1", "--units", "1") == 0
    assert "FrozenLakeEnv" in capsys.readouterr().out


def test_what_an_environment_prints_does_not_get_into_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = ("import os", "from environment_zoo import Odd", "print('imported')", "os.system('echo native')")
    (tmp_path / "talks.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    assert check_env("talks:Odd", "--units", "1", "--json") == 0
    out, errors = capfd.readouterr()
    assert json.loads(out)["pure"] is True
    assert {"imported", "native"} <= set(errors.split())


@pytest.mark.parametrize(
    ("line", "words"), [("1 / 0", "ZeroDivisionError: division by zero"), ("raise SystemExit(4)", "Exit: 4")]
)
def test_a_module_that_breaks_off_cannot_be_checked_either(
    line: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "breaks_off.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    for command in (["check-env"], ["check"], ["bench"], ["bench", "CartPole-v1", "--policy"]):
        assert main([*command, "breaks_off:Anything"]) == 2
        errors = capsys.readouterr().err
        assert words in errors
        assert errors.startswith("Error: ")
        assert errors.count("\n") == 1
