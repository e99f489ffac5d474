"""Loading plugins of hooks: one by one, once, wholly or not at all."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import types
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import samplerkit
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.plugins import State, hooks
from samplerkit.plugins.hook_registry import GROUP, NO_PLUGINS, HookPlugins
from samplerkit.plugins.hookspecs import hookimpl

GOOD = """
    from samplerkit.plugins.hookspecs import hookimpl
    created = []

    @hookimpl
    def samplerkit_sampler_created(sampler):
        created.append(sampler)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Write modules, and make them the plugins of this test, by entry points that really import them."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(NO_PLUGINS, raising=False)
    known = set(sys.modules)

    def install_all(*sources, **named):
        sources = {**{f"acme_hooks_{i}": source for i, source in enumerate(sources)}, **named}
        for module, source in sources.items():
            (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        points = [point(module) for module in sources]
        plugins = HookPlugins(lambda *, group: points if group == GROUP else [])
        monkeypatch.setattr(hooks, "installed", plugins)
        return plugins

    yield install_all
    for name in set(sys.modules) - known:
        if name.startswith("acme_"):
            del sys.modules[name]


def point(value, name="acme", distribution="acme-hooks"):
    return types.SimpleNamespace(
        name=name, dist=types.SimpleNamespace(name=distribution), load=EntryPoint(name, value, GROUP).load
    )


def make():
    return samplerkit.make_sampler(
        "local", agents=ProbePolicy(), envs=TattooEnv, max_episode_length=5, n_workers=1, seed=1
    )


def only(plugins):
    (plugin,) = plugins.plugins()
    return plugin


def test_a_plugin_is_loaded_when_the_first_sampler_is_made_and_once(install):
    plugins = install(GOOD)
    assert "acme_hooks_0" not in sys.modules
    with make() as first, make() as second:
        pass
    assert sys.modules["acme_hooks_0"].created == [first, second]
    plugin = only(plugins)
    assert (plugin.name, plugin.distribution) == ("acme", "acme-hooks")
    assert (plugin.state, plugin.reason) == (State.OK, "")
    assert plugin.hooks == ("samplerkit_sampler_created",)


BROKEN = {
    "import": ("raise ImportError('no acme_core')", "importing it raised ImportError: no acme_core"),
    "exit": ("raise SystemExit(3)", "importing it raised SystemExit: 3"),
    "syntax": ("def", "importing it raised SyntaxError"),
    "nothing": ("x = 3", "implements no hook; there are samplerkit_batch_collected"),
    "unmarked": (
        "def samplerkit_updated(sampler): pass",
        "its samplerkit_updated is not marked with samplerkit.plugins.hookspecs.hookimpl",
    ),
    "unknown": (
        """
        @hookimpl
        def samplerkit_batch_colected(batch): pass
        """,
        "it implements samplerkit_batch_colected, which sampler API 1.0 does not have (did you mean "
        "samplerkit_batch_collected?): update samplerkit, or mark it @hookimpl(optionalhook=True)",
    ),
    "argument": (
        """
        @hookimpl
        def samplerkit_updated(sampler, version): pass
        """,
        "asks for version; the hook offers sampler, agent_version, env_version, by name",
    ),
    "positional": (
        """
        @hookimpl
        def samplerkit_error(sampler, /, error): pass
        """,
        "its samplerkit_error asks for sampler (by position only); the hook offers sampler, error, by name",
    ),
    "keyword": (
        """
        @hookimpl
        def samplerkit_contract_clauses(*, profile): pass
        """,
        "asks for profile; the hook offers no argument",
    ),
    "wrapper": (
        """
        @hookimpl(wrapper=True)
        def samplerkit_error(sampler):
            yield
        """,
        "its samplerkit_error is a wrapper, a generator or a coroutine: hooks are plain functions",
    ),
    "coroutine": (
        """
        @hookimpl
        async def samplerkit_error(sampler): pass
        """,
        "a coroutine: hooks are plain functions",
    ),
}
MARKER = "from samplerkit.plugins.hookspecs import hookimpl\n"
HALF_GOOD = """
@hookimpl
def samplerkit_sampler_created(sampler):
    raise AssertionError("a part of a broken plugin was called")

@hookimpl
def samplerkit_unknown(sampler):
    pass
"""


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_recorded_with_its_reason_and_harms_nobody(install, caplog, kind):
    source, reason = BROKEN[kind]
    plugins = install(MARKER + textwrap.dedent(source), GOOD)
    with make() as sampler:
        sampler.obtain_samples(0, 1)
    broken, good = plugins.plugins()
    assert broken.state == State.BROKEN
    assert reason in broken.reason
    assert "\n" not in broken.reason
    assert good.state == State.OK
    assert sys.modules["acme_hooks_1"].created == [sampler]
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert reason in warnings[0]


def test_nothing_of_a_plugin_is_registered_if_a_part_of_it_does_not_fit(install, caplog):
    plugins = install(MARKER + HALF_GOOD, GOOD)
    make().shutdown_worker()
    assert [plugin.state for plugin in plugins.plugins()] == [State.BROKEN, State.OK]
    assert "a part of a broken plugin" not in caplog.text


def test_a_plugin_that_pluggy_refuses_after_our_checks_is_taken_out_wholly(install, caplog, monkeypatch):
    """Older versions of pluggy find fault with a plugin when they have registered half of it."""
    import pluggy

    real = pluggy.PluginManager.register

    def register(self, plugin, name=None):
        real(self, plugin, name)
        if name == "acme (acme-hooks)":  # the first of them
            raise pluggy.PluginValidationError(plugin, "half\nregistered")
        return name

    monkeypatch.setattr(pluggy.PluginManager, "register", register)
    plugins = install(GOOD, GOOD)
    make().shutdown_worker()
    broken, good = plugins.plugins()
    assert (broken.state, broken.reason) == (State.BROKEN, "half registered")
    assert good.state == State.OK
    assert sys.modules["acme_hooks_0"].created == []
    assert len(sys.modules["acme_hooks_1"].created) == 1


def test_an_unknown_hook_that_is_optional_is_left_alone(install):
    source = """
        @hookimpl(optionalhook=True)
        def samplerkit_of_the_future(sampler, mood): pass
    """
    plugins = install(MARKER + textwrap.dedent(source))
    make().shutdown_worker()
    assert only(plugins).state == State.OK


def test_an_argument_with_a_default_is_passed_where_there_is_one(install):
    source = """
        heard = []

        @hookimpl
        def samplerkit_updated(agent_version=None, mood="unknown", *, env_version=None):
            heard.append((agent_version, mood, env_version))
    """
    install(MARKER + textwrap.dedent(source))
    with make() as sampler:
        sampler.obtain_samples(0, 1, env_update=TattooEnv(tag=2))
    assert sys.modules["acme_hooks_0"].heard == [(0, "unknown", 1)]


def test_lazy_attributes_of_a_plugin_stay_lazy(install):
    lazy = """
        def __getattr__(name):
            raise AssertionError(f"{name} was evaluated")

        def __dir__():
            return ["samplerkit_updated", "samplerkit_sampler_created", "heavy"]
    """
    plugins = install(textwrap.dedent(GOOD) + textwrap.dedent(lazy))
    make().shutdown_worker()
    assert only(plugins).state == State.OK, only(plugins).reason


def test_properties_of_a_plugin_are_not_evaluated():
    class Plugin:
        @property
        def heavy(self):
            raise AssertionError("evaluated")

        @hookimpl
        def samplerkit_sampler_created(self):
            pass

    HookPlugins(lambda **_: []).register(Plugin())


@pytest.mark.parametrize(
    ("plugin", "error", "text"),
    [
        (dict, TypeError, "'dict' cannot be a plugin of hooks: it is <class 'dict'>"),
        (None, TypeError, "'NoneType' cannot be a plugin of hooks: it is None"),
        ({}, ValueError, "'dict' cannot be a plugin of hooks: {} implements no hook"),
    ],
    ids=["class", "None", "no hook"],
)
def test_what_is_no_plugin_is_refused_by_hand(plugin, error, text):
    plugins = HookPlugins(lambda **_: [])
    with pytest.raises(error) as caught:
        plugins.register(plugin)
    assert str(caught.value).startswith(text)
    assert plugins.plugins() == []


def test_plugins_are_told_apart_whatever_their_class_says_of_equality():
    @dataclass
    class Counter:
        counts: np.ndarray = field(default_factory=lambda: np.zeros(2))

        @hookimpl
        def samplerkit_batch_collected(self):
            self.counts += 1

    @dataclass
    class Equal(Counter):
        counts: tuple = ()

        @hookimpl
        def samplerkit_batch_collected(self):
            self.counts += (1,)

    plugins = HookPlugins(lambda **_: [])
    arrays, equal = [Counter(), Counter()], [Equal(), Equal()]
    for plugin in (*arrays, *equal):
        plugins.register(plugin)
    plugins.tell("samplerkit_batch_collected")
    plugins.unregister(equal[1])
    plugins.tell("samplerkit_batch_collected")
    assert [one.counts.tolist() for one in arrays] == [[2, 2], [2, 2]]
    assert [one.counts for one in equal] == [(1, 1), (1,)]
    with pytest.raises(ValueError, match="registered already"):
        plugins.register(arrays[1])


def test_two_distributions_may_offer_plugins_of_one_name(install):
    install(GOOD, GOOD)
    points = [
        point("acme_hooks_0", distribution="b"),
        point("acme_hooks_1", distribution="a"),
        point("json", distribution="a"),
    ]
    plugins = HookPlugins(lambda **_: points)
    states = [(plugin.distribution, plugin.state) for plugin in plugins.plugins()]
    assert states == [("a", State.OK), ("a", State.BROKEN), ("b", State.OK)]


def test_a_plugin_that_makes_a_sampler_while_it_is_loaded_does_no_harm(install):
    greedy = """
        import samplerkit
        from samplerkit.contract.probes import ProbePolicy, TattooEnv
        samplerkit.make_sampler(
            "local", agents=ProbePolicy(), envs=TattooEnv, max_episode_length=5, n_workers=1
        ).shutdown_worker()
    """
    plugins = install(textwrap.dedent(greedy) + textwrap.dedent(GOOD), GOOD)
    make().shutdown_worker()
    assert [plugin.state for plugin in plugins.plugins()] == [State.OK, State.OK]
    assert len(sys.modules["acme_hooks_0"].created) == 1


def test_ctrl_c_while_a_plugin_is_loaded_does_not_lose_it(install, tmp_path):
    source = f"""
        import os, pathlib
        struck = pathlib.Path({str(tmp_path / "struck")!r})
        if not struck.exists():
            struck.touch()
            raise KeyboardInterrupt
    """
    plugins = install(textwrap.dedent(source) + textwrap.dedent(GOOD))
    with pytest.raises(KeyboardInterrupt):
        make()
    make().shutdown_worker()
    assert only(plugins).state == State.OK


@pytest.mark.parametrize(("value", "loaded"), [("1", False), ("yes", False), ("0", True), ("", True)])
def test_an_environment_variable_switches_plugins_off(install, monkeypatch, caplog, value, loaded):
    plugins = install(GOOD)
    monkeypatch.setenv(NO_PLUGINS, value)
    make().shutdown_worker()
    assert ("acme_hooks_0" in sys.modules) is loaded
    assert only(plugins).state == (State.OK if loaded else State.UNAVAILABLE)
    assert only(plugins).reason == ("" if loaded else "SAMPLERKIT_NO_PLUGINS is set")
    assert not caplog.records


def test_plugins_registered_by_hand_are_not_switched_off(install, monkeypatch):
    class Plugin:
        made = 0

        @hookimpl
        def samplerkit_sampler_created(self):
            self.made += 1

    install()
    monkeypatch.setenv(NO_PLUGINS, "1")
    plugin = samplerkit.register_hooks(Plugin())
    make().shutdown_worker()
    assert plugin.made == 1


PROGRAM = """
import sys
import samplerkit
from samplerkit.contract.probes import ProbePolicy, TattooEnv
seen = ["pluggy" in sys.modules]
samplerkit.make_sampler(
    "local", agents=ProbePolicy(), envs=TattooEnv, max_episode_length=5, n_workers=1, seed=1
).shutdown_worker()
seen += ["pluggy" in sys.modules, "acme_real" in sys.modules]
print(seen, [(p.name, str(p.state), p.distribution) for p in samplerkit.plugins.hook_plugins()])
"""


@pytest.mark.parametrize("installed", [True, False], ids=["installed", "not installed"])
def test_an_installed_distribution_is_found_and_pluggy_imported_for_it_only(tmp_path, installed):
    if installed:
        (tmp_path / "acme_real.py").write_text(textwrap.dedent(GOOD))
        info = tmp_path / "acme_real-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-real\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[samplerkit.hooks]\nacme = acme_real\n")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**{k: v for k, v in os.environ.items() if k != NO_PLUGINS}, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    wanted = [("acme", "ok", "acme-real")] if installed else []
    assert run.stdout.strip() == f"{[False, installed, installed]} {wanted}"
