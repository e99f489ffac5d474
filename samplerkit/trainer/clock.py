"""Seconds of a run, of its epochs and of their sampling: for the timing columns and nothing else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class RunClock:
    """Counts on over resumptions.

    Args:
        elapsed_before: Seconds of the run before this session.
    """

    def __init__(self, elapsed_before: float = 0.0) -> None:
        self._elapsed_before = elapsed_before
        self._began: float | None = None
        self.start_epoch()

    def start(self) -> None:
        """Training begins."""
        self._began = time.perf_counter()

    def start_epoch(self) -> None:
        """An epoch begins."""
        self._epoch_began = time.perf_counter()
        self._sampling = 0.0

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        """What happens inside is sampling."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._sampling += time.perf_counter() - began

    def elapsed(self) -> float:
        """Seconds of the run so far."""
        running = 0.0 if self._began is None else time.perf_counter() - self._began
        return self._elapsed_before + running

    def diagnostics(self) -> dict[str, float]:
        """The values of `TIMING_COLUMNS`."""
        epoch_time = time.perf_counter() - self._epoch_began
        return {"Time": self.elapsed(), "EpochTime": epoch_time, "SamplingTime": self._sampling}
