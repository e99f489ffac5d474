"""The pytest plugin: one item for each clause, wherever pytest is run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import contract_fakes as fakes
import pytest

import _samplerkit_pytest
from samplerkit.contract.profiles import PROFILES
from samplerkit.contract.runner import select
from samplerkit.plugins.hooks import register_hooks, unregister_hooks

pytest_plugins = ["pytester"]

QUIET = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")

# Before any run in this process: a module that it imports is forgotten at its end.
N_CLAUSES = len(select())


def run(pytester: pytest.Pytester, *words: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*QUIET, *words)


@pytest.mark.slow
def test_a_broken_backend_fails_with_our_report_and_nothing_else(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        *(
            "--samplerkit-backend",
            "contract_fakes:Surplus",
            "-k",
            "A3 or A4",
            "--samplerkit-report",
            "r.json",
        ),
        *("--junitxml", "junit.xml", "-v"),
    )
    result.assert_outcomes(failed=2, passed=1, deselected=N_CLAUSES - 3)
    result.stdout.fnmatch_lines(
        [
            "Backend 'contract_fakes:Surplus' (contract_fakes, API 1.0)",
            "samplerkit::contract_fakes:Surplus::A3.shortest-run FAILED*",
            "samplerkit::contract_fakes:Surplus::A4.exact-episodes PASSED*",
            "CONTRACT A3.shortest-run VIOLATED by backend 'contract_fakes:Surplus' (contract_fakes, API 1.0)",
            "  Found: call 0*expected *",
            "      replay('contract_fakes:Surplus', Script(*",
            "  Reproduce: samplerkit check contract_fakes:Surplus --only A3.shortest-run",
            "3 clauses: 1 held, 2 FAILED",
        ]
    )
    text = result.stdout.str()
    assert "Traceback" not in text
    assert "Falsifying" not in text
    assert "pytest_items.py" not in text, "no internals"
    read = json.loads((pytester.path / "r.json").read_text())
    assert [(v["clause"], v["state"]) for v in read["verdicts"]] == [
        ("A3.many-steps", "failed"),
        ("A3.shortest-run", "failed"),
        ("A4.exact-episodes", "held"),
    ]
    cases = ET.parse(pytester.path / "junit.xml").getroot().iter("testcase")
    assert [(it.get("classname"), it.get("name")) for it in cases] == [
        ("samplerkit.contract_fakes:Surplus", "A3.many-steps"),
        ("samplerkit.contract_fakes:Surplus", "A3.shortest-run"),
        ("samplerkit.contract_fakes:Surplus", "A4.exact-episodes"),
    ]


@pytest.fixture
def every_state():
    """Adds a clause that ends in each way."""
    checks = [fakes.breaks, fakes.breaks_too, fakes.does_not_apply, fakes.holds]
    plugin = register_hooks(fakes.Adding([fakes.fake(check) for check in checks]))
    yield
    unregister_hooks(plugin)


def test_every_clause_is_reported_beside_the_tests_of_the_folder(
    every_state: None, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile("def test_F9_of_theirs(): pass")
    result = run(pytester, "--samplerkit-backend", "local", "-k", "F9", "-rs")
    result.assert_outcomes(passed=2, failed=2, skipped=1, deselected=len(select()) - 4)
    result.stdout.fnmatch_lines(
        [
            "*rewards[[]0[]]: expected 1.0, got 2.0",
            "*actions[[]3[]]: expected 0, got 1",
            "Failed: F9.breaks, F9.breaks-too",
            "4 clauses: 1 held, 1 not applicable, 2 FAILED",
            "SKIPPED*local declares no 'remote': it stays at home",
        ]
    )


def test_the_mark_selects_the_clauses_alone_and_x_stops_at_the_first(
    every_state: None, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile("def test_F9_of_theirs(): pass")
    mark = ("-m", "samplerkit_contract", "-k", "F9", "-x")
    result = run(pytester, "--samplerkit-backend", "local", *mark)
    result.assert_outcomes(failed=1, deselected=len(select()) - 4 + 1)


@pytest.mark.slow
def test_items_can_be_spread_over_processes(pytester: pytest.Pytester) -> None:
    words = ("--samplerkit-backend", "contract_fakes:Surplus", "-k", "A3 or A4", "-n", "2")
    result = run(pytester, *words, "--samplerkit-report", "r.json")
    result.assert_outcomes(passed=1, failed=2)
    read = json.loads((pytester.path / "r.json").read_text())
    assert read["counts"]["held"] == 1
    assert read["counts"]["failed"] == 2


def test_collecting_examines_nothing(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--samplerkit-backend", "local", "--collect-only", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["samplerkit::local::A3.shortest-run"])
    assert "clauses:" not in result.stdout.str()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--samplerkit-backend", "lcal"], "*there is no backend 'lcal'. Did you mean 'local'?*"),
        (["--samplerkit-backend", "nobody:Class"], "*No module named 'nobody'*"),
        (["--samplerkit-backend", "local", "--samplerkit-contract", "7.0"], "*knows the versions 1.0 to*"),
        (["--samplerkit-backend", "local", "--samplerkit-option", "n"], "*written key=value, not 'n'*"),
        (["--samplerkit-backend", "local", "--samplerkit-profile", "slow"], "*invalid choice: 'slow'*"),
    ],
    ids=["name", "module", "version", "option", "profile"],
)
def test_what_cannot_be_checked_is_a_usage_error(
    pytester: pytest.Pytester, words: list[str], said: str
) -> None:
    result = run(pytester, *words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])
    assert "Traceback" not in result.stderr.str()


def test_the_plugin_knows_the_profiles_without_importing_them() -> None:
    assert tuple(PROFILES) == _samplerkit_pytest._PROFILES


def test_a_plain_run_of_pytest_imports_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\n\n"
        "def test_nothing():\n"
        "    assert '_samplerkit_pytest' in sys.modules, 'the plugin is there'\n"
        "    heavy = {'samplerkit', 'hypothesis', 'numpy', 'gymnasium', 'cloudpickle'} & set(sys.modules)\n"
        "    assert not heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *QUIET, "-p", "no:xdist", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_hypothesis_it_says_what_to_install(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "hypothesis" else real(name, *more)
    )
    result = run(pytester, "--samplerkit-backend", "local")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: The contract suite needs hypothesis: run `pip install *contract*"])


def test_importing_samplerkit_imports_neither_hypothesis_nor_pytest() -> None:
    program = (
        "import sys, samplerkit, samplerkit.contract\n"
        "sys.exit(str({'hypothesis', 'pytest', '_samplerkit_pytest'} & set(sys.modules) or 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.strip() in ("", "0"), done.stderr
