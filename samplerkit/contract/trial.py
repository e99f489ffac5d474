"""A trial: one cell of the fault table, and whether it is bounded, typed, atomic and clean."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from samplerkit.contract.attempts import (
    Outcome,
    attempt,
    attempt_interrupted,
    fails_with,
    sentence_of,
    within,
)
from samplerkit.contract.clause import Violation
from samplerkit.contract.differences import difference_or_origin
from samplerkit.contract.expected_error import MAX_RESTARTS, ExpectedError
from samplerkit.contract.faults import (
    AT_SHUTDOWN,
    HANG,
    UNIT_TIMEOUT,
    WHILE_CLOSING,
    Cell,
    chosen_cells,
)
from samplerkit.contract.faulty import FaultScript, Props
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import read_ledger, unclosed
from samplerkit.contract.reference import Expected
from samplerkit.contract.subject import Pace
from samplerkit.episodes.objects import encode
from samplerkit.errors import SamplerClosed
from samplerkit.interfaces import YES, Sampler

_UNDER_WAY = 0.1
"""Seconds until a call that was started in another thread runs."""

_TO_INTERRUPT = 2.0
"""Seconds: the contract's 1, and something for a machine that is busy."""

_TO_SHUT_DOWN = 7.0
"""Seconds: the contract's 5, and something for a machine that is busy."""


def try_cells(lab: Lab, promise: str) -> None:
    """Try the cells of one promise.

    Args:
        lab: where.
        promise: id of the clause.

    Raises:
        Violation: in the first cell where a promise is broken; it names the cell.
    """
    cells = [it for it in chosen_cells(lab.profile, lab.subject.capabilities) if it.promise == promise]
    # What hangs comes last, so that whatever else is wrong is heard of soon.
    for cell in sorted(cells, key=lambda it: HANG in it.kind):
        try_cell(lab, cell)


def try_cell(lab: Lab, cell: Cell) -> None:
    """Try one cell.

    Raises:
        Violation: if it is not bounded, typed, atomic and clean; it names the cell.
    """
    lab.note(f"fault: {cell}")
    before = lab.census()
    with tempfile.TemporaryDirectory() as folder:
        try:
            Trial(lab, cell, Path(folder)).run()
        except Violation as violation:
            raise Violation(f"{cell}: {violation.what}", code=violation.code) from violation
    left = lab.left_over(before)
    if left is not None:
        raise Violation(f"{cell}: not clean: {left}")


def try_in_turn(lab: Lab, cells: Sequence[Cell]) -> None:
    """Try many cells in which an update, or a unit after it, raises, one after the other, on one sampler.

    Args:
        lab: where.
        cells: the sampler is made for the first of them.

    Raises:
        Violation: for the first that is not as it should be; it names the cell.
    """
    with tempfile.TemporaryDirectory() as folder:
        trials = [Trial(lab, cell, Path(folder)) for cell in cells]
        made = attempt("the constructor", trials[0].make)
        if made.error is not None:
            raise Violation(f"the constructor should have returned, {made}") from made.error
        try:
            trials[0].begin(made.value)
            for cell, trial in zip(cells, trials, strict=True):
                lab.note(f"fault: {cell}")
                try:
                    trial.fail(made.value)
                except Violation as violation:
                    raise Violation(f"{cell}: {violation.what}") from violation
            trials[0].recover(made.value)
        finally:
            made.value.shutdown_worker()


class Trial:
    """One cell, tried once.

    Args:
        lab: where.
        cell: of the table.
        folder: for files of its own.
    """

    def __init__(self, lab: Lab, cell: Cell, folder: Path) -> None:
        self._lab = lab
        self._cell = cell
        self._marker = folder / "struck"
        self._ledger = folder / "ledger"
        self._props = Props(cell, str(self._marker), str(self._ledger))
        known = lab.subject.capabilities.get("exit_status", YES)
        self._error = ExpectedError(cell, self._props, status_known=bool(known))

    def run(self) -> None:
        """Make a sampler, let it fail, look at what is left, and shut it down.

        Raises:
            Violation: if a promise is broken.
        """
        made = self._attempt("the constructor", self.make, now=self._props.at_start)
        if made.error is not None:
            self._judge_start(made)
            self._check_closed()
            return
        try:
            self._use(made.value)
        finally:
            shut = attempt("shutdown_worker()", made.value.shutdown_worker, seconds=_TO_SHUT_DOWN)
        if shut.error is not None:
            raise Violation(f"not typed: shutdown_worker() raised {sentence_of(shut.error)}") from shut.error
        self._check_closed()

    def make(self) -> Sampler:
        """Make the sampler."""
        subject, props = self._lab.subject, self._props
        arguments = props.arguments(subject.worker, dict(subject.worker_args))
        if self._cell.lethal and not self._cell.interrupted:
            once = self._cell.once or self._cell.moment == WHILE_CLOSING
            arguments["max_restarts"] = 3 if once else MAX_RESTARTS
        if self._cell.what == HANG and self._cell.site != "close" and self._cell.moment != WHILE_CLOSING:
            arguments["unit_timeout"] = UNIT_TIMEOUT
        return subject.make(props.agents(), props.envs(), pace=Pace(*props.script.pace), **arguments)

    def _use(self, sampler: Sampler) -> None:
        cell, props = self._cell, self._props
        if cell.moment == AT_SHUTDOWN:
            self._check_batch(attempt("the first call", lambda: props.call(sampler, 0)), props.script, 0)
            return
        if cell.moment == WHILE_CLOSING:
            self._close_meanwhile(sampler)
            return
        if props.at_start and not self._error.may_not_come:
            raise Violation(f"expected {self._error.name}, but the constructor returned")
        self.begin(sampler)
        before = _state(sampler)
        outcome = self._attempt(f"call {props.index}", lambda: props.call(sampler, props.index))
        if outcome.error is None:
            self._returned(sampler, outcome)
        else:
            self._raised(sampler, outcome, before)

    def begin(self, sampler: Sampler) -> None:
        """Make the calls before the one in question."""
        for index in range(self._props.index):
            earlier = attempt(f"call {index}", partial(self._props.call, sampler, index))
            self._check_batch(earlier, self._props.script, index)

    def _attempt(self, what: str, call: Callable[[], Any], *, now: bool = True) -> Outcome:
        """Make the call in question, and press Ctrl-C meanwhile where the cell says so."""
        if not (now and self._cell.interrupted):
            return attempt(what, call)
        outcome = attempt_interrupted(what, call, after=_UNDER_WAY)
        late = outcome.seconds - _UNDER_WAY - _TO_INTERRUPT
        if late > 0:
            raise Violation(f"not bounded: {what} ended {late + _TO_INTERRUPT:.1f} s after Ctrl-C")
        return outcome

    def _close_meanwhile(self, sampler: Sampler) -> None:
        """Shut down while a unit runs in a call in another thread."""
        outcomes: list[Outcome] = []
        call = threading.Thread(
            target=lambda: outcomes.append(attempt("the call", lambda: self._props.call(sampler, 0)))
        )
        call.start()
        time.sleep(_UNDER_WAY)
        with within(_TO_SHUT_DOWN, "shutdown_worker() while a call runs"):
            sampler.shutdown_worker()
        call.join(_TO_SHUT_DOWN)
        if not outcomes:
            raise Violation("the call went on after the shutdown")
        fails_with(outcomes[0], SamplerClosed, "the call that was running")

    # -- typed -----------------------------------------------------------------------------------

    def _judge_start(self, made: Outcome) -> None:
        if not self._props.at_start:
            raise Violation(
                f"the constructor raised {sentence_of(made.error or Exception())}"
            ) from made.error
        self._error.check(made)

    # -- atomic ----------------------------------------------------------------------------------

    def _returned(self, sampler: Sampler, outcome: Outcome) -> None:
        if not self._error.may_not_come:
            raise Violation(f"not typed: expected {self._error.name}, but the call returned") from None
        self._check_batch(outcome, self._props.script, self._props.index)
        if self._cell.once and self._cell.site != "transfer" and not self._marker.exists():
            raise Violation("the batch came without a run of the unit in question")
        struck = self._cell.once and self._cell.unavoidable and self._marker.exists()
        if struck and not sampler.statistics().restarts:
            raise Violation("statistics().restarts: expected at least 1, got 0")
        last = len(self._props.script.ops) - 1
        after = attempt("the call after it", lambda: self._props.call(sampler, last))
        self._check_batch(after, self._props.script, last)

    def _raised(self, sampler: Sampler, outcome: Outcome, before: dict[str, Any]) -> None:
        if not self._error.may_come:
            raise Violation(f"the call should have returned, {outcome}") from outcome.error
        self._check_failure(sampler, outcome, before)
        self.recover(sampler)

    def fail(self, sampler: Sampler) -> None:
        """Make the call in question, which must raise, and look at what is left."""
        before = _state(sampler)
        outcome = attempt(f"call {self._props.index}", lambda: self._props.call(sampler, self._props.index))
        if outcome.error is None:
            raise Violation(f"not typed: expected {self._error.name}, but the call returned")
        self._check_failure(sampler, outcome, before)

    def _check_failure(self, sampler: Sampler, outcome: Outcome, before: dict[str, Any]) -> None:
        self._error.check(outcome)
        now = _state(sampler)
        for name, value in before.items():
            if now[name] != value and isinstance(value, bytes):
                raise Violation(f"not atomic: {name} is not as it was before the call")
            if now[name] != value:
                raise Violation(
                    f"not atomic: {name} changed: expected {value!r:.100}, got {now[name]!r:.100}"
                )

    def recover(self, sampler: Sampler) -> None:
        """Make the call after it, and compare its batch."""
        script = self._props.recovery()
        last = len(script.ops) - 1
        after = attempt("the call after it", lambda: self._props.call(sampler, last, script=script))
        self._check_batch(after, script, last, "not atomic: the call after it: ")

    def _check_batch(self, outcome: Outcome, script: FaultScript, index: int, where: str = "") -> None:
        where = where or f"call {index}: "
        if isinstance(outcome.error, SamplerClosed):
            raise Violation(f"{where}the sampler cannot be used any more: {outcome.error}") from outcome.error
        if outcome.error is not None:
            raise Violation(f"{where}expected a batch, {outcome}") from outcome.error
        wanted: Expected = self._lab.expected(script)[index]
        infos = self._cell.site != "transfer" or script.ballast
        difference = difference_or_origin(wanted.batch, outcome.value, infos=infos)
        if difference is not None:
            raise Violation(f"{where}{difference}")

    # -- clean -----------------------------------------------------------------------------------

    def _check_closed(self) -> None:
        """Check that environments were closed once each; those of processes that died could not be."""
        twice = {who: n for who, n in unclosed(self._ledger).items() if n < 0}
        if twice:
            raise Violation(f"not clean: {len(twice)} environments were closed more than once")
        mine = {event.who for event in read_ledger(self._ledger) if event.pid == os.getpid()}
        left = [who for who in unclosed(self._ledger) if not self._cell.lethal or who in mine]
        if left:
            raise Violation(f"not clean: {len(left)} environments were opened and never closed")


def _state(sampler: Sampler) -> dict[str, Any]:
    """Return all of a sampler's state that a call can change."""
    counts = sampler.statistics()
    state = {f"get_state()[{name!r}]": encode(part) for name, part in sampler.get_state().items()}
    return {
        **state,
        "total_env_steps": sampler.total_env_steps,
        "statistics()": (counts.calls, counts.units, counts.env_steps),
    }
