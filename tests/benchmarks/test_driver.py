from __future__ import annotations

import pytest

from benchmarks.admission_model import FREE, Cluster, Costs, simulate
from benchmarks.driver import Load, measure, row, update_cost
from benchmarks.environments import Sleeper
from benchmarks.running import Course

CLUSTER = Cluster(actors=20, slots=2, seconds=1.0, sigma=0.0)


def test_a_driver_that_costs_nothing_keeps_every_slot_busy():
    found = simulate(CLUSTER, FREE, units=400, update=False)
    assert found.of_ideal == pytest.approx(1.0, abs=0.05)
    assert found.busy == 0.0


def test_a_driver_that_is_too_slow_delivers_what_it_has_time_for():
    found = simulate(CLUSTER, Costs(message=0.0, unit=0.1, told=0.0), units=400, update=False)
    assert found.units_per_second == pytest.approx(10, rel=0.05)
    assert found.busy == pytest.approx(1.0, abs=0.02)


def test_a_busy_driver_gets_more_units_with_each_answer():
    slots = Cluster(actors=20, slots=50, seconds=1.0)
    found = simulate(slots, Costs(message=0.01, unit=0.0, told=0.0), units=2_000, update=False)
    assert found.units_per_second > 5 / 0.01, "one unit an answer would be a hundred a second"


def test_an_update_costs_what_it_takes_to_tell_every_actor():
    dear = simulate(CLUSTER, Costs(message=0.0, unit=0.0, told=0.5), units=400, update=True)
    free = simulate(CLUSTER, FREE, units=400, update=True)
    assert 400 / dear.units_per_second - 400 / free.units_per_second == pytest.approx(20 * 0.5, rel=0.1)


@pytest.mark.slow
def test_units_that_sleep_are_delivered_by_a_real_driver():
    load = Load(Sleeper, carriers=2, workers=4, units_each=2)
    course = Course(rounds=1, seconds=0.5, processes=2)
    cells = row("multiprocessing", load, measure("multiprocessing", load, course))
    assert cells[:4] == ["multiprocessing", 2, 4, "sleeps 0.1 s"]
    assert cells[4] > 0, "units per second"
    assert cells[6] > 0, "the driver has worked"


def test_the_cost_of_an_update_is_told_for_each_carrier():
    without, with_it, each = update_cost("multiprocessing", 2, Course(rounds=2, seconds=0.2, processes=2))
    assert min(without, with_it) > 0
    assert each == pytest.approx(1e3 * (with_it - without) / 2, abs=6)
