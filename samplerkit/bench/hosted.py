"""Contestants in processes of their own: what one imports, allocates or leaves behind touches nobody else."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from samplerkit.bench import processes
from samplerkit.bench.contestant import Contestant, ContestantFailed, Measurement, Memory, Skipped

_PATIENCE = 120.0
"""Seconds to wait for an answer beyond the time that was asked for."""

_GRACE = 20.0
"""Seconds to end in good order."""


class Hosted(Contestant):
    """A contestant that runs in a fresh interpreter, which sleeps between its turns.

    Args:
        name: how it is called in tables.
        factory: ``"module:callable"`` that makes the contestant there.
        arguments: its keyword arguments; whatever JSON can say.
        python: the interpreter; None: this one. Another one needs samplerkit installed.
        path: folders where modules are also looked for, after all others.
        environment: variables to set there.
        restless: whether it goes on working between its turns; then all its processes are stopped (SIGSTOP)
            meanwhile.
    """

    def __init__(
        self,
        name: str,
        factory: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        python: str | None = None,
        path: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        restless: bool = False,
    ) -> None:
        super().__init__(name)
        self._request = {
            "do": "start",
            "factory": factory,
            "arguments": dict(arguments or {}),
            "path": list(path),
        }
        self._python = python or sys.executable
        self._environment = dict(environment or {})
        self._restless = restless
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None
        self._began = 0.0
        self._versions: dict[str, str] = {}

    def start(self) -> float:
        """Start the interpreter and the contestant in it."""
        self.begin_start()
        return self.finish_start()

    def begin_start(self) -> None:
        """Start, and do not wait."""
        self._began = time.perf_counter()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - read when it fails, closed by stop
        self._process = subprocess.Popen(
            [self._python, "-m", "samplerkit.bench.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **self._environment},
            start_new_session=True,  # Ctrl-C is for the caller, who then ends this whole group
        )
        self._send(self._request)

    def finish_start(self) -> float:
        """Wait for the first batch, and return the seconds since `begin_start`."""
        self._versions = self._receive(_PATIENCE)["versions"]
        taken = time.perf_counter() - self._began
        self._let_rest()
        return taken

    def measure(self, seconds: float) -> Measurement:
        """Let it work."""
        self.begin_measuring(seconds)
        return self.finish_measuring(seconds)

    def begin_measuring(self, seconds: float) -> None:
        """Let it work, and do not wait."""
        self._wake()
        self._send({"do": "measure", "seconds": seconds})

    def finish_measuring(self, seconds: float) -> Measurement:
        """Wait for what `begin_measuring` began."""
        measured = self._receive(_PATIENCE + seconds)
        self._let_rest()
        return Measurement(measured["steps"], measured["seconds"])

    def stop(self) -> None:
        """Ask it to end; after a while, force it and all that it started."""
        self._wake()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
                process.communicate('{"do": "stop"}\n', timeout=_GRACE)
            _end_group(process)
        if self._errors is not None:
            self._errors.close()

    def peak_memory(self) -> Memory | None:
        """Of its interpreter and of those that this one started."""
        return None if self._process is None else processes.peak_memory(self._process.pid)

    def cpu_seconds(self) -> float | None:
        """Of its interpreter and of those that this one started."""
        return None if self._process is None else processes.cpu_seconds(self._process.pid)

    def versions(self) -> dict[str, str]:
        """As the interpreter told."""
        return self._versions

    def _let_rest(self) -> None:
        if self._restless:
            _signal_group(self._running(), signal.SIGSTOP)

    def _wake(self) -> None:
        if self._restless and self._process is not None:
            _signal_group(self._process, signal.SIGCONT)

    def _send(self, request: Mapping[str, Any]) -> None:
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except OSError:
            raise self._gone() from None

    def _receive(self, patience: float) -> dict[str, Any]:
        process = self._running()
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(patience):
                raise ContestantFailed(f"it did not answer within {patience:.0f} s")
        line = process.stdout.readline()
        if not line:
            raise self._gone()
        answer = json.loads(line)
        if "skipped" in answer:
            raise Skipped(answer["skipped"])
        if "failed" in answer:
            raise ContestantFailed(answer["failed"])
        done: dict[str, Any] = answer["done"]
        return done

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise ContestantFailed("it was not started, or was stopped")
        return self._process

    def _gone(self) -> ContestantFailed:
        """Its last words say more than its status."""
        status = self._running().wait()
        assert self._errors is not None
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return ContestantFailed(
            f"its process ended with status {status}: {lines[-1] if lines else 'no word'}"
        )


class Together(Contestant):
    """Several hosted contestants that work at the same time, and count as one.

    Args:
        name: how they are called in tables.
        members: at least one.
    """

    def __init__(self, name: str, members: Sequence[Hosted]) -> None:
        super().__init__(name)
        self._members = list(members)

    def start(self) -> float:
        """Start all at once; the last one counts."""
        for member in self._members:
            member.begin_start()
        return max([member.finish_start() for member in self._members])

    def measure(self, seconds: float) -> Measurement:
        """Let all work at once; the steps per second add up."""
        for member in self._members:
            member.begin_measuring(seconds)
        measured = [member.finish_measuring(seconds) for member in self._members]
        steps = sum(one.steps for one in measured)
        return Measurement(steps, steps / sum(one.rate for one in measured))

    def stop(self) -> None:
        """Stop all."""
        for member in self._members:
            member.stop()

    def peak_memory(self) -> Memory | None:
        """Nobody receives anything: the members are workers."""
        peaks = [memory for member in self._members if (memory := member.peak_memory()) is not None]
        return Memory(0.0, max(memory.parent for memory in peaks), len(peaks)) if peaks else None

    def cpu_seconds(self) -> float | None:
        """Of all."""
        used = [seconds for member in self._members if (seconds := member.cpu_seconds()) is not None]
        return sum(used) if used else None


def _end_group(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a process and of all that it started."""
    _signal_group(process, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
