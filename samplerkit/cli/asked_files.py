"""Files that a command is asked to write: refused before anything is measured or checked."""

from __future__ import annotations

import os
from pathlib import Path

from samplerkit.cli.errors import UsageError


def refuse_unwritable(option: str, path: Path | None) -> None:
    """Refuse a file that could not be written at the end; None is no file.

    Raises:
        UsageError: it is a folder, or there is none to hold it, or it must not be written.
    """
    if path is None:
        return
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {folder}")
    if path.is_dir():
        raise UsageError(f"{option} {path}: that is a folder; give a file")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"{option} {path}: you may not write there; give another file")
