"""The description of a backend."""

from __future__ import annotations

import dataclasses

import pytest

from samplerkit import API, BackendSpec, get_backend
from samplerkit.interfaces import CAPABILITIES
from samplerkit.plugins import YES, no
from samplerkit.plugins.making import registry

GOOD = {"name": "probe", "api": (1, 0), "factory": "package.module:Class"}


def spec(**changes):
    fields = {**GOOD, **changes}
    return BackendSpec(**{name: value for name, value in fields.items() if value is not None})


def test_a_sampler():
    assert not spec().is_worker


def test_a_kind_of_worker():
    assert spec(factory=None, worker="module:Worker").is_worker


@pytest.mark.parametrize("name", ["a", "ray", "my-backend", "my_backend2", "x-1"])
def test_good_names(name):
    assert spec(name=name).name == name


@pytest.mark.parametrize(
    "name", ["", "Ray", "2ray", "-ray", "_ray", "ray+x", "a b", "a.b", "räy", "a:b", "-", "__"]
)
def test_bad_names(name):
    with pytest.raises(ValueError, match="cannot name a backend"):
        spec(name=name)


@pytest.mark.parametrize("name", [3, b"ray", ("ray",)])
def test_a_name_is_a_string(name):
    with pytest.raises(TypeError, match="must be a string"):
        spec(name=name)


@pytest.mark.parametrize("api", [1, "1.0", (1,), (1, 0, 0), (1, 0.0), (True, False), [1, 0], "10"])
def test_the_api_version_is_two_integers(api):
    with pytest.raises(TypeError, match="two integers"):
        spec(api=api)


def test_the_api_version_is_never_defaulted():
    with pytest.raises(TypeError, match="api"):
        BackendSpec(name="probe", factory="a:B")


@pytest.mark.parametrize("paths", [{"factory": None}, {"worker": "a:B"}])
def test_either_a_factory_or_a_worker(paths):
    with pytest.raises(ValueError, match="either factory or worker"):
        spec(**paths)


@pytest.mark.parametrize(
    "path", ["module.Class", "module:", ":Class", "", "a b:C", "a:b.c", "a..b:C", "a:B:C"]
)
def test_paths_name_a_module_and_a_class(path):
    with pytest.raises(ValueError, match="module:Class"):
        spec(factory=path)


@pytest.mark.parametrize("requires", ["ray", 5, (5,), ("",), ("ray", None), {"ray"}])
def test_requires_is_a_tuple_of_names(requires):
    with pytest.raises(TypeError, match="tuple of module names"):
        spec(requires=requires)


def test_a_list_of_what_is_required_counts_as_a_tuple():
    assert spec(requires=["numpy", "ray"]).requires == ("numpy", "ray")


@pytest.mark.parametrize("field", ["install", "summary", "url"])
def test_texts_are_strings(field):
    with pytest.raises(TypeError, match=f"{field} is a string, not 5"):
        spec(**{field: 5})


def test_unknown_capabilities_are_refused():
    with pytest.raises(ValueError, match="teleport"):
        spec(capabilities={"teleport": YES})


@pytest.mark.parametrize("support", [True, False, "yes", None])
def test_capabilities_are_yes_or_a_reason(support):
    with pytest.raises(TypeError, match="YES or no"):
        spec(capabilities={"fragments": support})


def test_capabilities_cannot_be_changed_later():
    mine = {"fragments": YES}
    it = spec(capabilities=mine)
    mine["fragments"] = no("not any more")
    assert it.capabilities["fragments"]
    with pytest.raises(TypeError):
        it.capabilities["remote"] = YES


def test_a_spec_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec().name = "other"


def test_equal_specs_are_equal():
    assert spec(capabilities={"remote": YES}) == spec(capabilities={"remote": YES})
    assert spec() != spec(summary="x")


@pytest.mark.parametrize("name", ["local", "multiprocessing"])
def test_what_is_declared_is_what_the_class_has(name):
    declared, cls = registry.spec(name), get_backend(name)
    assert dict(declared.capabilities) == dict(cls.capabilities), "the spec must not promise other things"
    assert set(declared.capabilities) == set(CAPABILITIES), "every capability is answered"
    assert all(support or support.reason for support in declared.capabilities.values())
    assert declared.api <= API
    assert declared.summary
