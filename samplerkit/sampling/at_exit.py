"""The end of a program that forgets to shut its samplers down: they leave nothing."""

from __future__ import annotations

import atexit
import contextlib
import weakref
from multiprocessing import util

from samplerkit.interfaces import Sampler

_live: weakref.WeakSet[Sampler] = weakref.WeakSet()

_at_end_of_child: util.Finalize | None = None


def close_at_exit(sampler: Sampler) -> None:
    """See to it that a program which forgets the shutdown leaves nothing."""
    global _at_end_of_child
    _live.add(sampler)
    # Again each time, because the last to register runs first: before the hooks of whatever libraries the
    # transport is made of (multiprocessing's would wait for the processes).
    atexit.unregister(_close_live)
    atexit.register(_close_live)
    # Children that multiprocessing started wait for their own before that, if they get there at all.
    if _at_end_of_child is None or not _at_end_of_child.still_active():
        _at_end_of_child = util.Finalize(None, _close_live, exitpriority=100)


def _close_live() -> None:
    with contextlib.ExitStack() as every:  # which ends the others, too, where Ctrl-C comes
        for sampler in list(_live):
            every.callback(sampler.shutdown_worker)
