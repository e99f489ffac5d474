from __future__ import annotations

import os
import sys

import pytest

from samplerkit.cli.quiet import prints_on_stderr, without_native_chatter

CHATTER = [
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n",
    b"I0000 00:00:1795213657.162714   17934 port.cc:153] oneDNN custom operations are on.\n",
    b"E0000 00:00:1795213641.791863   16284 cuda_platform.cc:52] failed call to cuInit\n",
    b"To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow\n",
]


def test_chatter_of_native_libraries_is_dropped_and_all_else_comes_through(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with without_native_chatter():
        for line in CHATTER:
            os.write(2, line)
        os.write(2, b"UserWarning: this one matters\n")
        assert capfd.readouterr().err == "", "nothing comes through before the end"
    assert capfd.readouterr().err == "UserWarning: this one matters\n"


def test_what_was_written_before_an_error_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with without_native_chatter():
            os.write(2, b"why\n")
            raise ImportError("no")

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "why\n"


def test_the_file_descriptor_is_given_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with prints_on_stderr(), without_native_chatter():
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_strangers_print_goes_to_stderr_and_the_result_to_stdout(
    capfd: pytest.CaptureFixture[str],
) -> None:
    sys.stdout.write("before\n")
    with prints_on_stderr():
        sys.stdout.write("python\n")
        os.write(1, b"native\n")
        os.system("echo child")
    sys.stdout.write("after\n")
    out, errors = capfd.readouterr()
    assert out == "before\nafter\n"
    assert sorted(errors.split()) == ["child", "native", "python"]
