"""The contract suite: decides whether a sampler backend, or a kind of worker, is right."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from samplerkit.contract.clause import Clause, NotApplicable, Violation, all_clauses, clause

if TYPE_CHECKING:
    from samplerkit.contract.environment_report import PurityReport
    from samplerkit.contract.examine import State, Verdict
    from samplerkit.contract.purity import check_purity
    from samplerkit.contract.replaying import replay
    from samplerkit.contract.runner import Report, check
    from samplerkit.contract.subject import Subject, find_subject, subject_of
    from samplerkit.contract.testing import contract_tests

# Worker processes unpickle probes, and must not wait for hypothesis.
_HOMES = {
    "State": "examine",
    "Verdict": "examine",
    "PurityReport": "environment_report",
    "Report": "runner",
    "check": "runner",
    "check_purity": "purity",
    "contract_tests": "testing",
    "replay": "replaying",
    "Subject": "subject",
    "find_subject": "subject",
    "subject_of": "subject",
}

NEEDS_HYPOTHESIS = "The contract suite needs hypothesis: run `pip install 'samplerkit[contract]'`."

__all__ = [
    "NEEDS_HYPOTHESIS",
    "Clause",
    "NotApplicable",
    "PurityReport",
    "Report",
    "State",
    "Subject",
    "Verdict",
    "Violation",
    "all_clauses",
    "check",
    "check_purity",
    "clause",
    "contract_tests",
    "find_subject",
    "replay",
    "subject_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise ModuleNotFoundError(NEEDS_HYPOTHESIS, name=error.name) from error
