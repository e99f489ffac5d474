"""Checking a subject against the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from samplerkit.contract.bench import Bench
from samplerkit.contract.clause import Clause, clauses_of
from samplerkit.contract.examine import State, Verdict
from samplerkit.contract.profiles import PROFILES, Profile
from samplerkit.contract.subject import Subject


@dataclass(frozen=True)
class Report:
    """The verdicts on every clause that was asked for."""

    subject: Subject
    profile: Profile
    verdicts: tuple[Verdict, ...]

    @property
    def green(self) -> bool:
        """Whether every clause that applies holds."""
        return not any(verdict.bad for verdict in self.verdicts)

    def of(self, state: State) -> list[Verdict]:
        """Return the verdicts of one state."""
        return [verdict for verdict in self.verdicts if verdict.state is state]


def check(
    subject: Subject,
    profile: str = "quick",
    *,
    only: Iterable[str] = (),
    version: tuple[int, int] | None = None,
    told: Callable[[Clause, Verdict], None] = lambda it, verdict: None,
) -> Report:
    """Examine a subject, clause by clause, all of them whatever comes.

    Args:
        subject: the backend under test.
        profile: "quick", "ci" or "thorough".
        only: ids of clauses, or beginnings of ids; none means all.
        version: the clauses of this version of the contract; None means all.
        told: called after each clause.

    Raises:
        ValueError: for a profile that does not exist, or an id that no clause has.
    """
    if profile not in PROFILES:
        raise ValueError(f"there is no profile {profile!r}: choose from {', '.join(PROFILES)}")
    chosen = select(only, version)
    verdicts = []
    with Bench(subject, PROFILES[profile]) as bench:
        for it in chosen:
            verdicts.append(bench.examine(it))
            told(it, verdicts[-1])
    return Report(subject, PROFILES[profile], tuple(verdicts))


def select(only: Iterable[str] = (), version: tuple[int, int] | None = None) -> list[Clause]:
    """Return the clauses that some ids, or beginnings of ids, stand for.

    Raises:
        ValueError: for an id that no clause has.
    """
    clauses = clauses_of(version)
    wanted = list(only)
    for prefix in wanted:
        if not any(it.id.startswith(prefix) for it in clauses):
            raise ValueError(
                f"there is no clause {prefix!r}; these are: {', '.join(it.id for it in clauses)}"
            )
    return [it for it in clauses if not wanted or any(it.id.startswith(prefix) for prefix in wanted)]
