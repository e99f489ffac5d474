"""Infos of the episodes that a recording keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit.episodes.infos import concatenate_infos, stack_infos
from samplerkit.episodes.kept_infos import KeptInfos

ORDINARY = {"a": 1.0, "b": np.float32(2.0), "c": np.arange(3)}
"""Of kinds for which columns need not be made at once."""


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for key, column in one.items():
        if isinstance(column, dict):
            assert_equal(column, other[key])
        else:
            assert column.dtype == other[key].dtype, key
            np.testing.assert_array_equal(column, other[key])


class Kept:
    """Kept infos, and beside them what they should be."""

    def __init__(self):
        self.lengths = []
        self.infos = KeptInfos("infos", self.lengths)
        self.expected = []

    @property
    def start(self):
        return sum(self.lengths)

    def run(self, rows):
        self.infos.drop(self.start)
        for row, info in enumerate(rows, start=self.start):
            if info:
                self.infos.add(self.start, row, info)

    def keep(self, rows):
        self.run(rows)
        self.infos.keep(self.start, self.start + len(rows))
        self.lengths.append(len(rows))
        self.expected.append(stack_infos(rows))

    def check(self):
        stops = np.cumsum(self.lengths).tolist()
        for episode, (stop, length) in enumerate(zip(stops, self.lengths, strict=True)):
            shown = self.infos.view(slice(episode, episode + 1), slice(stop - length, stop))
            assert_equal(shown, self.expected[episode])


numbers = st.integers(-5, 5) | st.floats(allow_nan=False) | st.booleans()
arrays = st.sampled_from([np.zeros(2), np.ones(2), np.zeros(3, np.int8), np.array(1.0)])
values = numbers | arrays | st.sampled_from(["text", 2**70, None]) | st.fixed_dictionaries({"n": numbers})
odd_rows = st.dictionaries(st.sampled_from("ab"), values, max_size=2)
plain_rows = st.fixed_dictionaries({"a": st.floats(allow_nan=False), "b": st.just(np.ones(2))})
episodes = st.lists(plain_rows, min_size=1, max_size=4) | st.lists(odd_rows, min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(st.tuples(episodes, st.booleans()), min_size=1, max_size=5))
def test_each_episode_has_the_columns_of_its_own_rows(script):
    it = Kept()
    for rows, is_kept in script:
        try:
            stack_infos(rows)
        except (ValueError, TypeError) as error:
            with pytest.raises(type(error)):
                it.keep(rows)
            it.infos.drop(it.start)
            continue
        if is_kept:
            it.keep(rows)
        else:
            it.run(rows)
            assert_equal(it.infos.running(it.start, it.start + len(rows)), stack_infos(rows))
            it.infos.drop(it.start)
        it.check()


@settings(max_examples=100)
@given(st.lists(st.lists(plain_rows, min_size=1, max_size=4), min_size=1, max_size=4), episodes)
def test_several_episodes_are_those_of_each_joined(before, last):
    it = Kept()
    for rows in before:
        it.keep(rows)
    try:
        it.keep(last)
        expected = concatenate_infos(it.expected, it.lengths)
    except (ValueError, TypeError):
        return
    assert_equal(it.infos.view(slice(0, len(it.lengths)), slice(0, it.start)), expected)


@settings(max_examples=100)
@given(st.lists(plain_rows, max_size=4), episodes, st.integers(0, 3))
def test_an_episode_goes_on_in_another_recording(kept, rows, moved_at):
    it, other = Kept(), Kept()
    if kept:
        it.keep(kept)
    try:
        expected = stack_infos(rows)
    except (ValueError, TypeError):
        return
    at = min(moved_at, len(rows))
    it.run(rows[:at])
    other.infos.take(it.infos, it.start)
    for row, info in enumerate(rows[at:], start=at):
        if info:
            other.infos.add(0, row, info)
    assert_equal(other.infos.running(0, len(rows)), expected)
    it.check()


def test_columns_of_ordinary_infos_are_not_made_before_somebody_looks():
    it = Kept()
    for _ in range(3):
        it.keep([ORDINARY] * 4)
    assert it.infos.rows == 12
    it.check()


def test_no_infos_at_all_cost_nothing_until_there_are_some():
    it = Kept()
    it.keep([{}, {}])
    it.keep([{}])
    assert it.infos.view(slice(0, 2), slice(0, 3)) == {}
    it.keep([{}, {"late": 1}])
    it.check()


def test_values_are_copied_when_they_are_given():
    it = Kept()
    array = np.zeros(2)
    it.run([{"it": array}])
    array[:] = 7
    shown = it.infos.running(0, 1)["it"]
    assert shown.tolist() == [[0, 0]]
    shown[:] = 9
    assert it.infos.running(0, 1)["it"].tolist() == [[0, 0]]


def test_integers_beyond_64_bits_are_objects_of_their_episode_only():
    it = Kept()
    it.keep([{"it": 1}, {"it": 2}])
    it.keep([{"it": 1}, {"it": 2**80}])
    assert it.infos.rows == 4
    it.check()


def test_growing_arrays_of_arrays_keep_what_they_have():
    it = Kept()
    it.keep([{"it": np.full(2, row)} for row in range(500)])
    it.keep([{"it": np.full(2, -row)} for row in range(300)])
    it.check()
