from __future__ import annotations

import ast
import csv
import subprocess
import sys
from pathlib import Path

import pytest

from samplerkit.trainer import TIMING_COLUMNS

EXAMPLE = Path(__file__).parents[1] / "examples" / "reinforce.py"


def run(*words: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *words], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no warnings, no noise"
    return done.stdout.splitlines()


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMING_COLUMNS} for row in csv.DictReader(file)]


def test_the_example_has_at_most_sixty_lines() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 60


def test_the_example_imports_the_interface_and_no_backend() -> None:
    modules = set()
    for node in ast.walk(ast.parse(EXAMPLE.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    allowed = {"sys", "numpy", "gymnasium", "samplerkit", "samplerkit.policies", "samplerkit.trainer"}
    assert modules <= allowed, f"the example reaches past the interface: {modules - allowed}"


def test_the_example_has_no_main_guard() -> None:
    assert "__main__" not in EXAMPLE.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["local", "multiprocessing"])
def test_the_example_learns_cartpole_on_every_backend(tmp_path: Path, backend: str) -> None:
    lines = run(backend, folder=tmp_path)
    assert len(lines) == 40
    last_ten = [float(line.split()[-1]) for line in lines[-10:]]
    assert sum(last_ten) / 10 > 150, lines[-10:]


@pytest.mark.slow
def test_twenty_epochs_equal_ten_and_ten_more_on_another_backend(tmp_path: Path) -> None:
    run("local", "20", "whole", folder=tmp_path)
    run("multiprocessing", "10", "halves", folder=tmp_path)
    run("local", "20", "halves", folder=tmp_path)
    assert len(rows(tmp_path / "whole")) == 20
    assert rows(tmp_path / "halves") == rows(tmp_path / "whole")
