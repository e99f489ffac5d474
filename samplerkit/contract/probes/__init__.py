"""Probe environments and policies: data that says where it comes from, so that any mix-up shows."""

from samplerkit.contract.probes.choir import ChoirEnv, ChorusEnv
from samplerkit.contract.probes.drawing import GlobalDrawEnv
from samplerkit.contract.probes.echo import EchoEnv, ScriptedPolicy, counting
from samplerkit.contract.probes.endless import EndlessEnv
from samplerkit.contract.probes.faults import (
    Fault,
    Faults,
    UnpicklableError,
    crash,
    raise_odd,
    raise_unpicklable,
    raise_value,
)
from samplerkit.contract.probes.ledger import note, read_ledger, unclosed
from samplerkit.contract.probes.limited import limited
from samplerkit.contract.probes.oracle import assert_whole, expected_batch, unit_key
from samplerkit.contract.probes.pictures import PictureEnv, differing_pictures
from samplerkit.contract.probes.policies import GlobalDrawPolicy, ProbePolicy, WordyPolicy
from samplerkit.contract.probes.remembering import RememberingEnv, RememberingPolicy
from samplerkit.contract.probes.tattoo import TattooEnv, mark_of
from samplerkit.contract.probes.unrepeatable import UnrepeatableEnv
from samplerkit.contract.probes.updating import (
    BumpUpdate,
    FalsyUpdate,
    KeepingPolicy,
    ReplaceUpdate,
    ReportingPolicy,
    TaggedEnv,
    WrapUpdate,
)

__all__ = [
    "BumpUpdate",
    "ChoirEnv",
    "ChorusEnv",
    "EchoEnv",
    "EndlessEnv",
    "FalsyUpdate",
    "Fault",
    "Faults",
    "GlobalDrawEnv",
    "GlobalDrawPolicy",
    "KeepingPolicy",
    "PictureEnv",
    "ProbePolicy",
    "RememberingEnv",
    "RememberingPolicy",
    "ReplaceUpdate",
    "ReportingPolicy",
    "ScriptedPolicy",
    "TaggedEnv",
    "TattooEnv",
    "UnpicklableError",
    "UnrepeatableEnv",
    "WordyPolicy",
    "WrapUpdate",
    "assert_whole",
    "counting",
    "crash",
    "differing_pictures",
    "expected_batch",
    "limited",
    "mark_of",
    "note",
    "raise_odd",
    "raise_unpicklable",
    "raise_value",
    "read_ledger",
    "unclosed",
    "unit_key",
]
