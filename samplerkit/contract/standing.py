"""A runtime that many samplers share: started once for the suite, and not for each sampler."""

from __future__ import annotations

import atexit
import contextlib

from samplerkit.contract.census import leave_out
from samplerkit.contract.subject import Subject


def keep_runtime(subject: Subject) -> None:
    """Start what samplers of the subject would each have to start, for the rest of this process.

    See `BaseSampler.standing_runtime`. Processes of the runtime are not counted as left by a sampler.
    """
    standing = getattr(subject.sampler, "standing_runtime", None)
    if standing is None:
        return
    stack = contextlib.ExitStack()
    leave_out(stack.enter_context(standing()))
    atexit.register(stack.close)
