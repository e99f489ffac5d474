"""Programs: scripts that use the subject in a Python of their own, as a user's script does."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from samplerkit.contract.carrying import pack
from samplerkit.contract.clause import Violation
from samplerkit.contract.subject import Subject
from samplerkit.local import LocalSampler

_HEAD = """
import sys
sys.path[:] = {path!r}
import pickle
with open({file!r}, "rb") as file:
    subject, local = pickle.load(file)
"""

_TO_END = 25.0
"""Seconds that a program may take."""


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        out: what it printed.
        err: what it wrote to stderr.
        status: exit status; minus the signal's number.
    """

    out: str
    err: str
    status: int


@contextmanager
def program(subject: Subject, body: str) -> Iterator[subprocess.Popen[str]]:
    """Start a script that finds `subject` and `local` (the local sampler with the same worker) defined.

    It has no main guard, and leads a process group of its own, as what is started in a terminal does.
    Whatever happens, it has ended after the block.
    """
    local = replace(subject, sampler=LocalSampler, options={}, layouts=({},))
    with tempfile.TemporaryDirectory() as folder:
        file, path = Path(folder) / "subject", Path(folder) / "program.py"
        file.write_bytes(pack((subject, local), subject.sampler, subject.worker))
        path.write_text(_HEAD.format(path=sys.path, file=str(file)) + textwrap.dedent(body))
        started = subprocess.Popen(
            [sys.executable, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            process_group=0,
        )
        with started:
            try:
                yield started
            finally:
                if started.poll() is None:
                    started.kill()


def run(subject: Subject, body: str) -> Ended:
    """Run a script to its end.

    Raises:
        Violation: if it does not end.
    """
    with program(subject, body) as started:
        try:
            out, err = started.communicate(timeout=_TO_END)
        except subprocess.TimeoutExpired:
            raise Violation(f"a program that uses the sampler did not end within {_TO_END:g} s") from None
        if started.returncode:
            # The report of the clause that ran it shows what was printed meanwhile.
            sys.stderr.write(err)
        return Ended(out, err, started.returncode)
