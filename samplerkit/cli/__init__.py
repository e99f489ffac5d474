"""The command ``samplerkit``. Only `main` is light; everything else needs the extra ``samplerkit[cli]``."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections.abc import Sequence

_NEEDED = ("typer", "rich", "tomli_w")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after ``samplerkit``; None: those of this process.

    Returns:
        The exit status: 0, 1 for a failure, 2 for a mistake in usage, 130 after Ctrl-C.
    """
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a character that cannot be shown must not end a run
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"The samplerkit command needs {', '.join(missing)}: run `pip install 'samplerkit[cli]'`.\n"
        )
        return 1
    try:
        from samplerkit.cli.app import run

        return run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:  # while modules were imported
        return 130


def _open_closed_streams() -> None:
    """Give a program that was started with a closed stream, as by ``>&-``, one that leads nowhere.

    Otherwise the next file to be opened would take its number, and with it all that is printed there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
