"""Ray, started once for each file that needs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from samplerkit_ray.sampler import RaySampler

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def standing_ray():
    with RaySampler.standing_runtime():
        yield


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.slow)  # to start Ray takes seconds
