"""The clauses, a module for each section of the contract; importing this registers them all."""

from samplerkit.contract.clauses import admission

__all__ = ["admission"]
