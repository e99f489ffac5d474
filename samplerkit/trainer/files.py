"""Files that are either as they were or as they should be, never half written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let ``write`` fill a file that appears under ``path`` only when it is complete and on the disk.

    It is written under a temporary name in the same folder, synced, and renamed. When ``write`` raises,
    what stood at ``path`` stays, and the temporary file is removed; a process killed in between leaves a
    hidden ``.tmp`` file, which the next attempt overwrites.

    Raises:
        Exception: What ``write`` raises.
        OSError: The folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def write_text_atomically(path: Path, text: str) -> None:
    """The same for a UTF-8 text."""
    write_atomically(path, lambda file: _write_all(file, text.encode()))


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
