"""How much memory the caller's process takes at most while batches of 500 MB come in.

Fragments of one step have a final observation each, so that such a batch is twice as large.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from benchmarks.environments import FRAME
from benchmarks.running import ROOT, Course
from samplerkit.bench.field import installed, spread

TITLE = "Memory: batches of 500 MB of synthetic frames, each dropped before the next call"

_BATCH_MB = 500
_FRAME_BYTES = FRAME[0] * FRAME[1] * FRAME[2]


def run(course: Course) -> dict[str, Any]:
    """Measure each backend once, in a program of its own; peaks do not vary with the load of the machine."""
    rows = [
        [candidate.label, *_measured(candidate.backend, course.processes)]
        for candidate in installed()
        if not candidate.reason
    ]
    return {
        "key": "memory",
        "title": TITLE,
        "columns": [
            "backend",
            "batch, MB",
            "parent's peak above idle, MB",
            "of the batch",
            "largest worker, MB",
        ],
        "rows": rows,
    }


def _measured(backend: str, n_processes: int) -> list[Any]:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", backend, str(n_processes)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if run.returncode:
        return [(run.stderr.strip().splitlines() or ["it died"])[-1], None, None, None]
    peaks = json.loads(run.stdout)
    above = peaks["peak"] - peaks["idle"]
    return [round(peaks["batch"]), round(above), round(above / peaks["batch"], 2), round(peaks["worker"])]


def main(backend: str, n_processes: int) -> None:
    """Take some large batches, and print what that took."""
    import mmap

    import psutil

    from benchmarks.environments import Frames
    from samplerkit import make_sampler
    from samplerkit.bench.policies import ConstantPolicy
    from samplerkit.bench.processes import peak_memory
    from samplerkit.bench.workload import weights_in_turn

    me = psutil.Process()
    policy = ConstantPolicy(Frames.observation_space, Frames.action_space)
    updates = weights_in_turn(policy)
    assert updates is not None
    options = spread(backend, n_processes)
    with make_sampler(
        backend, agents=policy, envs=Frames, seed=0, n_workers=n_processes, **options
    ) as sampler:
        sampler.obtain_samples(0, 1)
        idle = me.memory_info().rss / 1e6
        for update in updates * 2:
            samples = sampler.obtain_samples(0, _BATCH_MB * 1_000_000 // _FRAME_BYTES, update)
            frames: list[Any] = [samples.observations, samples.last_observations]
            batch = sum(column.nbytes for column in frames) / 1e6
            for column in frames:
                # As a learner would read it: what is shared with workers counts where it has been touched.
                column.reshape(-1)[:: mmap.PAGESIZE].max()
            del samples, frames, column
        memory = peak_memory(me.pid)
    assert memory is not None
    print(json.dumps({"idle": idle, "peak": memory.parent, "batch": batch, "worker": memory.worker}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
