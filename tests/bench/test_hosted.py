from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy
import psutil
import pytest

from samplerkit.bench import ContestantFailed, Hosted, Skipped, Together
from samplerkit.bench import hosted as module


@pytest.fixture
def host(request):
    """Makes contestants in hosts, and stops them."""
    made = []

    def make(behaviour="", name="it", **more):
        probes = os.path.join(os.path.dirname(__file__), "..", "probes")
        made.append(Hosted(name, "bench_fakes:InHost", {"behaviour": behaviour}, path=[probes], **more))
        return made[-1]

    yield make
    for contestant in made:
        contestant.stop()


def test_it_starts_measures_and_stops_whatever_it_prints(host):
    it = host()
    assert it.start() > 0.01, "a whole interpreter was started"
    assert it.measure(0.25).rate == 400.0
    assert it.versions() == {"numpy": numpy.__version__, "no-such-distribution": "not installed"}
    assert it.peak_memory().parent > 5
    assert it.cpu_seconds() > 0
    it.stop()
    assert not [child for child in psutil.Process().children() if "samplerkit.bench.host" in child.cmdline()]


def test_its_reason_for_not_running_comes_through(host):
    with pytest.raises(Skipped, match=r"^the moon is in the wrong house$"):
        host("skips").start()


def test_its_exception_comes_through_as_a_sentence(host):
    with pytest.raises(ContestantFailed, match=r"^RuntimeError: it broke$"):
        host("raises").start()


def test_of_a_long_error_the_first_line_and_the_last_come_through(host):
    with pytest.raises(ContestantFailed, match=r"^RuntimeError: far away: … KeyError: 3$"):
        host("raises at length").start()


def test_a_last_line_that_says_the_same_again_is_left_out(host):
    with pytest.raises(ContestantFailed, match=r"^RuntimeError: far away KeyError was raised: 'x'$"):
        host("raises what it was told").start()


def test_its_last_words_come_through(host):
    with pytest.raises(ContestantFailed, match="status 7: last words"):
        host("dies").start()


def test_one_that_does_not_answer_is_given_up(host, monkeypatch):
    it = host()
    it.start()
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    it.begin_measuring(0.5)
    with pytest.raises(ContestantFailed, match="did not answer"):
        it.finish_measuring(0.05)


def test_one_that_does_not_end_is_killed(host, monkeypatch):
    monkeypatch.setattr(module, "_GRACE", 0.1)
    it = host("never ends")
    it.start()
    (process,) = [
        child for child in psutil.Process().children() if "samplerkit.bench.host" in child.cmdline()
    ]
    it.stop()
    assert not process.is_running()


def test_one_that_never_rests_is_made_to(host):
    it = host("never rests", restless=True)
    it.start()
    assert it.measure(0.2).rate == 500.0
    while psutil.Process(it._process.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)  # a signal is on its way for a moment
    used = it.cpu_seconds()
    time.sleep(0.3)
    assert it.cpu_seconds() == used
    assert it.measure(0.2).rate == 500.0
    assert it.cpu_seconds() > used


PARENT = """
import sys
from samplerkit.bench import Hosted
it = Hosted("it", "bench_fakes:InHost", {"behaviour": "never ends"}, path=[sys.argv[1]],
            environment={"BENCH_FAKES_GRACE": "0.3"})
it.start()
print(it._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_when_its_caller_is_killed_it_ends_whatever_it_does():
    probes = str(Path(__file__).parents[1] / "probes")
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, probes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        process = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    process.wait(10)


def test_before_its_start_and_after_its_end_it_says_so(host):
    with pytest.raises(ContestantFailed, match="not started"):
        host().measure(1.0)


def test_several_work_at_the_same_time_and_their_steps_per_second_add_up(host):
    both = Together("both", [host(), host()])
    both.start()
    began = time.monotonic()
    measured = both.measure(0.5)
    assert measured.steps == 200
    assert measured.rate == pytest.approx(400.0)
    assert time.monotonic() - began < 0.95, "one after the other would take a second"
    memory = both.peak_memory()
    assert (memory.parent, memory.n_workers) == (0.0, 2)
    assert memory.worker > 5
    both.stop()
