"""Options of kinds of worker are given by name, like those of backends."""

from __future__ import annotations

from typing import ClassVar

import pytest

from samplerkit.local import LocalSampler
from samplerkit.plugins.worker_options import split_options, worker_options
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


def test_an_unknown_option_names_what_both_have():
    with pytest.raises(
        TypeError, match=r"'n_env'\. Did you mean 'n_envs'.* worker: n_envs, deep; of the sampler: n_th"
    ):
        split_options("p+w", Pool, Wide, {"n_env": 3})
