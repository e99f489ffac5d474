"""The global generators: set for units, put back for the caller."""

from __future__ import annotations

import contextlib
import random
import sys
import types

import numpy as np
import pytest

from samplerkit.sampling.global_random import GlobalRandomState, seed_globals


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
