"""From a clause to a verdict."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from samplerkit.contract.clause import Clause, NotApplicable, Violation, check_applies
from samplerkit.contract.lab import Lab
from samplerkit.contract.script import Script, examples, scripts

_SHRINKING = 6.0
"""Seconds to look for a smaller script once one that fails was found."""


class State(StrEnum):
    """What became of a clause."""

    HELD = "held"
    FAILED = "failed"
    HUNG = "hung"
    NOT_APPLICABLE = "not applicable"
    NOTICE = "notice"
    """Broken, but newer than what the plugin was written for: does not count yet."""


@dataclass(frozen=True)
class Verdict:
    """What became of a clause.

    Attributes:
        clause: its id.
        state: see `State`.
        seconds: how long it took.
        what: of a violation: where, what was expected, what came; or why it does not apply.
        script: of a violation: the smallest script that shows it, as an expression.
        code: the same as a program.
        details: a traceback, where the check itself failed.
        output: of a violation: what was printed meanwhile, by whatever process.
    """

    clause: str
    state: State
    seconds: float
    what: str = ""
    script: str = ""
    code: str = ""
    details: str = ""
    output: str = ""

    @property
    def bad(self) -> bool:
        """Whether a promise was broken."""
        return self.state in (State.FAILED, State.HUNG)


def examine(it: Clause, lab: Lab, *, smallest: bool = True) -> Verdict:
    """Check one clause.

    Args:
        it: the clause.
        lab: where.
        smallest: whether to look for the smallest script that shows a violation.
    """
    started = time.monotonic()

    def verdict(state: State, **fields: Any) -> Verdict:
        return Verdict(it.id, state, time.monotonic() - started, **fields)

    try:
        check_applies(it, lab)
        if it.kind == "script":
            _over_scripts(it, lab, smallest)
        else:
            it.check(lab)
            _require_batch(it, lab)
    except NotApplicable as reason:
        return verdict(State.NOT_APPLICABLE, what=str(reason))
    except _Found as found:
        error, script = found.error, found.script
        details = "" if isinstance(error, Violation) else "".join(traceback.format_exception(error))
        return verdict(
            State.FAILED,
            what=_sentence(error),
            script=script.short(),
            code=script.code(lab.subject.name, lab.subject.given),
            details=details,
        )
    except Violation as violation:
        return verdict(State.FAILED, what=violation.what, code=violation.code)
    except Exception as error:
        return verdict(State.FAILED, what=_sentence(error), details=traceback.format_exc())
    return verdict(State.HELD)


class _Found(Exception):
    """A script that shows a violation, as small as could be found."""

    def __init__(self, error: Exception, script: Script) -> None:
        super().__init__(str(error))
        self.error = error
        self.script = script


def _require_batch(it: Clause, lab: Lab) -> None:
    """Raise `_Found` if the simplest script brings no batch: what never works keeps no promise either."""
    script = Script().within(lab.subject.capabilities)
    lab.note(f"{it.id}: {script.short()}")
    try:
        lab.trace(script).all_returned()
    except Violation as violation:
        raise _Found(violation, script) from violation


def _over_scripts(it: Clause, lab: Lab, smallest: bool) -> None:
    """Try scripts; raise `_Found` with the smallest one that fails."""
    search, capabilities = _Search(it, lab), lab.subject.capabilities
    for script in examples():
        search.probe(script.within(capabilities))
        if search.smallest is not None and not smallest:
            raise _Found(*search.smallest)
    # The same scripts for every clause, so that each is run once.
    chosen = settings(
        max_examples=lab.profile.scripts,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if smallest else (Phase.generate,),
    )
    test: Callable[[], None] = seed(0)(
        chosen(given(scripts.map(lambda script: script.within(capabilities)))(search.attempt))
    )
    try:
        test()
    except BaseException as error:
        if search.smallest is None:
            raise
        if isinstance(error, KeyboardInterrupt):
            raise
    if search.smallest is not None:
        raise _Found(*search.smallest)


class _Search:
    """Tries scripts on one clause and remembers the smallest that failed."""

    def __init__(self, it: Clause, lab: Lab) -> None:
        self._clause = it
        self._lab = lab
        self._until: float | None = None
        self.smallest: tuple[Exception, Script] | None = None

    def attempt(self, script: Script) -> None:
        """Raise if the clause does not hold; when time is up, nothing new is tried."""
        if self._until is not None and time.monotonic() > self._until and not self._lab.knows(script):
            return
        self._lab.note(f"{self._clause.id}: {script.short()}")
        try:
            self._clause.check(self._lab, script)
            # Of a call that did not return a clause has seen nothing, and that is not to hold.
            self._lab.trace(script).all_returned()
        except Exception as error:
            self._until = self._until or time.monotonic() + _SHRINKING
            if self.smallest is None or len(script.short()) <= len(self.smallest[1].short()):
                self.smallest = (error, script)
            raise

    def probe(self, script: Script) -> None:
        """Try a script and go on whatever comes of it."""
        try:
            self.attempt(script)
        except Exception:
            return


def _sentence(error: BaseException) -> str:
    if isinstance(error, Violation):
        return error.what
    return f"{type(error).__name__}: {error}"
