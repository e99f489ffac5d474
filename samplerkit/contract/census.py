"""The census: what a program has besides its memory. What a sampler had must be gone after its shutdown."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

_PATIENCE = 2.0
"""Seconds that what is being released may take to go."""

_OTHERS_SHARE = 4
"""So many new segments of shared memory may be other programs'."""

_SHARED = Path("/dev/shm")
_FILES = Path("/proc/self/fd")


@dataclass(frozen=True)
class Census:
    """What there is at a moment.

    Attributes:
        processes: descendants of this process, and others of its session if it leads one: pid and what it
            is called. One fork server and one resource tracker a program are not counted.
        threads: of this process, as Python knows them.
        files: open file descriptors, and what they lead to.
        shared: shared-memory segments of this machine.
        temporary: files in the folder for temporary files, where it is this program's own.
    """

    processes: Mapping[int, str]
    threads: Mapping[int, str]
    files: Mapping[int, str]
    shared: frozenset[str]
    temporary: frozenset[str]

    @classmethod
    def take(cls, folder: str | None = None) -> Self:
        """Count.

        Args:
            folder: for temporary files, where it is this program's own.
        """
        gc.collect()
        return cls(_processes(), _threads(), _files(), _names(_SHARED), _names(folder))

    def more_than(self, before: Census) -> str | None:
        """Say what there is now that was not there before; None if there is nothing."""
        found = [
            _sentence("processes", [self.processes[pid] for pid in self.processes.keys() - before.processes]),
            _sentence("threads", [self.threads[key] for key in self.threads.keys() - before.threads]),
            _more_files(self.files, before.files),
            _more_shared(self.shared - before.shared),
            _sentence("temporary files", sorted(self.temporary - before.temporary)),
        ]
        return "; ".join(filter(None, found)) or None


def left_over(before: Census, folder: str | None = None, patience: float = _PATIENCE) -> str | None:
    """Say what is there that was not there before and does not go; None if there is nothing.

    Args:
        before: the census to compare with.
        folder: see `Census.take`.
        patience: seconds to wait for it to go.
    """
    until = time.monotonic() + patience
    while (more := Census.take(folder).more_than(before)) is not None and time.monotonic() < until:
        time.sleep(0.02)
    return more


def descendants() -> dict[int, str]:
    """Return the living processes that this one has started, or that these have."""
    found = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process().children(recursive=True):
            if (name := _living(process)) and not _is_apart(process.pid):
                found[process.pid] = name
    return found


def alive(pid: int) -> bool:
    """Whether a process is there, and not just waiting to be reaped."""
    try:
        return bool(_living(psutil.Process(pid)))
    except psutil.NoSuchProcess:
        return False


def _living(process: psutil.Process) -> str:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return f"{process.pid} ({' '.join(process.cmdline())[:80] or process.name()})"
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


_apart: Callable[[psutil.Process], bool] | None = None


def leave_out(is_apart: Callable[[psutil.Process], bool]) -> None:
    """Do not count some processes, nor connections to them: those of a runtime that outlives samplers.

    Args:
        is_apart: whether a process is one of them.
    """
    global _apart
    _apart = is_apart


def _is_apart(pid: int) -> bool:
    try:
        return _apart is not None and _apart(psutil.Process(pid))
    except psutil.Error:
        return False


def _processes() -> dict[int, str]:
    found = {**_session(), **descendants()}
    for pid in _one_a_program():
        found.pop(pid, None)
    return found


def _session() -> dict[int, str]:
    """Return the other processes of a session that this process leads, orphans among them."""
    me = os.getpid()
    if not hasattr(os, "getsid") or os.getsid(0) != me:
        return {}
    found = {}
    for pid in psutil.pids():
        try:
            ours = pid != me and os.getsid(pid) == me and not _is_apart(pid)
            if ours and (name := _living(psutil.Process(pid))):
                found[pid] = name
        except (OSError, psutil.NoSuchProcess):
            continue
    return found


def _one_a_program() -> list[int]:
    server: Any = multiprocessing.forkserver
    tracker: Any = multiprocessing.resource_tracker
    pids = (
        getattr(server._forkserver, "_forkserver_pid", None),
        getattr(tracker._resource_tracker, "_pid", None),
    )
    return [pid for pid in pids if pid is not None]


def _threads() -> dict[int, str]:
    return {id(thread): thread.name for thread in threading.enumerate()}


def _files() -> dict[int, str]:
    if not _FILES.is_dir():
        return dict.fromkeys(range(psutil.Process().num_fds()), "")
    found = {}
    for name in os.listdir(_FILES):
        # The one that was used to list them is closed by now.
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(_FILES / name)
    for number in _connections_apart():
        found.pop(number, None)
    return found


def _connections_apart() -> list[int]:
    """Return the descriptors of this process that lead to processes which do not count."""
    if _apart is None:
        return []
    every = psutil.net_connections("tcp")
    apart = {pid for pid in {it.pid for it in every if it.pid is not None} if _is_apart(pid)}
    ports = {it.laddr.port for it in every if it.pid in apart}
    return [it.fd for it in every if it.pid == os.getpid() and it.raddr and it.raddr.port in ports]


def _more_files(now: Mapping[int, str], before: Mapping[int, str]) -> str | None:
    """Compare numbers: a descriptor may get another number and stay the same."""
    grown = len(now) - len(before)
    if grown <= 0:
        return None
    new = sorted({now[number] for number in now.keys() - before.keys()})
    return f"{grown} file descriptors are left ({', '.join(new[:4])})"


def _names(folder: str | Path | None) -> frozenset[str]:
    try:
        return frozenset() if folder is None else frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _others_use(segment: str) -> bool:
    """Whether a segment belongs to somebody else: it is mapped in a process that is none of ours."""
    ours = {os.getpid(), *_processes()}
    for pid in psutil.pids():
        if pid in ours:
            continue
        with contextlib.suppress(OSError):
            if f"{_SHARED}/{segment}" in Path(f"/proc/{pid}/maps").read_text():
                return True
    return False


def _more_shared(new: frozenset[str]) -> str | None:
    """Other programs of this machine make segments, too: a few say nothing, one for each sampler does."""
    unused = [name for name in new if not _others_use(name)] if len(new) > _OTHERS_SHARE else []
    return _sentence("segments of shared memory", unused) if len(unused) > _OTHERS_SHARE else None


def _sentence(what: str, names: list[str]) -> str | None:
    return f"{what} are left: {', '.join(sorted(names)[:4])}" if names else None


def own_temporary_folder() -> str | None:
    """Return the folder for temporary files, where the sandbox made one for this process alone."""
    folder = tempfile.gettempdir()
    return folder if Path(folder).name.startswith(FOLDER_PREFIX) else None


FOLDER_PREFIX = "skit-"
"""Beginning of the name of the folder for temporary files that a sandbox makes. Short: the path of a socket
in it must not be longer than 100 bytes or so."""
