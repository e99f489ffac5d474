"""Odd backends, again and again under load: a suite that fails one of them raises false alarms."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from samplerkit.contract.mutants.odd import OddBackend, odd_backends
from samplerkit.contract.runner import check

_BURN = "while True: sum(range(10**5))"


@contextmanager
def load(n: int) -> Iterator[None]:
    """Keep so many processes busy meanwhile."""
    burning = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(n)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def false_alarms(backend: OddBackend, profile: str = "quick") -> list[str]:
    """Check an odd backend; return what the suite says against it, clause by clause."""
    report = check(backend.subject, profile)
    return [f"{verdict.clause} {verdict.state}: {verdict.what}" for verdict in report.verdicts if verdict.bad]


def main() -> int:
    """Check every odd backend many times; the status is 1 where the suite ever failed one."""
    parser = argparse.ArgumentParser(prog="python -m samplerkit.contract.mutants.soak", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of odd backends; none means all")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--load", type=int, default=2, help="processes that keep the machine busy")
    given = parser.parse_args()
    chosen = [it for name, it in odd_backends().items() if not given.only or name in given.only]
    failed = 0
    with load(given.load):
        for turn in range(given.times):
            for backend in chosen:
                began = time.monotonic()
                alarms = false_alarms(backend)
                failed += bool(alarms)
                said = "; ".join(alarms) or "green"
                seconds = time.monotonic() - began
                print(f"{turn + 1:3} {backend.name:<24} {seconds:6.1f} s  {said}", flush=True)  # noqa: T201
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
