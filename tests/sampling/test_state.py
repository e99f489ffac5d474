"""The state of a sampler."""

from __future__ import annotations

import pickle

import pytest

from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.sampling import boundary
from samplerkit.sampling.recipes import Recipe, Record
from samplerkit.sampling.state import FORMAT, load_state, save_state


def recipe(version, tag, weights=None):
    agent = boundary.agent_change(ProbePolicy(version)).packed
    params = None if weights is None else boundary.agent_change(weights).packed
    return Recipe(agent, params, (boundary.env_change(TattooEnv(tag=tag), 5),))


def state():
    shared, other = recipe(1, 10), recipe(2, 20, {"a": 3})
    record = Record((shared, other, shared), agent_version=4, env_version=6)
    return save_state(seed=9, cursor=77, total_env_steps=1234, record=record)


def test_what_was_saved_is_loaded():
    saved = load_state(state(), n_workers=3)
    assert (saved.seed, saved.cursor, saved.total_env_steps) == (9, 77, 1234)
    assert (saved.record.agent_version, saved.record.env_version) == (4, 6)
    first, second, third = saved.record.recipes
    assert first is third, "workers that were interchangeable stay so"
    assert first.agent.load().params["version"] == [1]
    assert first.params is None
    assert second.params.load() == {"a": 3}
    assert second.envs[0].packed.load()(None).tag == 20
    assert second.envs[0].seed == 5


def test_a_state_travels():
    before = state()
    assert pickle.loads(pickle.dumps(before)) == before


def test_saving_what_was_loaded_gives_the_same():
    before = state()
    saved = load_state(before, n_workers=3)
    again = save_state(
        seed=saved.seed, cursor=saved.cursor, total_env_steps=saved.total_env_steps, record=saved.record
    )
    assert again == before


@pytest.mark.parametrize("n_workers", [1, 2, 4])
def test_another_number_of_workers_is_refused_with_both(n_workers):
    with pytest.raises(ValueError, match=rf"3 workers.*{n_workers}: make one with n_workers=3"):
        load_state(state(), n_workers=n_workers)


def test_a_newer_format_is_refused():
    with pytest.raises(ValueError, match=f"format {FORMAT + 1}"):
        load_state({**state(), "format": FORMAT + 1}, n_workers=3)


@pytest.mark.parametrize(
    "nonsense",
    [None, 3, [], {}, {"seed": 1}, {"format": 1}, {**state(), "format": "x"}, {**state(), "format": None}],
)
def test_nonsense_is_refused(nonsense):
    with pytest.raises(ValueError, match="no sampler state"):
        load_state(nonsense, n_workers=3)


@pytest.mark.parametrize("key", sorted(state()))
def test_a_state_that_lacks_something_is_refused(key):
    broken = state()
    del broken[key]
    with pytest.raises(ValueError, match="no sampler state"):
        load_state(broken, n_workers=3)
