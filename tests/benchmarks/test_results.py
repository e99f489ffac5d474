"""The files with results: who is measured alone joins those that were measured before."""

from __future__ import annotations

import pytest

from benchmarks.results import load, save


def figures(*rows, **more):
    contestants = [{"name": name, "rate": rate} for name, rate in rows]
    return {"key": "W1", "limit": "bare loop (8)", "contestants": contestants, **more}


def rates(folder):
    return {row["name"]: row["rate"] for row in load(folder)["W1"]["contestants"]}


@pytest.mark.parametrize("more", [{}, {"limits": [1.0]}], ids=["slots", "loops"])
def test_who_did_not_take_part_this_time_stays(tmp_path, more):
    save(tmp_path, figures(("bare loop (8)", 5), ("local", 1), ("ray", 2), **more), {})
    save(tmp_path, figures(("bare loop (8)", 6), ("ray", 3), ("multiprocessing", 4), **more), {}, add=True)
    assert rates(tmp_path) == {"bare loop (8)": 5, "local": 1, "ray": 3, "multiprocessing": 4}
    assert load(tmp_path)["W1"].get("limits") == ([1.0, 1.0] if more else None)


def test_who_cannot_run_this_time_keeps_what_was_measured_before(tmp_path):
    save(tmp_path, figures(("bare loop (8)", 5), ("local", 1)), {})
    absent = figures(("bare loop (8)", 6))
    absent["contestants"] += [{"name": name, "rate": None, "skipped": "no"} for name in ("local", "ray")]
    save(tmp_path, absent, {}, add=True)
    assert rates(tmp_path) == {"bare loop (8)": 5, "local": 1, "ray": None}
    assert load(tmp_path)["W1"]["runs"] == 2


def test_a_whole_run_takes_the_place_of_the_last_one(tmp_path):
    save(tmp_path, figures(("bare loop (8)", 5), ("local", 1)), {})
    save(tmp_path, figures(("bare loop (8)", 6)), {})
    assert rates(tmp_path) == {"bare loop (8)": 6}
