"""Options of a backend, from the table of its class."""

from __future__ import annotations

import pytest

from samplerkit import UnsupportedFeature
from samplerkit.interfaces import YES, no
from samplerkit.sampling import Option, PoolSampler, check_count
from samplerkit.sampling.options import checked_options

TABLE = {**PoolSampler.options, "n_tasks": Option(2, check_count)}


def checked(given, **capabilities):
    return checked_options("AcmeSampler", TABLE, capabilities, given)


def test_options_are_those_given_and_the_defaults():
    assert checked({"n_tasks": 5}) == {"max_restarts": 3, "unit_timeout": None, "n_tasks": 5}


def test_none_stands_for_the_default():
    assert checked({"n_tasks": None})["n_tasks"] == 2


def test_checked_options_are_accepted_again():
    once = checked({"n_tasks": 5, "unit_timeout": 1, "max_restarts": 0})
    assert checked(once) == once


def test_an_inherited_option_of_a_capability_that_a_backend_lacks_is_refused_with_its_reason():
    with pytest.raises(UnsupportedFeature, match="AcmeSampler does not support 'unit_timeout': tasks go on"):
        checked({"unit_timeout": 1.0}, unit_timeout=no("tasks go on"))
    assert checked({"unit_timeout": 1.0}, unit_timeout=YES)["unit_timeout"] == 1.0


def test_none_asks_for_nothing_that_a_backend_lacks():
    assert checked({"unit_timeout": None}, unit_timeout=no("tasks go on"))["unit_timeout"] is None


def test_an_argument_of_every_sampler_may_be_what_was_meant():
    with pytest.raises(
        TypeError, match=r"'n_worker'\. Did you mean 'n_workers'\?.*n_tasks.*: seed, n_workers"
    ):
        checked_options("AcmeSampler", TABLE, {}, {"n_worker": 3}, ("seed", "n_workers"))


def test_an_unknown_option_is_refused_with_the_nearest_name():
    with pytest.raises(TypeError, match=r"no option 'n_task'\. Did you mean 'n_tasks'\?"):
        checked({"n_task": 1})
