"""The contract suite in a third party's own tests, without any conftest."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FrameType, FunctionType
from typing import Any

from samplerkit.contract.clause import Clause
from samplerkit.contract.examine import State, Verdict
from samplerkit.contract.profiles import PROFILES
from samplerkit.contract.replaying import as_subject
from samplerkit.contract.report import failure
from samplerkit.contract.runner import Examination, parse_version, select


class ContractNotice(UserWarning):
    """A backend breaks a clause that is newer than what it was written for."""


def contract_tests(
    backend: Any,
    *,
    options: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    profile: str = "quick",
    only: Iterable[str] = (),
    contract: str | None = None,
) -> type[Any]:
    """Return a class of tests, one for each clause of the contract.

    Assigned to a name that begins with ``Test``, it is collected by pytest like any other::

        from samplerkit.contract import contract_tests

        TestMine = contract_tests("mine", options={"n_threads": 2})

    Args:
        backend: a name, a composite, ``"module:Class"``, a class of samplers, or a `Subject`. It is looked up
            when the first test runs.
        options: given to every sampler.
        expected_failures: ids of clauses that are known to be broken, each with a reason. They are strict:
            one that holds fails its test.
        profile: "quick", "ci" or "thorough".
        only: ids of clauses, or beginnings of ids; none means all.
        contract: act as the suite of this version of the contract did, such as "1.0"; None means the newest.

    Raises:
        ValueError: for an id that no clause has, or a profile or version that does not exist.
        TypeError: if ``expected_failures`` is not a mapping from ids to reasons.
    """
    if profile not in PROFILES:
        raise ValueError(f"there is no profile {profile!r}: choose from {', '.join(PROFILES)}")
    version = None if contract is None else parse_version(contract)
    clauses = select(only, version)
    expected = _checked(expected_failures, clauses)
    caller = sys._getframe(1)

    def setup_class(cls: Any) -> None:
        cls.examination = Examination(as_subject(backend, options), profile, clauses=clauses, version=version)

    def teardown_class(cls: Any) -> None:
        cls.examination.close()

    members: dict[str, Any] = {
        "__module__": caller.f_globals.get("__name__", __name__),
        "__doc__": f"The contract suite on {backend!r}.",
        "setup_class": classmethod(setup_class),
        "teardown_class": classmethod(teardown_class),
    }
    for it in clauses:
        members[_method_name(it.id)] = _method(it, expected.get(it.id), caller)
    return type("TestContract", (), members)


def _checked(expected: Mapping[str, str] | None, clauses: list[Clause]) -> dict[str, str]:
    if expected is not None and not isinstance(expected, Mapping):
        raise TypeError(
            f"expected_failures is a dict from ids of clauses to reasons, not {type(expected).__name__}"
        )
    chosen = dict(expected or {})
    unknown = sorted(set(chosen) - {it.id for it in clauses})
    if unknown:
        raise ValueError(
            f"expected_failures names {', '.join(unknown)}, but the clauses are: "
            f"{', '.join(it.id for it in clauses)}"
        )
    return chosen


def _method_name(clause_id: str) -> str:
    return "test_" + re.sub(r"\W", "_", clause_id)


def _method(it: Clause, reason: str | None, caller: FrameType) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        examination: Examination = self.examination
        verdict = examination.examine(it, smallest=reason is None)
        conclude(it, verdict, examination, reason)

    test.__name__ = _method_name(it.id)
    test.__doc__ = it.says
    # Where pytest says that the test is: the line that called `contract_tests`.
    code: CodeType = test.__code__.replace(
        co_filename=caller.f_code.co_filename, co_firstlineno=caller.f_lineno, co_name=test.__name__
    )
    moved = FunctionType(code, test.__globals__, test.__name__, None, test.__closure__)
    moved.__doc__ = test.__doc__
    return moved


def conclude(it: Clause, verdict: Verdict, examination: Examination, expected: str | None = None) -> None:
    """Turn a verdict into pytest's words: return, fail, skip, or fail as expected.

    Args:
        it: the clause.
        verdict: what became of it.
        examination: whose verdict it is.
        expected: why the clause is known to be broken, if it is.
    """
    import pytest

    if expected is not None:
        if verdict.bad or verdict.state is State.NOTICE:
            pytest.xfail(f"{expected}: {verdict.what}")
        became = "holds" if verdict.state is State.HELD else f"does not apply ({verdict.what})"
        pytest.fail(
            f"{it.id} {became}, but is in expected_failures ({expected}): take it out there", pytrace=False
        )
    if verdict.state is State.NOT_APPLICABLE:
        pytest.skip(verdict.what)
    text = failure(it, verdict, examination.subject, examination.profile)
    if verdict.bad:
        pytest.fail(text, pytrace=False)
    if verdict.state is State.NOTICE:
        warnings.warn(text, ContractNotice, stacklevel=2)
