"""`contract_tests` in a third party's own tests: no conftest, strict, one test for each clause."""

from __future__ import annotations

import subprocess
import sys

import contract_fakes as fakes
import psutil
import pytest

from samplerkit.contract import NEEDS_HYPOTHESIS, Subject, contract_tests, subject_of
from samplerkit.contract.runner import select

pytest_plugins = ["pytester"]

QUIET = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")

HEAD = """
from contract_fakes import Surplus
from samplerkit.contract import contract_tests
"""


def run(pytester: pytest.Pytester, text: str, *words: str) -> pytest.RunResult:
    pytester.makepyfile(test_mine=HEAD + text)
    return pytester.runpytest_inprocess(*QUIET, *words)


@pytest.mark.slow
def test_a_class_has_a_test_for_each_clause(pytester: pytest.Pytester) -> None:
    before = {child.pid for child in psutil.Process().children()}
    result = run(pytester, 'TestMine = contract_tests(Surplus, only=["A3", "A4", "A5.cursor"])\n', "-v")
    result.assert_outcomes(failed=2, passed=2)
    result.stdout.fnmatch_lines(
        [
            "test_mine.py::TestMine::test_A3_shortest_run FAILED*",
            "test_mine.py::TestMine::test_A4_exact_episodes PASSED*",
            "CONTRACT A3.shortest-run VIOLATED by backend 'contract_fakes:Surplus'*",
            "  Found: call 0*expected *",
            "      replay('contract_fakes:Surplus', Script(*",
        ]
    )
    assert "testing.py" not in result.stdout.str(), "no internals"
    after = {child.pid for child in psutil.Process().children()}
    assert after <= before, "the sandbox is shut down at the end of the class"


def test_without_hypothesis_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['hypothesis'] = None\nfrom samplerkit.contract import contract_tests"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {NEEDS_HYPOTHESIS}"
    assert "pip install 'samplerkit[contract]'" in NEEDS_HYPOTHESIS


def adding(*checks: str) -> str:
    """A test module's text that adds clauses, and takes them out again in its last test."""
    fakes = ", ".join(f"fake({check})" for check in checks)
    return (
        "from contract_fakes import *\n"
        "from samplerkit.plugins.hooks import register_hooks, unregister_hooks\n"
        f"plugin = register_hooks(Adding([{fakes}]))\n"
        "def test_zzz(): unregister_hooks(plugin)\n"
    )


def test_expected_failures_are_strict(pytester: pytest.Pytester) -> None:
    text = adding("breaks", "holds") + (
        "TestMine = contract_tests('local', only=['F9'], expected_failures={"
        "'F9.breaks': 'issue 12', 'F9.holds': 'issue 13'})\n"
    )
    result = run(pytester, text, "-rx")
    result.assert_outcomes(xfailed=1, failed=1, passed=1)
    result.stdout.fnmatch_lines(["F9.holds holds, but is in expected_failures (issue 13): take it out there"])
    result.stdout.fnmatch_lines(["XFAIL*test_F9_breaks - issue 12: rewards*"])


@pytest.mark.slow
def test_an_expected_failure_that_does_not_apply_fails(pytester: pytest.Pytester) -> None:
    text = adding("does_not_apply", "holds", "breaks") + (
        "Test1 = contract_tests('local', only=['F9.d'], expected_failures={'F9.does-not-apply': 'why'})\n"
        "Test2 = contract_tests('local', only=['F9'])\n"
    )
    result = run(pytester, text, "-rs")
    result.assert_outcomes(failed=2, skipped=1, passed=2)
    result.stdout.fnmatch_lines(
        [
            "F9.does-not-apply does not apply (*it stays at home), but is in expected_failures (why)*",
            "SKIPPED*declares no 'remote': it stays at home",
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_a_sampler_that_is_defined_beside_its_tests_is_examined(pytester: pytest.Pytester, mode: str) -> None:
    text = (
        "from samplerkit.local import LocalSampler\n"
        "class Mine(LocalSampler):\n    pass\n\n"
        "TestMine = contract_tests(Mine, only=['A5.one-sequence'])\n"
    )
    run(pytester, text, f"--import-mode={mode}").assert_outcomes(passed=1)


def test_a_notice_is_a_warning(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samplerkit.contract.runner.CONTRACT", (1, 3))
    text = adding("breaks, since=(1, 3)") + "TestMine = contract_tests('local', only=['F9'])\n"
    result = run(pytester, text)
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*ContractNotice: NOTICE: CONTRACT F9.breaks VIOLATED by backend 'local'*"])


def test_the_class_belongs_to_the_module_that_made_it() -> None:
    made = contract_tests("local", contract="1.0")
    assert made.__module__ == __name__
    methods = [name for name in vars(made) if name.startswith("test_")]
    assert len(methods) == len(select())
    assert made.test_A3_shortest_run.__code__.co_filename == __file__
    assert made.test_A3_shortest_run.__doc__.startswith("obtain_samples admits")


def test_unknown_clauses_profiles_and_versions_are_refused_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"expected_failures names Z9\.no, but the clauses are: A0\.reference"
    ):
        contract_tests("local", expected_failures={"Z9.no": "why"})
    with pytest.raises(ValueError, match="expected_failures names A3, but"):
        contract_tests("local", expected_failures={"A3": "ids are written out"})
    with pytest.raises(ValueError, match="there is no clause 'Z9'"):
        contract_tests("local", only=["Z9"])
    with pytest.raises(ValueError, match="there is no profile 'slow'"):
        contract_tests("local", profile="slow")
    with pytest.raises(ValueError, match=r"written like 1\.0, not 'one'"):
        contract_tests("local", contract="one")
    with pytest.raises(TypeError, match="a dict from ids of clauses to reasons, not set"):
        contract_tests("local", expected_failures={"A3.shortest-run"})


subject: Subject = subject_of(fakes.PlainWorker)

# The door as a third party sees it, here and now.
TestPlainWorker = contract_tests(subject, only=["A5.one-sequence"])
