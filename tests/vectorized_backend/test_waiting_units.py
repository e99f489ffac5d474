"""The units that wait for a slot."""

from __future__ import annotations

from samplerkit.interfaces.unit_feeds import Asking, InGroups
from samplerkit.sampling.numbering import UnitSeeds
from samplerkit_vectorized.waiting_units import WaitingUnits

SEEDS = UnitSeeds(0)


def numbers(taken):
    return [(slot, unit.number) for slot, unit in taken]


def test_whoever_has_no_more_units_now_is_asked_once_for_all_slots():
    answers = [SEEDS.unit(0), None, None, SEEDS.unit(1)]
    waiting = WaitingUnits(Asking(lambda: answers.pop(0)), None)
    assert numbers(waiting.take([2, 5, 6])) == [(2, 0)]
    assert numbers(waiting.take([5, 6])) == []
    assert numbers(waiting.take([6])) == [(6, 1)]


def test_units_that_wait_for_their_slots_get_there_when_no_more_come():
    answers = [SEEDS.unit(1), SEEDS.unit(3), SEEDS.unit(0), None]
    waiting = WaitingUnits(Asking(lambda: answers.pop(0)), lambda unit: unit.number % 2)
    assert numbers(waiting.take([0])) == [(0, 0)]
    assert numbers(waiting.take([0, 1])) == [(1, 1)]


def test_whoever_has_no_more_units_now_is_asked_once_also_while_some_wait_for_their_slots():
    answers = [SEEDS.unit(7), None, SEEDS.unit(1)]
    waiting = WaitingUnits(Asking(lambda: answers.pop(0)), lambda unit: unit.number)
    assert numbers(waiting.take([0, 1, 2])) == []
    assert numbers(waiting.take([1])) == [(1, 1)]


def test_units_for_any_slot_are_taken_together():
    asked = []

    def several(most):
        asked.append(most)
        return [SEEDS.unit(number) for number in range(2)]

    waiting = WaitingUnits(InGroups(several), None)
    slots, units = waiting.take_together([1, 3, 4])
    assert [*slots] == [1, 3]
    assert [unit.number for unit in units] == [0, 1]
    assert asked == [3]


def test_units_that_do_not_begin_together_are_taken_one_by_one_each_after_the_one_before_has_begun():
    asked, left = [], [SEEDS.unit(number) for number in range(2)]

    def several(most):
        asked.append(most)
        return [left.pop(0)] if left else []

    waiting = WaitingUnits(InGroups(several), None)
    taken = waiting.take([1, 3, 4])
    assert next(taken) == (1, SEEDS.unit(0))
    assert asked == [1], "the second is asked for when the first has begun"
    assert numbers(taken) == [(3, 1)]
    assert asked == [1, 1, 1]
