"""What equal batches are, for tests that compare backends."""

from __future__ import annotations

from samplerkit import EpisodeBatch


def assert_equal(batch: EpisodeBatch, expected: EpisodeBatch) -> None:
    """Compare every bit, and where it came from: units, workers, versions of agents and environments."""
    assert batch.difference(expected) is None, batch.difference(expected)
    assert batch.provenance is not None
    assert batch.provenance.equals(expected.provenance), (batch.provenance, expected.provenance)
