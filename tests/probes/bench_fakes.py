"""Contestants made up for tests of the bench."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from samplerkit.bench.contestant import Contestant, Measurement, Memory, Skipped


class Scripted(Contestant):
    """Delivers what its script says, and writes down when it was asked."""

    def __init__(self, name: str, rates: Any = (), log: Any = None, *, memory: Any = None, fails: Any = None):
        super().__init__(name)
        self._rates = iter(rates)
        self._log = [] if log is None else log
        self._memory = memory
        self._fails = fails or {}
        self.running = False
        self.stops = 0

    def start(self) -> float:
        self._note("start")
        self.running = True
        return 0.5

    def measure(self, seconds: float) -> Measurement:
        assert self.running
        self._note("measure")
        return Measurement(int(next(self._rates) * seconds), seconds)

    def stop(self) -> None:
        self.running = False
        self.stops += 1

    def peak_memory(self) -> Memory | None:
        return self._memory

    def _note(self, what: str) -> None:
        self._log.append((what, self.name))
        n = self._log.count((what, self.name))
        error = self._fails.get((what, n))
        if error is not None:
            raise error


class InHost(Contestant):
    """Runs in a host; the argument says how it behaves."""

    distributions = ("numpy", "no-such-distribution")

    def __init__(self, behaviour: str = "") -> None:
        super().__init__("in host")
        self._behaviour = behaviour
        host: Any = sys.modules.get("__main__")
        host._GRACE = float(os.environ.get("BENCH_FAKES_GRACE", "20"))

    def start(self) -> float:
        sys.stdout.write("printed by the contestant, to nobody's harm\n")
        os.write(1, b"so is this\n")
        if self._behaviour == "skips":
            raise Skipped("the moon is in the wrong house")
        if self._behaviour == "raises":
            raise RuntimeError("it broke")
        if self._behaviour == "raises at length":
            raise RuntimeError("\x1b[36mfar away\x1b[39m:\n\n  File 'x'\n  KeyError: 3\n")
        if self._behaviour == "raises what it was told":
            raise RuntimeError("far away KeyError was raised: 'x'\n\n  File 'x'\n  KeyError: 'x'\n")
        if self._behaviour == "dies":
            sys.stderr.write("last words\n")
            sys.stderr.flush()
            os._exit(7)
        return 0.0

    def measure(self, seconds: float) -> Measurement:
        if self._behaviour == "never rests":
            threading.Thread(target=_work, daemon=True).start()
        time.sleep(seconds)
        return Measurement(100, seconds)

    def stop(self) -> None:
        if self._behaviour == "never ends":
            time.sleep(1000)


def _work() -> None:
    while True:
        sum(range(1000))
