from __future__ import annotations

import pytest
from bench_fakes import Scripted

from samplerkit.bench import ContestantFailed, Skipped, interleave
from samplerkit.bench.contestant import Memory


def run(*contestants, rounds=3, warm_up=0.0, **more):
    outcomes = interleave(contestants, rounds=rounds, seconds=1.0, warm_up=warm_up, settle=0.0, **more)
    return {outcome.name: outcome for outcome in outcomes}


def rates(outcome):
    return {index: measured.rate for index, measured in outcome.rounds.items()}


def test_every_round_gives_each_a_turn_and_begins_with_another():
    log = []
    run(*(Scripted(name, [1, 2, 3, 4], log) for name in "abc"), rounds=4)
    assert [name for what, name in log if what == "start"] == ["a", "b", "c"]
    turns = "".join(name for what, name in log if what == "measure")
    assert [turns[i : i + 3] for i in range(0, 12, 3)] == ["abc", "bca", "cab", "abc"]


def test_all_are_started_before_any_is_measured():
    log = []
    run(Scripted("a", [1] * 9, log), Scripted("b", [1] * 9, log), rounds=1)
    assert [what for what, _ in log] == ["start", "start", "measure", "measure"]


def test_the_warm_up_does_not_count():
    found = run(Scripted("a", [1000, 1, 2]), rounds=2, warm_up=1.0)
    assert rates(found["a"]) == {0: 1.0, 1: 2.0}


def test_start_up_and_memory_are_kept():
    found = run(Scripted("a", [1], memory=Memory(10.0, 5.0, 2)), rounds=1)
    assert found["a"].start_seconds == 0.5
    assert found["a"].memory == Memory(10.0, 5.0, 2)


def test_one_that_cannot_run_says_why_and_the_others_go_on():
    shy = Scripted("shy", [], fails={("start", 1): Skipped("no such device")})
    found = run(shy, Scripted("a", [1, 2, 3]))
    assert found["shy"].skipped == "no such device"
    assert not found["shy"].rounds
    assert rates(found["a"]) == {0: 1.0, 1: 2.0, 2: 3.0}


@pytest.mark.parametrize(
    ("error", "said"),
    [(RuntimeError("broke"), "RuntimeError: broke"), (ContestantFailed("it died"), "it died")],
    ids=["exception", "failure"],
)
def test_one_that_fails_later_keeps_its_rounds_and_says_which_it_missed(error, said):
    frail = Scripted("frail", [1, 2, 3], fails={("measure", 2): error})
    found = run(frail, Scripted("a", [1, 2, 3]))
    assert rates(found["frail"]) == {0: 1.0}
    assert found["frail"].skipped == f"it failed (round 2): {said}"
    assert not frail.running
    assert len(found["a"].rounds) == 3


def test_all_are_stopped_even_if_it_is_interrupted():
    fakes = [Scripted("a", [1]), Scripted("b", [1], fails={("measure", 1): KeyboardInterrupt()})]
    with pytest.raises(KeyboardInterrupt):
        run(*fakes)
    assert not any(fake.running for fake in fakes)
    assert all(fake.stops for fake in fakes)


def test_progress_is_told_from_nothing_to_everything():
    told = []
    run(
        Scripted("a", [1] * 9),
        Scripted("b", [1] * 9),
        rounds=2,
        warm_up=1.0,
        tell=lambda *words: told.append(words),
    )
    assert told[0] == ("starting a", 0, 8)
    assert [done for _, done, _ in told] == list(range(8))
    assert told[-1] == ("round 2: a", 7, 8)


class Restless(Scripted):
    """Uses half a processor, whatever the clock says."""

    def cpu_seconds(self):
        self.asked = getattr(self, "asked", 0) + 1
        return float(self.asked)


def test_processor_time_is_counted_only_between_turns():
    found = run(Restless("a", [1] * 3), Scripted("b", [1] * 3))
    assert found["a"].idle_cpu_seconds == 3.0, "one second for each time that it rested"
    assert found["a"].idle_seconds > 0
    assert found["b"].idle_load == 0.0


@pytest.mark.parametrize(
    ("names", "arguments", "said"),
    [
        ("aa", {}, "distinct names, but there are several a"),
        ("a", {"rounds": 0}, "rounds must be at least 1"),
        ("a", {"seconds": 0.0}, "seconds must be more than 0"),
    ],
    ids=["names", "rounds", "seconds"],
)
def test_what_makes_no_sense_is_refused(names, arguments, said):
    with pytest.raises(ValueError, match=said):
        interleave([Scripted(name) for name in names], **arguments)
