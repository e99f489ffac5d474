from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import _chosen
from benchmarks.catalogue import entries
from benchmarks.page import write_page
from benchmarks.results import save
from benchmarks.show import table
from samplerkit.bench import Measurement, Outcome, Results
from samplerkit.bench.contestant import Memory

ARGUMENTS = {"rounds": 5, "seconds": 1.0, "processes": 2}


def setting(key="W1-short-1000", **more):
    def outcome(name, rate):
        return Outcome(name, 0.31, {0: Measurement(rate, 1.0)}, Memory(50, 40, 2), versions={"numpy": "9.9"})

    outcomes = [outcome("limit", 100_000), outcome("mine", 93_000), outcome("slow", 1_234)]
    outcomes.append(Outcome("absent", skipped="not installed: No module named 'x' (/home/me/venv/x.py)"))
    rows = Results(outcomes, "limit").as_dicts()
    return {"key": key, "title": "CartPole", "limit": "limit", "contestants": rows, **more}


def tails():
    figures = setting("tails-1000", clairvoyant=0.9)
    figures["contestants"][1]["fraction_of_clairvoyant"] = {"median": 0.966, "min": 0.9, "max": 1.0}
    return figures


WEIGHTS = {
    "key": "weights",
    "title": "Weights",
    "columns": ["backend", "ms"],
    "rows": [["mine", 1.5], ["x", None]],
}
ABSENT = {"key": "W3-4000", "title": "Cheetah", "skipped": "not installed: mujoco"}


RECURRENT = {
    "key": "recurrent",
    "title": "Bandits",
    "columns": ["policy", "environments", "one by one", "as one vector environment", "min..max"],
    "rows": [
        ["numpy", "1, by get_action", "53,851", None, None],
        ["numpy", 1, "21,220", "13,788", "13,680..21,922"],
        ["numpy", 8, "58,489", "it could not start: KeyError", None],
        ["numpy", 64, "96,959", "340,862", "176,660..373,570"],
        ["tensorflow: not installed: tensorflow", None, None, None],
    ],
}


def test_the_page_shows_rates_by_environments_as_a_picture_which_is_the_same_each_time(tmp_path):
    save(tmp_path, RECURRENT, ARGUMENTS)
    page = write_page(tmp_path, tmp_path / "page.md").read_text()
    assert "![Bandits](recurrent.svg)" in page
    assert "| numpy | 64 | 96,959 | 340,862 | 176,660..373,570 |" in page
    picture = (tmp_path / "recurrent.svg").read_text()
    for told in ("numpy, one by one", "numpy, one vector environment", "environments of each worker"):
        assert told in picture
    assert "tensorflow" not in picture
    write_page(tmp_path, tmp_path / "page.md")
    assert (tmp_path / "recurrent.svg").read_text() == picture


@pytest.fixture
def page(tmp_path):
    for figures in (WEIGHTS, ABSENT, tails(), setting()):
        save(tmp_path, figures, ARGUMENTS)
    return write_page(tmp_path, tmp_path / "page.md").read_text()


def test_the_page_has_a_section_for_each_result_in_the_catalogue_s_order(page):
    found = [line.split()[1].rstrip(":") for line in page.splitlines() if line.startswith("## ")]
    assert found == ["The", "W1-short-1000", "W3-4000", "tails-1000", "weights"]


def test_the_page_shows_figures_reasons_machine_and_versions(page):
    assert "| mine | 93,000 | **0.93** | 0.93..0.93 | 0.3 | 50 + 40 |" in page
    assert "| slow | 1,234 | **0.012** | 0.012..0.012 | 0.3 | 50 + 40 |" in page
    assert "| mine | 93,000 | **0.93** | 0.93..0.93 | 0.3 | 50 + 40 | 0.97 |" in page
    assert "| mine | 1.5 |\n| x |  |" in page
    assert "Skipped: not installed: mujoco." in page
    assert "usable CPUs" in page
    assert "5 rounds" in page
    assert "numpy " in page


def test_the_page_says_so_where_rows_are_of_several_runs(tmp_path):
    for _ in range(2):
        save(tmp_path, setting(), ARGUMENTS, add=True)
    page = write_page(tmp_path, tmp_path / "page.md").read_text()
    assert "Rows of 2 runs of 5 or more rounds, each compared with its own limit" in page


def test_the_page_names_no_paths(page):
    assert "- absent was skipped: not installed: No module named 'x'" in page
    assert "/home" not in page


def test_without_results_there_is_no_page(tmp_path):
    with pytest.raises(SystemExit, match="run python -m benchmarks first"):
        write_page(tmp_path, tmp_path / "page.md")


def test_results_keep_machine_versions_and_arguments(tmp_path):
    read = json.loads(save(tmp_path, setting(), ARGUMENTS).read_text())
    assert {"machine", "versions", "arguments", "contestants"} <= read.keys()


@pytest.mark.parametrize("figures", [setting(), tails(), WEIGHTS, ABSENT], ids=lambda it: it["key"])
def test_figures_are_shown_as_text(figures):
    text = table(figures)
    assert figures["title"] in text
    assert "mine" in text or "mujoco" in text


def test_keys_are_chosen_whole_or_by_how_they_begin():
    assert set(_chosen(None)) == set(entries())
    assert set(_chosen(["W1-short-4000"])) == {"W1-short-4000"}
    assert {key[:4] for key in _chosen(["tail", "W1-l"])} == {"tail", "W1-l"}
    with pytest.raises(SystemExit, match="there is no such key"):
        _chosen(["W9"])
