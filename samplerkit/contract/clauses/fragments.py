"""Clause A8: episodes in fragments, continued over calls."""

from __future__ import annotations

import numpy as np

from samplerkit.contract.clause import clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import ProbePolicy, TattooEnv, mark_of
from samplerkit.episodes import EpisodeBatch, StepType


@clause(
    "A8.stitched",
    needs={"fragments"},
    says="Fragments of an episode go on from call to call; stitch() joins them without gap or repetition.",
    why="A step that is lost or repeated at a cut spoils the return of every episode that is cut.",
    causes="resetting at each call; dropping what was open; a cut that is marked as an end.",
)
def stitched(lab: Lab) -> None:
    """Join the fragments of several calls, and look at tag, key and time."""
    env = TattooEnv(tag=1, lengths=(3, 30), ends="mixed")
    with lab.sampler(ProbePolicy(1), env, max_episode_length=20) as sampler:
        batches = [sampler.obtain_samples(0, 1) for _ in range(6)]
    sizes = {len(batch.rewards) for batch in batches}
    require(len(sizes) == 1, f"expected as many steps in each of six equal calls, got {sorted(sizes)}")
    whole = EpisodeBatch.concatenate(*batches).stitch()
    stops = np.cumsum(whole.lengths).tolist()
    for episode, (start, stop) in enumerate(zip([0, *stops[:-1]], stops, strict=True)):
        marks = mark_of(whole.observations)[start:stop]
        times, keys = marks[:, 2].tolist(), set(marks[:, 1].tolist())
        require(
            times == list(range(len(times))) and len(keys) == 1,
            f"episode {episode}, stitched: expected one episode, t from 0, got t {times} of the seeds {keys}",
        )
        own = min(env.length_of(int(marks[0, 1])), 20)
        ended = whole.step_types[stop - 1] in (StepType.TERMINAL, StepType.TIMEOUT)
        require(
            ended == (len(times) == own),
            f"episode {episode}, stitched: expected an end after {own} steps, and there only, got "
            f"{StepType(whole.step_types[stop - 1]).name} after {len(times)}",
        )
