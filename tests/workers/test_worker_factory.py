"""The factory: its arguments, its numbers, its messages."""

from __future__ import annotations

import math
import pickle

import cloudpickle
import numpy as np
import pytest

from samplerkit import DefaultWorker, WorkerFactory


class NeedsMore(DefaultWorker):
    def __init__(self, *, extra, **kwargs):
        super().__init__(**kwargs)
        self.extra = extra


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_episode_length", 1),
        ("max_episode_length", np.int64(7)),
        ("max_episode_length", math.inf),
        ("max_episode_length", None),
        ("seed", 0),
        ("seed", 2**80),
        ("seed", np.uint32(5)),
        ("seed", None),
        ("n_workers", 1),
        ("n_workers", np.int16(3)),
        ("n_workers", None),
        ("worker_args", None),
        ("worker_args", {}),
    ],
)
def test_good_arguments(field, value):
    factory = WorkerFactory(**{field: value})
    assert getattr(factory, field) == ({} if field == "worker_args" else value)


@pytest.mark.parametrize("field", ["max_episode_length", "seed", "n_workers"])
def test_numpy_integers_become_integers(field):
    assert type(getattr(WorkerFactory(**{field: np.int64(3)}), field)) is int


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("max_episode_length", 0, ValueError),
        ("max_episode_length", -1, ValueError),
        ("max_episode_length", -math.inf, (TypeError, ValueError)),
        ("max_episode_length", math.nan, TypeError),
        ("max_episode_length", 3.0, TypeError),
        ("max_episode_length", True, TypeError),
        ("max_episode_length", np.bool_(True), TypeError),
        ("max_episode_length", "3", TypeError),
        ("seed", -1, ValueError),
        ("seed", 1.0, TypeError),
        ("seed", True, TypeError),
        ("seed", "1", TypeError),
        ("n_workers", 0, ValueError),
        ("n_workers", -2, ValueError),
        ("n_workers", 2.0, TypeError),
        ("n_workers", True, TypeError),
        ("n_workers", np.float64(2), TypeError),
        ("is_tf_worker", "no", TypeError),
        ("worker_class", None, TypeError),
        ("worker_class", dict, TypeError),
        ("worker_class", DefaultWorker(seed=0, max_episode_length=1, worker_number=0), TypeError),
        ("worker_args", 3, TypeError),
    ],
)
def test_bad_arguments(field, value, error):
    with pytest.raises(error, match=field):
        WorkerFactory(**{field: value})


def test_arguments_go_by_name_only():
    with pytest.raises(TypeError):
        WorkerFactory(10)


def test_an_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="max_path_length"):
        WorkerFactory(max_path_length=10)


def test_the_factory_builds_what_it_was_told_to():
    factory = WorkerFactory(
        max_episode_length=9, seed=4, n_workers=3, worker_class=NeedsMore, worker_args={"extra": "x"}
    )
    worker = factory(2)
    assert type(worker) is NeedsMore
    assert (worker.worker_number, worker._seed, worker._max_episode_length, worker.extra) == (2, 4, 9, "x")
    assert factory(2) is not worker


def test_no_limit_is_infinity_for_the_worker():
    assert WorkerFactory()(0)._max_episode_length == math.inf


@pytest.mark.parametrize("number", [-1, 3, 4, -3])
def test_there_is_no_worker_of_another_number(number):
    with pytest.raises(ValueError, match=rf"no worker {number}.*n_workers=3"):
        WorkerFactory(n_workers=3)(number)


@pytest.mark.parametrize("number", [1.0, "1", None, True])
def test_a_worker_number_is_an_integer(number):
    with pytest.raises(TypeError, match="worker_number"):
        WorkerFactory(n_workers=3)(number)


def test_numpy_worker_numbers_are_welcome():
    assert WorkerFactory(n_workers=3)(np.int64(2)).worker_number == 2


def test_changing_the_arguments_later_changes_nothing():
    arguments = {"extra": 1}
    factory = WorkerFactory(worker_class=NeedsMore, worker_args=arguments)
    arguments["extra"] = 2
    assert factory(0).extra == 1


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_factories_travel(dumps):
    factory = WorkerFactory(max_episode_length=9, seed=4, n_workers=3, worker_args={})
    assert pickle.loads(dumps(factory)) == factory


def test_a_factory_with_a_local_class_travels_by_value():
    class Local(DefaultWorker):
        pass

    factory = pickle.loads(cloudpickle.dumps(WorkerFactory(worker_class=Local)))
    assert factory(0).__class__.__name__ == "Local"


def test_completing_a_factory_leaves_it_as_it_was():
    factory = WorkerFactory(seed=1)
    assert factory.completed(n_workers=2) == WorkerFactory(seed=1, n_workers=2)
    assert factory.n_workers is None
    with pytest.raises(ValueError, match="n_workers"):
        factory.completed(n_workers=0)


# -- messages ------------------------------------------------------------------------------------


def test_one_object_goes_to_every_worker():
    thing = object()
    assert WorkerFactory(n_workers=3).prepare_worker_messages(thing) == [thing] * 3


def test_a_list_goes_one_to_each():
    assert WorkerFactory(n_workers=3).prepare_worker_messages([1, 2, 3]) == [1, 2, 3]


@pytest.mark.parametrize("thing", [(1, 2), (1, 2, 3), {"a": 1}, np.arange(3), "abc", None, 0])
def test_only_lists_are_spread(thing):
    messages = WorkerFactory(n_workers=3).prepare_worker_messages(thing)
    assert len(messages) == 3
    assert all(message is thing for message in messages)


@pytest.mark.parametrize("things", [[], [1, 2], [1, 2, 3, 4]])
def test_a_list_of_another_length_names_both_numbers(things):
    with pytest.raises(ValueError, match=rf"{len(things)} items for 3 workers"):
        WorkerFactory(n_workers=3).prepare_worker_messages(things)


def test_each_distinct_object_is_prepared_once():
    thing, other, calls = object(), object(), []

    def prepare(obj):
        calls.append(obj)
        return obj, len(calls)

    messages = WorkerFactory(n_workers=4).prepare_worker_messages([thing, other, thing, other], prepare)
    assert calls in ([thing, other], [other, thing])
    assert messages[0] is messages[2]
    assert messages[1] is messages[3]
    assert messages[0] is not messages[1]


def test_one_object_is_prepared_once():
    calls = []
    WorkerFactory(n_workers=4).prepare_worker_messages("x", calls.append)
    assert calls == ["x"]


def test_messages_need_a_number_of_workers():
    with pytest.raises(ValueError, match="n_workers"):
        WorkerFactory().prepare_worker_messages(1)
