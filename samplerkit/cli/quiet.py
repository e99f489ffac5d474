"""Keeping what strangers write away from what a command has to say."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# TensorFlow's libraries write to file descriptor 2 when they are imported, whatever their log level is.
_CHATTER = re.compile(
    rb"^([IWE]\d{4} \d\d:\d\d:\d+|WARNING: All log messages before absl|To enable the following instructions)"
)


@contextlib.contextmanager
def without_native_chatter() -> Iterator[None]:
    """Hold back what is written to stderr inside; afterwards let through all but the chatter."""
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            kept = b"".join(line for line in held if not _CHATTER.match(line))
            os.write(2, kept)


@contextlib.contextmanager
def prints_on_stderr() -> Iterator[None]:
    """Send to stderr what is printed inside, by child processes too: stdout is for the command's result."""
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(real, 1)
        os.close(real)
