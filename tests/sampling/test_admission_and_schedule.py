"""Which units make up a batch, and in what order they are handed out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerkit import EnvSpec, EpisodeBatch, WorkerError
from samplerkit.episodes import EpisodeSlice, Span, span_of, whole
from samplerkit.sampling.admission import Admission, Calls, Rounds, Steps, Units, in_spans
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.schedule import Schedule

SPEC = EnvSpec(gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64), gymnasium.spaces.Discrete(2), None)


def result(number: int, length: int) -> EpisodeSlice:
    """Return an episode whose observations are the number of its unit."""
    types = np.ones(length, np.int8)
    types[0], types[-1] = 0, 2
    return whole(
        EpisodeBatch.unchecked(
            env_spec=SPEC,
            episode_infos={},
            observations=np.full((length, 1), float(number)),
            last_observations=np.full((1, 1), float(number)),
            actions=np.zeros(length, np.int64),
            rewards=np.zeros(length),
            env_infos={},
            agent_infos={},
            step_types=types,
            lengths=np.array([length]),
        )
    )


def together_in_a_store(first: int, lengths: Sequence[int]) -> Span:
    """Return such episodes of consecutive units, which stand side by side."""
    batches = [result(first + i, length).view() for i, length in enumerate(lengths)]
    return span_of(EpisodeBatch.concatenate(*batches), [1] * len(lengths))


def failure(number: int) -> Failure:
    return Failure(number % 2, number, "ValueError", f"unit {number}", "trace", None)


def numbers(admission: Admission) -> list[int]:
    return [int(piece.view().observations[0, 0]) for piece in admission.admitted()]


def shortest_prefix(lengths: list[int], least: int) -> int:
    total = 0
    for count, length in enumerate(lengths, start=1):
        total += length
        if total >= least:
            return count
    raise AssertionError("the lengths do not suffice")


lengths_lists = st.lists(st.integers(1, 20), min_size=1, max_size=30)


# -- admission -----------------------------------------------------------------------------------


@given(st.data())
def test_any_order_of_arrival_gives_the_same_shortest_prefix(data):
    lengths = data.draw(lengths_lists)
    cursor = data.draw(st.integers(0, 500))
    least = data.draw(st.integers(1, sum(lengths)))
    order = data.draw(st.permutations(range(len(lengths))))
    admission = Admission(Steps(least), cursor)
    for index in order:
        if not admission.complete:
            admission.offer(cursor + index, result(cursor + index, lengths[index]))
    count = shortest_prefix(lengths, least)
    assert numbers(admission) == list(range(cursor, cursor + count))
    assert admission.steps == sum(lengths[:count])
    assert admission.next == cursor + count


@given(st.data())
def test_exact_units_in_any_order(data):
    count = data.draw(st.integers(1, 10))
    order = data.draw(st.permutations(range(count + 3)))
    admission = Admission(Units(count), 4)
    for index in order:
        if not admission.complete:
            admission.offer(4 + index, result(4 + index, 1 + index))
    assert numbers(admission) == list(range(4, 4 + count))


@given(st.data())
def test_steps_that_wait_are_counted(data):
    lengths = data.draw(lengths_lists)
    order = data.draw(st.permutations(range(len(lengths))))
    admission = Admission(Steps(sum(lengths)), 0)
    for index in order:
        admission.offer(index, result(index, lengths[index]))
        assert admission.waiting_steps == sum(lengths[number] for number in admission.waiting)


def test_a_unit_that_comes_twice_counts_once():
    admission = Admission(Steps(100), 0)
    for number in (1, 0, 0, 1, 2, 1):
        admission.offer(number, result(number, 10))
    assert numbers(admission) == [0, 1, 2]
    assert (admission.steps, admission.waiting_steps) == (30, 0)


@st.composite
def goals(draw, lengths):
    return draw(
        st.one_of(
            st.builds(Steps, st.integers(1, sum(lengths))),
            st.builds(Units, st.integers(1, len(lengths))),
            st.builds(Rounds, st.integers(1, sum(lengths)), n_workers=st.integers(1, 3)),
            st.builds(Calls, st.integers(1, len(lengths)), size=st.just(5)),
        )
    )


@given(st.data())
def test_units_that_are_offered_together_are_admitted_as_one_by_one(data):
    """In spans of any length, in any order, and some of them again: as after a death."""
    lengths = data.draw(lengths_lists)
    goal = data.draw(goals(lengths))
    cursor, before = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 3))
    lengths = [1] * before + lengths
    first = max(0, cursor - before)
    units = together_in_a_store(first, lengths)
    bounds = st.tuples(st.integers(0, len(lengths)), st.integers(0, len(lengths))).map(sorted)
    some = bounds.filter(lambda it: it[0] < it[1])
    together, alone = Admission(goal, cursor), Admission(goal, cursor)
    for group in data.draw(st.lists(st.lists(some, max_size=4), max_size=9)):
        if not alone.complete:
            together.offer_all([(first + start, units.part(start, stop)) for start, stop in group])
        for number in (number for start, stop in group for number in range(start, stop)):
            if not alone.complete:
                alone.offer(first + number, units.slices()[number])
        assert together.complete == alone.complete
        assert (together.next, together.steps) == (alone.next, alone.steps)
        if not alone.complete:
            assert (together.waiting, together.waiting_steps) == (alone.waiting, alone.waiting_steps)
    assert numbers(together) == numbers(alone)


@given(st.data())
def test_what_a_batch_does_not_need_is_left_for_the_next(data):
    lengths = data.draw(lengths_lists)
    first, least = data.draw(st.integers(0, 9)), data.draw(st.integers(1, sum(lengths)))
    admission, units = Admission(Steps(least), first), together_in_a_store(first, lengths)
    # In one span, or in two of which the second waits for the first.
    half = data.draw(st.integers(0, len(lengths) - 1))
    later = [(first + half, units.part(half, len(lengths)))]
    admission.offer_all([*later, (first, units.part(0, half))] if half else later)
    count = shortest_prefix(lengths, least)
    rest = Admission(Units(len(lengths) - count), admission.next)
    rest.offer_all(admission.surplus())
    assert admission.waiting == set(range(first + count, first + len(lengths)))
    assert admission.waiting_steps == rest.steps == sum(lengths[count:])
    assert numbers(admission) + numbers(rest) == list(range(first, first + len(lengths)))


@given(st.lists(st.integers(0, 20), unique=True, min_size=1))
def test_units_of_a_message_in_any_order_come_in_as_few_spans_as_can_be(some):
    units = together_in_a_store(0, [1 + number % 3 for number in range(len(some))])
    found = in_spans(some, units)
    assert [number + i for number, span in found for i in range(span.n_slices)] == some
    assert [piece for _, span in found for piece in span.slices()] == units.slices()
    breaks = sum(one + 1 != other for one, other in itertools.pairwise(some))
    assert len(found) == breaks + 1


@pytest.mark.parametrize("some", [[], [3], [3, 4, 5]])
def test_as_many_numbers_as_units_are_needed(some):
    with pytest.raises(ValueError, match=f"results of 2 units, but {len(some)} numbers"):
        in_spans(some, together_in_a_store(3, [1, 2]))


def test_what_comes_before_a_failure_in_one_offer_is_admitted():
    admission = Admission(Units(3), 0)
    with pytest.raises(WorkerError, match="unit 1"):
        admission.offer_all([(1, failure(1)), (2, Span.of(result(2, 5))), (0, Span.of(result(0, 10)))])
    assert (admission.next, admission.steps, admission.waiting_steps) == (1, 10, 5)
    assert numbers(admission) == [0]


def test_a_unit_before_the_cursor_is_none_of_this_batch():
    admission = Admission(Steps(1), 5)
    admission.offer(4, result(4, 10))
    assert list(admission.admitted()) == []
    assert not admission.waiting


def test_a_failure_waits_for_its_turn():
    admission = Admission(Steps(30), 0)
    admission.offer(1, failure(1))
    with pytest.raises(WorkerError, match="unit 1"):
        admission.offer(0, result(0, 10))


def test_a_failure_that_is_not_needed_is_not_raised():
    admission = Admission(Steps(10), 0)
    admission.offer(1, failure(1))
    admission.offer(0, result(0, 10))
    assert numbers(admission) == [0]
    assert admission.complete


@given(st.data())
def test_of_several_failures_the_lowest_unit_s_is_raised(data):
    bad = data.draw(st.sets(st.integers(0, 9), min_size=1))
    order = data.draw(st.permutations(range(10)))
    admission = Admission(Units(10), 0)

    def offer_all():
        for number in order:
            admission.offer(number, failure(number) if number in bad else result(number, 1))

    with pytest.raises(WorkerError) as caught:
        offer_all()
    assert caught.value.unit == min(bad)


# -- schedule ------------------------------------------------------------------------------------


def schedule(n_carriers=2, in_order=False, homes=(None,)):
    it = Schedule(n_carriers, in_order=in_order)
    it.begin(homes)
    return it


def take(it, carrier, admission, in_flight):
    return it.take(carrier, admission, it.horizon(admission, in_flight))


def take_all(it, admission, carriers=1, in_flight=0):
    """Let carriers ask in turn until none gets a unit."""
    taken = []
    while True:
        numbers = [take(it, carrier, admission, in_flight + len(taken)) for carrier in range(carriers)]
        if not any(number is not None for number in numbers):
            return taken
        taken += [number for number in numbers if number is not None]


@given(st.integers(1, 4), st.integers(1, 30), st.integers(0, 1000))
def test_every_number_is_handed_out_once_lowest_first(carriers, count, cursor):
    it = schedule(carriers)
    assert take_all(it, Admission(Units(count), cursor), carriers) == list(range(cursor, cursor + count))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.integers(1, 30), st.integers(0, 100))
def test_carriers_get_the_units_of_their_workers_only(homes, count, cursor):
    it = schedule(3, homes=homes)
    admission = Admission(Units(count), cursor)
    taken = {carrier: [] for carrier in range(3)}
    for carrier in taken:
        while (number := take(it, carrier, admission, 0)) is not None:
            taken[carrier].append(number)
    for carrier, units in taken.items():
        assert units == sorted(units)
        assert all(homes[number % len(homes)] == carrier for number in units)
    everything = sorted(number for units in taken.values() for number in units)
    assert everything == list(range(cursor, cursor + count))


def test_exact_units_are_never_exceeded():
    it = schedule(4)
    for _ in range(3):
        it.ended(1, 1)
    assert len(take_all(it, Admission(Units(3), 0), 4)) == 3


def test_the_horizon_follows_the_mean_length():
    it = schedule()
    for _ in range(5):
        it.ended(1, 10)
    assert take_all(it, Admission(Steps(35), 0)) == [0, 1, 2, 3]


def test_failures_say_nothing_about_lengths():
    it = schedule()
    it.ended(1, 10)
    assert take_all(it, Admission(Steps(20), 0)) == [0, 1]


def test_what_waits_is_counted_against_the_need():
    it = schedule()
    for _ in range(5):
        it.ended(1, 10)
    admission = Admission(Steps(30), 0)
    assert [take(it, 0, admission, 0) for _ in range(4)] == [0, 1, 2, None]
    admission.offer(1, result(1, 10))
    admission.offer(2, result(2, 10))
    assert take(it, 0, admission, 1) is None, "30 steps are on their way"


def test_at_least_the_next_unit_is_handed_out():
    it = schedule()
    for _ in range(5):
        it.ended(1, 10)
    admission = Admission(Steps(20), 0)
    assert [take(it, 0, admission, 0), take(it, 0, admission, 1)] == [0, 1]
    admission.offer(0, result(0, 1))
    admission.offer(1, result(1, 1))
    assert take(it, 0, admission, 0) == 2, "the first two were shorter than expected"


@given(st.data())
def test_no_batch_waits_for_a_unit_that_nobody_was_given(data):
    lengths = st.integers(1, 20)
    carriers = data.draw(st.integers(1, 3))
    it = schedule(carriers, in_order=data.draw(st.booleans()))
    admission = Admission(Steps(data.draw(st.integers(1, 200))), data.draw(st.integers(0, 9)))
    running: list[int] = []
    for _ in range(2000):
        if admission.complete:
            return
        for carrier in range(carriers):
            number = take(it, carrier, admission, len(running))
            if number is not None:
                running.append(number)
        assert running, "nothing runs, and the batch is not complete: it would wait for ever"
        number = running.pop(data.draw(st.integers(0, len(running) - 1)))
        batch = result(number, data.draw(lengths))
        it.ended(1, batch.n_steps)
        admission.offer(number, batch)
    raise AssertionError("the batch was never completed")


def test_stateful_workers_run_one_unit_at_a_time_and_none_ahead():
    it = schedule(in_order=True)
    admission = Admission(Steps(30), 0)
    assert take(it, 0, admission, 0) == 0
    assert take(it, 0, admission, 1) is None
    admission.offer(0, result(0, 10))
    assert take(it, 0, admission, 0) == 1


def test_a_lost_unit_runs_again_before_all_others():
    it = schedule()
    admission = Admission(Units(9), 0)
    assert [take(it, 0, admission, 0) for _ in range(4)] == [0, 1, 2, 3]
    it.lost(2, suspect=False)
    assert [take(it, 0, admission, 0) for _ in range(2)] == [2, 4]


def test_a_suspect_waits_until_admission_reaches_it():
    it = schedule()
    admission = Admission(Units(4), 0)
    assert [take(it, 0, admission, 0) for _ in range(3)] == [0, 1, 2]
    it.lost(1, suspect=True)
    assert take(it, 0, admission, 0) == 3
    assert take(it, 0, admission, 0) is None
    admission.offer(0, result(0, 1))
    assert take(it, 0, admission, 0) == 1


def test_a_lost_unit_stays_at_home():
    it = schedule(homes=(0, 1))
    admission = Admission(Units(4), 0)
    assert [take(it, 0, admission, 0), take(it, 1, admission, 0)] == [0, 1]
    it.lost(1, suspect=False)
    assert [take(it, 0, admission, 0), take(it, 1, admission, 0)] == [2, 1]


def test_after_forgetting_units_are_handed_out_again():
    it = schedule()
    admission = Admission(Units(3), 0)
    take(it, 0, admission, 0)
    take(it, 0, admission, 0)
    it.lost(1, suspect=True)
    it.forget()
    assert take_all(it, admission) == [0, 1, 2]


def test_a_new_call_goes_on_where_the_last_one_stopped():
    it = schedule()
    it.ended(1, 10)
    assert take_all(it, Admission(Units(3), 0)) == [0, 1, 2]
    it.begin([None])
    assert take_all(it, Admission(Units(2), 3)) == [3, 4]
    it.begin([None])
    assert take_all(it, Admission(Units(2), 50)) == [50, 51]
