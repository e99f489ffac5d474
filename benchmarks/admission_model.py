"""Admission at ten thousand workers, simulated: real admission and schedule, measured costs, a clock apart.

One driver serves answers one after the other, each at a fixed price and a price for each of its units. Actors
have slots that run a unit each, and as many units waiting; what ends within a moment travels together, and so
does what ends until the driver asks again: the busier it is, the more each answer brings. With an update each
call, everything that runs ahead is dropped, and each actor has to be told.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.running import Course
from samplerkit.episodes import EpisodeSlice, Span
from samplerkit.sampling.admission import Admission, Result, Units
from samplerkit.sampling.schedule import Schedule

TITLE = "10,000 workers on one driver, simulated with the costs that were measured for Ray"

LINGERS = 0.01
"""Seconds that a result waits for others to travel with, see `Transport.lingers`."""

LATENCY = 0.002
"""Seconds that a message takes."""

DEPTH = 2
"""Units that a slot has: one that runs, one that waits."""


@dataclass(frozen=True)
class Costs:
    """Seconds of the driver's time.

    Attributes:
        message: for each that comes and what is sent back.
        unit: for each unit that a message brings.
        told: for each actor, where an update begins a call.
    """

    message: float
    unit: float
    told: float


@dataclass(frozen=True)
class Cluster:
    """What runs units.

    Attributes:
        actors: how many.
        slots: environments that each steps at once.
        seconds: of a unit, on the average; lengths are lognormal.
        sigma: of their logarithms.
    """

    actors: int
    slots: int
    seconds: float
    sigma: float = 0.5


@dataclass(frozen=True)
class Found:
    """What came of it.

    Attributes:
        units_per_second: delivered.
        of_ideal: of what all slots run where nobody ever waits.
        busy: part of the time that the driver was.
    """

    units_per_second: float
    of_ideal: float
    busy: float


@dataclass
class _Actor:
    waiting: deque[int] = field(default_factory=deque)
    free: int = 0
    ended: list[int] = field(default_factory=list)
    asked: bool = True
    leaves: bool = False


class _Model:
    def __init__(self, cluster: Cluster, costs: Costs, units: int, update: bool) -> None:
        self.cluster, self.costs, self.units, self.update = cluster, costs, units, update
        self.generator = np.random.default_rng(0)
        self.events: list[tuple[float, int, str, int, Any]] = []
        self.order = itertools.count()
        self.now = self.driver_free = self.driver_spent = 0.0
        self.schedule = Schedule(cluster.actors * cluster.slots, in_order=False)
        self.schedule.begin([None])
        self.actors = [_Actor(free=cluster.slots) for _ in range(cluster.actors)]
        self.cursor = self.epoch = 0
        self.ahead: list[Result] = []

    def run(self, calls: int) -> Found:
        """Run a call that nobody counts, and then so many."""
        self.call()
        began, spent = self.now, self.driver_spent
        for _ in range(calls):
            self.call()
        passed = self.now - began
        rate = calls * self.units / passed
        ideal = self.cluster.actors * self.cluster.slots / self.cluster.seconds
        return Found(rate, rate / ideal, (self.driver_spent - spent) / passed)

    def call(self) -> None:
        """Run units until a batch is whole."""
        if self.update:
            self._begin_epoch()
        admission = Admission(Units(self.units), self.cursor)
        admission.offer_all(self.ahead)
        self.ahead = []
        for index in range(self.cluster.actors):
            self._give(index, admission)
        while not admission.complete:
            self.now, _, what, index, about = heapq.heappop(self.events)
            getattr(self, f"_{what}")(index, about, admission)
        self.ahead = admission.surplus()
        self.cursor = admission.next

    def _begin_epoch(self) -> None:
        self.epoch += 1
        self.ahead = []
        self.schedule.forget()
        self._spend(self.costs.told * self.cluster.actors)
        for actor in self.actors:
            actor.waiting.clear()
            actor.ended.clear()
            actor.free, actor.asked, actor.leaves = self.cluster.slots, True, False

    def _spend(self, seconds: float) -> float:
        """Let the driver work; return when it is done."""
        self.driver_free = max(self.driver_free, self.now) + seconds
        self.driver_spent += seconds
        return self.driver_free

    def _at(self, when: float, what: str, index: int, about: Any) -> None:
        heapq.heappush(self.events, (when, next(self.order), what, index, (self.epoch, about)))

    def _give(self, index: int, admission: Admission) -> None:
        """Fill an actor up; with units that this batch needs, or the next if there is no update before it."""
        actor, size = self.actors[index], self.cluster.slots
        horizon = admission.first + self.units * (1 if self.update else 3)
        given = []
        while len(actor.waiting) + size - actor.free + len(given) < DEPTH * size:
            number = self.schedule.take(None, admission, horizon)
            if number is None:
                break
            given.append(number)
        if given:
            self._at(max(self.driver_free, self.now) + LATENCY, "arrive", index, given)

    def _arrive(self, index: int, about: Any, admission: Admission) -> None:
        """Units come to an actor."""
        epoch, numbers = about
        if epoch == self.epoch:
            self.actors[index].waiting.extend(numbers)
            self._start(index)

    def _start(self, index: int) -> None:
        actor, mean, sigma = self.actors[index], self.cluster.seconds, self.cluster.sigma
        while actor.free and actor.waiting:
            actor.free -= 1
            seconds = self.generator.lognormal(math.log(mean) - sigma**2 / 2, sigma)
            self._at(self.now + seconds, "end", index, actor.waiting.popleft())

    def _end(self, index: int, about: Any, admission: Admission) -> None:
        """A unit ends; its message leaves a little later, or at once where nothing else runs."""
        epoch, number = about
        if epoch != self.epoch:
            return
        actor = self.actors[index]
        actor.free += 1
        actor.ended.append(number)
        self._start(index)
        self._answer(index)

    def _answer(self, index: int) -> None:
        """What ended leaves a little later, or at once where nothing else runs; if the driver has asked."""
        actor = self.actors[index]
        if actor.ended and actor.asked and not actor.leaves:
            actor.leaves = True
            idle = actor.free == self.cluster.slots
            self._at(self.now + (0.0 if idle else LINGERS), "leave", index, None)

    def _leave(self, index: int, about: Any, admission: Admission) -> None:
        actor = self.actors[index]
        if about[0] == self.epoch:
            actor.leaves = actor.asked = False
            numbers, actor.ended = actor.ended, []
            self._at(self.now + LATENCY, "come", index, numbers)

    def _ask(self, index: int, about: Any, admission: Admission) -> None:
        if about[0] == self.epoch:
            self.actors[index].asked = True
            self._answer(index)

    def _come(self, index: int, about: Any, admission: Admission) -> None:
        """A message comes to the driver, which may be busy."""
        epoch, numbers = about
        if epoch == self.epoch:
            when = self._spend(self.costs.message + self.costs.unit * len(numbers))
            self._at(when, "serve", index, numbers)

    def _serve(self, index: int, about: Any, admission: Admission) -> None:
        epoch, numbers = about
        if epoch == self.epoch:
            self._at(self.now + LATENCY, "ask", index, None)
            admission.offer_all((number, _UNIT) for number in numbers)
            self._give(index, admission)


class _Nothing:
    """Holds the one step of every unit."""

    env_spec: Any = SimpleNamespace(step_bytes=0)

    def view(self, episodes: slice, rows: slice) -> Any:
        """Never asked for."""
        raise AssertionError("nobody makes a batch of these")


_UNIT = Span.of(EpisodeSlice(_Nothing(), 0, 1, 0, 1))


def simulate(cluster: Cluster, costs: Costs, *, units: int, update: bool, calls: int = 4) -> Found:
    """Return what a driver with such costs makes of a cluster, with so many units a call."""
    return _Model(cluster, costs, units, update).run(calls)


MEASURED = Costs(message=1.5e-3, unit=22e-6, told=0.6e-3)
"""Of Ray, by `benchmarks.driver`."""


FREE = Costs(0.0, 0.0, 0.0)


def run(course: Course) -> dict[str, Any]:
    """Simulate 10,000 slots, on few actors or on many, with units that take a tenth of a second to ten."""
    del course
    rows: list[list[Any]] = []
    for actors, seconds in itertools.product((100, 1_000, 10_000), (0.1, 1.0, 10.0)):
        cluster = Cluster(actors, 10_000 // actors, seconds)
        row: list[Any] = [actors, cluster.slots, seconds]
        for update in (False, True):
            best = simulate(cluster, FREE, units=20_000, update=update)
            found = simulate(cluster, MEASURED, units=20_000, update=update)
            row += [round(best.units_per_second), round(found.units_per_second / best.units_per_second, 2)]
            row.append(round(found.busy, 2))
        rows.append(row)
    columns = ["actors", "slots each", "a unit, s", "units/s, free driver", "of that", "driver busy"]
    columns += ["with an update each call: units/s, free driver", "of that", "driver busy"]
    return {"key": "admission", "title": TITLE, "columns": columns, "rows": rows}
