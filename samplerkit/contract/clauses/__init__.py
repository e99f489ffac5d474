"""The clauses, a module for each section of the contract; importing this registers them all."""

from samplerkit.contract.clauses import admission, episodes, infos, seeding

__all__ = ["admission", "episodes", "infos", "seeding"]
