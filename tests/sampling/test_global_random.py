"""The global generators: set for units, put back for the caller."""

from __future__ import annotations

import contextlib
import random
import sys
import types

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TransformReward

from samplerkit import global_random
from samplerkit.global_random import GlobalRandomState, may_draw_from_globals, seed_globals
from samplerkit.interfaces import layers_of
from samplerkit.policies import GRUPolicy, MLPPolicy, RandomPolicy, from_callable


def draws():
    return random.random(), np.random.random(), random.getrandbits(64), np.random.randint(2**31)


def test_one_seed_sets_both_generators():
    with GlobalRandomState():
        seed_globals(2**63 + 17)
        first = draws()
        seed_globals(2**63 + 17)
        assert draws() == first
        seed_globals(2**63 + 18)
        assert draws() != first


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1])
def test_any_64_bit_seed_is_taken(seed):
    with GlobalRandomState():
        seed_globals(seed)


def test_the_state_is_put_back():
    random.seed(5)
    np.random.seed(5)
    expected = draws()
    random.seed(5)
    np.random.seed(5)
    with GlobalRandomState():
        seed_globals(8)
        draws()
    assert draws() == expected


def test_the_state_is_put_back_after_an_error():
    before = random.getstate()
    with contextlib.suppress(KeyboardInterrupt), GlobalRandomState():
        seed_globals(8)
        raise KeyboardInterrupt
    assert random.getstate() == before


def test_a_pending_gaussian_is_put_back_too():
    np.random.seed(5)
    np.random.randn()  # numpy's polar method keeps a second number for the next call
    with GlobalRandomState():
        seed_globals(8)
    after = np.random.randn()
    np.random.seed(5)
    np.random.randn()
    assert np.random.randn() == after


def test_torch_is_served_where_it_is_loaded(monkeypatch):
    torch = types.ModuleType("torch")
    torch.state = 1
    torch.manual_seed = lambda seed: setattr(torch, "state", seed)
    torch.get_rng_state = lambda: torch.state
    torch.set_rng_state = lambda state: setattr(torch, "state", state)
    monkeypatch.setitem(sys.modules, "torch", torch)
    with GlobalRandomState():
        seed_globals(2**64 - 1)
        assert 0 < torch.state < 2**63
    assert torch.state == 1


def test_torch_is_not_loaded_for_it():
    with GlobalRandomState():
        seed_globals(1)
    assert "torch" not in sys.modules


def state_of_globals() -> tuple[object, ...]:
    _, words, *others = np.random.get_state()
    return random.getstate(), words.tobytes(), *others


def ids_with_their_own() -> list[str]:
    """The latest version of each environment that is taken at its word."""
    found = {}
    for spec in gymnasium.registry.values():
        if str(spec.entry_point).startswith(global_random._WITH_THEIR_OWN):
            found[spec.name] = max(spec.version or 0, found.get(spec.name, 0))
    return [f"{name}-v{version}" for name, version in sorted(found.items())]


@pytest.mark.parametrize("name", ids_with_their_own())
def test_what_is_taken_to_draw_from_its_own_generators_leaves_the_global_ones_alone(name):
    try:
        env = RecordEpisodeStatistics(gymnasium.make(name))
    except gymnasium.error.DependencyNotInstalled as error:
        pytest.skip(str(error))
    assert not any(map(may_draw_from_globals, layers_of(env)))
    env.action_space.seed(3)
    before = state_of_globals()
    for seed in range(5):
        env.reset(seed=seed)
        for _ in range(100):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                break
    assert state_of_globals() == before


@pytest.mark.parametrize("kind", [MLPPolicy, GRUPolicy, RandomPolicy])
def test_so_do_policies_that_say_so(kind):
    env = CartPoleEnv()
    before = state_of_globals()
    policy = kind(env.action_space) if kind is RandomPolicy else kind(env.observation_space, env.action_space)
    assert not may_draw_from_globals(policy)
    policy.reset()
    policy.seed(np.array([5], np.uint64))
    for _ in range(50):
        policy.get_action(env.observation_space.sample())
    policy.set_param_values(policy.get_param_values())
    assert state_of_globals() == before


class Jittery(CartPoleEnv):
    """Its class says nothing, whatever the one above it says."""


class Boastful(MLPPolicy):
    """Likewise."""


def test_who_says_nothing_may_draw_from_them():
    env = CartPoleEnv()
    assert may_draw_from_globals(Jittery())
    assert may_draw_from_globals(TransformReward(env, lambda reward: reward + random.random()))
    assert may_draw_from_globals(from_callable(lambda observation: 0))
    assert may_draw_from_globals(Boastful(env.observation_space, env.action_space))
