"""The error that a cell of the fault table should give: its type, and everything that it says."""

from __future__ import annotations

from typing import Any

from samplerkit.contract.attempts import Outcome
from samplerkit.contract.clause import Violation
from samplerkit.contract.faults import DEATHS, Cell
from samplerkit.contract.faulty import Props
from samplerkit.errors import WorkerDied, WorkerError

MAX_RESTARTS = 1
"""In cells where a carrier dies every time; so it dies twice."""


class ExpectedError:
    """The error of one cell.

    Args:
        cell: of the table.
        props: what is passed to the sampler in it.
        status_known: whether the backend knows how a process ended.
    """

    def __init__(self, cell: Cell, props: Props, *, status_known: bool = True) -> None:
        self._cell = cell
        self._props = props
        self._status_known = status_known

    @property
    def may_not_come(self) -> bool:
        """Whether the call may return: the fault does no harm, or need not come to pass."""
        if self._cell.interrupted:
            return False
        harmless = not self._cell.lethal and self._cell.raises is None
        # Where nothing is pickled on the way, nothing goes wrong there.
        return harmless or self._cell.once or self._cell.site == "transfer"

    @property
    def may_come(self) -> bool:
        """Whether the call may raise."""
        if self._props.at_start or self._cell.interrupted:
            return True
        return self._cell.raises is not None or (self._cell.lethal and not self._cell.once)

    @property
    def name(self) -> str:
        """Its type."""
        if self._cell.interrupted:
            return "KeyboardInterrupt"
        return "WorkerDied" if self._cell.lethal else "WorkerError"

    def check(self, outcome: Outcome) -> None:
        """Check an error's type, and everything that it says.

        Raises:
            Violation: if it is of another type, or says something else.
        """
        error, raised = outcome.error, self._cell.raises
        if isinstance(error, KeyboardInterrupt) and self._cell.by_hand:
            return
        if self._cell.interrupted:
            raise Violation(f"not typed: expected KeyboardInterrupt, {outcome}") from error
        if raised is None and isinstance(error, WorkerDied):
            self._check_death(error)
        elif raised is not None and isinstance(error, WorkerError):
            self._check_error(error)
        else:
            raise Violation(f"not typed: expected {self.name}, {outcome}") from error

    def _check_error(self, error: WorkerError) -> None:
        raised = self._cell.raises
        assert raised is not None, "asked for exceptions only"
        self._check_fields(
            error, worker=(error.worker, self._props.worker), unit=(error.unit, self._props.unit)
        )
        if "in strike" not in error.remote_traceback:
            raise Violation("not typed: the remote traceback does not show where the exception was raised")
        if self._cell.site == "transfer":
            return  # whoever copies or pickles infos may say so in words of its own
        self._check_fields(
            error,
            error_type=(error.error_type.rpartition(".")[2], raised.name),
            message=(_cut(error.message), _cut(raised.text)),
        )
        if raised.type is not None and not isinstance(error.__cause__, raised.type):
            raise Violation(
                f"not typed: expected the original {raised.name} as __cause__, got {error.__cause__!r:.200}"
            )

    def _check_death(self, error: WorkerDied) -> None:
        fields: dict[str, tuple[Any, Any]] = {"unit": (error.unit, self._props.unit)}
        if self._props.unit is not None:
            fields["worker"] = (error.worker, self._props.worker)
        if not self._props.at_start:
            fields["deaths"] = (error.deaths, MAX_RESTARTS + 1)
        if self._cell.what in DEATHS:
            status = DEATHS[self._cell.what] if self._status_known else None
            fields["exitcode"] = (error.exitcode, status)
        self._check_fields(error, **fields)

    @staticmethod
    def _check_fields(error: BaseException, **fields: tuple[Any, Any]) -> None:
        for name, (got, wanted) in fields.items():
            if got != wanted:
                kind = type(error).__name__
                raise Violation(f"not typed: {kind}.{name}: expected {wanted!r:.300}, got {got!r:.300}")


def _cut(text: str) -> str:
    """Return a text, or what is left of it with its length where it is long."""
    return text if len(text) < 200 else f"{text[:40]}… ({len(text)} characters)"
