"""Options of kinds of worker are given by name, like those of backends."""

from __future__ import annotations

from typing import ClassVar

import pytest

from samplerkit.local import LocalSampler
from samplerkit.plugins.worker_options import refuse_options_of_workers, split_options, worker_options
from samplerkit.workers import DefaultWorker


class Wide(DefaultWorker):
    def __init__(self, *, n_envs=8, deep=False, **arguments):
        super().__init__(**arguments)


class Pool(LocalSampler):
    options: ClassVar = {"n_threads": None}


def test_a_workers_own_options_are_those_that_not_every_worker_has():
    assert worker_options(DefaultWorker) == ()
    assert worker_options(Wide) == ("n_envs", "deep")


def test_options_go_to_whom_they_belong():
    given = {"n_envs": 3, "n_threads": 2, "is_tf_worker": True}
    assert split_options("p+w", Pool, Wide, given) == ({"n_threads": 2, "is_tf_worker": True}, {"n_envs": 3})


def test_an_argument_of_every_sampler_may_be_what_was_meant():
    with pytest.raises(TypeError, match=r"'n_worker'\. Did you mean 'n_workers'.* of every sampler: agents"):
        split_options("p+w", Pool, Wide, {"n_worker": 3})


def kinds():
    return {"wide": ("n_envs", "deep"), "narrow": ("n_envs",)}


def test_an_option_of_a_kind_of_worker_needs_one_in_the_name():
    with pytest.raises(
        TypeError, match=r"'n_envs'\. n_envs is .* wide or narrow: make 'pool\+wide' or 'pool\+n"
    ):
        refuse_options_of_workers("pool", Pool, {"n_envs": 3}, kinds)
    with pytest.raises(TypeError, match=r"'dep'\. Did you mean 'deep'\? .* kind of worker wide: "):
        refuse_options_of_workers("pool", Pool, {"dep": True}, kinds)


def test_what_no_kind_of_worker_has_is_left_to_the_sampler():
    refuse_options_of_workers("pool", Pool, {"n_thread": 3, "sead": 1, "zzz": 1}, kinds)


def test_kinds_of_worker_are_not_loaded_where_the_sampler_has_all_options():
    refuse_options_of_workers("pool", Pool, {"n_threads": 3, "unit_timeout": 1.0, "stateful": True}, None)


def test_an_unknown_option_names_what_both_have():
    with pytest.raises(
        TypeError, match=r"'n_env'\. Did you mean 'n_envs'.* worker: n_envs, deep; of the sampler: n_th"
    ):
        split_options("p+w", Pool, Wide, {"n_env": 3})
