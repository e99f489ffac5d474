"""The program in which a hosted contestant runs: ``python -m samplerkit.bench.host``.

It reads one line of JSON for each request from standard input and answers with one line. Everything that the
contestant prints goes to standard error.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, TextIO

from samplerkit.bench.contestant import Contestant, Skipped

_GRACE = 20.0
"""Seconds to end in good order once the caller is gone."""


def serve(requests: Iterable[str], answer: Callable[[dict[str, Any]], None]) -> None:
    """Answer requests until there are no more.

    Args:
        requests: lines of JSON: ``{"do": "start", "factory", "arguments", "path"}``,
            ``{"do": "measure", "seconds"}``, ``{"do": "stop"}``.
        answer: sends one answer.
    """
    served = _Served()
    try:
        for line in requests:
            request = json.loads(line)
            answer(_attempt(served, request))
            if request["do"] == "stop":
                return
    finally:
        served.stop({})


class _Served:
    """The contestant, once it was made."""

    def __init__(self) -> None:
        self._contestant: Contestant | None = None

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        sys.path += [folder for folder in request["path"] if folder not in sys.path]
        module, _, name = request["factory"].partition(":")
        made: Contestant = getattr(importlib.import_module(module), name)(**request["arguments"])
        self._contestant = made
        made.start()
        return {"versions": {name: _version(name) for name in made.distributions}}

    def measure(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._contestant is not None, "started before it is measured"
        measured = self._contestant.measure(request["seconds"])
        return {"steps": measured.steps, "seconds": measured.seconds}

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        contestant, self._contestant = self._contestant, None
        if contestant is not None:
            contestant.stop()
        return {}


def _attempt(served: _Served, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"done": getattr(served, request["do"])(request)}
    except Skipped as reason:
        return {"skipped": str(reason)}
    except Exception as error:
        import traceback

        traceback.print_exc()
        return {"failed": _in_short(f"{type(error).__name__}: {error}")}


def _in_short(text: str) -> str:
    """The first line of an error and the last: a remote traceback ends with what matters.

    The last adds nothing where the first has the same words without the type.
    """
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if line.strip()]
    first, last = lines[0], lines[-1]
    again = first == last or first.endswith(f": {last.partition(': ')[2]}")
    return first if again else f"{first} … {last}"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _private_channel() -> tuple[TextIO, TextIO]:
    """Take standard input and output away from whatever runs here."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _listen(requests: TextIO, lines: SimpleQueue[str]) -> None:
    """Pass requests on; when the caller is gone, see to it that all this goes too, whatever it is doing."""
    for line in requests:
        lines.put(line)
    lines.put("")
    time.sleep(_GRACE)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main() -> None:
    """Serve standard input and output."""
    requests, answers = _private_channel()
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(requests, lines), daemon=True).start()

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    serve(iter(lines.get, ""), answer)


if __name__ == "__main__":
    main()
