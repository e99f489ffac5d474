"""Running the suite on the mutants: which clause kills which, and how fast."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from samplerkit.contract.clause import Clause, all_clauses
from samplerkit.contract.examine import Verdict
from samplerkit.contract.mutants.catalogue import Mutant, catalogue
from samplerkit.contract.mutants.life import SHARED_PREFIX
from samplerkit.contract.profiles import PROFILES, Profile
from samplerkit.contract.sandbox import Sandbox

_DEADLINE = 15.0
"""Seconds for one clause: a mutant that hangs is killed soon."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        mutant: which one.
        expected: ids of the clauses of which one should kill it.
        tried: the verdicts, in the order in which clauses were tried; without `matrix` up to the first
            expected clause that kills, and all of them where none does.
        seconds: until the first expected clause killed it, from the start of its process; or in all.
    """

    mutant: Mutant
    expected: tuple[str, ...]
    tried: tuple[Verdict, ...]
    seconds: float

    @property
    def killers(self) -> tuple[str, ...]:
        """Ids of the clauses that failed."""
        return tuple(verdict.clause for verdict in self.tried if verdict.bad)

    @property
    def killed(self) -> bool:
        """Whether any clause failed."""
        return bool(self.killers)

    @property
    def diagnosed(self) -> bool:
        """Whether one of the expected clauses failed."""
        return any(clause in self.expected for clause in self.killers)


@dataclass(frozen=True)
class SelfTest:
    """What became of all mutants."""

    outcomes: tuple[Outcome, ...]
    matrix: bool

    @property
    def survivors(self) -> list[Outcome]:
        """Mutants that no clause killed."""
        return [outcome for outcome in self.outcomes if not outcome.killed]

    @property
    def green(self) -> bool:
        """Whether every mutant was killed, each by a clause that should."""
        return all(outcome.diagnosed for outcome in self.outcomes)

    @property
    def accuracy(self) -> float:
        """Share of the mutants that were killed by a clause that should."""
        return sum(outcome.diagnosed for outcome in self.outcomes) / max(1, len(self.outcomes))

    @property
    def median_seconds(self) -> float:
        """Median time until the first expected clause killed."""
        return statistics.median([outcome.seconds for outcome in self.outcomes] or [0.0])

    @property
    def idle(self) -> list[str]:
        """Clauses that were tried on some mutant and killed none."""
        tried = {verdict.clause for outcome in self.outcomes for verdict in outcome.tried}
        return sorted(tried - {clause for outcome in self.outcomes for clause in outcome.killers})

    @property
    def kills_alone(self) -> Counter[str]:
        """How many mutants each clause kills that no other kills. Means something with `matrix` only."""
        return Counter(outcome.killers[0] for outcome in self.outcomes if len(outcome.killers) == 1)


def self_test(
    profile: str = "quick",
    *,
    only: Iterable[str] = (),
    matrix: bool = False,
    jobs: int = 2,
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> SelfTest:
    """Run the suite on every mutant.

    Args:
        profile: how much to try on each.
        only: names of mutants, or beginnings of names, or of bases; none means all.
        matrix: whether to go on with all clauses once a mutant is killed.
        jobs: how many mutants to try at a time.
        told: called after each mutant, in the thread that ran it.

    Raises:
        ValueError: for a name that no mutant has.
    """
    mutants = select(only)
    clauses = all_clauses()
    chosen = replace(PROFILES[profile], deadline=_DEADLINE)

    def run(mutant: Mutant) -> Outcome:
        outcome = try_mutant(mutant, clauses, chosen, matrix=matrix)
        told(outcome)
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return SelfTest(tuple(pool.map(run, mutants)), matrix)


def select(only: Iterable[str] = ()) -> list[Mutant]:
    """Return the mutants that some names, or beginnings of names, stand for.

    Raises:
        ValueError: for a name that no mutant has.
    """
    mutants = catalogue()
    wanted = list(only)
    for prefix in wanted:
        if not any(name.startswith(prefix) for name in mutants):
            raise ValueError(
                f"there is no mutant {prefix!r}; names read base:defect, such as {next(iter(mutants))}"
            )
    return [it for name, it in mutants.items() if not wanted or name.startswith(tuple(wanted))]


def expected_clauses(mutant: Mutant, clauses: Sequence[Clause]) -> list[Clause]:
    """Return the clauses that should kill a mutant, in the order in which it names them."""
    found: dict[str, Clause] = {}
    for prefix in mutant.killers:
        found.update({it.id: it for it in clauses if _stands_for(prefix, it.id)})
    return list(found.values())


def _stands_for(prefix: str, clause_id: str) -> bool:
    # "A1" is a section, and not the beginning of A10.
    return clause_id.startswith(prefix) and not (prefix[-1:].isdigit() and clause_id[len(prefix)].isdigit())


def try_mutant(
    mutant: Mutant, clauses: Sequence[Clause], profile: Profile, *, matrix: bool = False, others: bool = True
) -> Outcome:
    """Try clauses on a mutant, the expected ones first.

    Args:
        mutant: the one to kill.
        clauses: of the suite.
        profile: how much to try.
        matrix: whether to go on with all clauses once it is killed.
        others: whether to try clauses that are not expected to kill it, too.
    """
    expected = expected_clauses(mutant, clauses)
    ids = tuple(it.id for it in expected)
    rest = [it for it in clauses if it.id not in ids] if others else []
    tried: list[Verdict] = []
    began, seconds = monotonic(), None
    with Sandbox(mutant.subject, profile) as sandbox:
        for it in [*expected, *rest]:
            if seconds is not None and not matrix:
                break
            tried.append(sandbox.examine(it, smallest=False))
            if seconds is None and tried[-1].bad and it.id in ids:
                seconds = monotonic() - began
    for left in Path("/dev/shm").glob(f"{SHARED_PREFIX}{mutant.address.partition(':')[2]}-*"):
        left.unlink(missing_ok=True)
    return Outcome(mutant, ids, tuple(tried), monotonic() - began if seconds is None else seconds)
