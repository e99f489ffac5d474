"""Where a process rests: on a CPU of its own, so that no two of them wake up on the same one."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType


class IdleCpu:
    """Keeps the calling thread on a CPU while it sleeps, and lets it go where it likes once it is awake.

    The kernel may put a thread that it wakes on the CPU of whoever woke it, or of another one that it has
    just woken, and takes milliseconds to notice that a CPU is idle meanwhile.

    Args:
        cpu: where to rest.
    """

    def __init__(self, cpu: int) -> None:
        self._here = {cpu}
        self._allowed: set[int] = set()

    def __enter__(self) -> None:
        self._allowed = os.sched_getaffinity(0)
        if self._here < self._allowed:
            self._stay_on(self._here)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Somebody else may have said meanwhile where it is to run from now on.
        if self._here < self._allowed and os.sched_getaffinity(0) == self._here:
            self._stay_on(self._allowed)

    def _stay_on(self, cpus: set[int]) -> None:
        with contextlib.suppress(OSError):  # some sandboxes forbid it
            os.sched_setaffinity(0, cpus)
