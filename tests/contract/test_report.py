"""What is said of a verdict: to people and to machines."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import contract_fakes as fakes
import numpy as np
import pytest

from samplerkit.contract import Report, State, Verdict, Violation, replay, subject_of
from samplerkit.contract.differences import expected_and_got, first_difference
from samplerkit.contract.preflight import CannotBeChecked
from samplerkit.contract.profiles import PROFILES
from samplerkit.contract.report import as_json, failure, failures, footer, header, summary, write_json
from samplerkit.contract.script import Op, Script
from samplerkit.contract.subject import find_subject
from samplerkit.local import LocalSampler

QUICK = PROFILES["quick"]
MINE = dataclasses.replace(
    subject_of(LocalSampler, name="mine"), options={"n_threads": 2}, distribution="numpy", api=(1, 2)
)
CHECKS = [fakes.breaks, fakes.holds, fakes.does_not_apply, fakes.hangs, fakes.raises, fakes.breaks_too]
CLAUSES = {check: fakes.fake(check) for check in CHECKS}


def verdict(check: Any, state: State, what: str = "", **fields: Any) -> Verdict:
    return Verdict(CLAUSES[check].id, state, 0.25, what=what, **fields)


BROKEN = verdict(
    fakes.breaks,
    State.FAILED,
    "rewards at step 3: expected 1.0, got 2.0",
    script="Script(seed=1)",
    code="replay('mine', Script(seed=1))",
)


def report(*verdicts: Verdict) -> Report:
    return Report(MINE, QUICK, verdicts, tuple(CLAUSES.values()))


def everything() -> Report:
    return report(
        BROKEN,
        verdict(fakes.holds, State.HELD),
        verdict(fakes.does_not_apply, State.NOT_APPLICABLE, "mine declares no 'remote': it stays at home"),
        verdict(fakes.hangs, State.HUNG, "no answer within 30 s", script="waiting for what never comes"),
        verdict(fakes.raises, State.NOTICE, "RuntimeError: the check stumbled", details="Traceback\n  here"),
    )


# ---- for people


def test_a_failure_says_everything_on_one_screen() -> None:
    text = failure(CLAUSES[fakes.breaks], BROKEN, MINE, QUICK)
    lines = text.splitlines()
    assert lines[0] == f"CONTRACT F9.breaks VIOLATED by backend 'mine' (numpy {np.__version__}, API 1.2)"
    assert lines[1] == "  A fake clause that breaks."
    assert "  Found: rewards at step 3: expected 1.0, got 2.0" in lines
    assert "      replay('mine', Script(seed=1))" in lines
    assert "  Usual causes: a slip; a typo." in lines
    assert "  Why it matters: Tests need it." in lines
    assert "  Reproduce: samplerkit check mine --only F9.breaks --option n_threads=2" in lines
    assert "  See docs/contract.md#f9breaks" in lines
    assert len(lines) <= 24


def test_a_failure_ends_with_what_was_printed_meanwhile() -> None:
    printed = "".join(f"line {number}\n" for number in range(20))
    text = failure(CLAUSES[fakes.breaks], dataclasses.replace(BROKEN, output=printed), MINE, QUICK)
    assert "Printed meanwhile; the end of it:\n      line 12\n" in text
    assert "      line 19\n" in text
    assert "line 11" not in text


def test_options_of_the_kind_of_worker_are_among_those_that_reproduce_a_failure() -> None:
    subject = find_subject("local+vectorized", {"n_envs": 3})
    assert "--only F9.breaks --option n_envs=3" in failure(CLAUSES[fakes.breaks], BROKEN, subject, QUICK)


def test_a_failure_of_another_profile_is_reproduced_with_it() -> None:
    text = failure(CLAUSES[fakes.breaks], BROKEN, MINE, PROFILES["ci"])
    assert "--only F9.breaks --profile ci --option n_threads=2" in text


def test_a_hang_says_what_was_being_done() -> None:
    (_, hung, _) = failures(everything())
    assert hung.startswith("CONTRACT F9.hangs MADE TO HANG by backend 'mine'")
    assert "No answer: no answer within 30 s" in hung
    assert "It was doing: waiting for what never comes" in hung


def test_a_hang_in_a_script_shows_the_program() -> None:
    hung = verdict(fakes.hangs, State.HUNG, "no answer", script="F9.hangs: Script(seed=1)")
    text = failure(CLAUSES[fakes.hangs], hung, MINE, QUICK)
    assert "It was running:" in text
    assert "replay('mine', Script(seed=1), options={'n_threads': 2})" in text


def test_a_notice_says_from_when_on_it_counts() -> None:
    *_, notice = failures(everything())
    assert notice.startswith("NOTICE: CONTRACT F9.raises VIOLATED by backend 'mine'")
    assert "it counts from the next minor version on" in " ".join(notice.split())


def test_a_check_that_raised_shows_the_end_of_its_traceback() -> None:
    *_, raised = failures(everything())
    assert "  The check itself raised; the end of its traceback:\n      Traceback\n" in raised


def test_a_remote_traceback_is_not_shown_twice() -> None:
    what = "WorkerError: worker 0 raised\n\n--- traceback in the worker ---\nsomewhere"
    raised = verdict(fakes.raises, State.FAILED, what, details="somewhere")
    text = failure(CLAUSES[fakes.raises], raised, MINE, QUICK)
    assert "  Found: WorkerError: worker 0 raised\n  The check itself raised" in text
    assert text.count("somewhere") == 1


def test_long_tracebacks_and_texts_are_cut() -> None:
    long = verdict(fakes.raises, State.FAILED, "a\n" * 100, details="b\n" * 100)
    assert len(failure(CLAUSES[fakes.raises], long, MINE, QUICK).splitlines()) < 40


def test_a_program_that_shows_several_failures_is_shown_once() -> None:
    code = "print('a long program')"
    same = [
        verdict(check, State.FAILED, "a script failed: no", code=code)
        for check in (fakes.breaks, fakes.raises)
    ]
    other = verdict(fakes.breaks_too, State.FAILED, "a script failed: yes", code=code)
    first, second, third = failures(report(*same, other))
    assert code in first
    assert code not in second
    assert "the same program as under F9.breaks, above" in second
    assert code in third, "it shows something else"


def test_the_header_names_backend_versions_capabilities_and_options() -> None:
    text = header(MINE, QUICK, (1, 4))
    assert "Sampler contract 1.4, profile quick, samplerkit " in text
    assert f"Backend 'mine' (numpy {np.__version__}, API 1.2)" in text
    assert "Declares: exact_episodes," in text
    assert "restartable (workers live in the" in " ".join(text.split()), "wherever lines are broken"
    assert "Options: n_threads=2" in text


def test_the_summary_counts_and_says_who_declared_what() -> None:
    lines = summary(everything()).splitlines()
    assert lines == [
        "Not applicable, mine declares no 'remote': it stays at home: F9.does-not-apply",
        "Failed: F9.breaks",
        "Hung: F9.hangs",
        "Notices: F9.raises",
        "5 clauses: 1 held, 1 not applicable, 1 NOTICE, 1 HUNG, 1 FAILED",
    ]


def test_the_footer_of_a_green_report_has_nothing_in_capitals() -> None:
    assert footer(report(verdict(fakes.holds, State.HELD))) == "1 clause: 1 held"


# ---- for machines


def test_the_json_report_has_versions_subject_counts_and_verdicts(tmp_path: Path) -> None:
    write_json(as_json(everything()), tmp_path / "r.json")
    read = json.loads((tmp_path / "r.json").read_text())
    assert set(read) == {
        "format",
        "green",
        "contract",
        "api",
        "versions",
        "platform",
        "subject",
        "profile",
        "counts",
        "verdicts",
    }
    assert read["green"] is False
    assert set(read["versions"]) == {"python", "samplerkit", "numpy", "gymnasium", "hypothesis"}
    assert read["subject"]["name"] == "mine"
    assert read["subject"]["version"] == np.__version__
    assert read["subject"]["api"] == "1.2"
    assert read["subject"]["options"] == {"n_threads": 2}
    assert read["subject"]["capabilities"]["remote"] == {
        "yes": False,
        "reason": "workers live in the caller's process",
    }
    assert read["counts"] == {"held": 1, "failed": 1, "hung": 1, "not applicable": 1, "notice": 1}
    assert read["verdicts"][0] == {
        "clause": "F9.breaks",
        "since": "1.0",
        "says": "A fake clause that breaks.",
        "state": "failed",
        "seconds": 0.25,
        "what": "rewards at step 3: expected 1.0, got 2.0",
        "script": "Script(seed=1)",
        "code": "replay('mine', Script(seed=1))",
        "details": "",
        "output": "",
    }


def test_every_key_of_the_json_report_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "contract-suite.md").read_text()
    read = as_json(everything())
    keys = {*read, *read["subject"], *read["verdicts"][0]}
    missing = sorted(key for key in keys if f"`{key}`" not in page)
    assert not missing, f"docs/contract-suite.md does not mention {missing}"


# ---- differences


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ("rewards at step 3 is 2.0 here and 3.0 there.", "rewards at step 3: expected 2.0, got 3.0"),
        ("lengths has shape (1,) here and (2,) there.", "lengths: expected shape (1,), got shape (2,)"),
        ("One is a X, the other a Y.", "One is a X, the other a Y."),
    ],
    ids=["value", "shape", "neither"],
)
def test_here_and_there_become_expected_and_got(difference: str, said: str) -> None:
    assert expected_and_got(difference) == said


def test_what_is_no_batch_at_all_is_a_difference() -> None:
    trace = replay(LocalSampler, Script())
    wanted = trace.expected[0].batch
    assert first_difference(wanted, trace.batches[0]) is None
    assert first_difference(wanted, None) == "expected an EpisodeBatch, got NoneType"


# ---- replay


def test_a_replay_that_finds_nothing_returns_what_it_saw() -> None:
    trace = replay("local", Script(n_workers=2, ops=(Op(), Op(count=2, exact=True))))
    assert len(trace.batches) == 2


def test_a_replay_raises_the_first_difference_then_the_clauses() -> None:
    with pytest.raises(Violation) as caught:
        replay("contract_fakes:Doubled", Script(ops=(Op(exact=True), Op(count=3))))
    first, *others = caught.value.what.splitlines()
    assert first.startswith("call 1, Op(count=3): "), first
    assert "rewards at " in first
    assert "expected " in first
    assert ", got " in first
    assert any(line.startswith("A0.reference: ") for line in others), others


def test_a_replay_tells_what_a_call_raised() -> None:
    class Raising(LocalSampler):
        def obtain_samples(self, *arguments: Any, **named: Any) -> Any:
            raise OSError("no such worker")

    with pytest.raises(Violation, match="call 0 raised OSError: no such worker") as caught:
        replay(Raising, Script())
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.slow
def test_options_reach_the_replayed_sampler() -> None:
    script = Script(n_workers=2)
    replay("multiprocessing", script, options={"n_processes": 1})
    assert script.code("x", {"n_processes": 1}).endswith("options={'n_processes': 1})")
    with pytest.raises(CannotBeChecked, match="LocalSampler has no option 'n_processes'"):
        replay("local", script, options={"n_processes": 1})


def test_a_replay_takes_names_classes_and_subjects_only() -> None:
    with pytest.raises(
        TypeError, match="expected the name of a backend, 'module:Class', a class or a Subject"
    ):
        replay(3, Script())
    with pytest.raises(TypeError, match="has its options already"):
        replay(MINE, Script(), options={"n_threads": 1})


def test_the_program_of_a_report_runs_as_it_stands() -> None:
    program = Script(limit=1, lengths=(1,)).code("contract_fakes:Surplus")
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(fakes.__file__).parent,
    )
    assert done.returncode == 1
    assert "Violation: call 0, Op(): lengths: expected shape (1,), got shape (2,)" in done.stderr
