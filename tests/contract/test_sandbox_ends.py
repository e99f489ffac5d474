"""However a check ends, nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import psutil
import pytest

from samplerkit.contract.census import alive

CHECK = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from samplerkit.contract import check, find_subject
print("checking", flush=True)
check(find_subject("multiprocessing"), only=["D4"], profile="ci")
"""


@pytest.fixture
def folder() -> Iterator[str]:
    # pytest's own path is too long for the sockets that a fork server makes there.
    with tempfile.TemporaryDirectory(prefix="t-") as name:
        yield name


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda it: it.name)
def test_nothing_is_left_of_a_check_that_is_ended_by(number: signal.Signals, folder: str) -> None:
    environment = {**os.environ, "TMPDIR": folder}
    with subprocess.Popen(
        [sys.executable, "-c", CHECK],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == "checking\n"
        family = wait_for_workers(script.pid)
        script.send_signal(number)
        script.wait(10)
    until = time.monotonic() + 5
    while (left := [pid for pid in family if alive(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left, f"of {len(family)} processes {len(left)} are left"
    while (files := os.listdir(folder)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not files, "temporary files are left"


def wait_for_workers(pid: int) -> list[int]:
    """Wait until the sandbox of a check has workers, and return everybody."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        family = [child.pid for child in psutil.Process(pid).children(recursive=True)]
        if len(family) >= 4:  # the sandbox, a fork server, a tracker, a worker
            return family
        time.sleep(0.02)
    raise AssertionError("the check started nobody")
