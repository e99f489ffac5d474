"""The program's connection to Ray: one that is there, or one from the first sampler to the last."""

from __future__ import annotations

import contextlib
import faulthandler
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import ray

from samplerkit_ray import spare_actors
from samplerkit_ray.background_thread import BackgroundThread
from samplerkit_ray.options import check_address
from samplerkit_ray.raylet import Raylet

_QUIET: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.ERROR}

_OWN: dict[str, Any] = {
    "include_dashboard": False,
    "_system_config": {
        # What nobody reads need not be measured.
        "metrics_report_interval_ms": 3_600_000,
        # Nothing outlives the program for long, however that ends.
        "raylet_death_check_interval_milliseconds": 200,
    },
}


_HOW_TO_JOIN = (
    "Is there a cluster, and can it be reached from here? Nodes that ask for a token do not answer a program "
    "without: have theirs in ~/.ray/auth_token, and set RAY_AUTH_MODE=token before the program starts."
)


class _Connection:
    """What samplers of this program share. Only `_thread` changes it."""

    def __init__(self) -> None:
        self.users = 0
        self.identity: tuple[str, str] | None = None
        """Of the connection that samplers made; None where it is somebody else's."""
        self.started_ray = False
        self.auth_mode: str | None = None


_connection = _Connection()
_thread = BackgroundThread()
_inherited: tuple[str, str] | None = None
"""The connection of the program that forked this one: it looks alive, and whoever uses it waits for ever."""


def _begin_in_child() -> None:
    global _connection, _thread, _inherited
    _inherited = _identity() if ray.is_initialized() else None
    _connection, _thread = _Connection(), BackgroundThread()  # the thread is the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


class Lease:
    """The right to use Ray, up to `end`.

    Args:
        address: see `RaySampler`.
        namespace: of the connection.

    Raises:
        ConnectionError: if there is no cluster at the address.
        RuntimeError: if the program is connected, and has been forked since; if it has no working directory.
        ValueError: if the program is connected to another cluster, or by Ray Client.
    """

    def __init__(self, address: str | None, namespace: str | None) -> None:
        if _inherited is not None and ray.is_initialized() and _identity() == _inherited:
            raise RuntimeError(
                "this process was forked from one that is connected to Ray, and Ray does not survive a fork: "
                "make the sampler in the parent, or start this process otherwise (multiprocessing's 'spawn')"
            )
        try:
            os.getcwd()
        except FileNotFoundError as error:
            raise RuntimeError(
                "Ray cannot be used: the program's working directory has been deleted; go to another one by "
                "os.chdir"
            ) from error
        self._identity: tuple[str, str] | None = None
        self._counts = False
        with _signals_kept():
            _thread.do(lambda: self._begin(address, namespace), self._end)

    def _begin(self, address: str | None, namespace: str | None) -> None:
        shared = _connection
        try:
            if ray.is_initialized():
                _check_it_is(address)
            else:
                where = _where(address)
                if shared.identity is None:  # of one that somebody else shut down the setting is still there
                    shared.auth_mode = os.environ.get("RAY_AUTH_MODE")
                shared.users, shared.identity = 0, None
                _connect(where, namespace)
                shared.identity, shared.started_ray = _identity(), where == "local"
            self._identity, self._raylet = _identity(), Raylet()
            self._counts = self._identity == shared.identity
            shared.users += self._counts
        finally:
            if not shared.users:
                _thread.dismiss()

    @property
    def default_num_cpus(self) -> float:
        """CPUs that an actor reserves if nobody says; none where there is nobody to share with."""
        return 0 if self._counts and _connection.started_ray else 1

    @staticmethod
    def n_actors(num_cpus: float) -> int:
        """Return how many actors the cluster has room for, by their CPUs; at least 1."""
        n_actors = total_resources().get("CPU", 1) / (num_cpus or 1)
        return max(1, int(n_actors + 1e-9))  # 2 / 0.1 may fall short of 20

    @property
    def holds(self) -> bool:
        """Whether the connection is still the one that it was, and leads to a Ray that lives.

        Ask before each use of Ray: where there is none, it starts one by itself.
        """
        return self._is_there and self._raylet.lives

    @property
    def _is_there(self) -> bool:
        return ray.is_initialized() and _identity() == self._identity

    def end(self) -> None:
        """Give it back; the last one of a connection that samplers made ends it."""
        with _signals_kept():
            _thread.do(self._end)

    def _end(self) -> None:
        shared = _connection
        counts, self._counts = self._counts and self._identity == shared.identity, False
        shared.users -= counts
        if shared.users:
            return
        _thread.dismiss()
        if counts:
            shared.identity = None
            if self._is_there:
                ray.shutdown()
            if shared.auth_mode is None and not ray.is_initialized():  # by now it may be somebody else's
                os.environ.pop("RAY_AUTH_MODE", None)
                _read_settings_again()


def total_resources() -> dict[str, float]:
    """Return what the cluster has in all."""
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found


def free_resources() -> dict[str, float]:
    """Return what it has to spare."""
    found: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return found


def warm_up() -> None:
    """Let Ray make the connections that it makes once, when something large first goes to and fro."""
    remote: Any = ray.remote(num_cpus=0)
    ray.get(remote(_next).remote(ray.put(np.zeros(1 << 21, np.uint8))))


def _next(data: Any) -> Any:
    return data + 1


def is_own(process: psutil.Process) -> bool:
    """Whether a process is Ray's or an actor that is kept, rather than one that carries workers."""
    line = process.cmdline()
    if line and line[0].startswith("ray::"):
        return not line[0].startswith("ray::Carrier") or spare_actors.has(process.pid)
    home = os.path.dirname(ray.__file__)
    return any(word.startswith(home) for word in line)


def _identity() -> tuple[str, str]:
    """Return what no other connection has: the first job of any cluster has the same id."""
    context = ray.get_runtime_context()
    return str(context.get_job_id()), str(context.get_node_id())


def _where(address: str | None) -> str:
    """Return the address that counts.

    Raises:
        ValueError: if it is one of Ray Client, in the variable that Ray reads.
    """
    variable = os.environ.get("RAY_ADDRESS")
    if variable and address in (None, "auto"):
        check_address("RAY_ADDRESS", variable)
    return address or variable or "local"


def _connect(address: str, namespace: str | None) -> None:
    own = _OWN if address == "local" else {}
    hook, enabled = sys.excepthook, faulthandler.is_enabled()
    with _quiet():
        try:
            ray.init(address=address, namespace=namespace, **_QUIET, **own)
        except ConnectionError as error:
            raise ConnectionError(f"{error} {_HOW_TO_JOIN}") from error
        _print_no_errors()
    sys.excepthook = hook
    if not enabled:
        faulthandler.disable()


def _check_it_is(address: str | None) -> None:
    """See whether the present connection leads to an address."""
    client: Any = ray.util.client.ray
    if client.is_connected():
        raise ValueError(
            "the program is connected by Ray Client, through which no driver reads the object store: run it "
            "on a machine of the cluster (ray job submit, say), with address='auto'"
        )
    present = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", "local") and not _same(address, present):
        raise ValueError(
            f"address={address!r}, but the program is connected to {present!r} already: "
            "leave address out, or call ray.shutdown() before"
        )


def _same(address: str, present: str) -> bool:
    """Whether two addresses lead to the same place, by whatever name."""
    if address == present:
        return True
    try:
        return not _places(address).isdisjoint(_places(present))
    except (OSError, ValueError):  # no such host, or no address at all
        return False


def _places(address: str) -> set[tuple[str, int]]:
    host, _, port = address.rpartition(":")
    every = {info[4][0] for info in socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)}
    util: Any = ray.util
    here = util.get_node_ip_address()  # as Ray itself calls it, even where the user says localhost
    return {(here if ipaddress.ip_address(ip).is_loopback else str(ip), int(port)) for ip in every}


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Put back the handler that Ray replaces, where one can."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let Ray report only errors while it starts."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _read_settings_again() -> None:
    """Let Ray notice that the variable is gone: it keeps what it read, and would refuse the calls of the next
    cluster, whose nodes take it for a driver that has let all its actors go.

    There is no public way to say so; where this one is gone, a program joins one cluster in its life.
    """
    with contextlib.suppress(AttributeError):
        raylet: Any = ray._raylet
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def _print_no_errors() -> None:
    """End the thread that prints to the program's output when an actor died: the sampler logs that.

    There is no public way to say so; where this one is gone, Ray prints.
    """
    with contextlib.suppress(AttributeError):
        worker: Any = ray._private.worker.global_worker
        worker.threads_stopped.set()
        worker.gcs_error_subscriber.close()
        worker.listener_thread.join(5)
