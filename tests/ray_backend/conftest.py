"""Ray, started once for each file that needs it."""

from __future__ import annotations

import pytest

from samplerkit_ray.sampler import RaySampler


@pytest.fixture(scope="module")
def standing_ray():
    with RaySampler.standing_runtime():
        yield
