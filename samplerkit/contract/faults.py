"""The fault table: what may go wrong (kinds), where (sites), and when (moments)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations, product
from typing import Any, NoReturn

from samplerkit.contract.probes import UnpicklableError, raise_odd, raise_unpicklable
from samplerkit.contract.profiles import Profile
from samplerkit.interfaces import Capabilities

TEXT = "the probe raised this"
LARGE = 2 << 20
"""Bytes: more than any pipe or socket holds."""

SLOW = 0.05
"""Seconds that something slow takes."""

UNIT_TIMEOUT = 0.3
"""Seconds after which a unit counts as hung, in cells that hang."""


# -- what goes wrong ---------------------------------------------------------------------------------


def raise_error() -> NoReturn:
    """Raise something plain."""
    raise ValueError(TEXT)


def raise_large() -> NoReturn:
    """Raise something whose text is larger than a pipe."""
    raise ValueError(TEXT + "x" * LARGE)


def raise_exit() -> NoReturn:
    """Do what `sys.exit` does."""
    sys.exit(3)


def raise_interrupt() -> NoReturn:
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt(TEXT)


def raise_cancelled() -> NoReturn:
    """Raise what is no `Exception`, and comes out of whatever runs an event loop of its own."""
    raise asyncio.CancelledError(TEXT)


def raise_stop() -> NoReturn:
    """Do what `next` does at the end of a recording: generators on the way make something else of it."""
    raise StopIteration(TEXT)


def sleep_a_little() -> None:
    """Take long, but not too long."""
    time.sleep(SLOW)


@dataclass(frozen=True)
class Kill:
    """Ends the process that it is called in, unless that is the one in which it was made.

    Attributes:
        status: exit status; None means SIGKILL.
    """

    status: int | None = None
    home: int = field(default_factory=os.getpid)

    def __call__(self) -> None:
        """End the process."""
        if os.getpid() == self.home:
            raise RuntimeError("this would have ended the caller's process: workers live there")
        if self.status is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            os._exit(self.status)


def dawdle() -> None:
    """Take longer than anybody would wait, if it is done often."""
    time.sleep(5 * SLOW)


def hang() -> None:
    """Never come back."""
    time.sleep(1000)


@dataclass(frozen=True)
class Hang:
    """Never comes back, unless it is called in the process in which it was made: a sampler that asks what
    an environment is like may construct one there, and close it.
    """

    home: int = field(default_factory=os.getpid)

    def __call__(self) -> None:
        """Wait for ever."""
        if os.getpid() != self.home:
            hang()


@dataclass(frozen=True)
class Raised:
    """What is known of an exception before it is raised."""

    name: str
    text: str
    type: type[BaseException] | None
    """None where it cannot be pickled, so that it need not be the cause."""


RAISES: dict[str, tuple[Callable[[], Any], Raised]] = {
    "error": (raise_error, Raised("ValueError", TEXT, ValueError)),
    "unpicklable error": (raise_unpicklable, Raised(UnpicklableError.__name__, TEXT, None)),
    "odd error": (raise_odd, Raised("OddError", "this and that", None)),
    "sys.exit": (raise_exit, Raised("SystemExit", "3", SystemExit)),
    "KeyboardInterrupt": (raise_interrupt, Raised("KeyboardInterrupt", TEXT, KeyboardInterrupt)),
    "large error": (raise_large, Raised("ValueError", TEXT + "x" * LARGE, ValueError)),
    "CancelledError": (raise_cancelled, Raised("CancelledError", TEXT, asyncio.CancelledError)),
    "StopIteration": (raise_stop, Raised("StopIteration", TEXT, StopIteration)),
}
"""Kinds that are exceptions."""

DEATHS = {"SIGKILL": -signal.SIGKILL, "os._exit(0)": 0}
"""Kinds that end a process, and its exit code."""

ONCE = " once"
HANG, SLOWLY, BALLAST = "hang", "slow", "large payload"
CTRL_C, CTRL_C_HANG = "Ctrl-C while it is slow", "Ctrl-C while it hangs"

# -- where and when ----------------------------------------------------------------------------------

UNIT_SITES = ("reset", "step", "get_action", "reset_policy", "transfer")
START_SITES = ("factory", "construct", "unpickle")
UPDATE_SITES = ("construct", "unpickle", "update_agent", "update_env")
AT_START = ("at the start, all workers", "at the start, last worker")
IN_UNITS = ("first unit, worker 0", "first unit, last worker", "later unit")
IN_UPDATES = ("in an update, all workers", "in an update, last worker")
AT_SHUTDOWN = "at shutdown"
WHILE_CLOSING = "in a unit while another thread shuts down"


@dataclass(frozen=True)
class Cell:
    """One cell of the table.

    Attributes:
        promise: id of the clause that it belongs to.
        site: where.
        kind: what.
        moment: when.
        exact: whether in a call for exact episodes.
    """

    promise: str
    site: str
    kind: str
    moment: str
    exact: bool = False

    def __str__(self) -> str:
        call = " of obtain_exact_episodes" if self.exact else ""
        return f"{self.kind} in {self.site}, {self.moment}{call}"

    @property
    def once(self) -> bool:
        """Whether it happens only once, whoever comes first."""
        return self.kind.endswith(ONCE)

    @property
    def what(self) -> str:
        """The kind, without how often."""
        return self.kind.removesuffix(ONCE)

    @property
    def raises(self) -> Raised | None:
        """What is raised, for kinds that are exceptions."""
        return RAISES[self.kind][1] if self.kind in RAISES else None

    @property
    def lethal(self) -> bool:
        """Whether a process ends over it."""
        return self.what in DEATHS or self.what in (HANG, CTRL_C_HANG)

    @property
    def interrupted(self) -> bool:
        """Whether the user presses Ctrl-C meanwhile."""
        return self.kind in (CTRL_C, CTRL_C_HANG)

    @property
    def by_hand(self) -> bool:
        """Whether it is Ctrl-C, or what a worker in the caller's process cannot tell from it."""
        return self.interrupted or self.kind == "KeyboardInterrupt"

    @property
    def in_update(self) -> bool:
        """Whether it comes with an update."""
        return self.moment in IN_UPDATES

    @property
    def in_one_unit(self) -> bool:
        """Whether it comes in one unit. A policy is not told which episode it is reset for."""
        return self.moment in IN_UNITS and self.site != "reset_policy"

    @property
    def unavoidable(self) -> bool:
        """Whether no batch comes before somebody met it, and that was noticed.

        Otherwise those whom it did not strike may run all that the batch needs.
        """
        return self.in_one_unit or self.site in UPDATE_SITES

    @property
    def last_only(self) -> bool:
        """Whether only the last worker gets it, from a list."""
        return self.moment in (AT_START[1], IN_UPDATES[1])

    def action(self) -> Callable[[], Any]:
        """Return what the probe is to do."""
        if self.kind in RAISES:
            return RAISES[self.kind][0]
        if self.what in DEATHS:
            return Kill(None if DEATHS[self.what] else 0)
        actions: dict[str, Callable[[], Any]] = {HANG: Hang(), CTRL_C_HANG: hang, CTRL_C: dawdle}
        return actions.get(self.what, sleep_a_little)

    @property
    def needs(self) -> set[str]:
        """Capabilities that a backend must declare for this cell."""
        needed = {"restartable"} if self.lethal else set()
        if self.what == HANG:
            needed.add("unit_timeout")
        return needed | {"per_worker_agents", "per_worker_envs"} if self.last_only else needed


def _product(
    promise: str, sites: Iterable[str], kinds: Iterable[str], moments: Iterable[str]
) -> Iterator[Cell]:
    for site, kind, moment in product(sites, kinds, moments):
        # A policy is not told which episode it is reset for, so it can only fail in all of them.
        if site != "reset_policy" or moment not in IN_UNITS[1:]:
            yield Cell(promise, site, kind, moment)


def _everything() -> Iterator[Cell]:
    """Yield every cell that makes sense."""
    once = [kind + ONCE for kind in DEATHS]
    yield from _product("E1.constructor", START_SITES, [*RAISES, *DEATHS], AT_START)
    yield from _product("D1.typed-errors", UNIT_SITES, RAISES, IN_UNITS)
    yield from _product("C5.atomic", (*UPDATE_SITES, "reset", "step", "get_action"), RAISES, IN_UPDATES)
    yield from _product("D2.no-trace", UNIT_SITES, once, IN_UNITS)
    yield from _product("D2.no-trace", (*UPDATE_SITES, "step"), once, IN_UPDATES)
    yield from _product("D2.worker-died", UNIT_SITES, DEATHS, IN_UNITS)
    yield from _product("D2.worker-died", (*UPDATE_SITES, "step"), DEATHS, IN_UPDATES)
    yield from _product("D3.hang", UNIT_SITES[:4], [HANG + ONCE], IN_UNITS)
    yield from _product("D3.hang", UNIT_SITES[:4], [HANG], (*IN_UNITS, IN_UPDATES[0]))
    yield from _product(
        "D0.slow-or-large", ["transfer", "update_agent", "update_env"], [BALLAST], IN_UPDATES[:1]
    )
    yield from _product("D0.slow-or-large", ["step", "construct", "update_agent"], [SLOWLY], IN_UPDATES[:1])
    yield from _product(
        "E2.shutdown-whatever-comes", ["close"], [*list(RAISES)[:4], *DEATHS, HANG, SLOWLY], [AT_SHUTDOWN]
    )
    yield from _product("D6.shutdown", ["step"], [SLOWLY, HANG], [WHILE_CLOSING])
    interrupted = ("reset", "step", "get_action")
    yield from _product("D4.interrupt", interrupted, [CTRL_C, CTRL_C_HANG], (*IN_UNITS, IN_UPDATES[0]))
    yield from _product("D4.interrupt", START_SITES, [CTRL_C_HANG], AT_START[:1])
    yield from _product("D4.interrupt", UPDATE_SITES, [CTRL_C_HANG], IN_UPDATES)


def _pairs(cell: Cell) -> set[frozenset[tuple[str, str]]]:
    """Return the pairs of properties that a cell tries together."""
    named = [("promise", cell.promise), ("site", cell.site), ("kind", cell.kind), ("moment", cell.moment)]
    return {frozenset(pair) for pair in combinations(named, 2)}


def pairwise(cells: Iterable[Cell]) -> list[Cell]:
    """Return cells that try every pair of site, kind and moment, the most telling first."""
    left = list(cells)
    untried = set[frozenset[tuple[str, str]]]().union(*map(_pairs, left))
    chosen: list[Cell] = []
    while untried:
        best = max(left, key=lambda cell: len(_pairs(cell) & untried))
        left.remove(best)
        untried -= _pairs(best)
        chosen.append(best)
    return chosen


def chosen_cells(profile: Profile, capabilities: Capabilities) -> list[Cell]:
    """Return the cells that a profile tries on a backend: at least one of each promise."""
    table = _table(frozenset(name for name, support in capabilities.items() if support))
    if profile.fault_cells is None:
        return table
    first = {cell.promise: cell for cell in reversed(table)}
    spread = [*first.values(), *(cell for cell in table if cell not in first.values())]
    return spread[: max(len(first), profile.fault_cells)]


@lru_cache
def _table(offered: frozenset[str]) -> list[Cell]:
    return pairwise(cell for cell in _everything() if not cell.needs - offered)
