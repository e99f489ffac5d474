"""The catalogue: what is broken, on which base, and which clause should say so.

A mutant is a backend that is broken in just one way. A suite that lets one pass has a hole.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from samplerkit.contract.mutants.bases import BASES, LOCAL, PROCESSES, injected

if TYPE_CHECKING:
    from samplerkit.contract.subject import Subject

THEMES = (
    "content",
    "columns",
    "admission",
    "exact",
    "seeding",
    "updates",
    "arguments",
    "beginnings",
    "failures",
    "messages",
    "life",
    "surroundings",
    "state",
    "vectorized",
    "streams",
    "fragments",
)

D = TypeVar("D", bound=type[Any])


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A backend that is broken in one way.

    Attributes:
        name: ``base:defect``.
        base: what it is made of; see `BASES`.
        reason: what is wrong, in a sentence.
        killers: ids of clauses, or beginnings of ids, one of which must fail.
        defect: the class that brings the defect in.
    """

    name: str
    base: str
    reason: str
    killers: tuple[str, ...]
    defect: type[Any]

    @property
    def address(self) -> str:
        """``module:Class``, by which the mutant can be found and pickled."""
        return f"samplerkit.contract.mutants.made:{self.name.replace(':', '__').replace('-', '_')}"

    @property
    def subject(self) -> Subject:
        """The backend under test, made when it is first asked for."""
        from samplerkit.contract.subject import find_subject

        return find_subject(self.address)

    def make_class(self) -> type[Any]:
        """Return the class of the sampler. Called once, by `samplerkit.contract.mutants.made`."""
        return injected(self.defect, BASES[self.base]())


_MUTANTS: dict[str, Mutant] = {}


def mutant(name: str, *killers: str, bases: tuple[str, ...] = (LOCAL, PROCESSES)) -> Callable[[D], D]:
    """Register the decorated class as a defect: of a sampler, or of a worker. Its docstring is the reason.

    Args:
        name: of the defect.
        killers: see `Mutant`.
        bases: names of what it is brought into.
    """

    def register(defect: D) -> D:
        for base in bases:
            full = f"{base}:{name}"
            if full in _MUTANTS:
                raise ValueError(f"there are two mutants {full}")
            reason = (defect.__doc__ or "").strip()
            _MUTANTS[full] = Mutant(name=full, base=base, reason=reason, killers=killers, defect=defect)
        return defect

    return register


def catalogue() -> Mapping[str, Mutant]:
    """Return every mutant by its name."""
    for theme in THEMES:
        importlib.import_module(f"samplerkit.contract.mutants.{theme}")
    # Whatever was imported first.
    order = {f"samplerkit.contract.mutants.{theme}": place for place, theme in enumerate(THEMES)}
    return dict(sorted(_MUTANTS.items(), key=lambda item: order[item[1].defect.__module__]))
