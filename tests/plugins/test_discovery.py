"""Finding backends: five states, each with a reason, and none harms another."""

from __future__ import annotations

import asyncio
import importlib
import sys
import types
from importlib.metadata import EntryPoint

import pytest

from samplerkit import errors
from samplerkit.plugins import BackendSpec, State, discovery
from samplerkit.plugins.discovery import GROUP, Registry, import_path


class Plugin:
    """An entry point of a made-up distribution."""

    def __init__(self, name, loaded, distribution="acme-samplers"):
        self.name = name
        self.dist = None if distribution is None else types.SimpleNamespace(name=distribution)
        self._loaded = loaded
        self.loads = 0

    def load(self):
        self.loads += 1
        if isinstance(self._loaded, BaseException):
            raise self._loaded
        return self._loaded


def registry(*plugins, built_in=()):
    def entry_points(*, group, name=None):
        assert group == GROUP
        return [plugin for plugin in plugins if name in (None, plugin.name)]

    return Registry(built_in, entry_points)


def spec(name="acme", api=(1, 0), **fields):
    return BackendSpec(**{"name": name, "api": api, "factory": "samplerkit.local:LocalSampler", **fields})


OK = Plugin("acme", spec())
UNAVAILABLE = Plugin("acme", spec(requires=("numpy", "no_such_module_a", "no_such_module_b")))
WITH_INSTALL = Plugin("acme", spec(requires=("no_such_module_a",), install="pip install 'acme[gpu]'"))
PACKAGES = {
    "exits_when_imported": "import sys\nsys.exit('no display')\n",
    "cancelled_when_imported": "import asyncio\nraise asyncio.CancelledError\n",
}


def changed_later(**fields):
    """Return a description that has got round its checks."""
    made = spec()
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


BAD = {
    "broken": Plugin("acme", ImportError("no module named acme_core")),
    "exits": Plugin("acme", SystemExit(3)),
    "wrong type": Plugin("acme", {"name": "acme"}),
    "wrong name": Plugin("acme", spec("other")),
    "newer minor": Plugin("acme", spec(api=(1, 99))),
    "newer major": Plugin("acme", spec(api=(2, 0))),
    "older major": Plugin("acme", spec(api=(0, 9))),
    "no such module": Plugin("acme", spec(factory="no_such_module_a:Sampler")),
    "unavailable": UNAVAILABLE,
    "unavailable parent": Plugin("acme", spec(requires=("no_such_package.module",))),
    "parent that exits": Plugin("acme", spec("bad", requires=("exits_when_imported.module",))),
    "parent that is cancelled": Plugin("acme", spec("bad", requires=("cancelled_when_imported.module",))),
    "cancelled": Plugin("acme", asyncio.CancelledError()),
    "strange version": Plugin("acme", changed_later(name="bad", api=None)),
    "strange requirements": Plugin("acme", changed_later(name="bad", requires=(5,))),
}


def test_ok():
    backend = registry(OK).find("acme")
    assert (backend.state, backend.reason) == (State.OK, "")
    assert (backend.distribution, backend.api) == ("acme-samplers", (1, 0))
    assert registry(OK).spec("acme") is backend.spec


def test_unavailable_says_what_to_install():
    backend = registry(UNAVAILABLE).find("acme")
    assert backend.state == State.UNAVAILABLE
    assert backend.reason == (
        "no_such_module_a, no_such_module_b is not installed: pip install no_such_module_a no_such_module_b"
    )
    with pytest.raises(errors.BackendUnavailable, match="pip install no_such_module_a"):
        registry(UNAVAILABLE).spec("acme")
    with pytest.raises(errors.BackendUnavailable, match=r"pip install 'acme\[gpu\]'"):
        registry(WITH_INSTALL).spec("acme")


def test_what_a_backend_requires_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "heavy_thing.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry(Plugin("acme", spec(requires=("heavy_thing",)))).find("acme").state == State.OK
    assert "heavy_thing" not in sys.modules


@pytest.mark.parametrize("field", ["factory", "worker"])
@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("no_such_module_a", "no_such_module_a"),
        ("no_such_package.module", "no_such_package"),
        ("samplerkit.lokal", "samplerkit.lokal"),
        ("samplerkit.local.deeper", "samplerkit.local.deeper"),
    ],
)
def test_a_class_in_a_module_that_does_not_exist_is_broken(field, module, absent):
    importlib.import_module("samplerkit.local")
    given = {"factory": None, field: f"{module}:Sampler"}
    backend = registry(Plugin("acme", spec(**given))).find("acme")
    assert backend.state == State.BROKEN
    assert backend.reason == f"its description names {module}:Sampler, and there is no module {absent}"


@pytest.mark.parametrize(
    "module", ["heavy_alone", "heavy_package", "heavy_package.sampler", "heavy_package.lost"]
)
def test_a_module_is_looked_for_without_importing_it_or_its_package(module, tmp_path, monkeypatch):
    (tmp_path / "heavy_package").mkdir()
    for path in ("heavy_alone.py", "heavy_package/__init__.py", "heavy_package/sampler.py"):
        (tmp_path / path).write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry(Plugin("acme", spec(factory=f"{module}:Sampler"))).find("acme").state == State.OK
    assert module.partition(".")[0] not in sys.modules


def test_a_module_that_has_no_file_is_found_where_it_was_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "made_up", types.ModuleType("made_up"))
    assert registry(Plugin("acme", spec(factory="made_up:Sampler"))).find("acme").state == State.OK


@pytest.mark.parametrize(
    ("api", "advice"),
    [((1, 99), "update samplerkit"), ((2, 0), "update samplerkit"), ((0, 9), "update the plugin")],
)
def test_incompatible_names_both_versions(api, advice):
    it = registry(Plugin("acme", spec(api=api)))
    assert it.find("acme").state == State.INCOMPATIBLE
    with pytest.raises(errors.BackendIncompatible, match=rf"{api[0]}\.{api[1]}.*provides 1\..*{advice}"):
        it.spec("acme")


@pytest.mark.parametrize(
    ("core", "state"), [((1, 7), State.OK), ((1, 3), State.OK), ((1, 2), State.INCOMPATIBLE)]
)
def test_a_plugin_of_an_older_minor_version_keeps_working(monkeypatch, core, state):
    monkeypatch.setattr(discovery, "API", core)
    assert registry(Plugin("acme", spec(api=(1, 3)))).find("acme").state == state


def test_an_incompatible_plugin_is_not_asked_what_it_requires():
    plugin = Plugin("acme", spec(api=(2, 0), requires=("no_such_module_a",)))
    assert registry(plugin).find("acme").state == State.INCOMPATIBLE


def test_broken_shows_the_exception():
    with pytest.raises(errors.BackendBroken, match="ImportError: no module named acme_core") as caught:
        registry(BAD["broken"]).spec("acme")
    assert isinstance(caught.value.__cause__, ImportError)


def test_broken_by_its_type_or_name():
    with pytest.raises(errors.BackendBroken, match="a dict, not a BackendSpec"):
        registry(BAD["wrong type"]).spec("acme")
    with pytest.raises(errors.BackendBroken, match="'acme', its spec 'other'"):
        registry(BAD["wrong name"]).spec("acme")


def test_ambiguous_lists_both():
    it = registry(OK, Plugin("acme", spec(), "zenith"))
    assert it.find("acme").state == State.AMBIGUOUS
    with pytest.raises(errors.AmbiguousBackend, match="acme-samplers and zenith"):
        it.spec("acme")


def test_an_ambiguous_backend_is_not_loaded():
    plugins = [Plugin("acme", spec(), "a"), Plugin("acme", spec(), "b")]
    registry(*plugins).find("acme")
    assert [plugin.loads for plugin in plugins] == [0, 0]


def test_an_unknown_name_comes_with_a_suggestion():
    it = registry(OK, Plugin("zenith", spec("zenith")))
    with pytest.raises(errors.UnknownBackend, match=r"no backend 'acne'. Did you mean 'acme'.*acme, zenith"):
        it.find("acne")
    with pytest.raises(errors.UnknownBackend, match=r"no backend 'qqqqqq'. Installed"):
        it.find("qqqqqq")


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_plugin_harms_no_other(bad, tmp_path, monkeypatch):
    for name, text in PACKAGES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    plugin = Plugin("bad", BAD[bad]._loaded)
    it = registry(plugin, OK, built_in=(spec("home"),))
    assert it.spec("acme")
    assert it.spec("home")
    states = {backend.name: backend.state for backend in it.backends()}
    assert states["acme"] == states["home"] == State.OK
    assert states["bad"] != State.OK
    assert all(backend.reason for backend in it.backends() if backend.state != State.OK)


def test_asking_for_one_name_loads_no_other():
    plugins = [Plugin(name, spec(name)) for name in ("acme", "other", "third")]
    it = registry(*plugins)
    it.spec("other")
    assert [plugin.loads for plugin in plugins] == [0, 1, 0]
    it.find("other")
    assert plugins[1].loads == 1, "a description is loaded once"


def test_a_distribution_without_a_name():
    assert "unknown" in registry(Plugin("acme", spec(), None)).find("acme").distribution
    nameless = Plugin("acme", spec())
    nameless.dist = types.SimpleNamespace(name=None)
    assert "unknown" in registry(nameless, OK).find("acme").reason


def test_real_entry_points_are_understood(tmp_path, monkeypatch):
    (tmp_path / "acme_real.py").write_text(
        "from samplerkit.plugins import BackendSpec\n"
        "SPEC = BackendSpec(name='acme', api=(1, 0), factory='acme_real:Sampler')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("acme", "acme_real:SPEC", GROUP)
    it = Registry((), lambda **query: [point])
    assert it.find("acme").state == State.OK


# -- by hand -------------------------------------------------------------------------------------


def test_registered_by_hand():
    it = registry()
    it.register(spec())
    assert it.find("acme").state == State.OK
    assert it.names() == ["acme"]


def test_registering_twice_the_same_is_no_error():
    it = registry()
    it.register(spec())
    it.register(spec())
    assert it.find("acme").state == State.OK


@pytest.mark.parametrize("nonsense", [None, "acme", {"name": "acme"}, BackendSpec])
def test_only_specs_are_registered(nonsense):
    with pytest.raises(TypeError, match="BackendSpec"):
        registry().register(nonsense)


def test_a_name_that_is_taken_is_refused():
    it = registry(Plugin("acme", spec()), built_in=(spec("home"),))
    it.register(spec("mine"))
    for taken in ("home", "mine", "acme"):
        with pytest.raises(ValueError, match=f"already a backend '{taken}'"):
            it.register(spec(taken, summary="another"))
        assert it.find(taken).state == State.OK, "a refused registration changes nothing"


def test_a_registration_counts_though_the_name_was_asked_for_before():
    it = registry()
    with pytest.raises(errors.UnknownBackend):
        it.find("acme")
    it.register(spec())
    assert it.find("acme").state == State.OK


def test_a_registered_backend_is_examined_like_any_other():
    it = registry()
    it.register(spec(requires=("no_such_module_a",)))
    it.register(spec("newer", api=(1, 99)))
    assert it.find("acme").state == State.UNAVAILABLE
    assert it.find("newer").state == State.INCOMPATIBLE


# -- what a path names ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module_a:Sampler", "ModuleNotFoundError"),
        ("samplerkit.local:NoSuchClass", "AttributeError"),
        ("raises_at_import:Sampler", "RuntimeError: not today"),
        ("exits_at_import:Sampler", "SystemExit"),
    ],
)
def test_a_path_that_leads_nowhere_is_the_backend_s_fault(path, message, tmp_path, monkeypatch):
    (tmp_path / "raises_at_import.py").write_text("raise RuntimeError('not today')")
    (tmp_path / "exits_at_import.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(errors.BackendBroken, match=rf"backend 'acme' is broken.*{message}"):
        import_path(path, "acme")
