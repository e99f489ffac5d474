"""The sandbox: clauses are examined in a process group of their own, which ends when it hangs.

Whatever a backend does, the suite goes on: a sandbox that does not answer before the deadline is killed with
all its descendants, and the next clause gets a new one.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from types import TracebackType
from typing import IO, Any, Self

import cloudpickle

from samplerkit.contract.carrying import pack
from samplerkit.contract.census import FOLDER_PREFIX, own_temporary_folder
from samplerkit.contract.clause import Clause
from samplerkit.contract.examine import State, Verdict
from samplerkit.contract.profiles import Profile
from samplerkit.contract.subject import Subject

_LENGTH = struct.Struct("!Q")

_MOST_OUTPUT = 10_000
"""Bytes of what is printed that are kept."""


class Sandbox:
    """Examines clauses of one subject, one at a time, each before a deadline.

    Args:
        subject: the backend under test.
        profile: how much to try.
    """

    def __init__(self, subject: Subject, profile: Profile) -> None:
        self._subject = subject
        self._profile = profile
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._doing = ""
        self._output = _Output()

    def examine(self, it: Clause, *, smallest: bool = True) -> Verdict:
        """Return the verdict on a clause; `State.HUNG` if there was none in time.

        Args:
            it: the clause.
            smallest: whether to look for the smallest script that shows a violation.
        """
        verdict = self._examine(it, smallest)
        output = self._output.new()
        return replace(verdict, output=output) if verdict.bad else verdict

    def _examine(self, it: Clause, smallest: bool) -> Verdict:
        self._doing = ""
        started = monotonic()
        try:
            self._ask(it, smallest)
            answer = self._answer()
        except (EOFError, OSError) as error:
            status = self._end()
            what = f"the process that checked it ended ({status}): {error or 'no more words'}"
            return Verdict(it.id, State.FAILED, monotonic() - started, what=what, script=self._doing)
        if answer is not None:
            return answer
        self._end()
        what = f"no answer within {self._profile.deadline:g} s"
        return Verdict(it.id, State.HUNG, monotonic() - started, what=what, script=self._doing)

    def _ask(self, it: Clause, smallest: bool) -> None:
        if self._process is None:
            # Of its own, so that what a backend forgets there is seen, and goes.
            self._folder = tempfile.mkdtemp(prefix=FOLDER_PREFIX)
            self._process = _start(self._folder, self._output.file)
            # The path comes first: to unpickle the subject may need it.
            self._send(sys.path)
            subject = self._subject
            self._send((subject, self._profile), subject.sampler, subject.worker)
        self._send((it, smallest), it.check)

    def _send(self, message: Any, *about: Any) -> None:
        assert self._process is not None, "started by _ask"
        assert self._process.stdin is not None, "a pipe"
        write_packed(self._process.stdin, pack(message, *about))

    def _answer(self) -> Verdict | None:
        """Wait for a verdict.

        The time counts from the last word: a backend that starts slowly, or a machine that is busy, makes for
        many words and no hang.
        """
        assert self._process is not None, "started by _ask"
        assert self._process.stdout is not None, "a pipe"
        deadline = monotonic() + self._profile.deadline
        with DefaultSelector() as selector:
            selector.register(self._process.stdout, EVENT_READ)
            while (left := deadline - monotonic()) > 0:
                if not selector.select(left):
                    break
                message = read(self._process.stdout)
                if isinstance(message, Verdict):
                    return message
                self._doing = str(message)
                deadline = monotonic() + self._profile.deadline
        return None

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass
        shutil.rmtree(self._folder, ignore_errors=True)
        return status

    def close(self) -> None:
        """End the process group."""
        self._end()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Output:
    """What is printed where clauses are examined: noise where they hold, a hint where one is broken."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._seen = 0

    @property
    def file(self) -> IO[bytes]:
        """Where it is written to. It has no name, and so leaves nothing."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the sandbox
            self._seen = 0
        return self._file

    def new(self) -> str:
        """Return what came since the last time, or the end of it."""
        number = self.file.fileno()
        start, self._seen = self._seen, os.fstat(number).st_size
        start = max(start, self._seen - _MOST_OUTPUT)
        # Not by `read`: the place in the file is also that at which the others go on writing.
        return os.pread(number, self._seen - start, start).decode(errors="replace")

    def close(self) -> None:
        """Forget it."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _start(folder: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "from samplerkit.contract.sandbox import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=output,
        start_new_session=True,
        bufsize=0,
        env={**os.environ, "TMPDIR": folder},
    )


def write(stream: IO[bytes], message: Any) -> None:
    """Write one message."""
    write_packed(stream, cloudpickle.dumps(message))


def write_packed(stream: IO[bytes], data: bytes) -> None:
    """Write one message that is pickled already."""
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read(stream: IO[bytes]) -> Any:
    """Read one message.

    Raises:
        EOFError: if there is none.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return cloudpickle.loads(_exactly(stream, length))


def _exactly(stream: IO[bytes], size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def serve() -> None:
    """Answer questions until there are no more. Runs in the process that a `Sandbox` starts."""
    questions = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    # What a backend prints must not mix with the answers.
    os.dup2(2, 1)
    # Where the tests run in the background, Ctrl-C is ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.path[:] = read(questions)
        subject, profile = read(questions)
    except EOFError:  # whoever started this process was interrupted before it could ask anything
        return
    asked = _listen(questions)
    from samplerkit.contract.examine import examine
    from samplerkit.contract.lab import Lab
    from samplerkit.contract.standing import keep_runtime

    say: Callable[[str], None] = lambda text: write(answers, text)  # noqa: E731
    keep_runtime(subject)
    lab = Lab(subject, profile, note=say)
    while True:
        question = asked.get()
        if isinstance(question, Exception):
            raise question
        it, smallest = question
        write(answers, examine(it, lab, smallest=smallest))


def _listen(questions: IO[bytes]) -> queue.SimpleQueue[Any]:
    """Return where questions arrive; end this process group when nobody is left to ask them.

    However the asker ends, nothing of what is examined outlives it.
    """
    asked: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        while True:
            try:
                asked.put(read(questions))
            except (EOFError, OSError):
                shutil.rmtree(own_temporary_folder() or "", ignore_errors=True)
                os.killpg(0, signal.SIGKILL)
            except Exception as error:
                asked.put(error)

    threading.Thread(target=listen, name="samplerkit-sandbox", daemon=True).start()
    return asked
