"""What to type to call this program again, wherever it is installed."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

_NAME = "samplerkit"


def command_line(*words: str) -> str:
    """A line for the shell that calls this program with these words.

    It has the program's path where its name is not found, as in a virtual environment that is not activated.
    """
    return shlex.join([*_program(), *words])


def _program() -> list[str]:
    if shutil.which(_NAME):
        return [_NAME]
    if Path(sys.argv[0]).name == _NAME:
        return [sys.argv[0]]
    return [sys.executable, "-m", "samplerkit.cli"]
