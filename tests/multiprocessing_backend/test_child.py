"""What a worker process does with its own process."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
