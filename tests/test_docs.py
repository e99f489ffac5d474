"""What the pages say is what the project does."""

from __future__ import annotations

import contextlib
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def first_program(page: Path, *, holding: str = "") -> str:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    return next(block for block in blocks if block.startswith(("import", "from")) and holding in block)


@pytest.mark.slow
def test_the_program_in_the_readme_shows_equal_batches(tmp_path):
    program = first_program(ROOT / "README.md")
    assert len([line for line in program.splitlines() if line.strip()]) <= 15
    assert "__main__" not in program
    script = tmp_path / "equal.py"
    script.write_text(program)
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.rstrip().endswith("equal: True"), run.stdout + run.stderr
    assert run.stderr == "", "the library printed of its own accord"


def test_the_program_on_the_page_about_vectorized_workers_gives_equal_batches(tmp_path):
    script = tmp_path / "vectorized.py"
    script.write_text(first_program(ROOT / "docs" / "vectorized.md"))
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "equal: True\n", run.stdout + run.stderr


def test_the_program_on_the_page_about_fragments_gathers_what_it_says(tmp_path):
    script = tmp_path / "fragments.py"
    script.write_text(first_program(ROOT / "docs" / "fragments.md"))
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    lines = run.stdout.splitlines()
    assert "128 steps" in lines[0], run.stdout + run.stderr
    assert "1280 steps" in lines[1]


@pytest.mark.slow
def test_the_policy_on_the_page_for_algorithm_authors_samples_the_same_on_every_backend(tmp_path):
    script = tmp_path / "coin.py"
    script.write_text(first_program(ROOT / "docs" / "algorithms.md", holding="RowStreams"))
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "equal: True\n", run.stdout + run.stderr


def test_the_policy_on_the_page_for_algorithm_authors_goes_on_in_the_middle_of_its_episodes(tmp_path):
    program = first_program(ROOT / "docs" / "algorithms.md", holding="RowStreams").split("batches = []")[0]
    script = tmp_path / "coin.py"
    script.write_text(program + GOING_ON)
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "equal: True\n", run.stdout + run.stderr


GOING_ON = """
def fragments():
    options = {"n_workers": 2, "n_envs": 3, "timesteps_per_call": 7, "seed": 1}
    return samplerkit.make_sampler("fragment", agents=Coin(), envs="CartPole-v1", **options)


def last(sampler, calls):
    return [sampler.obtain_samples(call, 42, np.array(0.4 + 0.05 * call)) for call in calls][-1]


with fragments() as whole, fragments() as half, fragments() as other:
    expected = last(whole, range(4))
    last(half, range(2))
    other.set_state(half.get_state())
    print("equal:", last(other, range(2, 4)).equals(expected))
"""


def test_the_trials_on_the_page_about_vectorized_workers_are_cut_into_their_episodes(tmp_path):
    program = first_program(ROOT / "docs" / "vectorized.md", holding="cut_trials")
    script = tmp_path / "trials.py"
    script.write_text(program + "print(len(episodes.lengths) == 10 * len(trials.lengths))\n")
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "True\n", run.stdout + run.stderr


@pytest.mark.slow
def test_the_clause_on_the_page_about_the_contract_suite_is_examined_as_it_stands(tmp_path):
    (tmp_path / "modest.py").write_text(
        first_program(ROOT / "docs" / "contract-suite.md", holding="samplerkit_contract_clauses")
    )
    (tmp_path / "examine.py").write_text(
        "import modest\n"
        "from samplerkit import register_hooks\n"
        "from samplerkit.contract import check, find_subject\n"
        "register_hooks(modest)\n"
        "(verdict,) = check(find_subject('local'), only=['X1.modest']).verdicts\n"
        "print(verdict.clause, verdict.state.value)\n"
    )
    command = [sys.executable, tmp_path / "examine.py"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "X1.modest held\n", run.stdout + run.stderr


def can_be_had(dotted: str) -> bool:
    """Whether a module, or a name in one, can be imported."""
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.import_module(dotted) is not None
    module, _, name = dotted.rpartition(".")
    return bool(module) and can_be_had(module) and hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_of_ours_on_a_page_can_be_imported(page):
    names = set(re.findall(r"\b(samplerkit\w*(?:\.[A-Za-z_]\w*)+)", page.read_text()))
    groups = {"samplerkit.hooks"}  # of entry points
    tutorial = {name for name in names if name.startswith("samplerkit_pipes")}
    for name in names - groups - tutorial:
        assert can_be_had(name), f"{page.name} names {name}"


def test_the_errors_on_the_page_about_ray_are_named_with_their_home():
    text = (ROOT / "docs" / "how-to" / "ray.md").read_text()
    for name in re.findall(r"`([\w.]*(?:ActorsNotPlaced|NodeDiffers|RayLost))`", text):
        assert name.startswith("samplerkit_ray."), name


def test_the_readme_says_how_to_install_every_extra_for_users():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in extras.keys() - {"bench", "dev", "tf"}:  # the last one comes with "all"
        assert f"'.[{name}]'" in (ROOT / "README.md").read_text(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_repository_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_architecture_page_names_every_room():
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "samplerkit").glob("*/__init__.py")]
    modules = [path.name for path in (ROOT / "samplerkit" / "sampling").glob("[a-z]*.py")]
    for name in packages + modules:
        assert f" {name}" in text, f"docs/architecture.md does not mention {name}"


def test_the_readme_s_test_command_is_what_ci_runs():
    assert "make test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")
