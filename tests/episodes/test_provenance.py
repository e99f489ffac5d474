from __future__ import annotations

import numpy as np
import pytest

from samplerkit.episodes import Provenance


def provenance(units, **changes):
    n = len(units)
    return Provenance(units, np.zeros(n, int), np.arange(n), np.zeros(n, int), **changes)


def test_everything_is_int64():
    origin = provenance(np.array([1, 2], np.int16), step_agent_versions=np.zeros(5, np.uint8))
    assert origin.units.dtype == origin.workers.dtype == np.int64
    assert origin.step_agent_versions.dtype == np.int64


@pytest.mark.parametrize("units", [np.zeros(2), np.zeros((2, 1), int), np.array(["a", "b"])])
def test_what_is_no_list_of_integers_is_refused(units):
    with pytest.raises(ValueError, match="one integer per entry"):
        provenance(units)


def test_entries_must_match():
    with pytest.raises(ValueError, match=r"provenance\.workers has 1 entries, but must have 2"):
        Provenance(np.zeros(2, int), np.zeros(1, int), np.zeros(2, int), np.zeros(2, int))


def test_versions_of_steps_are_kept_by_selection_and_filled_in_by_concatenation():
    one = provenance([5, 6], step_agent_versions=[0, 0, 1])
    other = provenance([7, 8])
    joined = Provenance.concatenate([one, other], [np.array([1, 2]), np.array([2, 1])])
    assert joined.step_agent_versions.tolist() == [0, 0, 1, 0, 0, 1]
    assert joined.step_env_versions is None
    assert joined.select(slice(1, 2), slice(1, 3)).step_agent_versions.tolist() == [0, 1]


@pytest.mark.parametrize(
    "other",
    [
        provenance([1, 3]),
        provenance([1]),
        provenance([1, 2], reproducible=False),
        provenance([1, 2], abandoned=(1,)),
        provenance([1, 2], step_env_versions=[0, 0]),
    ],
)
def test_equality_takes_in_everything(other):
    assert provenance([1, 2]).equals(provenance([1, 2]))
    assert not provenance([1, 2]).equals(other)
    assert not other.equals(provenance([1, 2]))
