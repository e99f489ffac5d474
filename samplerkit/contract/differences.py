"""The first place where a batch is not what it should be, in the words of a report."""

from __future__ import annotations

import re
from typing import Any

from samplerkit.episodes import EpisodeBatch

# `EpisodeBatch.difference` compares equals, and says "here" and "there".
_HERE_AND_THERE = re.compile(
    r"^(?P<place>.*?) (?:is(?P<kind> of type)?|has(?P<what> the keys| dtype| shape)?)"
    r" (?P<here>.*) here and (?P<there>.*) there\.?$",
    re.DOTALL,
)


def first_difference(wanted: EpisodeBatch, got: Any) -> str | None:
    """Return the first field where a batch is wrong, with what was expected and what came.

    Args:
        wanted: what the reference returned.
        got: what the backend returned.

    Returns:
        One sentence such as ``rewards at episode 0, step 1: expected 2.0, got 3.0``; None if they are equal.
    """
    if not isinstance(got, EpisodeBatch):
        return f"expected an EpisodeBatch, got {type(got).__name__}"
    difference = wanted.difference(got)
    return None if difference is None else expected_and_got(difference)


def expected_and_got(difference: str) -> str:
    """Say "expected" for "here", and "got" for "there"."""
    match = _HERE_AND_THERE.match(difference)
    if match is None:
        return difference
    what = (match["kind"] or match["what"] or "").replace(" of", "").replace(" the", "")
    return f"{match['place']}: expected{what} {match['here']}, got{what} {match['there']}"


def difference_or_origin(wanted: EpisodeBatch, got: Any, *, infos: bool = True) -> str | None:
    """Say where a batch differs from the reference, or comes from elsewhere; None if neither.

    Args:
        wanted: the reference's batch.
        got: what was returned, whatever it is.
        infos: whether to compare the environments' infos.
    """
    if not infos and isinstance(got, EpisodeBatch):
        wanted, got = wanted.replace(env_infos={}), got.replace(env_infos={})
    difference = first_difference(wanted, got)
    if difference is not None or wanted.provenance is None:
        return difference
    for name in ("units", "workers", "agent_versions", "env_versions"):
        here, there = getattr(wanted.provenance, name).tolist(), getattr(got.provenance, name, None)
        if there is None or there.tolist() != here:
            return f"provenance.{name}: expected {here}, got {None if there is None else there.tolist()}"
    return None
