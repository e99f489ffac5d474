"""A plugin written for an older minor version keeps working: docs/api-evolution.md."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path

import numpy as np
import pluggy
import pytest

import samplerkit
from samplerkit import BackendSpec, errors, interfaces, sampling
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.plugins import State, discovery, hook_manager, hooks, hookspecs, making
from samplerkit.plugins.discovery import Registry
from samplerkit.plugins.hook_registry import HookPlugins
from samplerkit.plugins.making import LOCAL

OLD = Path(__file__).with_name("written_for_1_0")
WEIGHTS = {"version": np.array([1])}


@pytest.fixture(autouse=True)
def _old_plugins(monkeypatch):
    """The plugins of API 1.0, importable but not registered."""
    monkeypatch.syspath_prepend(OLD)
    monkeypatch.setattr(making, "registry", Registry((LOCAL,), lambda **_: []))
    monkeypatch.setattr(hooks, "installed", HookPlugins(lambda **_: []))
    yield
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


@pytest.fixture(params=[(1, 0), (1, 3)], ids=["1.0", "1.3"])
def core(request, monkeypatch):
    """The version that samplerkit has come to."""
    for module in (samplerkit.version, discovery, hook_manager):
        monkeypatch.setattr(module, "API", request.param)
    return request.param


def make(name, **changes):
    arguments = {"agents": ProbePolicy(), "envs": TattooEnv, "n_workers": 3, "seed": 1}
    return samplerkit.make_sampler(name, max_episode_length=5, **{**arguments, **changes})


def play(sampler):
    with sampler:
        yield sampler.obtain_samples(0, 20)
        yield sampler.obtain_exact_episodes(2, [WEIGHTS, WEIGHTS, {"version": np.array([7])}])
        yield sampler.obtain_samples(0, 7, env_update=TattooEnv(tag=5))


# -- what an older plugin meets --------------------------------------------------------------------


def test_an_older_backend_gives_the_right_batches(core):
    del core
    samplerkit.register_backend(importlib.import_module("acme_spec").SAMPLER)
    assert making.registry.find("acme-threads").state == discovery.State.OK
    for batch, wanted in zip(play(make("acme-threads", n_threads=2)), play(make("local")), strict=True):
        assert batch.equals(wanted), batch.difference(wanted)


def test_an_older_kind_of_worker_composes_with_an_older_backend(core):
    del core
    spec = importlib.import_module("acme_spec")
    samplerkit.register_backend(spec.SAMPLER)
    samplerkit.register_backend(spec.WORKER)
    sampler = make("acme-threads+acme-echo", worker_args={"echo": 1})
    for batch, wanted in zip(play(sampler), play(make("local")), strict=True):
        assert batch.equals(wanted), batch.difference(wanted)


def told_to_an_older_plugin():
    plugin = samplerkit.register_hooks(importlib.import_module("acme_hooks"))
    for _ in play(make("local")):
        pass
    return plugin.heard


def test_an_older_plugin_of_hooks_hears_what_it_always_heard(core):
    del core
    assert told_to_an_older_plugin() == [
        ("created", "local"),
        ("collected", True, True),
        ("updated", 1, 0),
        ("collected", True, True),
        ("updated", 1, 1),
        ("collected", True, True),
        ("shutdown", 3),
    ]


def test_an_older_plugin_of_hooks_does_not_notice_new_arguments_and_new_hooks(monkeypatch):
    @pluggy.HookspecMarker("samplerkit")
    def samplerkit_batch_collected(sampler, batch, seconds, cost):
        pass

    @pluggy.HookspecMarker("samplerkit")
    def samplerkit_of_the_future(sampler):
        pass

    monkeypatch.setattr(hookspecs, "samplerkit_batch_collected", samplerkit_batch_collected)
    monkeypatch.setattr(hookspecs, "samplerkit_of_the_future", samplerkit_of_the_future, raising=False)
    real = HookPlugins.tell

    def tell(self, hook, **arguments):
        real(self, hook, **arguments, **({"cost": 3} if "collected" in hook else {}))

    monkeypatch.setattr(HookPlugins, "tell", tell)
    assert [entry[0] for entry in told_to_an_older_plugin()].count("collected") == 3


@pytest.mark.parametrize(
    ("api", "advice"),
    [((1, 4), "update samplerkit"), ((2, 0), "update samplerkit"), ((0, 9), "update the plugin")],
    ids=["newer minor", "newer major", "older major"],
)
def test_any_other_version_is_incompatible_and_a_sentence_says_so(monkeypatch, api, advice):
    monkeypatch.setattr(discovery, "API", (1, 3))
    spec = BackendSpec(name="acme", api=api, factory="acme_threads:AcmeSampler")
    samplerkit.register_backend(spec)
    with pytest.raises(errors.BackendIncompatible) as caught:
        make("acme")
    assert str(caught.value) == (
        f"backend 'acme' is incompatible: it was written for sampler API {api[0]}.{api[1]}, "
        f"and this samplerkit provides 1.3: {advice}"
    )
    assert "acme_threads" not in sys.modules, "nothing of it was imported"
    (backend,) = (b for b in samplerkit.backends() if b.name == "acme")
    assert backend.state == State.INCOMPATIBLE


# -- what 1.0 consisted of -------------------------------------------------------------------------
#
# A minor version may make these tables longer, never shorter: edit them only together with samplerkit.API.

TO_IMPLEMENT = {
    sampling.Transport: {
        "n_carriers": None,
        "start": "self, index, setup",
        "send": "self, carrier, message",
        "receive": "self, carriers, timeout",
        "exit_status": "self, carrier",
        "kill": "self, carrier",
        "stop": "self, carrier, timeout",
        "wake": "self",
    },
    sampling.BaseSampler: {
        "_start": "self, record",
        "_run": "self, record, goal",
        "_interrupt": "self",
        "_stop": "self",
    },
    interfaces.Sampler: {
        "n_workers": None,
        "seed": None,
        "total_env_steps": None,
        "obtain_samples": "self, itr, num_samples, agent_update=None, env_update=None",
        "obtain_exact_episodes": "self, n_eps_per_worker, agent_update=None, env_update=None",
        "shutdown_worker": "self",
        "get_state": "self",
        "set_state": "self, state",
        "supports": "self, capability",
        "statistics": "self",
    },
    interfaces.Worker: {
        "update_agent": "self, agent_update",
        "update_env": "self, env_update",
        "shutdown": "self",
    },
    interfaces.EnvUpdate: {"__call__": "self, old_env=None"},
}
"""What a plugin implements, with the arguments that it is called with."""

TO_OVERRIDE = {
    sampling.Transport: {"close": "self"},
    sampling.PoolSampler: {"make_transport": "self"},
    interfaces.Sampler: {"start_worker": "self"},
    interfaces.Worker: {
        "start_episode": "self",
        "step_episode": "self",
        "collect_episode": "self",
        "rollout": "self",
        "rollouts": "self, units",
        "cancel": "self",
        "resume": "self",
    },
    interfaces.EnvUpdate: {"supersedes": "self, previous"},
    interfaces.Policy: {
        "get_action": "self, observation",
        "get_actions": "self, observations",
        "reset": "self, do_resets=None",
        "get_param_values": "self",
        "set_param_values": "self, params",
    },
    interfaces.Observer: {
        "updated": "self, sampler, agent_version, env_version",
        "batch_collected": "self, sampler, batch, seconds",
        "carrier_restarted": "self, sampler, index, exitcode",
        "error": "self, sampler, error",
        "shut_down": "self, sampler",
    },
}
"""What has a default that a plugin may replace."""

TO_CALL = {
    BackendSpec: "*, name, api, factory, worker, requires, install, capabilities, summary, url",
    sampling.Option: "default, check",
    sampling.check_count: "name, value",
    sampling.serve: "setup, receive, send",
    sampling.CarrierGone: "",
    sampling.BaseSampler.option: "self, name",
    interfaces.Worker.env_seed: "self",
    interfaces.no: "reason",
    interfaces.Statistics: "*, calls, units, env_steps, units_discarded, env_steps_discarded, restarts",
    samplerkit.make_sampler: (
        "name, *, agents, envs, max_episode_length, n_workers, seed, worker_class, worker_args, "
        "worker_factory"
    ),
    samplerkit.get_backend: "name",
    samplerkit.register_backend: "spec",
    samplerkit.register_hooks: "plugin",
    samplerkit.unregister_hooks: "plugin",
}
"""What a plugin calls."""

CAPABILITIES = {
    "exact_episodes",
    "fragments",
    "per_worker_agents",
    "per_worker_envs",
    "reproducible",
    "restartable",
    "stateful",
    "unit_timeout",
    "remote",
}

HOOKS = {
    "samplerkit_sampler_created": {"sampler", "spec"},
    "samplerkit_updated": {"sampler", "agent_version", "env_version"},
    "samplerkit_batch_collected": {"sampler", "batch", "seconds"},
    "samplerkit_carrier_restarted": {"sampler", "index", "exitcode"},
    "samplerkit_error": {"sampler", "error"},
    "samplerkit_sampler_shutdown": {"sampler"},
    "samplerkit_contract_clauses": set(),
}


def parameters(function):
    return list(inspect.signature(function).parameters.values())


def written(function):
    """The parameters of a method, without annotations."""
    texts = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters(function)]
    return ", ".join(texts)


def test_these_tables_are_of_the_present_major_version():
    assert samplerkit.API[0] == 1, "a new major version: write its tables and its directory of old plugins"


@pytest.mark.parametrize("cls", TO_IMPLEMENT, ids=lambda cls: cls.__name__)
def test_nothing_more_must_be_implemented(cls):
    known = {name for base in TO_IMPLEMENT if issubclass(cls, base) for name in TO_IMPLEMENT[base]}
    more = cls.__abstractmethods__ - known
    assert not more, f"{cls.__name__} wants {more}, which old plugins lack: give it a default"


@pytest.mark.parametrize("table", [TO_IMPLEMENT, TO_OVERRIDE], ids=["implement", "override"])
def test_what_a_plugin_implements_is_called_as_it_always_was(table):
    for cls, methods in table.items():
        for name, arguments in methods.items():
            present = inspect.getattr_static(cls, name)
            assert arguments is None or written(present) == arguments, f"{cls.__name__}.{name}"


@pytest.mark.parametrize("function", TO_CALL, ids=lambda function: function.__qualname__)
def test_what_a_plugin_calls_takes_what_it_always_took(function):
    before, _, by_name = TO_CALL[function].partition("*")
    positional = [name for name in before.replace(",", " ").split() if name]
    named = [name for name in by_name.replace(",", " ").split() if name]
    present = parameters(function) if function is not sampling.CarrierGone else []
    names = [p.name for p in present]
    assert names[: len(positional)] == positional
    assert set(named) <= set(names)
    for p in present:
        variable = p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        assert variable or p.name in positional + named or p.default is not p.empty, (
            f"{function.__qualname__} wants {p.name}: give it a default"
        )


def test_no_capability_is_removed():
    assert set(interfaces.CAPABILITIES) >= CAPABILITIES


def test_no_hook_and_no_argument_of_one_is_removed_or_renamed():
    present = {name: {p.name for p in parameters(getattr(hookspecs, name))} for name in HOOKS}
    for name, arguments in HOOKS.items():
        assert present[name] >= arguments, name


def test_every_hook_has_a_row_in_its_page():
    page = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()
    for name in hook_manager.HOOKS:
        given = [p.name for p in parameters(getattr(hookspecs, name))]
        assert f"| `{name}({', '.join(given)})` |" in page, name
