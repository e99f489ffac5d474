"""From a clause to a verdict: what never returned a batch holds no clause at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import contract_fakes as fakes
import pytest

from samplerkit import LocalSampler
from samplerkit.contract import State, all_clauses, find_subject, subject_of
from samplerkit.contract.examine import Verdict, examine
from samplerkit.contract.lab import Lab
from samplerkit.contract.profiles import PROFILES
from samplerkit.contract.runner import Examination

BRIEF = replace(PROFILES["quick"], scripts=10)
CLAUSES = {it.id: it for it in all_clauses()}

DECLARING = ("multiprocessing", "multiprocessing+vectorized", "multiprocessing+fragment")
"""Names whose declarations make every clause apply, taken together."""


@pytest.mark.slow
@pytest.mark.parametrize("broken", [fakes.NeverUp, fakes.NeverReturns])
def test_where_nothing_ever_returns_every_clause_fails(broken: type[LocalSampler]) -> None:
    failed = set()
    for name in DECLARING:
        subject = replace(find_subject(name), sampler=broken)
        with Examination(subject) as examination:
            verdicts = [examination.examine(it, smallest=False) for it in CLAUSES.values()]
        assert [it.clause for it in verdicts if it.state is State.HELD] == [], f"held by nothing, as {name}"
        failed |= {it.clause for it in verdicts if it.state is State.FAILED}
    assert set(CLAUSES) - failed == set(), "each clause was tried"


def verdict(broken: type[LocalSampler], clause_id: str) -> Verdict:
    return examine(CLAUSES[clause_id], Lab(subject_of(broken), BRIEF), smallest=False)


class OneCallOnly(LocalSampler):
    """Is worn out by its first call."""

    def obtain_samples(self, itr: Any, *arguments: Any, **named: Any) -> Any:
        if self.statistics().calls:
            raise RuntimeError("worn out")
        return super().obtain_samples(itr, *arguments, **named)


class NoExactEpisodes(LocalSampler):
    """Declares exact episodes, and has none."""

    def obtain_exact_episodes(self, *arguments: Any, **named: Any) -> Any:
        raise RuntimeError("cannot count")


class NoBatch(LocalSampler):
    """Returns nothing."""

    def obtain_samples(self, *arguments: Any, **named: Any) -> Any:
        super().obtain_samples(*arguments, **named)


class NoShutdown(LocalSampler):
    """Cannot be shut down."""

    def shutdown_worker(self) -> None:
        super().shutdown_worker()
        raise RuntimeError()


@pytest.mark.parametrize(
    ("broken", "clause_id", "what"),
    [
        (fakes.NeverUp, "A3.shortest-run", "the constructor raised RuntimeError: no carrier came up"),
        (fakes.NeverReturns, "B1.steps", "call 0 raised RuntimeError: no batch came"),
        (fakes.NeverReturns, "F4.options", "call 0 raised RuntimeError: no batch came"),
        (OneCallOnly, "A5.cursor", "call 1 raised RuntimeError: worn out"),
        (NoExactEpisodes, "A4.exact-episodes", "call 3 raised RuntimeError: cannot count"),
        (NoBatch, "C1.agents", "call 0: expected an EpisodeBatch, got NoneType"),
        (NoShutdown, "C4.closed-once", "the shutdown raised RuntimeError: "),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_a_clause_does_not_hold_where_what_it_looks_at_never_came(
    broken: type[LocalSampler], clause_id: str, what: str
) -> None:
    found = verdict(broken, clause_id)
    assert (found.state, found.what, found.details) == (State.FAILED, what, ""), found
    assert "Script(" in found.code, "the script that shows it"


def test_what_a_clause_saw_before_an_error_says_more_than_the_error() -> None:
    class WrongAndWornOut(OneCallOnly):
        def obtain_samples(self, *arguments: Any, **named: Any) -> Any:
            batch = super().obtain_samples(*arguments, **named)
            # One worker has scripts of a single call, which do not come to the error.
            return batch if self.n_workers == 1 else batch.replace(rewards=2 * batch.rewards)

    assert "expected rewards" in verdict(WrongAndWornOut, "B1.rewards").what
