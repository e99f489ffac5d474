"""The place of a step in its episode."""

from __future__ import annotations

from enum import IntEnum


class StepType(IntEnum):
    """Where a step stands in its episode; stored in batches as int8.

    A whole episode reads FIRST, MID, ..., then TERMINAL or TIMEOUT; an episode of one step is only its end.
    A fragment may start with MID (it goes on from an earlier one) or end without TERMINAL or TIMEOUT (it was
    cut).
    """

    FIRST = 0
    MID = 1
    TERMINAL = 2
    TIMEOUT = 3

    @classmethod
    def get_step_type(
        cls,
        step_count: int,
        max_episode_length: float | None,
        terminated: bool,
        truncated: bool = False,
    ) -> StepType:
        """Return the type of the step just taken: see the function `get_step_type`."""
        return get_step_type(step_count, max_episode_length, terminated, truncated)


def get_step_type(
    step_count: int,
    max_episode_length: float | None,
    terminated: bool,
    truncated: bool = False,
) -> StepType:
    """Return the type of the step just taken.

    Termination wins over the limit: an episode that terminates at the very step that reaches
    `max_episode_length` ended by itself, and its value there is known to be zero.

    Args:
        step_count: number of steps taken so far, this one included; at least 1.
        max_episode_length: the limit, `math.inf` or None where there is none.
        terminated: the environment says that the episode is over.
        truncated: the environment says that the episode was broken off.

    Raises:
        ValueError: if step_count is less than 1.
    """
    if step_count < 1:
        raise ValueError(f"step_count is {step_count}, but the first step of an episode counts as 1.")
    if terminated:
        return StepType.TERMINAL
    if truncated or (max_episode_length is not None and step_count >= max_episode_length):
        return StepType.TIMEOUT
    return StepType.FIRST if step_count == 1 else StepType.MID
