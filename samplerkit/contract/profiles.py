"""How much the suite tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Profile:
    """A budget.

    Attributes:
        name: of the profile.
        scripts: how many scripts are drawn.
        fault_cells: how many cells of the fault table are tried at most; None means all.
        deadline: seconds that one script, or one cell, may take before the clause counts as hanging.
    """

    name: str
    scripts: int
    fault_cells: int | None
    deadline: float


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "quick": Profile("quick", scripts=25, fault_cells=16, deadline=30.0),
        "ci": Profile("ci", scripts=120, fault_cells=None, deadline=60.0),
        "thorough": Profile("thorough", scripts=1000, fault_cells=None, deadline=600.0),
    }
)
