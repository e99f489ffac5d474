"""What a worker process does with its own process."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
from fault_probes import FaultyEnv

import samplerkit
from samplerkit.policies import RandomPolicy

PROGRAM = """
import resource
import numpy as np
from samplerkit_multiprocessing import child

if KEEPS:
    child._keep_freed_memory()

def record():
    for size in (1 << 19, 1 << 20, 1 << 23):
        columns = [np.full(size, 1, np.uint8) for _ in range(3)]
        del columns

for _ in range(3):
    record()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    record()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def new_pages(keeps: bool) -> int:
    program = PROGRAM.replace("KEEPS", str(keeps))
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(ran.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have other ways")
def test_memory_that_was_freed_is_used_again_and_not_asked_for_anew():
    if new_pages(keeps=False) < 1000:
        pytest.skip("this C library keeps it anyway")
    assert new_pages(keeps=True) < 100


class FrozenEnv(FaultyEnv):
    """Says how many objects the garbage collector passes over."""

    def reset(self, *, seed=None, options=None):
        observation, _ = super().reset(seed=seed, options=options)
        return observation, {"frozen": gc.get_freeze_count()}


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_what_is_there_before_the_first_unit_is_never_looked_through_for_garbage(start_method):
    before = gc.get_freeze_count()
    policy = RandomPolicy(FrozenEnv.action_space)
    arguments = {"seed": 5, "n_workers": 2, "n_processes": 2, "max_episode_length": 20}
    with samplerkit.make_sampler(
        "multiprocessing", agents=policy, envs=FrozenEnv, start_method=start_method, **arguments
    ) as s:
        frozen = s.obtain_samples(0, 100).episode_infos_by_episode["frozen"]
    assert frozen.min() > 10_000
    assert gc.get_freeze_count() == before, "this process is the caller's"
