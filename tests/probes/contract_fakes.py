"""Subjects and clauses for tests of the contract suite's doors: right, or broken in a known way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from samplerkit.contract import Clause, NotApplicable, Violation
from samplerkit.contract.lab import Lab
from samplerkit.local import LocalSampler
from samplerkit.plugins.hookspecs import hookimpl
from samplerkit.workers import DefaultWorker


class Surplus(LocalSampler):
    """Admits more than was asked for."""

    def obtain_samples(self, itr: Any, num_samples: int, *arguments: Any, **named: Any) -> Any:
        return super().obtain_samples(itr, num_samples + 1, *arguments, **named)


class Doubled(LocalSampler):
    """Doubles every reward."""

    def obtain_samples(self, *arguments: Any, **named: Any) -> Any:
        batch = super().obtain_samples(*arguments, **named)
        return batch.replace(rewards=2 * batch.rewards)


class Hanging(LocalSampler):
    """Is never ready."""

    def _start(self, record: Any) -> None:
        time.sleep(3600)


def make_surplus(*arguments: Any, **named: Any) -> Surplus:
    """Make a sampler: a function will do for a class."""
    return Surplus(*arguments, **named)


def make_nothing(*arguments: Any, **named: Any) -> None:
    """Take what a sampler takes, and return None."""


def make_never_up(*arguments: Any, **named: Any) -> Any:
    """Fail as a sampler does that does not come up."""
    raise OSError("no such machine")


class NeverUp(LocalSampler):
    """Has nothing that could come up."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        raise RuntimeError("no carrier came up")


class NeverReturns(LocalSampler):
    """Comes up, and knows an error only."""

    def obtain_samples(self, *arguments: Any, **named: Any) -> Any:
        raise RuntimeError("no batch came")

    obtain_exact_episodes = obtain_samples


class PlainWorker(DefaultWorker):
    """A kind of worker that is right."""


class DoublingWorker(DefaultWorker):
    """A kind of worker that doubles every reward."""

    def rollout(self) -> Any:
        batch = super().rollout()
        return batch.replace(rewards=2 * batch.rewards)


def holds(lab: Lab) -> None:
    """Find nothing."""


def breaks(lab: Lab) -> None:
    """Find something, wherever it looks."""
    raise Violation("rewards[0]: expected 1.0, got 2.0", code="print('the program that shows it')")


def prints(lab: Lab) -> None:
    """Print, and find nothing."""
    print("printed by a clause that holds", flush=True)  # noqa: T201


def prints_and_breaks(lab: Lab) -> None:
    """Print, and find something."""
    print("printed by a clause that breaks", flush=True)  # noqa: T201
    print("and said to stderr", file=sys.stderr, flush=True)  # noqa: T201
    raise Violation("rewards[0]: expected 1.0, got 2.0")


def breaks_too(lab: Lab) -> None:
    """Find something else."""
    raise Violation("actions[3]: expected 0, got 1")


def raises(lab: Lab) -> None:
    """Fail by itself."""
    raise RuntimeError("the check stumbled")


def does_not_apply(lab: Lab) -> None:
    """Decline."""
    raise NotApplicable(f"{lab.subject.name} declares no 'remote': it stays at home")


def hangs(lab: Lab) -> None:
    """Never answer."""
    lab.note("waiting for what never comes")
    time.sleep(3600)


def dies(lab: Lab) -> None:
    """Take the process along."""
    os._exit(7)


def fake(check: Any, *, since: tuple[int, int] = (1, 0)) -> Clause:
    """Make a clause of a check; its id is F9 and the check's name."""
    return Clause(
        id=f"F9.{check.__name__.replace('_', '-')}",
        says=f"A fake clause that {check.__name__.replace('_', ' ')}.",
        why="Tests need it.",
        causes="a slip; a typo.",
        since=since,
        check=check,
    )


class Adding:
    """A plugin that adds clauses."""

    def __init__(self, clauses: Sequence[Any]) -> None:
        self.clauses = clauses

    @hookimpl
    def samplerkit_contract_clauses(self) -> Sequence[Any]:
        return self.clauses
