"""Options of a backend, from the table of its class."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest

from samplerkit import UnsupportedFeature
from samplerkit.contract.probes import ProbePolicy, TattooEnv
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


@pytest.mark.parametrize("seconds", [3, 3.0, np.int64(3), np.float32(3), Fraction(3)], ids=repr)
def test_seconds_are_any_real_number(seconds):
    given = checked({"unit_timeout": seconds})["unit_timeout"]
    assert (given, type(given)) == (3.0, float)


def test_to_wait_for_ever_is_no_timeout():
    assert checked({"unit_timeout": math.inf})["unit_timeout"] is None


def test_checked_options_are_accepted_again():
    once = checked({"n_tasks": 5, "unit_timeout": 1, "max_restarts": 0})
    assert checked(once) == once


def test_an_inherited_option_of_a_capability_that_a_backend_lacks_is_refused_with_its_reason():
    with pytest.raises(UnsupportedFeature, match="AcmeSampler does not support 'unit_timeout': tasks go on"):
        checked({"unit_timeout": 1.0}, unit_timeout=no("tasks go on"))
    assert checked({"unit_timeout": 1.0}, unit_timeout=YES)["unit_timeout"] == 1.0


def test_none_asks_for_nothing_that_a_backend_lacks():
    assert checked({"unit_timeout": None}, unit_timeout=no("tasks go on"))["unit_timeout"] is None


def test_a_table_has_options_and_not_their_defaults():
    with pytest.raises(TypeError, match=r"AcmeSampler\.options\['n_tasks'\] is 2: it must be an Option"):
        checked_options("AcmeSampler", {"n_tasks": 2}, {}, {})


@pytest.mark.parametrize("default", ["2", 0])
def test_a_default_must_pass_its_own_check(default):
    table = {"n_tasks": Option(default, check_count)}
    with pytest.raises(
        TypeError, match=r"options\['n_tasks'\]: its own check refuses the default: n_tasks must"
    ):
        checked_options("AcmeSampler", table, {}, {"n_tasks": 2})


def test_a_default_is_what_its_check_returns():
    table = {"command": Option(["python"], lambda name, value: tuple(value)), "nothing": Option(None, len)}
    assert checked_options("AcmeSampler", table, {}, {}) == {"command": ("python",), "nothing": None}


def test_an_argument_of_every_sampler_may_be_what_was_meant():
    with pytest.raises(
        TypeError, match=r"'n_worker'\. Did you mean 'n_workers'\?.*n_tasks.*: seed, n_workers"
    ):
        checked_options("AcmeSampler", TABLE, {}, {"n_worker": 3}, ("seed", "n_workers"))


def test_an_unknown_option_is_refused_with_the_nearest_name():
    with pytest.raises(TypeError, match=r"no option 'n_task'\. Did you mean 'n_tasks'\?"):
        checked({"n_task": 1})


def test_an_option_that_a_backend_asks_for_must_be_in_its_table():
    class AcmeSampler(PoolSampler):
        options: ClassVar = TABLE

        def make_transport(self):
            return self.option("n_task")

    with pytest.raises(
        TypeError, match=r"AcmeSampler has no option 'n_task'\. Did you mean 'n_tasks'\? Its opt"
    ):
        AcmeSampler(ProbePolicy(), TattooEnv, max_episode_length=5)
