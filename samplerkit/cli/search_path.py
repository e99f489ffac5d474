"""Where modules are found that are named on a command line, or in a configuration."""

from __future__ import annotations

import sys
from pathlib import Path


def search_here() -> str:
    """Find modules in the working folder, too, and return it.

    Where the command was installed is on the path, where it is typed is not.
    """
    return search_in(Path.cwd())


def search_in(folder: Path) -> str:
    """Find modules in a folder, too, and return it as it stands on the path."""
    name = str(folder)
    if name not in sys.path:  # last, so that nothing is hidden by it
        sys.path.append(name)
    return name
