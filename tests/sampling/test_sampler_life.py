"""The life of a sampler: its environments, its shutdown, its state, its copies."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import warnings
from functools import partial

import cloudpickle
import numpy as np
import psutil
import pytest

from samplerkit import DefaultWorker, LocalSampler, SamplerClosed, SetTaskUpdate
from samplerkit.contract.probes import ProbePolicy, TattooEnv, read_ledger, unclosed
from samplerkit.interfaces import Observer


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "ledger"


def weights(version):
    return {"version": np.array([version])}


# -- environments --------------------------------------------------------------------------------


def test_every_environment_is_closed_exactly_once(make, ledger):
    mine = [TattooEnv(tag=tag, ledger=ledger) for tag in range(4)]
    sampler = make(envs=mine[0])
    sampler.obtain_samples(0, 5)
    sampler.obtain_samples(0, 5, env_update=mine[1])
    sampler.obtain_samples(0, 5, env_update=SetTaskUpdate(TattooEnv, 7))
    sampler.obtain_samples(0, 5, env_update=mine[2:])
    sampler.obtain_samples(0, 5, env_update=lambda: TattooEnv(ledger=ledger))
    sampler.shutdown_worker()
    sampler.shutdown_worker()
    assert len(read_ledger(ledger, "open")) > 4
    for env in mine:
        env.close()
    assert unclosed(ledger) == {}


def test_equal_workers_share_one_environment(make, ledger):
    sampler = make(envs=lambda: TattooEnv(ledger=ledger), n_workers=8)
    sampler.obtain_samples(0, 50)
    assert len(read_ledger(ledger, "open")) == 1
    sampler.obtain_samples(0, 50, env_update=lambda: TattooEnv(ledger=ledger))
    assert len(read_ledger(ledger, "open")) == 2


def test_a_task_does_not_make_an_environment_anew(make, ledger):
    sampler = make(envs=lambda: TattooEnv(ledger=ledger))
    for task in range(5):
        sampler.obtain_samples(0, 5, env_update=SetTaskUpdate(TattooEnv, task))
    assert len(read_ledger(ledger, "open")) == 1


def test_an_environment_that_will_not_close_does_not_stop_the_shutdown(make, ledger, caplog):
    class Sticky(TattooEnv):
        def close(self):
            super().close()
            raise OSError("will not close")

    sampler = make(envs=[lambda: Sticky(ledger=ledger), lambda: Sticky(ledger=ledger)])
    sampler.shutdown_worker()
    assert unclosed(ledger) == {}
    assert "will not close" in caplog.text


def test_the_caller_s_environment_is_left_open(make, ledger):
    env = TattooEnv(ledger=ledger)
    make(envs=env).shutdown_worker()
    assert unclosed(ledger) == {env.who: 1}


# -- the end -------------------------------------------------------------------------------------


def test_a_with_statement_shuts_down(make, ledger):
    with make(envs=lambda: TattooEnv(ledger=ledger)) as sampler:
        sampler.obtain_samples(0, 5)
    assert unclosed(ledger) == {}
    with pytest.raises(SamplerClosed):
        sampler.obtain_samples(0, 5)


def test_workers_are_up_when_the_constructor_returns(make, ledger):
    make(envs=lambda: TattooEnv(ledger=ledger))
    assert len(read_ledger(ledger, "open")) == 1


def test_start_worker_does_nothing(make):
    make().start_worker()


def test_a_dropped_sampler_warns_and_closes(ledger):
    def use_and_drop():
        env = lambda: TattooEnv(ledger=ledger)  # noqa: E731
        LocalSampler(ProbePolicy(), env, n_workers=1, seed=1, max_episode_length=3).obtain_samples(0, 1)
        gc.collect()

    with pytest.warns(ResourceWarning, match="shutdown_worker"):
        use_and_drop()
    assert unclosed(ledger) == {}


class Interrupting(TattooEnv):
    """Ctrl-C comes while it is closed."""

    def close(self):
        super().close()
        raise KeyboardInterrupt


def test_ctrl_c_while_an_environment_is_closed_leaves_no_other_open(make, ledger):
    sampler = make(envs=[lambda: Interrupting(ledger=ledger), lambda: TattooEnv(ledger=ledger)])
    with pytest.raises(KeyboardInterrupt):
        sampler.shutdown_worker()
    assert unclosed(ledger) == {}
    with pytest.raises(SamplerClosed):
        sampler.obtain_samples(0, 1)


def test_a_shutdown_that_ctrl_c_ended_twice_goes_on_when_it_is_asked_for_again(make, ledger):
    heard = []

    class Listening(Observer):
        def shut_down(self, sampler):
            heard.append(unclosed(ledger))

    kinds = [Interrupting, Interrupting, TattooEnv]
    sampler = make(envs=[partial(kind, ledger=ledger) for kind in kinds], n_workers=3)
    sampler.observers = (Listening(),)
    with pytest.raises(KeyboardInterrupt):
        sampler.shutdown_worker()
    assert len(unclosed(ledger)) == 1
    assert heard == []
    sampler.shutdown_worker()
    sampler.shutdown_worker()
    assert heard == [{}], "told once, when the workers are down"


def test_ctrl_c_while_a_state_with_another_seed_is_set_changes_nothing(make, ledger):
    sampler = make(envs=lambda: Interrupting(ledger=ledger), stateful=True)
    sampler.obtain_samples(0, 5)
    before = sampler.get_state()
    with pytest.raises(KeyboardInterrupt):
        sampler.set_state({**before, "seed": 7})
    assert sampler.get_state() == before
    assert not sampler.supports("reproducible"), "what the workers remembered is gone"
    assert sampler.obtain_samples(0, 5).provenance.units.tolist() == [before["cursor"]]
    with pytest.raises(KeyboardInterrupt):
        sampler.shutdown_worker()
    assert unclosed(ledger) == {}


def test_a_sampler_that_was_shut_down_does_not_warn():
    sampler = LocalSampler(ProbePolicy(), TattooEnv, n_workers=1, seed=1, max_episode_length=3)
    sampler.shutdown_worker()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del sampler
        gc.collect()


@pytest.mark.parametrize("arguments", [{"n_workers": 0}, {"no_option": 1}, {"envs": 3}])
def test_a_sampler_that_was_never_made_does_not_warn(make, arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((TypeError, ValueError)):
            make(**arguments)
        gc.collect()


def test_the_number_of_workers_is_that_of_a_list_else_of_the_cores(make):
    assert make([ProbePolicy()] * 3, n_workers=None).n_workers == 3
    assert make(envs=[TattooEnv] * 4, n_workers=None).n_workers == 4
    assert make(n_workers=None).n_workers == (psutil.cpu_count(logical=False) or psutil.cpu_count())


# -- forked processes ----------------------------------------------------------------------------


def forked(function):
    """Return what a function returns, or raises, in a process that is forked from this one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = function()
            result = [str(warning.message) for warning in caught] or result
        except BaseException as error:
            result = error
        os.write(writer, cloudpickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        result = pickle.load(file)
    os.waitpid(child, 0)
    return result


def outcome(call):
    try:
        return call()
    except SamplerClosed as error:
        return str(error)


@pytest.mark.parametrize(
    "call",
    [lambda s: s.obtain_samples(0, 1), lambda s: s.set_state(s.get_state())],
    ids=["obtain", "set_state"],
)
def test_a_forked_process_is_told_that_a_sampler_is_not_its_own(make, call):
    sampler = make()
    assert "make a new one here" in forked(lambda: outcome(lambda: call(sampler)))


def test_what_a_forked_process_does_to_a_sampler_does_it_no_harm(ledger):
    def shut_down_and_drop():
        nonlocal sampler
        sampler.shutdown_worker()
        sampler = None
        gc.collect()
        return unclosed(ledger)

    env = lambda: TattooEnv(ledger=ledger)  # noqa: E731
    sampler = LocalSampler(ProbePolicy(), env, n_workers=1, seed=1, max_episode_length=3)
    assert list(forked(shut_down_and_drop).values()) == [1], "its environment is the parent's to close"
    sampler.obtain_samples(0, 1)
    sampler.shutdown_worker()
    assert unclosed(ledger) == {}


def test_a_copy_that_a_forked_process_makes_is_its_own(make):
    sampler = make()

    def use_a_copy():
        with pickle.loads(pickle.dumps(sampler)) as other:
            return other.obtain_samples(0, 20)

    assert forked(use_a_copy).equals(sampler.obtain_samples(0, 20))


# -- state ---------------------------------------------------------------------------------------


def busy(make, **arguments):
    """Return a sampler that has seen something."""
    sampler = make(**arguments)
    sampler.obtain_samples(0, 20)
    sampler.obtain_samples(
        0, 20, agent_update=[weights(3), weights(4)], env_update=[TattooEnv(tag=5), TattooEnv(tag=6)]
    )
    sampler.obtain_exact_episodes(1, env_update=SetTaskUpdate(TattooEnv, 8))
    return sampler


def assert_same_future(one, other):
    assert one.total_env_steps == other.total_env_steps
    for step in range(3):
        update = weights(step) if step == 1 else None
        a, b = (
            one.obtain_samples(0, 25, agent_update=update),
            other.obtain_samples(0, 25, agent_update=update),
        )
        assert a.difference(b) is None
        for name in ("units", "workers", "agent_versions", "env_versions"):
            np.testing.assert_array_equal(getattr(a.provenance, name), getattr(b.provenance, name))
    assert one.total_env_steps == other.total_env_steps


@pytest.mark.parametrize("seed", [1, 2], ids=["same seed", "other seed"])
def test_a_state_that_is_set_gives_the_batch_that_would_have_come(make, seed):
    sampler = busy(make)
    other = make(seed=seed, agents=ProbePolicy(77), envs=TattooEnv(tag=77))
    other.obtain_samples(0, 3)
    other.set_state(pickle.loads(pickle.dumps(sampler.get_state())))
    assert other.seed == other.worker_factory.seed == sampler.seed
    assert_same_future(sampler, other)


def test_going_back_in_one_sampler(make):
    sampler = busy(make)
    state = sampler.get_state()
    first = sampler.obtain_samples(0, 30)
    sampler.obtain_samples(0, 30, agent_update=weights(50), env_update=TattooEnv)
    sampler.set_state(state)
    assert sampler.obtain_samples(0, 30).equals(first)


def test_getting_the_state_changes_nothing(make):
    sampler = busy(make)
    state = sampler.get_state()
    assert sampler.get_state() == state


@pytest.mark.parametrize("change", [{"format": 99}, {"workers": [0]}, {"recipes": None}])
def test_a_state_that_does_not_fit_changes_nothing(make, change):
    sampler = busy(make)
    state = sampler.get_state()
    with pytest.raises(ValueError):
        sampler.set_state({**state, **change})
    assert sampler.get_state() == state
    assert_same_future(sampler, busy(make))


class Seedy(DefaultWorker):
    """Reports the seed that it was built with."""

    def rollout(self):
        return super().rollout().replace(episode_infos={"seed": np.array([self._seed])})


def test_workers_know_the_seed_of_the_state(make):
    sampler, other = make(seed=1, worker_class=Seedy), make(seed=2, worker_class=Seedy)
    other.obtain_samples(0, 1)
    other.set_state(sampler.get_state())
    assert sampler.obtain_samples(0, 9).difference(other.obtain_samples(0, 9)) is None


def test_a_state_set_on_stateful_workers_says_that_the_past_is_lost(make):
    sampler = make(stateful=True)
    assert sampler.obtain_samples(0, 5).provenance.reproducible
    sampler.set_state(sampler.get_state())
    assert not sampler.supports("reproducible")
    assert not sampler.obtain_samples(0, 5).provenance.reproducible


# -- copies --------------------------------------------------------------------------------------


COPIES = [
    lambda s: pickle.loads(pickle.dumps(s)),
    lambda s: cloudpickle.loads(cloudpickle.dumps(s)),
    copy.deepcopy,
]


@pytest.mark.parametrize("duplicate", COPIES, ids=["pickle", "cloudpickle", "deepcopy"])
def test_a_copy_goes_on_where_the_original_was(make, duplicate):
    sampler = busy(make)
    with duplicate(sampler) as other:
        assert (other.seed, other.n_workers) == (sampler.seed, sampler.n_workers)
        assert_same_future(other, sampler)


def test_a_copy_starts_its_workers_at_its_first_call(make, ledger):
    sampler = make(envs=lambda: TattooEnv(ledger=ledger))
    other = pickle.loads(cloudpickle.dumps(sampler))
    assert len(read_ledger(ledger, "open")) == 1
    other.obtain_samples(0, 1)
    assert len(read_ledger(ledger, "open")) == 2
    other.shutdown_worker()
    sampler.shutdown_worker()
    assert unclosed(ledger) == {}


def test_a_copy_that_is_never_used_ends_quietly(make):
    other = pickle.loads(pickle.dumps(make()))
    other.shutdown_worker()
    with pytest.raises(SamplerClosed):
        other.obtain_samples(0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(make()))
        gc.collect()


def test_a_copy_shares_nothing_with_the_original(make):
    sampler = make()
    other = copy.deepcopy(sampler)
    sampler.shutdown_worker()
    with other:
        assert other.obtain_samples(0, 20).equals(make().obtain_samples(0, 20))


def test_a_copy_keeps_its_options(make):
    sampler = make(reseed=False, n_workers=1)
    with copy.deepcopy(sampler) as other:
        assert other.obtain_samples(0, 20).equals(sampler.obtain_samples(0, 20))


def test_updates_of_a_copy_leave_no_environment_open(make, ledger):
    mine = [TattooEnv(tag=tag, ledger=ledger) for tag in range(2)]
    sampler = make(envs=mine[0])
    with copy.deepcopy(sampler) as other:
        other.obtain_samples(0, 5, env_update=SetTaskUpdate(TattooEnv, 4))
        other.obtain_samples(0, 5, env_update=mine[1])
    sampler.shutdown_worker()
    for env in mine:
        env.close()
    assert unclosed(ledger) == {}
