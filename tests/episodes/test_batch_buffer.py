"""Room for the observations of a batch, handed out before units run."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.episodes import (
    BatchBuffer,
    EnvSpec,
    EpisodeRecorder,
    RecycledMemory,
    Span,
    StepType,
    TickRecorder,
    join,
    merged,
    whole,
)
from samplerkit.episodes.assembly import Assembly
from samplerkit.episodes.placed import Placed

SPACE = spaces.Box(-9, 9, (2,), np.float32)
NESTED = spaces.Dict(
    {
        "a": spaces.Tuple([SPACE, spaces.Box(0, 255, (3, 1), np.uint8)]),
        "b": spaces.Discrete(4),
        "c": spaces.Dict({}),
    }
)


def buffer(space=SPACE, unit_rows=4, n_units=3):
    size = BatchBuffer.size(space, unit_rows * n_units)
    return BatchBuffer(space, np.full(size, 255, np.uint8), unit_rows, n_units)


def rows(start, n):
    return np.arange(2 * start, 2 * (start + n), dtype=np.float32).reshape(n, 2)


def record(place, lengths, space=SPACE):
    """Record episodes whose observations count on, each at the place that is next."""
    recorder = EpisodeRecorder(EnvSpec(space, spaces.Discrete(2)))
    count, left = iter(range(1000)), 0

    def observe():
        return np.full(2, next(count), np.float32)

    def beginnings():
        nonlocal left
        for length in lengths:
            left = length
            yield observe(), {}

    def step(_action):
        nonlocal left
        left -= 1
        return observe(), 1.0, left == 0, False, {}

    class Going:
        cancelled = False

    return recorder, recorder.episodes(beginnings(), lambda _: (0, {}), step, np.inf, Going(), place)


def test_the_column_is_the_memory_that_was_given_and_places_are_its_rows():
    it = buffer()
    place = it.place(1)
    place.rows[:] = rows(0, 4)
    np.testing.assert_array_equal(it.column[4:8], rows(0, 4))
    assert place.n_rows == 4


def test_every_array_of_a_nested_space_has_its_rows():
    it = buffer(NESTED, unit_rows=2, n_units=2)
    assert it.column["a"][1].shape == (4, 3, 1)
    assert it.column["b"].dtype == np.int64
    assert it.column["c"] == {}
    place = it.place(1)
    place.rows["a"][0][:] = 7
    assert (it.column["a"][0][2:] == 7).all()
    assert not (it.column["a"][0][:2] == 7).any()


@pytest.mark.parametrize("index", [-1, 3, 10])
def test_there_is_no_place_for_units_beyond_it(index):
    assert buffer().place(index) is None


def test_memory_of_another_size_is_refused():
    with pytest.raises(ValueError, match="not what 3 units of 4 rows take"):
        BatchBuffer(SPACE, np.empty(10, np.uint8), 4, 3)


def test_rows_in_their_place_stay_and_those_of_shorter_units_move_together():
    it = buffer()
    it.place(0).rows[:3] = rows(0, 3)
    it.place(1).rows[:4] = rows(3, 4)
    it.place(2).rows[:2] = rows(7, 2)
    start = 0
    for index, n in enumerate([3, 4, 2]):
        it.settle(it.place(index).rows[:n], start, n)
        start += n
    np.testing.assert_array_equal(it.column[:9], rows(0, 9))


def test_rows_of_anywhere_else_are_copied_in():
    it = buffer()
    it.settle(rows(0, 4)[::-1], 0, 4)
    np.testing.assert_array_equal(it.column[:4], rows(0, 4)[::-1])


@pytest.mark.parametrize(
    ("index", "stops", "fit"),
    [
        (0, [4, 8, 12], True),
        (0, [1, 8], True),
        (0, [5], False),
        (1, [8, 9], True),
        (1, [9], False),
        (0, [3, 9, 12], False),
        (2, [12, 13], False),
    ],
)
def test_units_fit_in_as_long_as_none_reaches_into_the_place_of_one_to_come(index, stops, fit):
    assert buffer().holds(index, np.array(stops)) == fit


def test_an_episode_is_recorded_in_its_place_and_nowhere_beyond():
    it = buffer()
    index = iter([0, 2])
    _, episodes = record(lambda: it.place(next(index)), [4, 3])
    kept = [next(episodes), next(episodes)]
    np.testing.assert_array_equal(it.column[:4, 0], [0, 1, 2, 3])
    assert np.isnan(it.column[4:8]).all(), "the place of the unit between them"
    np.testing.assert_array_equal(it.column[8:11, 0], [5, 6, 7])
    assert [episode.view().last_observations[0, 0] for episode in kept] == [4, 8]
    assert [episode.view().observations for episode in kept] == [(), ()], "whoever gave the place has them"


def test_an_episode_that_outgrows_its_place_goes_on_elsewhere_whole():
    it = buffer()
    _, episodes = record(lambda: it.place(0), [9])
    batch = join([next(episodes)])
    np.testing.assert_array_equal(batch.observations[:, 0], np.arange(9))
    assert batch.last_observations[0, 0] == 9
    assert np.isnan(it.column[4:]).all()


def test_the_recorder_goes_on_in_memory_of_its_own_where_it_is_given_no_place():
    it = buffer()
    places = iter([None, it.place(0), None])
    recorder, episodes = record(lambda: next(places), [2, 4, 3])
    first, _, third = episodes
    np.testing.assert_array_equal(first.view().observations[:, 0], [0, 1])
    np.testing.assert_array_equal(third.view().observations[:, 0], [8, 9, 10])
    recorder.start(np.zeros(2, np.float32))
    recorder.cast_action(0)
    recorder.add(0.0, np.ones(2, np.float32), {}, {})
    np.testing.assert_array_equal(it.column[:4, 0], [3, 4, 5, 6])


def episodes_of(lengths):
    _, episodes = record(None, lengths)
    return [whole(join([episode])) for episode in episodes]


def in_places(it, pieces, numbers):
    """Return some of the pieces as a carrier sends them whose observations went to their places."""
    for number in numbers:
        rows = it.place(number).rows
        rows[: pieces[number].n_steps] = pieces[number].store.observations
    batch = join([pieces[number] for number in numbers])
    batch.__dict__["observations"] = ()
    return dict(zip(numbers, Placed(batch, it, numbers).span().slices(), strict=True))


@pytest.mark.parametrize("lengths", [[4, 4, 4], [3, 1, 4], [2, 4, 1, 4], [1, 1, 1, 3, 2], [4, 9, 4], [5]])
@pytest.mark.parametrize("leaves_after", [None, 1, 2])
@pytest.mark.parametrize("n_carriers", [1, 2, 3])
def test_a_batch_in_a_buffer_is_the_batch_of_its_units(lengths, leaves_after, n_carriers):
    it = buffer(n_units=4)
    pieces = episodes_of(lengths)
    placed: dict = {}
    for carrier in range(n_carriers):
        numbers = [n for n in range(carrier, min(4, len(lengths)), n_carriers) if lengths[n] <= 4]
        if numbers:
            placed |= in_places(it, pieces, numbers)
    expected = join(episodes_of(lengths))
    assembly = Assembly(lambda _units, _steps: 4, RecycledMemory(), it)
    for count, piece in enumerate(pieces):
        if count == leaves_after:
            assembly.leave_buffer()
        assembly.add([Span.of(placed.get(count, piece))])
    batch = join(assembly.finish())
    assert batch.difference(expected) is None
    stays = all(np.cumsum(lengths) <= 4 * np.minimum(np.arange(1, len(lengths) + 1), 4))
    left = leaves_after is not None and leaves_after < len(lengths)
    assert np.shares_memory(batch.observations, it.column) == (stays and not left)


@pytest.mark.parametrize("lengths", [[4, 4, 4], [3, 1, 4], [2, 4, 1, 4]])
def test_units_in_a_buffer_may_come_as_one_span(lengths):
    it = buffer(n_units=4)
    placed = list(in_places(it, episodes_of(lengths), range(len(lengths))).values())
    span = Span(placed[0].store, range(len(lengths) + 1), [0, *np.cumsum(lengths).tolist()])
    assert span.slices() == placed
    assembly = Assembly(lambda _units, _steps: 4, RecycledMemory(), it)
    assembly.add([span])
    came = assembly.finish()
    assert [piece.n_steps for piece in came] == lengths
    assert join(came).difference(join(episodes_of(lengths))) is None


def test_placed_units_that_no_batch_has_ground_for_are_whole_all_the_same():
    it = buffer()
    placed = in_places(it, episodes_of([4, 2, 3]), [0, 1, 2])
    for order in ([0, 1, 2], [2, 0], [1]):
        pieces = episodes_of([4, 2, 3])
        batch = join([placed[number] for number in order])
        assert batch.difference(join([pieces[number] for number in order])) is None
        assert not np.shares_memory(batch.observations, it.column)


def test_observations_of_another_kind_are_put_elsewhere():
    it = buffer(spaces.Box(-9, 9, (3,), np.float32))
    pieces = episodes_of([2, 2])
    assembly = Assembly(lambda _units, _steps: 4, None, it)
    for piece in pieces:
        assembly.add([Span.of(piece)])
    assert join(assembly.finish()).difference(join(episodes_of([2, 2]))) is None


def test_step_types_of_placed_episodes_are_those_of_others():
    it = buffer()
    _, episodes = record(lambda: it.place(0), [3])
    assert next(episodes).view().step_types.tolist() == [StepType.FIRST, StepType.MID, StepType.TERMINAL]


def test_units_of_slots_whose_rows_lie_apart_settle_in_their_order():
    recorder, n_slots, at = TickRecorder(EnvSpec(SPACE, spaces.Discrete(2)), 3), 3, iter(range(1000))
    lengths = [3, 4, 4, 4, 3, 2]
    for slot in range(n_slots):
        recorder.begin(slot, np.full(2, next(at), np.float32))
    left, begun, live = dict(enumerate(lengths[:n_slots])), n_slots, [0, 1, 2]
    pieces = []
    while live:
        for slot in live:
            left[slot] -= 1
        steps = [
            lambda _, slot=slot: (np.full(2, next(at), np.float32), 1.0, left[slot] == 0, False, {})
            for slot in range(n_slots)
        ]
        given = recorder.act(np.zeros(n_slots, np.int64), {}, live)
        for slot, last in recorder.step(steps, given, live, 99):
            pieces.append(recorder.keep(slot, last))
            if begun < len(lengths):
                recorder.begin(slot, np.full(2, next(at), np.float32))
                left[slot], begun = lengths[begun], begun + 1
            else:
                live.remove(slot)
    expected = merged(pieces)
    assembly = Assembly(lambda units, steps: sum(lengths), RecycledMemory(), buffer(n_units=len(lengths)))
    assembly.add([*map(Span.of, pieces)])
    assert join(assembly.finish()).difference(expected) is None
