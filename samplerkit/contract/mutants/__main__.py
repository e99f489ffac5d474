"""The suite's test of itself from a terminal: ``python -m samplerkit.contract.mutants``."""

from __future__ import annotations

import argparse
import sys

from samplerkit.contract.mutants.self_test import self_test
from samplerkit.contract.mutants.text import outcome_line, page, summary


def main() -> int:
    """Run it; the status is 1 where a mutant was not killed by a clause that should."""
    parser = argparse.ArgumentParser(prog="python -m samplerkit.contract.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of mutants, or beginnings of names; none means all")
    parser.add_argument("--matrix", action="store_true", help="try all clauses on every mutant")
    parser.add_argument("--page", action="store_true", help="write the page of the documentation instead")
    parser.add_argument("--jobs", type=int, default=2, help="how many mutants at a time")
    given = parser.parse_args()
    stream = sys.stderr if given.page else sys.stdout
    result = self_test(
        only=given.only,
        matrix=given.matrix,
        jobs=given.jobs,
        told=lambda outcome: print(outcome_line(outcome), file=stream, flush=True),
    )
    sys.stdout.write(page(result) if given.page else "\n".join(["", *summary(result), ""]))
    return not result.green


if __name__ == "__main__":
    sys.exit(main())
