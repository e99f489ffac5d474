"""The tests of a cluster, in a process that has seen no other Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_cluster_of_several_nodes_keeps_what_is_promised():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, "tests/ray_backend/test_cluster.py"],
        cwd=ROOT,
        env={**os.environ, "SAMPLERKIT_CLUSTER": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert done.stdout.startswith("....."), done.stdout
