"""Clauses: the contract's promises, each with an id, one sentence, a reason, and a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from samplerkit.contract.lab import Lab

Kind: TypeAlias = Literal["script", "once", "fault"]
"""How a clause is checked: over drawn scripts, once, or in a cell of the fault table."""


class Violation(AssertionError):
    """A backend broke a promise.

    Args:
        what: one sentence: where, what was expected, what came.
        code: the smallest program that shows it, if there is one.
        replay: what to type to see it again.
    """

    def __init__(self, what: str, *, code: str = "", replay: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.code = code
        self.replay = replay


class NotApplicable(Exception):
    """A clause does not apply; the text says who declared what."""


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One promise.

    Attributes:
        id: section of the contract, number, and a word: ``A3.shortest-run``.
        says: the promise, in one sentence.
        why: what goes wrong for an algorithm where it is broken.
        causes: the usual ways in which a backend comes to break it.
        since: version of the contract that it came with.
        needs: capabilities without which it does not apply.
        unless: capabilities with which it does not apply.
        kind: see `Kind`.
        check: ``check(lab)``, or ``check(lab, script)`` for kind "script"; raises `Violation`.
    """

    id: str
    says: str
    why: str
    causes: str = ""
    since: tuple[int, int] = (1, 0)
    needs: frozenset[str] = frozenset()
    unless: frozenset[str] = frozenset()
    kind: Kind = "once"
    check: Callable[..., None]

    @property
    def section(self) -> str:
        """The contract's section, such as "A"."""
        return self.id[0]


_CLAUSES: dict[str, Clause] = {}


def clause(
    id: str,
    *,
    says: str,
    why: str,
    causes: str = "",
    since: tuple[int, int] = (1, 0),
    needs: set[str] | frozenset[str] = frozenset(),
    unless: set[str] | frozenset[str] = frozenset(),
    kind: Kind = "once",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the decorated check as a clause.

    Raises:
        ValueError: if there is already a clause of this id.
    """

    def register(check: Callable[..., None]) -> Callable[..., None]:
        if id in _CLAUSES:
            raise ValueError(f"there are two clauses {id}")
        _CLAUSES[id] = Clause(
            id=id,
            says=says,
            why=why,
            causes=causes,
            since=since,
            needs=frozenset(needs),
            unless=frozenset(unless),
            kind=kind,
            check=check,
        )
        return check

    return register


def all_clauses() -> list[Clause]:
    """Return every clause of the contract, in the order of their ids."""
    import samplerkit.contract.clauses  # noqa: F401 - registers them

    return sorted(_CLAUSES.values(), key=_order)


def clauses_of(version: tuple[int, int] | None = None) -> list[Clause]:
    """Return the clauses of a version of the contract; None means all."""
    return [it for it in all_clauses() if version is None or it.since <= version]


def _order(it: Clause) -> tuple[str, int, str]:
    section, _, word = it.id.partition(".")
    return section[0], int(section[1:]), word


def check_applies(it: Clause, lab: Lab) -> None:
    """Raise `NotApplicable` where the subject does not declare what a clause needs, or what excludes it."""
    for name in sorted(it.needs):
        support = lab.subject.capabilities.get(name)
        if support is None:
            raise NotApplicable(f"{lab.subject.name} does not declare {name!r}")
        if not support:
            raise NotApplicable(f"{lab.subject.name} declares no {name!r}: {support.reason}")
    for name in sorted(it.unless):
        if lab.subject.capabilities.get(name):
            raise NotApplicable(f"{lab.subject.name} declares {name!r}")


def require(holds: bool, what: str, **details: Any) -> None:
    """Raise a `Violation` unless something holds."""
    if not holds:
        raise Violation(what, **details)
