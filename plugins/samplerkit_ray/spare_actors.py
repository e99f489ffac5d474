"""Actors that have ended their work and are kept for the next sampler, inside `RaySampler.standing_runtime`.

To start one takes half a second to two, most of it a process that imports what it needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import ray

if TYPE_CHECKING:
    from samplerkit_ray.runtime import Lease


class _Kept(NamedTuple):
    """An actor, whose Ray it is in, what was asked of that for it, and its process."""

    lease: Lease
    kind: Any
    handle: Any
    pid: int


_kept: list[_Kept] | None = None
"""None where none are kept."""


@contextlib.contextmanager
def keeping() -> Iterator[None]:
    """Keep actors up to the end of the block; in a block within another one the other one keeps them."""
    global _kept
    if _kept is not None:
        yield
        return
    _kept = []
    try:
        yield
    finally:
        kept, _kept = _kept, None
        for actor in kept:
            if actor.lease.holds:
                ray.kill(actor.handle, no_restart=True)


def give(lease: Lease, kind: Any, handle: Any, pid: int) -> bool:
    """Leave an actor here; return False where none are kept."""
    if _kept is None:
        return False
    _kept.append(_Kept(lease, kind, handle, pid))
    return True


def take(kind: Any) -> Any | None:
    """Return an actor of which the same was asked, if there is one; it may have died since."""
    kept = _kept or []
    for index, actor in enumerate(kept):
        if actor.kind == kind and actor.lease.holds:
            return kept.pop(index).handle
    return None


def has(pid: int) -> bool:
    """Whether a process is that of an actor here."""
    return any(actor.pid == pid for actor in _kept or ())
