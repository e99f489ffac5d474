"""What policies and environments must return, for who returned something else.

Workers unpack what a call returns and ask nothing, step after step. Which call it was is read off the
exception afterwards.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Mapping
from types import FrameType, TracebackType

_MUST = {
    "get_action": "get_action must return two values: the action, and a dict of infos",
    "get_actions": "get_actions must return two values: the actions, one for each row, and a dict of infos",
    "reset": "reset of the environment must return two values: the observation, and a dict of infos",
    "step": "step of the environment must return five values: observation, reward, terminated, truncated and "
    "a dict of infos",
}

_INFOS = {
    "episode_info": "reset",
    "agent_info": "get_action",
    "agent_infos": "get_actions",
    "env_info": "step",
}
"""Which call returned what recorders and workers have under these names."""

_CALL = re.compile(r"=.*?(get_actions?|reset|step)\w*(\[\w+\])?\(")

_OURS = "samplerkit", "gymnasium"
"""Packages whose code unpacks; gymnasium's wrappers do so before a worker can."""


def explained(error: BaseException) -> BaseException:
    """Return the error to report: one that names the call, if something that cannot be was returned there."""
    if not isinstance(error, Exception):
        return error
    told = _not_unpacked(error) or _not_infos(error)
    if told is None:
        return error
    better = TypeError(f"{told} ({error})")
    better.__cause__ = error
    return better


def _not_unpacked(error: Exception) -> str | None:
    """Say what should have been returned where too few values were, or too many, or one that is none."""
    if type(error) not in (TypeError, ValueError) or "unpack" not in str(error):
        return None
    last = [*_frames(error.__traceback__)][-1:]
    if not last or not _is_in(last[0], _OURS):
        return None
    call = _CALL.search(traceback.extract_tb(error.__traceback__)[-1].line or "")
    return _MUST[call[1]] if call else None


def _not_infos(error: Exception) -> str | None:
    """Say the same where there were enough values, which are others: a vector of two numbers, most often."""
    frames = [*_frames(error.__traceback__)]
    if not frames or not _is_in(frames[-1], ("samplerkit.episodes",)):
        return None
    for frame in frames:
        known = frame.f_locals if _is_in(frame, ("samplerkit",)) else {}
        for name, call in _INFOS.items():
            if not isinstance(known.get(name), (Mapping, type(None))):
                return _MUST[call]
    return None


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    for frame, _ in traceback.walk_tb(trace):
        yield frame


def _is_in(frame: FrameType, packages: tuple[str, ...]) -> bool:
    module = frame.f_globals.get("__name__", "")
    return any(module == package or module.startswith(f"{package}.") for package in packages)
