"""The program's connection to Ray: used where there is one, else made by the first sampler and ended by the last."""

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

with_hook = sys.excepthook
import psutil
import ray  # noqa: E402 - it replaces the hook by which Python reports exceptions

sys.excepthook = with_hook

log = logging.getLogger(__name__)

_AUTH = "RAY_AUTH_MODE"

_QUIET: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.ERROR}

_OWN: dict[str, Any] = {
    "include_dashboard": False,
    # Nobody but this machine reaches it.
    "_node_ip_address": "127.0.0.1",
    # What nobody reads need not be measured.
    "_system_config": {"metrics_report_interval_ms": 3_600_000},
}


class _Connection:
    """What samplers of this program share."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.job: str | None = None
        """Id of the job of the connection that samplers made; None where it is somebody else's."""
        self.started_ray = False


_connection = _Connection()


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
        self._ended = False
        with _connection.lock:
            if not ray.is_initialized():
                _connection.users, _connection.job = 0, None
                _connect(address or os.environ.get("RAY_ADDRESS") or "local", namespace)
                _connection.job = _job()
                _connection.started_ray = (address or os.environ.get("RAY_ADDRESS") or "local") == "local"
            else:
                _check_it_is(address)
            self._job = _job()
            self._counts = self._job == _connection.job
            _connection.users += self._counts

    @property
    def default_num_cpus(self) -> float:
        """CPUs that an actor reserves if nobody says; none where there is nobody to share with."""
        return 0 if self._counts and _connection.started_ray else 1

    def n_actors(self, num_cpus: float) -> int:
        """Return how many actors the cluster has room for, by their CPUs; at least 1."""
        return max(1, int(ray.cluster_resources().get("CPU", 1) // (num_cpus or 1)))

    @property
    def holds(self) -> bool:
        """Whether the connection is still the one that it was."""
        return ray.is_initialized() and _job() == self._job

    def end(self) -> None:
        """Give it back; the last one of a connection that samplers made ends it."""
        with _connection.lock:
            if self._ended:
                return
            self._ended = True
            if not self._counts or self._job != _connection.job:
                return
            _connection.users -= 1
            if _connection.users == 0:
                _connection.job = None
                if self.holds:
                    with _settings_kept():
                        ray.shutdown()


def is_own(process: psutil.Process) -> bool:
    """Whether a process is Ray's, rather than an actor that carries workers."""
    line = process.cmdline()
    if line and line[0].startswith("ray::"):
        return not line[0].startswith("ray::Carrier")
    home = os.path.dirname(ray.__file__)
    return any(word.startswith(home) for word in line)


def _job() -> str:
    return str(ray.get_runtime_context().get_job_id())


def _connect(address: str, namespace: str | None) -> None:
    own = _OWN if address == "local" else {}
    with _settings_kept(), _quiet():
        ray.init(address=address, namespace=namespace, **_QUIET, **own)
        _print_no_errors()


def _check_it_is(address: str | None) -> None:
    """See whether the present connection leads to an address."""
    if ray.util.client.ray.is_connected():
        raise ValueError(
            "the program is connected by Ray Client, through which no driver reads the object store: run it on "
            "a machine of the cluster (ray job submit, say), with address='auto'"
        )
    present = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", "local", present):
        raise ValueError(
            f"address={address!r}, but the program is connected to {present!r} already: "
            "leave address out, or call ray.shutdown() before"
        )


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """Put back what Ray changes of the program's settings."""
    handler = signal.getsignal(signal.SIGTERM)
    hook, enabled, mode = sys.excepthook, faulthandler.is_enabled(), os.environ.get(_AUTH)
    try:
        yield
    finally:
        sys.excepthook = hook
        if not enabled:
            faulthandler.disable()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
        del mode


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


def _print_no_errors() -> None:
    """End the thread that prints to the program's output when an actor died: the sampler logs that.

    There is no public way to say so; where this one is gone, Ray prints.
    """
    with contextlib.suppress(AttributeError):
        worker = ray._private.worker.global_worker
        worker.threads_stopped.set()
        worker.gcs_error_subscriber.close()
        worker.listener_thread.join(5)
