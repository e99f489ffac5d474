"""Asking an environment whether it is a stream leaves its errors to the worker that meets them."""

from __future__ import annotations

import asyncio
import sys

import pytest

import samplerkit
from samplerkit.contract.probes import ProbePolicy, TattooEnv


class CannotStart(TattooEnv):
    def __init__(self):
        raise RuntimeError("no display")


class ExitsAtStart(TattooEnv):
    def __init__(self):
        sys.exit("no display")


class CancelledAtStart(TattooEnv):
    def __init__(self):
        raise asyncio.CancelledError("no display")


class CannotClose(TattooEnv):
    def close(self):
        raise RuntimeError("no way out")


class ExitsAtTheEnd(TattooEnv):
    def close(self):
        sys.exit("no way out")


class CancelledAtTheEnd(TattooEnv):
    def close(self):
        raise asyncio.CancelledError("no way out")


@pytest.mark.parametrize("env", [CannotStart, ExitsAtStart, CancelledAtStart])
@pytest.mark.parametrize("name", ["vectorized", "multiprocessing+vectorized"])
def test_an_environment_that_cannot_be_constructed_is_an_error_of_its_worker(name, env):
    with pytest.raises(samplerkit.WorkerError, match="no display"):
        samplerkit.make_sampler(
            name, agents=ProbePolicy(1), envs=env, seed=1, n_workers=2, max_episode_length=9
        )


@pytest.mark.parametrize("env", [CannotClose, ExitsAtTheEnd, CancelledAtTheEnd])
@pytest.mark.parametrize("name", ["vectorized", "multiprocessing+vectorized"])
def test_one_that_cannot_be_closed_can_be_sampled(name, env):
    with samplerkit.make_sampler(
        name, agents=ProbePolicy(1), envs=env, seed=1, n_workers=2, max_episode_length=9
    ) as sampler:
        assert sampler.obtain_samples(0, 30).lengths.sum() >= 30
