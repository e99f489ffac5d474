"""Probe environments and policies: data that says where it comes from, so that any mix-up shows."""

from sampler_probes.faults import Fault, UnpicklableError, crash, raise_odd, raise_unpicklable, raise_value
from sampler_probes.ledger import note, read_ledger, unclosed
from sampler_probes.oracle import assert_whole, expected_batch, unit_key
from sampler_probes.policies import GlobalDrawPolicy, ProbePolicy
from sampler_probes.tattoo import TattooEnv, mark_of

__all__ = [
    "Fault",
    "GlobalDrawPolicy",
    "ProbePolicy",
    "TattooEnv",
    "UnpicklableError",
    "assert_whole",
    "crash",
    "expected_batch",
    "mark_of",
    "note",
    "raise_odd",
    "raise_unpicklable",
    "raise_value",
    "read_ledger",
    "unclosed",
    "unit_key",
]
