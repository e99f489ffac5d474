from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samplerkit.episodes import concatenate_infos, stack_infos
from samplerkit.episodes.bits import column_differences
from samplerkit.episodes.columns import rows_of_each
from samplerkit.episodes.info_table import InfoTable

# ---------------------------------------------------------------- what columns look like


def test_no_infos_give_no_columns():
    assert stack_infos([{}, {}, {}]) == {}
    assert concatenate_infos([{}, {}], [2, 3]) == {}


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (True, np.bool_),
        (3, np.int64),
        (2.5, np.float64),
        (np.float32(1), np.float32),
        (np.int8(1), np.int8),
        (np.zeros((), np.float16), np.float16),
        (1j, np.complex128),
    ],
)
def test_scalars_keep_their_dtype(value, dtype):
    column = stack_infos([{"x": value}, {"x": value}])["x"]
    assert column.dtype == dtype
    assert column.shape == (2,)
    assert column.tolist() == [value, value]


@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 64, 65, 200])
def test_floats_all_come_through_however_many(n):
    column = stack_infos([{"x": float(i)} for i in range(n)])["x"]
    assert column.tolist() == [float(i) for i in range(n)]


def test_arrays_and_lists_keep_their_shape():
    columns = stack_infos([{"a": np.ones((2, 3), np.int8), "l": [1.5, 2.5]}] * 4)
    assert columns["a"].shape == (4, 2, 3)
    assert columns["a"].dtype == np.int8
    assert columns["l"].shape == (4, 2)
    assert columns["l"].dtype == np.float64


def test_strings_become_unicode_columns():
    column = stack_infos([{"s": "a"}, {"s": "longer"}, {"s": "b"}])["s"]
    assert column.dtype == np.dtype("U6")
    assert column.tolist() == ["a", "longer", "b"]


def test_objects_become_object_columns_and_lists_in_them_stay_lists():
    thing = {1, 2}
    column = stack_infos([{"o": thing}, {"o": None}])["o"]
    assert column.dtype == object
    assert column.tolist() == [thing, None]
    assert column[0] is not thing, "an object that the environment keeps must be copied"


def test_nested_dicts_nest():
    columns = stack_infos([{"task": {"goal": np.zeros(2), "id": 1}}] * 3)
    assert columns["task"]["goal"].shape == (3, 2)
    assert columns["task"]["id"].dtype == np.int64


def test_an_empty_nested_dict_is_kept():
    assert stack_infos([{"task": {}}]) == {"task": {}}


# ---------------------------------------------------------------- missing keys


def test_a_missing_key_is_zero_filled_with_a_mask():
    columns = stack_infos([{}, {"x": np.float32(2)}, {}, {"x": np.float32(3)}, {}])
    assert columns["x"].tolist() == [0, 2, 0, 3, 0]
    assert columns["x"].dtype == np.float32
    assert columns["_x"].tolist() == [False, True, False, True, False]
    assert columns["_x"].dtype == np.bool_


def test_a_key_that_ends_early_has_a_mask():
    columns = stack_infos([{"x": 1}, {"x": 2}, {}])
    assert columns["_x"].tolist() == [True, True, False]


def test_a_key_of_all_rows_has_no_mask():
    assert list(stack_infos([{"x": 1}, {"x": 2}])) == ["x"]


def test_missing_objects_are_none_and_missing_strings_empty():
    columns = stack_infos([{"o": {1}, "s": "x"}, {}])
    assert columns["o"].tolist() == [{1}, None]
    assert columns["s"].tolist() == ["x", ""]


def test_the_mask_of_a_missing_nested_dict_is_enough():
    columns = stack_infos([{"e": {"r": 1.0}}, {}])
    assert list(columns) == ["e", "_e"]
    assert list(columns["e"]) == ["r"]
    assert columns["e"]["r"].tolist() == [1.0, 0.0]


def test_a_key_missing_inside_a_nested_dict_has_its_own_mask():
    columns = stack_infos([{"e": {"r": 1.0}}, {}, {"e": {}}])
    assert columns["_e"].tolist() == [True, False, True]
    assert columns["e"]["_r"].tolist() == [True, False, False]


# ---------------------------------------------------------------- what does not fit


def test_numbers_take_numpys_common_type():
    assert stack_infos([{"x": 1}, {"x": 2.5}])["x"].tolist() == [1.0, 2.5]
    assert stack_infos([{"x": np.int8(1)}, {"x": np.float32(2)}])["x"].dtype == np.float32
    assert stack_infos([{"x": True}, {"x": np.int8(2)}])["x"].dtype == np.int8


def test_none_beside_numbers_gives_objects_with_numbers_of_one_type():
    column = stack_infos([{"x": 1}, {"x": None}, {"x": 2.5}])["x"]
    assert column.tolist() == [1.0, None, 2.5]
    assert type(column[0]) is float


@pytest.mark.parametrize("order", [("a", 1), (1, "a")])
def test_strings_beside_numbers_are_refused_by_name(order):
    with pytest.raises(ValueError, match=r"env_infos\['k'\] has dtype .* no common dtype"):
        stack_infos([{"k": value} for value in order], "env_infos")


def test_a_changing_shape_is_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"env_infos\['a'\]\['k'\] has shape \(2,\) .* shape \(3,\) .*pad"):
        stack_infos([{"a": {"k": np.zeros(2)}}, {"a": {"k": np.zeros(3)}}], "env_infos")


@pytest.mark.parametrize("rows", [[{"k": {}}, {"k": 1}], [{"k": 1}, {"k": {}}]])
def test_a_dict_beside_a_value_is_refused(rows):
    with pytest.raises(ValueError, match=r"infos\['k'\] is a dict in some rows"):
        stack_infos(rows)
    with pytest.raises(ValueError, match=r"infos\['k'\] is a dict in some rows"):
        concatenate_infos([stack_infos([row]) for row in rows], [1, 1])


def test_a_ragged_value_is_refused():
    with pytest.raises(ValueError, match=r"infos\['k'\] is a ragged sequence"):
        stack_infos([{"k": [[1], [2, 3]]}])


def test_an_object_that_cannot_be_copied_is_refused():
    with pytest.raises(TypeError, match=r"infos\['k'\] is an object of type lock that cannot be copied"):
        stack_infos([{"k": threading.Lock()}])


@pytest.mark.parametrize("rows", [[{"x": 1, "_x": 2}], [{"x": 1}, {"_x": True}], [{"n": {"x": 1, "_x": 2}}]])
def test_a_users_key_that_would_be_a_mask_is_refused(rows):
    with pytest.raises(ValueError, match="'_x' is the name of the mask"):
        stack_infos(rows)


def test_a_key_that_no_row_has_any_more_is_left_out():
    rows = stack_infos([{"a": 1}, {"b": {"c": 2, "d": 3}}, {"b": {"c": 4}}])
    first, last = (rows_of_each(rows, it) for it in (slice(0, 1), slice(2, 3)))
    assert_same(concatenate_infos([first], [1]), stack_infos([{"a": 1}]))
    assert_same(concatenate_infos([last, last], [1, 1]), stack_infos([{"b": {"c": 4}}] * 2))


def test_the_type_of_a_key_that_a_part_does_not_have_any_more_does_not_count():
    rows = stack_infos([{"a": 1}, {"a": 1, "word": "long"}])
    parts = [rows_of_each(rows, slice(0, 1)), stack_infos([{"a": 2, "word": "b"}])]
    assert_same(concatenate_infos(parts, [1, 1]), stack_infos([{"a": 1}, {"a": 2, "word": "b"}]))


def test_a_clash_between_batches_is_refused():
    with pytest.raises(ValueError, match="'_x' is the name of the mask"):
        concatenate_infos([stack_infos([{"x": 1}]), stack_infos([{"_x": True}])], [1, 1])


def test_a_key_with_an_underscore_alone_is_a_key_like_any_other():
    joined = concatenate_infos([stack_infos([{"_x": True}]), {}], [1, 2])
    assert joined["_x"].tolist() == [True, False, False]
    assert joined["__x"].tolist() == [True, False, False]


def test_keys_that_are_no_strings_are_refused():
    with pytest.raises(TypeError, match="has the key 3"):
        stack_infos([{3: 1}])


def test_shapes_and_dtypes_are_checked_between_batches_too():
    one, other = stack_infos([{"k": np.zeros(2)}]), stack_infos([{"k": np.zeros(3)}])
    with pytest.raises(ValueError, match=r"env_infos\['k'\] has shape"):
        concatenate_infos([one, other], [1, 1], "env_infos")
    with pytest.raises(ValueError, match="no common dtype"):
        concatenate_infos([stack_infos([{"k": "a"}]), stack_infos([{"k": 1}])], [1, 1])


# ---------------------------------------------------------------- recording


def test_recorded_values_do_not_alias_the_environments_buffers():
    table, buffer = InfoTable("env_infos"), np.zeros(3)
    for row in range(3):
        buffer[:] = row
        table.add(row, {"x": buffer, "n": {"y": buffer}})
    columns = table.finish(3)
    buffer[:] = 99
    assert columns["x"][:, 0].tolist() == [0, 1, 2]
    assert columns["n"]["y"][:, 0].tolist() == [0, 1, 2]


def test_a_table_used_again_remembers_nothing():
    table = InfoTable("env_infos")
    table.add(0, {"x": 1.5, "n": {"y": "text"}, "o": None, "gone": 1})
    table.finish(1)
    episodes = (
        [{"x": 1, "n": {"y": 2}, "o": 3}, {"x": 2, "n": {"y": 3}, "o": 4}],
        [{"n": 5}],
        [{"x": {"z": 1}}],
    )
    for rows in episodes:
        table.clear()
        for row, info in enumerate(rows):
            table.add(row, info)
        again = table.finish(len(rows))
        assert not list(column_differences(again, stack_infos(rows), "infos"))


def test_finished_columns_are_not_written_to_by_later_episodes():
    table = InfoTable("env_infos")
    table.add(0, {"x": 1.0})
    first = table.finish(1)
    table.clear()
    table.add(0, {"x": 2.0})
    assert first["x"].tolist() == [1.0]
    assert first["x"].flags.owndata


def test_integers_beyond_int64_become_what_numpy_makes_of_them():
    column = stack_infos([{"x": 1}, {"x": 2}, {"x": 2**70}])["x"]
    assert column.tolist() == [1, 2, 2**70]
    assert column.dtype == object


# ---------------------------------------------------------------- the algebra

NUMBERS = [np.bool_, np.int8, np.int64, np.uint8, np.uint16, np.float16, np.float32, np.float64]


@st.composite
def schemas(draw, depth=1):
    """Draw for some keys how values are made: a shape and dtypes, strings, objects or a nested schema."""
    names = st.sampled_from(["a", "b", "ключ", "d_"])
    keys = draw(st.lists(names, unique=True, min_size=1, max_size=3))
    kinds = ["number", "text", "object"] + (["nested"] if depth else [])
    schema = {}
    for key in keys:
        kind = draw(st.sampled_from(kinds))
        if kind == "nested":
            schema[key] = draw(schemas(depth=depth - 1))
        elif kind == "number":
            dtypes = draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3))
            shape = draw(st.sampled_from([(), (2,), (0,), (1, 2)]))
            schema[key] = st.one_of(*(hnp.arrays(dtype, shape) for dtype in dtypes))
            if shape == ():
                schema[key] |= st.booleans() | st.integers(-5, 5) | st.floats()
        elif kind == "text":
            schema[key] = st.text("abcé", max_size=4)
        else:
            plain = st.sampled_from([None, 1, True, 2.5, np.float32(0.5)])
            schema[key] = plain | st.frozensets(st.integers(0, 3))
    return schema


@st.composite
def rows_of_schema(draw, schema):
    keys = draw(st.lists(st.sampled_from(sorted(schema)), unique=True)) if schema else []
    if draw(st.booleans()):
        keys = sorted(schema)
    return {
        key: draw(rows_of_schema(schema[key])) if isinstance(schema[key], dict) else draw(schema[key])
        for key in keys
    }


@st.composite
def info_rows(draw, max_size=7):
    schema = draw(schemas())
    return draw(st.lists(rows_of_schema(schema), min_size=1, max_size=max_size))


def assert_same(one, other):
    differences = list(column_differences(one, other, "infos"))
    assert not differences, differences


@pytest.mark.slow
@settings(max_examples=150)
@given(rows=info_rows(), data=st.data())
def test_concatenating_parts_equals_stacking_all_rows(rows, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    bounds = list(zip([0, *cuts], [*cuts, len(rows)], strict=True))
    parts = [rows[start:stop] for start, stop in bounds if stop > start]
    stacked = [stack_infos(part) for part in parts]
    assert_same(concatenate_infos(stacked, [len(part) for part in parts]), stack_infos(rows))


@pytest.mark.slow
@settings(max_examples=150)
@given(rows=info_rows(max_size=5))
def test_concatenation_is_associative(rows):
    third = max(1, len(rows) // 3)
    parts = [part for part in (rows[:third], rows[third : 2 * third], rows[2 * third :]) if part]
    columns, sizes = [stack_infos(part) for part in parts], [len(part) for part in parts]
    left, size = columns[0], sizes[0]
    for column, count in zip(columns[1:], sizes[1:], strict=True):
        left, size = concatenate_infos([left, column], [size, count]), size + count
    right, size = columns[-1], sizes[-1]
    for column, count in zip(columns[-2::-1], sizes[-2::-1], strict=True):
        right, size = concatenate_infos([column, right], [count, size]), size + count
    assert_same(left, right)


@settings(max_examples=100)
@given(rows=info_rows(max_size=4))
def test_stacking_leaves_the_rows_as_they_were_and_shares_nothing(rows):
    columns = stack_infos(rows)
    again = stack_infos(rows)
    assert_same(columns, again)
    for row in rows:
        for key, value in row.items():
            if isinstance(value, np.ndarray):
                assert not np.shares_memory(columns[key], value)


# ---------------------------------------------------------------- one table, many episodes


def general_path(rows):
    """Return what a new table makes of rows, none of which it takes for regular."""
    table = InfoTable("infos")
    for row, info in enumerate(rows):
        if info:
            table._add_slowly(row, info)
    return table.finish(len(rows))


def outcome(columns_of):
    """Return columns, or the error that stands for them."""
    try:
        return columns_of()
    except (ValueError, TypeError) as error:
        return {"error": np.array([type(error).__name__])}


@st.composite
def unlike_rows(draw):
    """Draw rows most of which look alike: then a key is missing, or a value has another type or shape."""
    usual = {"a": draw(changing_values), "b": draw(changing_values)}
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        row = {key: again(value, draw) for key, value in usual.items()}
        for key in draw(st.lists(st.sampled_from("abc"), max_size=1)):
            row[key] = draw(changing_values | st.just({}) | st.just({"n": 1}) | st.just({"n": "x", "m": 2.5}))
        for key in draw(st.lists(st.sampled_from("ab"), max_size=1)):
            if draw(st.booleans()):
                del row[key]
        if draw(st.integers(0, 5)) == 0:
            row = {}
        rows.append(row)
    return rows


changing_values = st.one_of(
    st.sampled_from([True, 7, 2**70, 1.5, np.float32(2.5), np.int8(3), np.bool_(True), "text", None, [1, 2]]),
    st.sampled_from([np.float64, np.float32, np.int64, object]).flatmap(
        lambda dtype: st.sampled_from([(), (2,), (0,), (2, 2)]).map(lambda shape: np.ones(shape, dtype))
    ),
)


def again(value, draw):
    """Return another value that looks like one."""
    if type(value) in (int, float):
        return value + draw(st.integers(0, 3))
    return value + value.dtype.type(1) if isinstance(value, np.ndarray) and value.dtype != object else value


@pytest.mark.slow
@settings(max_examples=400)
@given(episodes=st.lists(unlike_rows(), min_size=1, max_size=4))
def test_the_short_path_gives_what_the_general_one_gives_episode_after_episode(episodes):
    table = InfoTable("infos")

    def recorded(rows):
        table.clear()
        for row, info in enumerate(rows):
            if info:
                table.add(row, info)
        return table.finish(len(rows))

    for rows in episodes:
        assert_same(outcome(lambda rows=rows: recorded(rows)), outcome(lambda rows=rows: general_path(rows)))


def test_a_key_that_became_a_dict_and_is_a_number_again_is_found():
    table = InfoTable("infos")
    for rows in ([{"x": 1}], [{}, {"x": {"y": 1}}], [{"x": 2}]):
        table.clear()
        for row, info in enumerate(rows):
            if info:
                table.add(row, info)
        assert_same(table.finish(len(rows)), stack_infos(rows))


def test_the_short_path_copies_buffers_that_are_used_again():
    table, buffer = InfoTable("infos"), np.zeros(3)
    for _ in range(3):
        table.clear()
        for row in range(100):
            buffer[:] = row
            table.add(row, {"x": buffer, "n": row})
        assert table._regular_rows == 100, "these rows are regular"
        columns = table.finish(100)
        buffer[:] = -1
        assert columns["x"][:, 1].tolist() == columns["n"].tolist() == list(range(100))


def test_a_row_that_turns_out_not_to_be_regular_is_stored_once():
    rows = [{"a": 1, "b": 1.5}] * 3 + [{"a": 2, "b": 5}] + [{"a": 3, "b": 2.5}] * 3
    columns = stack_infos(rows)
    assert columns["a"].tolist() == [1, 1, 1, 2, 3, 3, 3]
    assert columns["b"].tolist() == [1.5, 1.5, 1.5, 5.0, 2.5, 2.5, 2.5]
