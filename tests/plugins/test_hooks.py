"""Plugins of hooks: told what happens to samplers, and unable to change it."""

from __future__ import annotations

import copy
import logging
import pickle
import random
import time

import numpy as np
import pytest

import samplerkit
from samplerkit import LocalSampler, SamplerBusy, UnsupportedFeature, WorkerError
from samplerkit.contract.probes import Fault, ProbePolicy, TattooEnv, crash
from samplerkit.interfaces import Observer
from samplerkit.plugins import hook_plugins, hooks
from samplerkit.plugins.hook_registry import HookPlugins
from samplerkit.plugins.hookspecs import hookimpl

WEIGHTS = {"version": np.array([1])}


@pytest.fixture(autouse=True)
def _own_plugins(monkeypatch):
    """Plugins of this test only."""
    monkeypatch.setattr(hooks, "installed", HookPlugins(lambda **_: []))


def make(name="local", **changes):
    arguments = {
        "agents": ProbePolicy(),
        "envs": TattooEnv,
        "max_episode_length": 5,
        "n_workers": 2,
        "seed": 1,
    }
    return samplerkit.make_sampler(name, **{**arguments, **changes})


class Diary:
    """Writes down everything that it hears."""

    def __init__(self):
        self.entries = []
        self.names = []

    def note(self, name, *entry):
        self.names.append(name)
        self.entries.append(entry)

    @hookimpl
    def samplerkit_sampler_created(self, sampler, spec):
        self.note("created", sampler, spec)

    @hookimpl
    def samplerkit_updated(self, sampler, agent_version, env_version):
        self.note("updated", sampler, agent_version, env_version)

    @hookimpl
    def samplerkit_batch_collected(self, sampler, batch, seconds):
        self.note("collected", sampler, batch, seconds)

    @hookimpl
    def samplerkit_carrier_restarted(self, sampler, index, exitcode):
        self.note("restarted", sampler, index, exitcode)

    @hookimpl
    def samplerkit_error(self, sampler, error):
        self.note("error", sampler, error)

    @hookimpl
    def samplerkit_sampler_shutdown(self, sampler):
        self.note("shutdown", sampler)


class Vandal:
    """Raises at every hook."""

    def __init__(self, error=None):
        self.error = error or ValueError("no")
        self.calls = 0

    def strike(self):
        self.calls += 1
        raise self.error

    @hookimpl(tryfirst=True)
    def samplerkit_sampler_created(self):
        self.strike()

    @hookimpl(tryfirst=True)
    def samplerkit_updated(self):
        self.strike()

    @hookimpl(tryfirst=True)
    def samplerkit_batch_collected(self):
        self.strike()

    @hookimpl(tryfirst=True)
    def samplerkit_error(self):
        self.strike()

    @hookimpl(tryfirst=True)
    def samplerkit_sampler_shutdown(self):
        self.strike()


class AtBatch:
    """Does something at each batch."""

    def __init__(self, act):
        self.act = act

    @hookimpl
    def samplerkit_batch_collected(self, sampler):
        self.act(sampler)


@pytest.fixture
def diary():
    return samplerkit.register_hooks(Diary())


# -- what is told ----------------------------------------------------------------------------------


def test_a_life_is_told_in_order(diary):
    with make() as sampler:
        sampler.obtain_samples(0, 3)
        sampler.obtain_exact_episodes(1, WEIGHTS)
    sampler.shutdown_worker()
    assert diary.names == ["created", "collected", "updated", "collected", "shutdown"]
    assert all(entry[0] is sampler for entry in diary.entries)


def test_the_creation_comes_with_the_description_of_the_backend(diary):
    with make():
        assert diary.entries[0][1].name == "local"


def test_a_batch_comes_with_the_seconds_that_the_call_took(diary):
    with make() as sampler:
        began = time.monotonic()
        batch = sampler.obtain_samples(0, 50)
        taken = time.monotonic() - began
    _, told, seconds = diary.entries[diary.names.index("collected")]
    assert told is batch
    assert 0.2 * taken < seconds <= taken


def test_the_counts_of_the_sampler_include_the_batch_that_is_told():
    seen = []
    samplerkit.register_hooks(AtBatch(lambda sampler: seen.append(sampler.total_env_steps)))
    with make() as sampler:
        n_steps = sampler.obtain_samples(0, 10).lengths.sum()
    assert seen == [n_steps]


def test_updates_come_with_the_versions_of_the_batch(diary):
    with make() as sampler:
        sampler.obtain_samples(0, 1, WEIGHTS)
        sampler.obtain_samples(0, 1, env_update=TattooEnv(tag=3))
        batch = sampler.obtain_samples(0, 1, WEIGHTS, TattooEnv(tag=4))
    told = [entry[1:] for name, entry in zip(diary.names, diary.entries, strict=True) if name == "updated"]
    assert told == [(1, 0), (1, 1), (2, 2)]
    assert (batch.provenance.agent_versions[0], batch.provenance.env_versions[0]) == told[-1]


def test_a_failed_call_is_an_error_and_no_update(diary):
    policy = ProbePolicy(fault=Fault("get_action"))
    with make(agents=policy) as sampler, pytest.raises(WorkerError) as caught:
        sampler.obtain_samples(0, 1, env_update=TattooEnv(tag=3))
    assert diary.names == ["created", "error", "shutdown"]
    assert diary.entries[1][1] is caught.value


def test_bad_arguments_are_not_told(diary):
    with make() as sampler:
        with pytest.raises(ValueError):
            sampler.obtain_samples(0, 0)
        with pytest.raises(UnsupportedFeature):
            make(unit_timeout=3)
    assert diary.names == ["created", "shutdown"]


def test_carriers_that_were_replaced_are_told(diary, tmp_path):
    once = Fault("get_action", crash, once=str(tmp_path / "struck"))
    with make("multiprocessing", agents=ProbePolicy(fault=once), n_processes=2) as sampler:
        sampler.obtain_samples(0, 20)
        assert sampler.statistics().restarts == 1
    told = [entry for name, entry in zip(diary.names, diary.entries, strict=True) if name == "restarted"]
    assert len(told) == 1
    _, index, exitcode = told[0]
    assert index in (0, 1)
    assert exitcode == 7
    assert diary.names[-1] == "shutdown"


def test_samplers_made_by_their_class_copied_or_unpickled_are_not_observed(diary):
    with make() as sampler, copy.deepcopy(sampler) as second, pickle.loads(pickle.dumps(sampler)) as third:
        second.obtain_samples(0, 1)
        third.obtain_samples(0, 1)
    with LocalSampler(ProbePolicy(), TattooEnv, max_episode_length=5, n_workers=1, seed=1) as fourth:
        fourth.obtain_samples(0, 1)
    assert diary.names == ["created", "shutdown"]


def test_plugins_are_called_in_pluggy_s_order():
    order = []

    class Last:
        @hookimpl(trylast=True)
        def samplerkit_sampler_created(self):
            order.append("last")

    class Plain:
        def __init__(self, name):
            self.name = name

        @hookimpl
        def samplerkit_sampler_created(self):
            order.append(self.name)

    for plugin in (Last(), Plain("one"), Plain("two")):
        samplerkit.register_hooks(plugin)
    make().shutdown_worker()
    assert order == ["two", "one", "last"]


# -- what a plugin cannot do -----------------------------------------------------------------------


def play(sampler):
    with sampler:
        yield sampler.obtain_samples(0, 20)
        yield sampler.obtain_exact_episodes(2, WEIGHTS)
        yield sampler.obtain_samples(0, 7, env_update=TattooEnv(tag=5))


@pytest.mark.parametrize("backend", ["local", "multiprocessing"])
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)], ids=["ValueError", "SystemExit"])
def test_one_that_raises_changes_no_batch_and_silences_nobody(backend, error):
    expected = list(play(make(backend)))
    vandal = samplerkit.register_hooks(Vandal(error))
    diary = samplerkit.register_hooks(Diary())
    for batch, wanted in zip(play(make(backend)), expected, strict=True):
        assert batch.equals(wanted), batch.difference(wanted)
    assert vandal.calls == 7
    assert diary.names == ["created", "collected", "updated", "collected", "updated", "collected", "shutdown"]


def test_one_that_raises_does_not_hide_the_error_of_a_call():
    samplerkit.register_hooks(Vandal())
    policy = ProbePolicy(fault=Fault("get_action"))
    with make(agents=policy) as sampler, pytest.raises(WorkerError):
        sampler.obtain_samples(0, 1)


def test_one_that_raises_is_a_warning_once(caplog):
    vandal = samplerkit.register_hooks(Vandal())
    with make() as sampler:
        for _ in range(3):
            sampler.obtain_samples(0, 1)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    told = [text for text in warnings if "samplerkit_batch_collected" in text]
    assert len(told) == 1, warnings
    assert "Vandal" in told[0]
    assert "ValueError: no" in told[0]
    samplerkit.unregister_hooks(vandal)
    samplerkit.register_hooks(vandal)
    caplog.clear()
    make().shutdown_worker()
    assert "samplerkit_sampler_created" in caplog.text, "registered anew, it is a warning again"


def test_one_that_calls_the_sampler_gets_an_error_of_its_own(caplog):
    samplerkit.register_hooks(AtBatch(lambda sampler: sampler.obtain_samples(0, 1)))
    with make() as sampler:
        batch = sampler.obtain_samples(0, 5)
    assert SamplerBusy.__name__ in caplog.text
    with LocalSampler(ProbePolicy(), TattooEnv, max_episode_length=5, n_workers=2, seed=1) as plain:
        assert plain.obtain_samples(0, 5).equals(batch)


def test_one_that_draws_leaves_the_caller_s_generators_alone():
    samplerkit.register_hooks(AtBatch(lambda _: (random.random(), np.random.rand(), np.random.seed(0))))
    with make() as sampler:
        random.seed(1)
        np.random.seed(1)
        sampler.obtain_samples(0, 5)
        drawn = random.random(), np.random.rand()
    random.seed(1)
    np.random.seed(1)
    assert drawn == (random.random(), np.random.rand())


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("update", [None, WEIGHTS], ids=["no update", "update"])
@pytest.mark.parametrize("backend", ["local", "multiprocessing"])
def test_a_call_that_is_interrupted_while_observers_are_told_has_not_happened(backend, update, stateful):
    def interrupt(sampler):
        samplerkit.unregister_hooks(plugin)
        raise KeyboardInterrupt

    plugin = AtBatch(interrupt)
    with make(backend, stateful=stateful) as sampler, make(backend, stateful=stateful) as undisturbed:
        for one in (sampler, undisturbed):
            one.obtain_samples(0, 5)
        before = sampler.get_state(), sampler.statistics().calls, sampler.total_env_steps
        samplerkit.register_hooks(plugin)
        with pytest.raises(KeyboardInterrupt):
            sampler.obtain_samples(0, 20, update)
        after = sampler.get_state(), sampler.statistics().calls, sampler.total_env_steps
        assert after[1:] == before[1:]
        assert pickle.dumps(after[0]) == pickle.dumps(before[0])
        batch, wanted = sampler.obtain_samples(0, 20), undisturbed.obtain_samples(0, 20)
    if not stateful:
        assert batch.equals(wanted), batch.difference(wanted)


def test_a_sampler_is_not_left_behind_when_its_creation_is_interrupted():
    made = []

    class Interrupting:
        @hookimpl
        def samplerkit_sampler_created(self, sampler):
            made.append(sampler)
            raise KeyboardInterrupt

    samplerkit.register_hooks(Interrupting())
    with pytest.raises(KeyboardInterrupt):
        make()
    with pytest.raises(samplerkit.SamplerClosed):
        made[0].obtain_samples(0, 1)


def test_without_plugins_telling_costs_next_to_nothing():
    sampler = make()
    with sampler:
        began = time.perf_counter()
        for _ in range(1000):
            sampler._tell_observers("batch_collected", None, 0.0)
        assert (time.perf_counter() - began) / 1000 < 50e-6


# -- registering by hand ---------------------------------------------------------------------------


def test_a_sampler_that_is_there_already_is_observed_by_a_plugin_registered_later():
    with make() as sampler:
        diary = samplerkit.register_hooks(Diary())
        sampler.obtain_samples(0, 1)
        samplerkit.unregister_hooks(diary)
        sampler.obtain_samples(0, 1)
    assert diary.names == ["collected"]


def test_unregistering_what_is_not_registered_is_an_error(diary):
    with pytest.raises(ValueError, match="not registered"):
        samplerkit.unregister_hooks(Diary())
    samplerkit.unregister_hooks(diary)
    with pytest.raises(ValueError, match="not registered"):
        samplerkit.unregister_hooks(diary)


def test_registering_twice_is_an_error_and_registering_two_alike_is_not(diary):
    with pytest.raises(ValueError, match="registered already"):
        samplerkit.register_hooks(diary)
    samplerkit.register_hooks(Diary())
    assert [plugin.name for plugin in hook_plugins()] == ["Diary", "Diary"]


def test_an_observer_needs_no_plugin(caplog):
    class Mine(Observer):
        def batch_collected(self, sampler, batch, seconds):
            heard.append(batch)
            raise ValueError("mine")

    heard = []
    with LocalSampler(ProbePolicy(), TattooEnv, max_episode_length=5, n_workers=1, seed=1) as sampler:
        sampler.observers = (Mine(), Mine())
        batch = sampler.obtain_samples(0, 1)
    assert heard == [batch, batch]
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


# -- clauses ---------------------------------------------------------------------------------------


def test_clauses_are_asked_for_one_plugin_at_a_time(diary):
    class Offering:
        @hookimpl
        def samplerkit_contract_clauses(self):
            return ["a clause"]

    class Failing:
        @hookimpl
        def samplerkit_contract_clauses(self):
            raise ValueError("no clause")

    samplerkit.register_hooks(Offering())
    samplerkit.register_hooks(Failing())
    failed, offered = hooks.contract_clauses()
    assert (offered.value, offered.error, offered.plugin.name[-8:]) == (["a clause"], None, "Offering")
    assert (failed.value, str(failed.error), failed.plugin.name[-7:]) == (None, "no clause", "Failing")
