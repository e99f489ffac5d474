"""Starting processes that never import the caller's main module.

Processes start by ``forkserver`` or ``spawn``, never by plain ``fork``: TensorFlow and Ray hang in forked
children. Both of these normally run the parent's script once more in the child, which is why scripts need
a main guard. Ours do not: whatever comes from the main module travels by value (cloudpickle).
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.spawn
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from samplerkit_multiprocessing.shared import File

START_METHODS = ("forkserver", "spawn")

_PRELOAD = ["numpy", "gymnasium", "cloudpickle", "samplerkit_multiprocessing.child"]

_lock = threading.Lock()

_started: weakref.WeakSet[BaseProcess] = weakref.WeakSet()


def _begin_in_child() -> None:
    """Leave what the parent has to it, where a program is forked.

    Its fork server is no child of this process, which has to start one of its own. Nor are its workers and
    its resource tracker, which multiprocessing would wait for at the end. There is no public way to say so.
    """
    global _lock
    _lock = threading.Lock()
    for process in _started:
        multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]
    _started.clear()
    _leave_tracker()
    server: Any = sys.modules.get("multiprocessing.forkserver")
    if server is not None:
        it = server._forkserver
        if it._forkserver_alive_fd is not None:
            os.close(it._forkserver_alive_fd)  # by which the server knows when its program ends
        it._lock = threading.Lock()
        it._forkserver_address = it._forkserver_alive_fd = it._forkserver_pid = None


def _leave_tracker() -> None:
    """Let nobody wait for the end of the resource tracker; it goes on to serve whoever has its pipe."""
    tracker: Any = resource_tracker
    tracker._resource_tracker._pid = None


def _at_exit() -> None:
    """Leave the tracker to whoever takes the status of every child: Python 3.13 would complain of that."""
    if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
        _leave_tracker()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)

atexit.register(_at_exit)


def default_start_method() -> str:
    """Return forkserver where the platform has it, else spawn."""
    available = multiprocessing.get_all_start_methods()
    return next(method for method in START_METHODS if method in available)


def check_start_method(name: str, value: Any) -> str:
    """Return a start method that is safe.

    Raises:
        ValueError: for any other, fork among them.
    """
    if value not in START_METHODS:
        why = ": forked children inherit locks of threads that they do not have, and hang"
        raise ValueError(
            f"{name} must be {' or '.join(map(repr, START_METHODS))}, not {value!r}"
            f"{why if value == 'fork' else ''}"
        )
    return str(value)


def context(start_method: str, preload: tuple[str, ...]) -> BaseContext:
    """Return the context of a start method.

    Args:
        start_method: ``forkserver`` or ``spawn``.
        preload: modules that the fork server imports once for all processes. They count only where the
            program's fork server has not been started yet.

    """
    chosen = multiprocessing.get_context(start_method)
    if start_method == "forkserver":
        chosen.set_forkserver_preload([*_PRELOAD, *preload, "samplerkit_multiprocessing.forkserver_preload"])
    return chosen


def start(chosen: BaseContext, target: Callable[..., None], args: tuple[Any, ...], name: str) -> BaseProcess:
    """Start a process that does not import the main module.

    Raises:
        RuntimeError: where there is no working directory, which it would begin in.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise RuntimeError(
            "no worker process can be started: the program's working directory has been deleted; "
            "go to another one by os.chdir"
        ) from error
    process: BaseProcess = chosen.Process(target=target, args=args, name=name, daemon=False)  # type: ignore[attr-defined]
    try:
        with _without_main_module(), _also_of_daemons(), _deaf_to_ctrl_c():
            process.start()
    except BaseException:  # Ctrl-C, most of all right after the start
        if process.pid is not None:
            process.kill()
            process.join()
        raise
    _started.add(process)
    return process


@contextlib.contextmanager
def _also_of_daemons() -> Iterator[None]:
    """Let a daemonic process, such as one of `multiprocessing.Pool`, start others; by one thread at a time.

    It must not because it is ended by SIGTERM, and would leave them: ours end with it all the same. There is
    no public way to say so.
    """
    config: Any = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    if not config.get("daemon"):
        yield
        return
    config["daemon"] = False
    try:
        yield
    finally:
        config["daemon"] = True


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Let what is started meanwhile begin with SIGINT blocked.

    A terminal sends it to the whole group, also to processes that are still on their way to ignore it.
    Workers unblock it once they do (`samplerkit_multiprocessing.child`), the fork server at the end of its
    imports.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # whose start unblocks it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Leave the main module out of what multiprocessing tells a child to prepare.

    There is no public way to say so. Only processes started by this thread are affected.
    """
    me = threading.get_ident()
    with _lock:
        original = multiprocessing.spawn.get_preparation_data

        def preparation_data(name: str) -> dict[str, Any]:
            data: dict[str, Any] = original(name)
            if threading.get_ident() == me:
                data.pop("init_main_from_name", None)
                data.pop("init_main_from_path", None)
            return data

        multiprocessing.spawn.get_preparation_data = preparation_data
        try:
            yield
        finally:
            multiprocessing.spawn.get_preparation_data = original


def end_of(process: BaseProcess, start_method: str) -> File | None:
    """Return what is readable once a child of this process has ended; None where only its sentinel says so.

    That is a pipe which it inherits, and so do processes that an environment forks: these may live longer.
    """
    # One from a fork server is a child of that, which writes to the sentinel when it ends.
    if start_method == "spawn" and hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # some sandboxes forbid it
            return File(os.pidfd_open(process.pid or 0))
    return None


def let_go(process: BaseProcess) -> None:
    """Wait for the end of a process, and release what belongs to it."""
    process.join()
    if process.exitcode is None:
        # Somebody else has asked how it ended: SIGCHLD is ignored, say, or its handler asks for all children.
        # There is no public way to say that it has.
        popen: Any = process._popen  # type: ignore[attr-defined]
        popen.returncode = -1
    process.close()
