"""Measuring contestants in turn, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from samplerkit.bench.contestant import Contestant, ContestantFailed, Measurement, Skipped
from samplerkit.bench.results import Outcome

Progress = Callable[[str, int, int], None]
"""``tell(what happens now, turns done, turns in all)``."""

_SETTLE = 0.05
"""Seconds of quiet before each turn: what the one before still had in flight ends meanwhile."""


def interleave(
    contestants: Sequence[Contestant],
    *,
    rounds: int = 5,
    seconds: float = 1.0,
    warm_up: float | None = None,
    tell: Progress | None = None,
    settle: float = _SETTLE,
) -> list[Outcome]:
    """Start all, then give each a turn in every round; only one works at a time.

    Each round begins with another contestant, so that nobody always follows the same one's heat.

    Args:
        contestants: with distinct names.
        rounds: how many, at least 1.
        seconds: the least duration of a turn.
        warm_up: the same for a turn before the first round that does not count; None: as long as a turn, at
            most a second; 0: none.
        tell: is told how far it is.
        settle: seconds of quiet before each turn.

    Returns:
        What became of each, in their order. One that could not start, or failed, says why.

    Raises:
        ValueError: if names are not distinct, or a number makes no sense.
    """
    _check(contestants, rounds, seconds)
    turns = _Turns(contestants, tell or _silent, settle, len(contestants) * (rounds + 2))
    try:
        for contestant in contestants:
            turns.start(contestant)
        for contestant in contestants:
            turns.warm_up(contestant, min(seconds, 1.0) if warm_up is None else warm_up)
        for index in range(rounds):
            first = index % len(contestants)
            for contestant in (*contestants[first:], *contestants[:first]):
                turns.measure(contestant, index, seconds)
        turns.look_at_the_end()
    finally:
        for contestant in contestants:
            contestant.stop()
    return list(turns.outcomes.values())


class _Turns:
    """The course of it: who still takes part, and what each has done."""

    def __init__(
        self, contestants: Sequence[Contestant], tell: Progress, settle: float, n_turns: int
    ) -> None:
        self.outcomes = {contestant.name: Outcome(contestant.name) for contestant in contestants}
        self._contestants = contestants
        self._tell = tell
        self._settle = settle
        self._n_turns = n_turns
        self._turn = 0
        self._idle_since: dict[str, tuple[float, float]] = {}

    def start(self, contestant: Contestant) -> None:
        outcome = self.outcomes[contestant.name]
        self._next(f"starting {contestant.name}")
        try:
            outcome.start_seconds = contestant.start()
            outcome.versions = contestant.versions()
        except Skipped as reason:
            outcome.skipped = str(reason)
        except Exception as error:
            self._give_up(contestant, "it could not start", error)

    def warm_up(self, contestant: Contestant, seconds: float) -> None:
        if seconds > 0:
            self._take_turn(contestant, "warming up", seconds)

    def measure(self, contestant: Contestant, index: int, seconds: float) -> None:
        measured = self._take_turn(contestant, f"round {index + 1}:", seconds)
        if measured is not None:
            self.outcomes[contestant.name].rounds[index] = measured

    def look_at_the_end(self) -> None:
        """Ask those who came through how much memory they took at most."""
        for contestant in self._contestants:
            outcome = self.outcomes[contestant.name]
            if not outcome.skipped:
                self._end_idling(contestant)
                outcome.memory = contestant.peak_memory()

    def _take_turn(self, contestant: Contestant, what: str, seconds: float) -> Measurement | None:
        self._next(f"{what} {contestant.name}")
        if self.outcomes[contestant.name].skipped:
            return None
        time.sleep(self._settle)
        self._end_idling(contestant)
        try:
            return contestant.measure(seconds)
        except Exception as error:
            self._give_up(contestant, f"it failed ({what.rstrip(':')})", error)
            return None
        finally:
            time.sleep(self._settle)
            self._begin_idling(contestant)

    def _give_up(self, contestant: Contestant, what: str, error: Exception) -> None:
        told = isinstance(error, (Skipped, ContestantFailed))
        text = str(error) if told else f"{type(error).__name__}: {error}"
        self.outcomes[contestant.name].skipped = f"{what}: {text}"
        contestant.stop()

    def _begin_idling(self, contestant: Contestant) -> None:
        used = None if self.outcomes[contestant.name].skipped else contestant.cpu_seconds()
        if used is not None:
            self._idle_since[contestant.name] = time.monotonic(), used

    def _end_idling(self, contestant: Contestant) -> None:
        since = self._idle_since.pop(contestant.name, None)
        used = contestant.cpu_seconds() if since is not None else None
        if since is not None and used is not None:
            outcome = self.outcomes[contestant.name]
            outcome.idle_seconds += time.monotonic() - since[0]
            outcome.idle_cpu_seconds += max(0.0, used - since[1])

    def _next(self, what: str) -> None:
        self._tell(what, self._turn, self._n_turns)
        self._turn += 1


def _check(contestants: Sequence[Contestant], rounds: int, seconds: float) -> None:
    names = [contestant.name for contestant in contestants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"contestants need distinct names, but there are several {', '.join(twice)}")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    if not seconds > 0:
        raise ValueError(f"seconds must be more than 0, not {seconds}")


def _silent(what: str, done: int, total: int) -> None:
    del what, done, total
