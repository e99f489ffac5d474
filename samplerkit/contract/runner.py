"""Checking a subject against the contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from samplerkit.contract.clause import Clause, clauses_of
from samplerkit.contract.examine import State, Verdict
from samplerkit.contract.plugin_clauses import further_clauses
from samplerkit.contract.profiles import PROFILES, Profile
from samplerkit.contract.sandbox import Sandbox
from samplerkit.contract.subject import Subject
from samplerkit.version import API

CONTRACT = API
"""The newest version of the contract: it has the numbers of the sampler API."""


@dataclass(frozen=True)
class Report:
    """The verdicts on every clause that was asked for.

    Attributes:
        subject: the backend under test.
        profile: how much was tried.
        verdicts: one for each clause, in the order of the clauses.
        clauses: the clauses.
        version: the version of the contract.
    """

    subject: Subject
    profile: Profile
    verdicts: tuple[Verdict, ...]
    clauses: tuple[Clause, ...] = ()
    version: tuple[int, int] = CONTRACT

    @property
    def green(self) -> bool:
        """Whether every clause that applies holds."""
        return not any(verdict.bad for verdict in self.verdicts)

    def of(self, *states: State) -> list[Verdict]:
        """Return the verdicts of some states."""
        return [verdict for verdict in self.verdicts if verdict.state in states]

    def clause(self, id: str) -> Clause:
        """Return the clause of an id.

        Raises:
            KeyError: if the report has none.
        """
        return {it.id: it for it in self.clauses}[id]


class Examination:
    """A subject, the clauses that were asked for, and a sandbox: what all doors to the suite share.

    Args:
        subject: the backend under test.
        profile: "quick", "ci" or "thorough".
        clauses: what to examine, as from `select`; None means all of the version.
        version: act as the suite of this version of the contract did; None means the newest.

    Raises:
        ValueError: for a profile or version that does not exist.
    """

    def __init__(
        self,
        subject: Subject,
        profile: str = "quick",
        *,
        clauses: Iterable[Clause] | None = None,
        version: tuple[int, int] | None = None,
    ) -> None:
        if profile not in PROFILES:
            raise ValueError(f"there is no profile {profile!r}: choose from {', '.join(PROFILES)}")
        self.subject = subject
        self.profile = PROFILES[profile]
        self.version = version or CONTRACT
        self.clauses = select((), version) if clauses is None else list(clauses)
        self._verdicts: dict[str, Verdict] = {}
        self._sandbox = Sandbox(subject, self.profile)

    def examine(self, it: Clause, *, smallest: bool = True) -> Verdict:
        """Return the verdict on a clause, and keep it for the report.

        Args:
            it: the clause.
            smallest: whether to look for the smallest script that shows a violation.
        """
        verdict = self._sandbox.examine(it, smallest=smallest)
        if verdict.bad and is_notice(it, self.subject, self.version):
            verdict = dataclasses.replace(verdict, state=State.NOTICE)
        self._verdicts[it.id] = verdict
        return verdict

    def report(self) -> Report:
        """Return the verdicts so far."""
        verdicts = tuple(self._verdicts[it.id] for it in self.clauses if it.id in self._verdicts)
        return Report(self.subject, self.profile, verdicts, tuple(self.clauses), self.version)

    def close(self) -> None:
        """End the process group of the sandbox."""
        self._sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def check(
    subject: Subject,
    profile: str = "quick",
    *,
    only: Iterable[str] = (),
    version: tuple[int, int] | None = None,
    starting: Callable[[Clause], None] = lambda it: None,
    told: Callable[[Clause, Verdict], None] = lambda it, verdict: None,
) -> Report:
    """Examine a subject, clause by clause, all of them whatever comes.

    Args:
        subject: the backend under test.
        profile: "quick", "ci" or "thorough".
        only: ids of clauses, or beginnings of ids; none means all.
        version: act as the suite of this version of the contract did; None means the newest.
        starting: called before each clause.
        told: called after each clause.

    Raises:
        ValueError: for a profile or version that does not exist, or an id that no clause has.
    """
    with Examination(subject, profile, clauses=select(only, version), version=version) as examination:
        for it in examination.clauses:
            starting(it)
            told(it, examination.examine(it))
    return examination.report()


def select(only: Iterable[str] = (), version: tuple[int, int] | None = None) -> list[Clause]:
    """Return the clauses that some ids, or beginnings of ids, stand for.

    Raises:
        ValueError: for an id that no clause has, or a version that the suite does not know.
    """
    if version is not None and (version[0] != CONTRACT[0] or version > CONTRACT):
        raise ValueError(
            f"this suite knows the versions {CONTRACT[0]}.0 to {dotted(CONTRACT)} of the contract, "
            f"not {dotted(version)}"
        )
    clauses = clauses_of(version)
    clauses += further_clauses({it.id for it in clauses}, version)
    wanted = list(only)
    for prefix in wanted:
        if not any(_stands_for(prefix, it.id) for it in clauses):
            raise ValueError(
                f"there is no clause {prefix!r}; these are: {', '.join(it.id for it in clauses)}"
            )
    return [it for it in clauses if not wanted or any(_stands_for(prefix, it.id) for prefix in wanted)]


def _stands_for(prefix: str, clause_id: str) -> bool:
    # "A1" is a promise, and not the beginning of A10.
    number_goes_on = prefix[-1:].isdigit() and clause_id[len(prefix) : len(prefix) + 1].isdigit()
    return clause_id.startswith(prefix) and not number_goes_on


def is_notice(it: Clause, subject: Subject, version: tuple[int, int]) -> bool:
    """Whether a broken clause is only pointed out.

    A clause that is new in this version of the contract does not yet count for a plugin that was written for
    an older one. In the next minor version it does.
    """
    return it.since == version and subject.api < version


def dotted(version: tuple[int, int]) -> str:
    """Return a version as people write it."""
    return f"{version[0]}.{version[1]}"


def parse_version(text: str) -> tuple[int, int]:
    """Return the version that a text such as "1.0" means.

    Raises:
        ValueError: for anything else.
    """
    major, dot, minor = text.partition(".")
    if not (dot and major.isdecimal() and minor.isdecimal()):
        raise ValueError(f"a version of the contract is written like 1.0, not {text!r}")
    return int(major), int(minor)
