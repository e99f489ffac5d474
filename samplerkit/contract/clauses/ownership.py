"""Clause B5: a returned batch is the caller's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from samplerkit.contract.clause import clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import PictureEnv, ProbePolicy, differing_pictures, mark_of
from samplerkit.contract.probes.pictures import TURNED, UPRIGHT
from samplerkit.contract.probes.tattoo import reward_of
from samplerkit.contract.script import Op, Script
from samplerkit.contract.views import in_words
from samplerkit.episodes import EpisodeBatch
from samplerkit.episodes.columns import Array, arrays_of

_FIELDS = ("lengths", *EpisodeBatch._data_fields[1:])


def _arrays(batch: EpisodeBatch) -> Iterator[tuple[str, Array]]:
    for name in _FIELDS:
        yield from arrays_of(getattr(batch, name), name)


@clause(
    "B5.unchanged",
    kind="script",
    says="No later call, update or shutdown changes a batch.",
    why="Replay buffers and off-policy corrections keep batches for a long time.",
    causes="views of a buffer that the next call fills; shared memory that shutdown releases.",
)
def unchanged(lab: Lab, script: Script) -> None:
    """Compare batches with the copies that were made of them when they were returned."""
    trace = lab.trace(script)
    for index, (batch, copy) in enumerate(zip(trace.batches, trace.copies, strict=False)):
        if index in trace.wrong:  # B1.rows says so
            continue
        difference = copy.difference(batch)
        require(
            difference is None,
            f"call {index}: expected the batch as it was returned, after {len(trace.batches) - index - 1} "
            f"more calls and a shutdown: {in_words(difference)}",
        )


@clause(
    "B5.writeable",
    kind="script",
    says="The arrays of a batch can be written to.",
    why="Normalising rewards in place is ordinary; it must not fail on one backend only.",
    causes="np.frombuffer of a message; memory of an object store, which is read-only.",
)
def writeable(lab: Lab, script: Script) -> None:
    """Look at the flags."""
    for call in lab.trace(script).calls:
        for path, array in _arrays(lab.trace(script).batches[call.index]):
            require(array.flags.writeable, f"call {call.index}, {path}: expected writeable, got read-only")


@clause(
    "B5.apart",
    kind="script",
    says="No two arrays of a sampler's batches share memory.",
    why="Writing to one batch must not change another one.",
    causes="one buffer for all calls; views of a larger array that the sampler keeps.",
)
def apart(lab: Lab, script: Script) -> None:
    """Compare the bounds of all arrays."""
    trace = lab.trace(script)
    spans: list[tuple[int, int, str, Array]] = []
    for call in trace.calls:
        for path, array in _arrays(trace.batches[call.index]):
            if array.size:
                start, stop = np.lib.array_utils.byte_bounds(array)
                spans.append((start, stop, f"call {call.index}, {path}", array))
    spans.sort(key=lambda span: span[:3])
    for (_, stop, one, first), (start, _, other, second) in itertools.pairwise(spans):
        require(
            start >= stop or not np.shares_memory(first, second),
            f"{other}: expected memory of its own, got that of {one}",
        )


@clause(
    "B5.caller-writes",
    says="What the caller writes to a batch changes nothing in the sampler.",
    why="In-process backends would hand out the very arrays that they record to.",
    causes="returning the recorder's buffers; keeping what ran ahead in the arrays that were returned.",
)
def caller_writes(lab: Lab) -> None:
    """Overwrite each batch, and compare the next one."""
    script = Script(n_workers=2, ops=(Op(9), Op(9), Op(2), Op(9)), infos="rich", ends="mixed")
    undisturbed = lab.trace(script)
    undisturbed.all_returned()
    with lab.made(script) as sampler:
        for index, (op, wanted) in enumerate(zip(script.ops, undisturbed.copies, strict=True)):
            batch = sampler.obtain_samples(0, op.count)
            difference = wanted.difference(batch)
            require(
                difference is None,
                f"call {index}, after the batches before it were overwritten: {in_words(difference)}",
            )
            for _, array in _arrays(batch):
                if array.flags.writeable:
                    array[...] = 1


@clause(
    "B5.large",
    says="Batches of several megabytes, too, are whole, and what is kept of one stays what it was.",
    why="Backends treat large rows differently: memory that is shared, or soon used again.",
    causes="memory used again while a view of it is left; rows written where another unit's belong; memory "
    "laid out for the environment before.",
)
def large(lab: Lab) -> None:
    """Take batches of pictures with new weights each time, keep some rows of each, drop the rest.

    In the last call, pictures have another shape.
    """
    for lengths in ((6,), range(4, 8)):
        kept: list[tuple[int, Array, Array]] = []
        with lab.sampler(ProbePolicy(), PictureEnv(lengths), n_workers=2) as sampler:
            for call, shape in enumerate((UPRIGHT, UPRIGHT, UPRIGHT, TURNED)):
                turned = PictureEnv(lengths, shape) if shape is TURNED else None
                batch = sampler.obtain_samples(0, 40, ProbePolicy(call).get_param_values(), turned)
                _require_shape(batch, shape, call)
                _require_whole(batch, call)
                observations: Any = batch.observations
                rows = observations["picture"][17:19]
                kept.append((call, rows, rows.copy()))
                del batch, observations
        for call, rows, copy in kept:
            require(
                np.array_equal(rows, copy),
                f"call {call}: expected pictures 17 and 18 as they were, which was all that was kept of the "
                "batch, after more calls and a shutdown; they are others now",
            )


def _require_shape(batch: EpisodeBatch, shape: tuple[int, int, int], call: int) -> None:
    for name in ("observations", "last_observations"):
        found = getattr(batch, name)["picture"].shape[1:]
        require(
            found == shape,
            f"call {call}, {name}: expected pictures of the shape {shape} that the environment has had since "
            f"that call; they are {found}",
        )


def _require_whole(batch: EpisodeBatch, call: int) -> None:
    for name in ("observations", "last_observations"):
        differing = differing_pictures(getattr(batch, name))
        require(
            not differing,
            f"call {call}, {name}: expected pictures made of the four numbers beside them; not so in rows "
            f"{differing}",
        )
    marks, last = mark_of(batch.observations), mark_of(batch.last_observations)
    following = np.concatenate([marks[1:], marks[:1]])
    following[np.cumsum(batch.lengths) - 1] = last
    wrong = np.flatnonzero(batch.rewards != [reward_of(mark) for mark in following.tolist()]).tolist()
    require(
        not wrong,
        f"call {call}, rewards: expected those that come with the observations that follow; not so in rows "
        f"{wrong}",
    )
