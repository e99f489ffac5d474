"""The contract suite: decides whether a sampler backend, or a kind of worker, is right."""

from samplerkit.contract.clause import Clause, NotApplicable, Violation, all_clauses, clause
from samplerkit.contract.examine import State, Verdict
from samplerkit.contract.runner import Report, check
from samplerkit.contract.subject import Subject, find_subject, subject_of

__all__ = [
    "Clause",
    "NotApplicable",
    "Report",
    "State",
    "Subject",
    "Verdict",
    "Violation",
    "all_clauses",
    "check",
    "clause",
    "find_subject",
    "subject_of",
]
