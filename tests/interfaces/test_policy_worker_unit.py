"""The protocols that policies and workers follow."""

from __future__ import annotations

import copy
import pickle

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerkit import DefaultWorker, Policy, Unit, Worker
from samplerkit.contract.probes import GlobalDrawPolicy, ProbePolicy, TattooEnv
from samplerkit.interfaces import CAPABILITIES, YES, UnitCancelled, Units, check_capability, is_policy, no


def worker(**changes):
    return DefaultWorker(**{"seed": 1, "max_episode_length": 3, "worker_number": 2, **changes})


class CountingWorker(Worker):
    """Written for the older interface: it knows `rollout`, and nothing of units."""

    def update_agent(self, agent_update): ...

    def update_env(self, env_update): ...

    def shutdown(self): ...

    def rollout(self):
        return f"unit {self.unit.number}"


def unit(number, env_seed=5):
    return Unit(number, env_seed, 6, 7)


@pytest.mark.parametrize("policy", [ProbePolicy(), GlobalDrawPolicy()])
def test_a_policy_need_not_inherit(policy):
    assert isinstance(policy, Policy)
    assert is_policy(policy)


@pytest.mark.parametrize("weights", [0, {}, (), np.zeros(0), {"get_action": 1}, "get_action", None])
def test_weights_are_not_a_policy(weights):
    assert not is_policy(weights)
    assert not isinstance(weights, Policy)


def test_an_attribute_that_cannot_be_called_makes_no_policy():
    weights = type("Weights", (), {"get_action": np.zeros(3)})()
    assert not is_policy(weights)


def test_an_object_without_reset_is_not_a_whole_policy():
    half = type("Half", (), {"get_action": lambda self, observation: (0, {})})()
    assert not isinstance(half, Policy)


@pytest.mark.parametrize("dump", [pickle.dumps, cloudpickle.dumps, copy.deepcopy, copy.copy])
def test_workers_refuse_to_be_copied(dump):
    with pytest.raises(TypeError, match="WorkerFactory"):
        dump(worker())


def test_strangers_are_stateful_until_they_say_otherwise():
    assert CountingWorker.stateful
    assert not DefaultWorker.stateful


def test_a_worker_written_for_rollout_works_unchanged():
    results = list(CountingWorker(seed=0, max_episode_length=3, worker_number=0).rollouts([unit(4), unit(9)]))
    assert results == [(unit(4), "unit 4"), (unit(9), "unit 9")]


def test_units_are_taken_one_by_one():
    taken = []

    def units():
        for number in range(3):
            taken.append(number)
            yield unit(number)

    stream = CountingWorker(seed=0, max_episode_length=3, worker_number=0).rollouts(units())
    next(stream)
    assert taken == [0], "a worker that takes units early makes the sampler run more than it needs"


def test_env_seed_is_the_unit_s():
    it = worker()
    it.unit = unit(0, env_seed=17)
    assert it.env_seed() == 17
    assert it.env_seed() == 17


def test_env_seed_is_none_outside_a_sampler():
    assert worker().env_seed() is None


def test_without_reseed_an_environment_is_seeded_once():
    it = worker()
    it.reseed = False
    it.unit = unit(0, env_seed=17)
    first = it.env_seed()
    it.unit = unit(1, env_seed=18)
    assert (first, it.env_seed()) == (17, None)


def test_a_cancelled_unit_ends_between_two_steps():
    it = worker(max_episode_length=100)
    it.update_agent(ProbePolicy())
    it.update_env(TattooEnv(lengths=(50,)))
    it.cancel()
    with pytest.raises(UnitCancelled):
        it.rollout()
    it.resume()
    assert it.rollout().lengths.tolist() == [50]


def test_a_worker_without_steps_says_so():
    it = CountingWorker(seed=0, max_episode_length=3, worker_number=0)
    for call in (it.start_episode, it.step_episode, it.collect_episode):
        with pytest.raises(NotImplementedError, match="CountingWorker"):
            call()


def test_a_worker_knows_its_number():
    assert worker(worker_number=2).worker_number == 2


def test_units_are_plain_tuples():
    assert pickle.loads(pickle.dumps(unit(3))) == (3, 5, 6, 7)


def test_capabilities_are_true_or_come_with_a_reason():
    assert YES
    assert not no("because")
    assert no("because").reason == "because"
    assert {check_capability(name) for name in CAPABILITIES} == set(CAPABILITIES)
    with pytest.raises(ValueError, match="exact_episodes"):
        check_capability("exact_episode")


rows_of_seeds = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


@given(st.integers(0, 2**40), st.lists(rows_of_seeds, min_size=1, max_size=9), st.data())
def test_units_as_arrays_are_those_that_one_would_make_of_their_rows(first, rows, data):
    units = Units(first, np.array(rows, np.uint64))
    expected = [Unit(number, *row) for number, row in enumerate(rows, first)]
    assert [*units] == expected
    assert len(units) == len(expected)
    assert [*units.numbers] == [unit.number for unit in expected]
    assert units.env_seeds.tolist() == [unit.env_seed for unit in expected]
    assert units.policy_seeds.tolist() == [unit.policy_seed for unit in expected]
    index = data.draw(st.integers(-len(rows), len(rows) - 1))
    assert units[index] == expected[index]
    assert all(type(value) is int for value in units[index]), "no numpy numbers: they overflow"
    some = data.draw(st.slices(len(rows)))
    assert [*units[some]] == expected[some]
    for outside in (len(rows), -len(rows) - 1):
        with pytest.raises(IndexError):
            units[outside]


def test_whoever_writes_to_seeds_of_units_has_copies():
    units = Units(4, np.array([[1, 2, 3]], np.uint64))
    units.env_seeds[:] = units.policy_seeds[:] = 9
    assert [*units] == [(4, 1, 2, 3)]
