from __future__ import annotations

import json

import pytest

from samplerkit.bench import Outcome, Results
from samplerkit.bench.contestant import Measurement, Memory
from samplerkit.bench.recommendation import recommendation, recommended


def outcome(name, *rates, memory=None, skipped=""):
    rounds = {i: Measurement(rate, 1.0) for i, rate in enumerate(rates) if rate is not None}
    return Outcome(name, 0.3, rounds, memory, skipped)


def results(*outcomes):
    return Results(list(outcomes), "limit")


def test_the_ratio_is_taken_within_each_round_and_only_then_the_median():
    found = results(outcome("limit", 100, 1000, 10), outcome("a", 50, 900, 7))
    ratio = found.ratio("a")
    assert (ratio.median, ratio.low, ratio.high) == (0.7, 0.5, 0.9)
    rate = found["a"].rate
    assert (rate.median, rate.low, rate.high) == (50, 7, 900)


def test_rounds_that_one_of_them_missed_do_not_count():
    found = results(outcome("limit", 100, 100, 100), outcome("a", 50, None, 70))
    assert found.ratio("a").median == pytest.approx(0.6)
    assert results(outcome("limit"), outcome("a", 1)).ratio("a") is None


def test_any_two_can_be_compared():
    found = results(outcome("limit", 8), outcome("a", 2), outcome("b", 4))
    assert found.ratio("b", to="a").median == 2.0


def test_everything_can_be_said_in_json():
    memory = Memory(100.0, 50.0, 2)
    found = results(outcome("limit", 10, 20), outcome("a", 5, 5, memory=memory), outcome("b", skipped="why"))
    limit, a, b = json.loads(json.dumps(found.as_dicts()))
    assert limit["fraction_of_limit"] == {"median": 1.0, "min": 1.0, "max": 1.0}
    assert a["steps_per_second"] == {"median": 5.0, "min": 5.0, "max": 5.0}
    assert a["fraction_of_limit"] == {"median": 0.375, "min": 0.25, "max": 0.5}
    assert a["memory_mb"] == {"parent": 100.0, "worker": 50.0, "n_workers": 2}
    assert a["rounds"] == [
        {"round": 0, "steps": 5, "seconds": 1.0},
        {"round": 1, "steps": 5, "seconds": 1.0},
    ]
    assert (b["skipped"], b["steps_per_second"], b["fraction_of_limit"]) == ("why", None, None)


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError, match="nobody"):
        results()["nobody"]


LIMIT = outcome("limit", 200, 200)


def test_the_fastest_is_recommended_beside_local():
    found = results(
        LIMIT,
        outcome("local", 80, 90, memory=Memory(50, 0, 0)),
        outcome("fast", 160, 180, memory=Memory(60, 50, 2)),
    )
    assert recommended(found, ["local", "fast"]).name == "fast"
    said = recommendation(found, ["local", "fast"])
    assert said == "Use fast: 170 steps per second, 85% of the limit, 2 times what local gives."


def test_of_those_about_as_fast_the_lightest_is_recommended():
    found = results(
        LIMIT,
        outcome("heavy", 190, 190, memory=Memory(500, 300, 2)),
        outcome("light", 185, 185, memory=Memory(60, 50, 2)),
    )
    said = recommendation(found, ["heavy", "light"])
    assert said.startswith(
        "Use light: 185 steps per second, 92% of the limit; heavy is no more than 5% faster"
    )


def test_neither_limits_nor_the_skipped_are_recommended():
    found = results(LIMIT, outcome("a", 1, 1), outcome("b", 100, skipped="it failed (round 2): why"))
    assert recommended(found, ["a", "b"]).name == "a"


def test_one_that_failed_on_its_way_is_not_compared_with():
    found = results(LIMIT, outcome("a", 100, 100), outcome("b", 190, skipped="it failed (round 2): why"))
    assert recommendation(found, ["a", "b"]) == "Use a: 100 steps per second, 50% of the limit."


def test_where_nothing_was_delivered_there_is_nothing_to_recommend():
    found = results(LIMIT, outcome("a", skipped="why"))
    assert recommended(found, ["a"]) is None
    assert "nothing to recommend" in recommendation(found, ["a"])
