"""What the pages say is what the project does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def first_program(page: Path, *, holding: str = "") -> str:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    return next(block for block in blocks if block.startswith("import") and holding in block)


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
