"""Section A over scripts: the batch is a function, and units are admitted by their numbers."""

from __future__ import annotations

import numpy as np

from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.script import Script


@clause(
    "A0.reference",
    kind="script",
    says="Every call returns the batch of the reference, bit for bit.",
    why="All else in the contract serves this: the same seed, policy and environment give the same data.",
    causes="Any defect may end here; a more specific clause that fails beside it says more.",
)
def reference(lab: Lab, script: Script) -> None:
    """Compare data with the oracle's."""
    trace = lab.trace(script)
    trace.all_returned()
    for index, (batch, wanted) in enumerate(zip(trace.copies, trace.expected, strict=True)):
        difference = wanted.batch.difference(batch)
        require(difference is None, f"call {index}: (expected is 'here', got is 'there') {difference}")


@clause(
    "A3.shortest-run",
    kind="script",
    says="obtain_samples admits the shortest run of consecutive units from the cursor with enough steps.",
    why="Whoever finishes first is short: a batch filled that way holds too many short episodes.",
    causes="results taken in the order of arrival; a unit too many or too few; the last episode trimmed.",
)
def shortest_run(lab: Lab, script: Script) -> None:
    """Compare the units that were admitted, and their number of steps."""
    trace = lab.trace(script)
    trace.all_returned()
    pairs = zip(trace.batches, trace.expected, strict=True)
    for index, (batch, wanted) in enumerate(pairs):
        if script.ops[index].exact:
            continue
        least, steps = script.ops[index].count, int(batch.lengths.sum())
        require(steps >= least, f"call {index}: expected at least {least} steps, got {steps}")
        units = [] if batch.provenance is None else batch.provenance.units.tolist()
        expected_units = wanted.batch.provenance.units.tolist() if wanted.batch.provenance else []
        require(units == expected_units, f"call {index}: expected units {expected_units}, got {units}")
        if not np.array_equal(batch.lengths, wanted.batch.lengths):
            wanted_lengths, got = wanted.batch.lengths.tolist(), batch.lengths.tolist()
            raise Violation(f"call {index}: expected lengths {wanted_lengths}, got {got}")
