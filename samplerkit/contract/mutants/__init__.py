"""The suite's own measure: backends that are broken in one way each, and odd ones that are right.

`samplerkit.contract.mutants.self_test` runs the suite on each broken one: every one must fail, in a clause
that says what is wrong. `samplerkit.contract.mutants.soak` runs it on the odd ones: none may.
"""

from samplerkit.contract.mutants.catalogue import Mutant, catalogue

# Nothing heavy here: worker processes import defects of workers.
__all__ = ["Mutant", "catalogue"]
