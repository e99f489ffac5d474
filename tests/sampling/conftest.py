from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from samplerkit import LocalSampler
from samplerkit.contract.probes import ProbePolicy, TattooEnv


@pytest.fixture
def make() -> Iterator[Callable[..., LocalSampler]]:
    """Make local samplers of probes; they are shut down after the test."""
    made: list[LocalSampler] = []

    def make_one(agents: Any = None, envs: Any = TattooEnv, **arguments: Any) -> LocalSampler:
        agents = ProbePolicy() if agents is None else agents
        defaults = {"seed": 1, "n_workers": 2, "max_episode_length": 6}
        if "worker_factory" in arguments:
            defaults = {}
        made.append(LocalSampler(agents, envs, **{**defaults, **arguments}))
        return made[-1]

    yield make_one
    for sampler in made:
        sampler.shutdown_worker()
