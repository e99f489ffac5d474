"""The clauses, a module for each section of the contract; importing this registers them all."""

from samplerkit.contract.clauses import (
    admission,
    calls,
    columns,
    environments,
    episodes,
    failure,
    fragments,
    independence,
    infos,
    memory,
    ownership,
    provenance,
    seeding,
    state,
    updates,
)

__all__ = [
    "admission",
    "calls",
    "columns",
    "environments",
    "episodes",
    "failure",
    "fragments",
    "independence",
    "infos",
    "memory",
    "ownership",
    "provenance",
    "seeding",
    "state",
    "updates",
]
