"""What every door to the suite shares: choosing clauses, versions, notices, and a verdict on each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import contract_fakes as fakes
import pytest

import samplerkit.contract.subject
from samplerkit.contract import Clause, Report, State, check, find_subject, runner, subject_of
from samplerkit.local import LocalSampler
from samplerkit.plugins import BackendSpec, making, no
from samplerkit.plugins.discovery import Registry
from samplerkit.plugins.hooks import register_hooks, unregister_hooks

Add = Callable[..., None]


@pytest.fixture
def add() -> Iterator[Add]:
    """Adds clauses for the time of a test."""
    plugins: list[fakes.Adding] = []

    def register(*clauses: object) -> None:
        plugins.append(fakes.Adding(clauses))
        register_hooks(plugins[-1])

    yield register
    for plugin in plugins:
        unregister_hooks(plugin)


def states(report: Report) -> dict[str, str]:
    return {verdict.clause: str(verdict.state) for verdict in report.verdicts}


def checked(*, api: tuple[int, int] = (1, 0), version: tuple[int, int] | None = None) -> Report:
    subject = dataclasses.replace(subject_of(LocalSampler), api=api)
    return check(subject, only=["F9"], version=version)


@pytest.mark.slow
def test_every_clause_gets_a_verdict_whatever_became_of_those_before(add: Add) -> None:
    add(
        *map(
            fakes.fake,
            [fakes.breaks, fakes.dies, fakes.holds, fakes.does_not_apply, fakes.raises, fakes.breaks_too],
        )
    )
    report = checked()
    assert states(report) == {
        "F9.breaks": "failed",
        "F9.dies": "failed",
        "F9.holds": "held",
        "F9.does-not-apply": "not applicable",
        "F9.raises": "failed",
        "F9.breaks-too": "failed",
    }
    assert not report.green
    died = report.verdicts[1]
    assert "ended (7)" in died.what, died.what


@pytest.mark.slow
def test_a_clause_that_hangs_is_cut_off_and_the_next_one_answers(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = dataclasses.replace(runner.PROFILES["quick"], deadline=3.0)
    monkeypatch.setattr(runner, "PROFILES", {"quick": hasty})
    add(fakes.fake(fakes.hangs), fakes.fake(fakes.holds))
    report = checked()
    assert states(report) == {"F9.hangs": "hung", "F9.holds": "held"}
    assert report.verdicts[0].script == "waiting for what never comes"
    assert not report.green


def test_what_is_printed_counts_where_a_clause_is_broken_only(add: Add, capfd: Any) -> None:
    add(fakes.fake(fakes.prints), fakes.fake(fakes.prints_and_breaks))
    held, broken = checked().verdicts
    assert held.output == ""
    assert broken.output == "printed by a clause that breaks\nand said to stderr\n"
    assert capfd.readouterr() == ("", ""), "nothing reaches the terminal by itself"


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    monkeypatch.setattr(runner, "CONTRACT", (1, 3))
    return (1, 3)


def test_a_new_clause_is_a_notice_for_an_older_plugin(add: Add, newest: tuple[int, int]) -> None:
    add(fakes.fake(fakes.breaks, since=newest), fakes.fake(fakes.holds, since=newest))
    report = checked(api=(1, 2))
    assert states(report) == {"F9.breaks": "notice", "F9.holds": "held"}
    assert report.green, "a notice does not fail"


def test_a_new_clause_counts_for_a_plugin_of_the_same_version(add: Add, newest: tuple[int, int]) -> None:
    add(fakes.fake(fakes.breaks, since=newest))
    assert states(checked(api=newest)) == {"F9.breaks": "failed"}


def test_a_clause_counts_for_everyone_one_minor_version_later(add: Add, newest: tuple[int, int]) -> None:
    add(fakes.fake(fakes.breaks, since=(1, 2)))
    assert states(checked(api=(1, 0))) == {"F9.breaks": "failed"}


def test_an_older_version_leaves_out_newer_clauses(add: Add, newest: tuple[int, int]) -> None:
    add(fakes.fake(fakes.breaks, since=newest), fakes.fake(fakes.holds, since=(1, 2)))
    assert states(checked(version=(1, 2))) == {"F9.holds": "held"}


def test_an_older_version_says_what_its_suite_said(add: Add, newest: tuple[int, int]) -> None:
    add(fakes.fake(fakes.breaks, since=(1, 2)))
    assert states(checked(api=(1, 1), version=(1, 2))) == {"F9.breaks": "notice"}


@pytest.mark.parametrize("version", [(1, 9), (0, 1), (2, 0)], ids=str)
def test_a_version_that_the_suite_does_not_know_is_refused(version: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"this suite knows the versions 1\.0 to 1\.0"):
        check(subject_of(LocalSampler), version=version)


def test_unknown_clauses_and_profiles_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"there is no clause 'Z9'; these are: .*A3\.shortest-run"):
        check(subject_of(LocalSampler), only=["A3", "Z9"])
    with pytest.raises(ValueError, match="there is no profile 'slow': choose from quick, ci, thorough"):
        check(subject_of(LocalSampler), "slow")


def test_the_number_of_a_promise_is_not_the_beginning_of_another(add: Add) -> None:
    add(*(dataclasses.replace(fakes.fake(fakes.holds), id=f"F{n}.holds") for n in (9, 90, 91)))
    assert [it.id for it in runner.select(["F9"])] == ["F9.holds"]
    assert [it.id for it in runner.select(["F9.h", "F91"])] == ["F9.holds", "F91.holds"]


def test_a_clause_is_examined_where_its_module_cannot_be_imported(add: Add) -> None:
    def local_check(lab: object) -> None:
        """A closure: no process can import it."""

    add(fakes.fake(local_check))
    assert states(checked()) == {"F9.local-check": "held"}


def test_a_plugin_that_adds_nonsense_is_named_in_the_log(add: Add, caplog: pytest.LogCaptureFixture) -> None:
    twin = dataclasses.replace(fakes.fake(fakes.holds), id="A3.shortest-run")
    add(fakes.fake(fakes.holds), "not a clause", twin)
    chosen: list[Clause] = runner.select(["F9", "A3.shortest-run"])
    assert [it.id for it in chosen] == ["A3.shortest-run", "F9.holds"]
    assert chosen[0] is not twin
    assert "'not a clause', which is not a Clause" in caplog.text
    assert "adds a clause A3.shortest-run, but there is one already" in caplog.text


# ---- subjects


@pytest.mark.slow
def test_kinds_of_worker_are_subjects_like_samplers() -> None:
    right = check(subject_of(fakes.PlainWorker), only=["A0.reference"])
    wrong = check(find_subject("contract_fakes:DoublingWorker"), only=["A0.reference"])
    assert right.green, right.verdicts
    (verdict,) = wrong.of(State.FAILED)
    assert "rewards" in verdict.what


def test_a_subject_must_be_callable() -> None:
    with pytest.raises(TypeError, match="is a str, not a class of samplers or of workers"):
        find_subject("contract_fakes:__name__")


@pytest.fixture
def doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offers the kind of worker ``doubling``, for API 1.0 and without exact episodes."""
    spec = BackendSpec(
        name="doubling",
        api=(1, 0),
        worker="contract_fakes:DoublingWorker",
        capabilities={"exact_episodes": no("it cannot count")},
    )
    fresh = Registry((making.LOCAL, spec), entry_points=lambda **named: ())
    monkeypatch.setattr(making, "registry", fresh)
    monkeypatch.setattr(samplerkit.contract.subject, "registry", fresh)


@pytest.mark.parametrize("name", ["doubling", "local+doubling"])
def test_a_kind_of_worker_is_found_by_name_alone_and_in_a_composite(doubling: None, name: str) -> None:
    subject = find_subject(name)
    assert (subject.name, subject.worker, subject.sampler) == (name, fakes.DoublingWorker, LocalSampler)
    assert subject.capabilities["exact_episodes"] == no("it cannot count")
    assert subject.capabilities["stateful"], "what the kind does not change is the sampler's"


def test_a_composite_names_the_sampler_first(doubling: None) -> None:
    with pytest.raises(ValueError, match="a composite is a sampler, '\\+', and a kind of worker"):
        find_subject("doubling+local")
