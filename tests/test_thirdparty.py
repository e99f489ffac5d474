"""Distributions of strangers, built as wheels, installed in a fresh environment, found by entry points."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
THIRDPARTY = ROOT / "tests" / "thirdparty"
PIPES = THIRDPARTY / "samplerkit_pipes"
PAGE = ROOT / "docs" / "write-a-backend.md"

DUPLICATE = "broken_duplicate_name"
"""Installed apart, because it would make the good one ambiguous."""


class FreshEnvironment:
    """A virtual environment that holds the strangers, and sees what is installed here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        self.duplicate = folder / "duplicate"
        run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
        here = sysconfig.get_path("purelib")
        site_packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
        (site_packages / "parent.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        wheels = self.build_wheels()
        good = [wheel for wheel in wheels if DUPLICATE not in wheel.name]
        pip("--python", self.python, "install", "--no-deps", *good)
        pip("install", "--no-deps", "--target", self.duplicate, *(set(wheels) - set(good)))

    def build_wheels(self) -> list[Path]:
        # In a copy: setuptools writes into the folder that it builds.
        sources = self.folder / "sources"
        shutil.copytree(
            THIRDPARTY, sources, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
        )
        distributions = [path.parent for path in sorted(sources.glob("*/pyproject.toml"))]
        wheels = self.folder / "wheels"
        pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, *distributions)
        return sorted(wheels.glob("*.whl"))

    def run(self, *arguments, duplicate: bool = False) -> str:
        path = {"PYTHONPATH": str(self.duplicate)} if duplicate else {}
        return run(self.python, *arguments, cwd=self.folder, env={**os.environ, **path})

    def evaluate(self, code: str, **options):
        """Run code, and return what it leaves in `result`."""
        ending = "\nimport json; print(json.dumps(result))"
        return json.loads(self.run("-c", code + ending, **options).splitlines()[-1])

    def backends(self, **options):
        rows = json.loads(self.run("-m", "samplerkit.cli", "backends", "--json", **options))
        return {row["name"]: row for row in rows}


def run(*command, **options) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, **options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def pip(*arguments) -> None:
    environ = {**os.environ, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    run(sys.executable, "-m", "pip", "--quiet", *arguments, env=environ)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> FreshEnvironment:
    return FreshEnvironment(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
def rows(fresh):
    return fresh.backends()


# -- found by their entry points, each in its state ------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pipes", "local", "multiprocessing"])
def test_a_good_backend_is_ok_beside_broken_ones(rows, name):
    assert (rows[name]["state"], rows[name]["reason"]) == ("ok", "")


def test_a_row_says_who_offers_the_backend_and_what_it_does(rows):
    assert rows["pipes"]["distribution"] == "samplerkit-pipes"
    assert rows["pipes"]["api"] == "1.0"
    assert rows["pipes"]["capabilities"]["unit_timeout"]["yes"]
    assert "standard input" in rows["pipes"]["summary"]


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("broken-import", "broken", "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
        ("from-the-future", "incompatible", "API 9.0, and this samplerkit provides 1."),
        ("heavy", "ok", ""),
    ],
)
def test_a_bad_backend_says_what_is_wrong_with_it(rows, name, state, reason):
    assert rows[name]["state"] == state
    assert reason in rows[name]["reason"]


def test_two_distributions_with_one_name_are_both_named(fresh):
    rows = fresh.backends(duplicate=True)
    assert rows["pipes"]["state"] == "ambiguous"
    assert "samplerkit-broken-duplicate-name and samplerkit-pipes" in rows["pipes"]["reason"]
    assert rows["multiprocessing"]["state"] == "ok"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("broken-import", "BackendBroken"),
        ("from-the-future", "BackendIncompatible"),
        ("pipes", "AmbiguousBackend"),
    ],
)
def test_making_a_sampler_of_a_bad_backend_raises_the_error_of_its_state(fresh, name, error):
    code = f"""
import samplerkit
try:
    samplerkit.make_sampler({name!r}, agents=None, envs="CartPole-v1")
except samplerkit.BackendError as error:
    result = type(error).__name__
"""
    assert fresh.evaluate(code, duplicate=True) == error


# -- one name asked for, one plugin loaded ----------------------------------------------------------

LOADED = """
import sys, samplerkit
{ask}
result = sorted(name for name in sys.modules if name.startswith("samplerkit_"))
"""


@pytest.mark.parametrize(
    ("ask", "loaded"),
    [
        ("", []),
        ("from samplerkit.plugins.making import registry; registry.spec('local')", []),
        ("from samplerkit.plugins.making import registry; registry.spec('pipes')", ["samplerkit_pipes"]),
        (
            "samplerkit.get_backend('pipes')",
            [
                "samplerkit_pipes",
                *(f"samplerkit_pipes.{name}" for name in ("framing", "sampler", "transport")),
            ],
        ),
        (
            "from samplerkit.plugins.making import registry; registry.spec('heavy')",
            ["samplerkit_broken_heavy_import", "samplerkit_heavy_cargo"],
        ),
    ],
    ids=["import samplerkit", "local", "description of pipes", "class of pipes", "heavy"],
)
def test_asking_for_a_name_loads_that_plugin_and_no_other(fresh, ask, loaded):
    assert fresh.evaluate(LOADED.format(ask=ask)) == loaded


# -- used ------------------------------------------------------------------------------------------

BATCHES = """
import gymnasium, logging, samplerkit
from samplerkit.policies import MLPPolicy

logging.disable()
env = gymnasium.make("CartPole-v1")
policy = MLPPolicy(env.observation_space, env.action_space)
batches = []
for name in {names}:
    with samplerkit.make_sampler(name, agents=policy, envs=env, n_workers=3, seed=1) as sampler:
        batches.append(sampler.obtain_samples(0, 500))
        batches.append(sampler.obtain_exact_episodes(2))
"""


@pytest.mark.slow
def test_the_batches_of_a_third_party_s_backend_are_the_local_ones(fresh):
    compare = "result = [batches[0].difference(batches[2]), batches[1].difference(batches[3])]"
    assert fresh.evaluate(BATCHES.format(names=("local", "pipes")) + compare) == [None, None]


def test_a_plugin_of_hooks_that_is_wrong_is_listed_as_broken(rows):
    (row,) = (row for row in rows.values() if row["kind"] == "hooks")
    assert (row["state"], row["distribution"]) == ("broken", "samplerkit-broken-hook")


def test_a_plugin_of_hooks_that_is_wrong_says_so_and_harms_nobody(fresh):
    look = """
from samplerkit.plugins import hook_plugins
result = [[plugin.state, plugin.distribution, plugin.reason] for plugin in hook_plugins()]
"""
    ((state, distribution, reason),) = fresh.evaluate(BATCHES.format(names=("local",)) + look)
    assert (state, distribution) == ("broken", "samplerkit-broken-hook")
    assert "samplerkit_batch_colected" in reason


SOME = (
    "F1 or F2 or F3 or F4 or E3 or E7 or D2 or D3 or A9_globals_served or test_a_command or test_any_command"
)
"""Of the contract's clauses: those about processes and plugins. `make soak` examines all of them."""


@pytest.mark.slow
def test_a_third_party_s_own_tests_pass_with_the_contract_among_them(fresh):
    tests = fresh.folder / "sources" / "samplerkit_pipes" / "tests"
    chosen = () if os.environ.get("SAMPLERKIT_SOAK") else ("-k", SOME)
    out = fresh.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tests, tests, *chosen)
    assert int(re.findall(r"(\d+) passed", out)[0]) >= 10


# -- the tutorial -----------------------------------------------------------------------------------


def files_of_the_page() -> dict[str, str]:
    """The code blocks that follow a line with nothing but a file's name."""
    blocks = re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return dict(blocks)


def files_of_the_distribution() -> dict[str, str]:
    paths = [path for path in sorted(PIPES.rglob("*")) if path.suffix in (".py", ".toml")]
    return {str(path.relative_to(PIPES)): path.read_text() for path in paths if "build" not in path.parts}


def test_the_files_of_the_tutorial_are_those_of_the_distribution():
    assert sorted(files_of_the_page()) == sorted(files_of_the_distribution())


@pytest.mark.parametrize("name", sorted(files_of_the_distribution()))
def test_the_code_of_the_tutorial_is_that_of_the_distribution(name):
    assert files_of_the_page()[name] == files_of_the_distribution()[name]


@pytest.mark.slow
def test_the_tutorial_s_backend_is_typed_as_strictly_as_samplerkit(tmp_path):
    path = os.pathsep.join(map(str, (ROOT, ROOT / "plugins", PIPES)))
    options = ("--strict", "--config-file=", "--cache-dir", tmp_path, "--follow-imports=silent")
    run(
        *(sys.executable, "-m", "mypy", *options, "-p", "samplerkit_pipes"),
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": path},
    )


def test_the_tutorial_s_backend_has_fewer_than_120_lines_of_code():
    package = (PIPES / "samplerkit_pipes").glob("*.py")
    assert sum(lines_of_code(path.read_text()) for path in package) < 120


def lines_of_code(source: str) -> int:
    """Count the lines that hold more than a comment or a docstring."""
    no_code = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in no_code | {tokenize.ENDMARKER}:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            assert node.end_lineno is not None
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return len(lines)
