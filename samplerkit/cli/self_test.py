"""``samplerkit check --self-test``: does the contract suite find what is broken on purpose?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from samplerkit.cli.check import Display, need_hypothesis
from samplerkit.cli.errors import FAILURE, UsageError

if TYPE_CHECKING:
    from samplerkit.contract.mutants.self_test import Outcome, SelfTest


def self_test(profile: str = "quick", *, only: Sequence[str] = (), matrix: bool = False) -> int:
    """Run the suite on every broken backend that it brings, and print what became of each.

    Args:
        profile: how much to try.
        only: names of mutants, or beginnings of names; none means all.
        matrix: try every clause on every mutant, rather than stop at the first that should kill it.

    Returns:
        0 if each was found out by a clause that should, else 1.

    Raises:
        UsageError: for a name that no mutant has.
    """
    need_hypothesis()
    from samplerkit.contract.mutants import self_test as suite

    display = Display()

    def told(outcome: Outcome) -> None:
        display.text(line(outcome), style="" if outcome.diagnosed else "red")

    try:
        result = suite.self_test(profile, only=only, matrix=matrix, told=told)
    except ValueError as error:
        raise UsageError(str(error)) from error
    display.text("\n" + summary(result), style="green" if result.green else "red")
    return 0 if result.green else FAILURE


def line(outcome: Outcome) -> str:
    """Say on one line what became of a mutant."""
    by = ", ".join(outcome.killers) or "NOBODY"
    wrong = "" if outcome.diagnosed else f"  SHOULD BE BY {', '.join(outcome.mutant.killers)}"
    return f"{outcome.mutant.name:<44} {outcome.seconds:6.2f} s  killed by {by}{wrong}"


def summary(result: SelfTest) -> str:
    """Count: kills of each clause, survivors, and the time that it took."""
    kills = Counter(clause for outcome in result.outcomes for clause in outcome.killers)
    alone = result.kills_alone if result.matrix else Counter[str]()
    lines = ["Mutants killed by each clause:" if kills else "No clause killed anything."]
    for clause in sorted(kills):
        only = f", {alone[clause]} of them alone" if alone[clause] else ""
        lines.append(f"  {clause:<36} {kills[clause]:4}{only}")
    if result.survivors:
        lines.append(f"Survivors: {', '.join(it.mutant.name for it in result.survivors)}")
    found = sum(outcome.diagnosed for outcome in result.outcomes)
    lines.append(
        f"{len(result.outcomes)} mutants: {len(result.outcomes) - len(result.survivors)} killed, "
        f"{found} by a clause that should; median {result.median_seconds:.2f} s to the verdict"
    )
    return "\n".join(lines)
