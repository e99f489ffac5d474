"""Running one script again, here and now: what a report tells its reader to type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samplerkit.contract.clause import NotApplicable, Violation, all_clauses, check_applies
from samplerkit.contract.differences import first_difference
from samplerkit.contract.lab import Lab, Trace
from samplerkit.contract.script import Script, short
from samplerkit.contract.subject import Subject, find_subject, subject_of


def replay(backend: Any, script: Script, *, options: Mapping[str, Any] | None = None) -> Trace:
    """Run a script on a backend, in this process, and compare it with the reference, call by call.

    There is no sandbox and no deadline: a debugger sees all of it, and what hangs, hangs.

    Args:
        backend: a name, ``"module:Class"``, a class, or a `Subject`.
        script: what to do.
        options: given to the sampler.

    Returns:
        What was seen, where nothing is wrong.

    Raises:
        Violation: with the first difference, and then the other clauses that this script shows broken, one a
            line.
    """
    subject = as_subject(backend, options)
    lab = Lab(subject)
    trace = lab.trace(script)
    wrong = [_first(trace), *_clauses(lab, script)]
    lines = [line for line in wrong if line]
    if lines:
        raise Violation("\n".join(lines), code=script.code(subject.name, subject.given)) from trace.error
    return trace


def as_subject(backend: Any, options: Mapping[str, Any] | None = None) -> Subject:
    """Return the subject that a name, a class or a subject stands for.

    Raises:
        BackendError, ValueError, ImportError: if it cannot be found or loaded.
        CannotBeChecked: if it makes no samplers, or has no such options.
        TypeError: for anything else, or options beside a subject.
    """
    if isinstance(backend, str):
        return find_subject(backend, options)
    if isinstance(backend, Subject):
        if options:
            raise TypeError("a Subject has its options already: leave options out")
        return backend
    if callable(backend):
        return subject_of(backend, options=options)
    raise TypeError(f"expected the name of a backend, 'module:Class', a class or a Subject, not {backend!r}")


def _first(trace: Trace) -> str:
    for index, (batch, wanted) in enumerate(zip(trace.copies, trace.expected, strict=False)):
        difference = first_difference(wanted.batch, batch)
        if difference is not None:
            return f"call {index}, {short(trace.script.ops[index])}: {difference}"
    if trace.error is not None:
        return f"{trace.doing} raised {type(trace.error).__name__}: {trace.error}"
    return ""


def _clauses(lab: Lab, script: Script) -> list[str]:
    broken = []
    for it in all_clauses():
        if it.kind != "script":
            continue
        try:
            check_applies(it, lab)
            it.check(lab, script)
        except NotApplicable:
            continue
        except Exception as error:
            broken.append(f"{it.id}: {error}")
    return broken
