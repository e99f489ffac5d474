from __future__ import annotations

import sys
from pathlib import Path

import pytest

from samplerkit.cli.typed_again import command_line


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the program; it is not on the path."""
    program = tmp_path / "bin" / "samplerkit"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(program), "train"])
    return program


def test_the_name_is_enough_where_it_is_found(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(installed.parent))
    assert command_line("resume", "runs/x") == "samplerkit resume runs/x"


def test_elsewhere_the_running_program_is_named_with_its_path(installed: Path) -> None:
    assert command_line("resume", "runs/x") == f"{installed} resume runs/x"


def test_a_program_run_as_a_module_is_run_so_again(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/samplerkit/cli/__main__.py", "train"])
    assert command_line("backends") == f"{sys.executable} -m samplerkit.cli backends"


def test_a_folder_with_a_space_stays_one_word(installed: Path) -> None:
    assert command_line("resume", "my runs").endswith(" resume 'my runs'")
