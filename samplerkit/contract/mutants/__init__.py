"""The suite's own measure: backends that are broken in one way each, and odd ones that are right.

`self_test` runs the suite on each broken one: every one must fail, in the clause that should say so.
"""

from samplerkit.contract.mutants.catalogue import Mutant, catalogue

__all__ = ["Mutant", "catalogue"]
