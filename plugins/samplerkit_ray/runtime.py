"""The program's connection to Ray: one that is there, or one from the first sampler to the last."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import ray

from samplerkit_ray import reserve
from samplerkit_ray.aside import Aside

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


class _Connection:
    """What samplers of this program share. Only `_aside` changes it."""

    def __init__(self) -> None:
        self.users = 0
        self.job: str | None = None
        """Id of the job of the connection that samplers made; None where it is somebody else's."""
        self.started_ray = False
        self.auth_mode: str | None = None


_connection = _Connection()
_aside = Aside()


class Lease:
    """The right to use Ray, up to `end`.

    Args:
        address: see `RaySampler`.
        namespace: of the connection.

    Raises:
        ConnectionError: if there is no cluster at the address.
        ValueError: if the program is connected to another cluster, or by Ray Client.
    """

    def __init__(self, address: str | None, namespace: str | None) -> None:
        self._job, self._counts = "", False
        with _signals_kept():
            _aside.do(lambda: self._begin(address, namespace), self._end)

    def _begin(self, address: str | None, namespace: str | None) -> None:
        shared = _connection
        try:
            if ray.is_initialized():
                _check_it_is(address)
            else:
                where = address or os.environ.get("RAY_ADDRESS") or "local"
                shared.users, shared.job, shared.auth_mode = 0, None, os.environ.get("RAY_AUTH_MODE")
                _connect(where, namespace)
                shared.job, shared.started_ray = _job(), where == "local"
            self._job = _job()
            self._counts = self._job == shared.job
            shared.users += self._counts
        finally:
            if not shared.users:
                _aside.dismiss()

    @property
    def default_num_cpus(self) -> float:
        """CPUs that an actor reserves if nobody says; none where there is nobody to share with."""
        return 0 if self._counts and _connection.started_ray else 1

    @staticmethod
    def n_actors(num_cpus: float) -> int:
        """Return how many actors the cluster has room for, by their CPUs; at least 1."""
        return max(1, int(total_resources().get("CPU", 1) // (num_cpus or 1)))

    @property
    def holds(self) -> bool:
        """Whether the connection is still the one that it was."""
        return ray.is_initialized() and _job() == self._job

    def end(self) -> None:
        """Give it back; the last one of a connection that samplers made ends it."""
        with _signals_kept():
            _aside.do(self._end)

    def _end(self) -> None:
        shared = _connection
        counts, self._counts = self._counts and self._job == shared.job, False
        shared.users -= counts
        if shared.users:
            return
        _aside.dismiss()
        if counts:
            shared.job = None
            if self.holds:
                ray.shutdown()
            if shared.auth_mode is None:
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
        return not line[0].startswith("ray::Carrier") or reserve.has(process.pid)
    home = os.path.dirname(ray.__file__)
    return any(word.startswith(home) for word in line)


def _job() -> str:
    return str(ray.get_runtime_context().get_job_id())


def _connect(address: str, namespace: str | None) -> None:
    own = _OWN if address == "local" else {}
    hook, enabled = sys.excepthook, faulthandler.is_enabled()
    with _quiet():
        ray.init(address=address, namespace=namespace, **_QUIET, **own)
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
    if address not in (None, "auto", "local", present):
        raise ValueError(
            f"address={address!r}, but the program is connected to {present!r} already: "
            "leave address out, or call ray.shutdown() before"
        )


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
