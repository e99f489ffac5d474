"""The clauses, a module for each section of the contract; importing this registers them all."""

from samplerkit.contract.clauses import (
    admission,
    columns,
    episodes,
    infos,
    ownership,
    provenance,
    seeding,
)

__all__ = [
    "admission",
    "columns",
    "episodes",
    "infos",
    "ownership",
    "provenance",
    "seeding",
]
