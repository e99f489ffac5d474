"""The census sees what is left, and waits for what is going."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from samplerkit.contract import census
from samplerkit.contract.census import Census, alive, leave_out, left_over


@contextmanager
def a_process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_nothing_is_left_where_nothing_happened(tmp_path: Path) -> None:
    before = Census.take(str(tmp_path))
    assert left_over(before, str(tmp_path), patience=0) is None


@pytest.mark.slow
def test_a_process_that_is_left_is_named() -> None:
    before = Census.take()
    with a_process() as process:
        left = left_over(before, patience=0)
        assert left is not None
        assert "processes are left" in left
        assert str(process.pid) in left
        assert alive(process.pid)
    assert left_over(before) is None
    assert not alive(process.pid)


def test_a_thread_that_is_left_is_named() -> None:
    before = Census.take()
    go = threading.Event()
    thread = threading.Thread(target=go.wait, name="left-behind")
    thread.start()
    left = left_over(before, patience=0)
    go.set()
    thread.join()
    assert left == "threads are left: left-behind"


@pytest.mark.slow
def test_what_is_said_to_be_apart_does_not_count_and_neither_do_connections_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(census, "_apart", None)
    program = """if True:
        import socket
        server = socket.create_server(("127.0.0.1", 0))
        print(server.getsockname()[1], flush=True)
        input()
    """
    before = Census.take()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            with socket.create_connection(("127.0.0.1", int(process.stdout.readline()))):
                pipes = [process.stdin, process.stdout]
                left = left_over(before, patience=0)
                assert left is not None
                assert "processes are left" in left
                assert f"{len(pipes) + 1} file descriptors are left" in left
                leave_out(lambda other: other.pid == process.pid)
                left = left_over(before, patience=0)
                assert left is not None
                assert "processes" not in left
                assert f"{len(pipes)} file descriptors are left" in left
        finally:
            process.kill()


@pytest.mark.slow
def test_file_descriptors_are_counted() -> None:
    before = Census.take()
    file = os.open(os.devnull, os.O_RDONLY)
    left = left_over(before, patience=0)
    os.close(file)
    assert left is not None
    assert left.startswith("1 file descriptors are left")
    assert left_over(before) is None


def test_temporary_files_are_looked_for_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    before = Census.take(str(tmp_path))
    (tmp_path / "forgotten").touch()
    assert left_over(before, str(tmp_path), patience=0) == "temporary files are left: forgotten"


def test_what_is_going_is_waited_for() -> None:
    before = Census.take()
    thread = threading.Thread(target=time.sleep, args=(0.2,))
    thread.start()
    assert left_over(before) is None


def test_a_few_segments_of_shared_memory_may_be_somebody_elses() -> None:
    before = Census.take()
    few = replace(before, shared=before.shared | {f"samplerkit-no-such-{i}" for i in range(4)})
    assert few.more_than(before) is None
    many = replace(before, shared=before.shared | {f"samplerkit-no-such-{i}" for i in range(5)})
    assert "segments of shared memory are left" in str(many.more_than(before))
