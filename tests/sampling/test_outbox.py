"""Results on their way from a carrier to the pool, with a clock that tests set."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import example, given
from hypothesis import strategies as st

from samplerkit.episodes import EnvSpec, EpisodeRecorder, StepType, TickRecorder, join, span_of
from samplerkit.episodes.bits import column_differences
from samplerkit.episodes.infos import stack_infos
from samplerkit.sampling import outbox as module
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.messages import Configured, decode
from samplerkit.sampling.outbox import Outbox

SPEC = EnvSpec(spaces.Box(-np.inf, np.inf, (1,), np.float64), spaces.Discrete(2))
ANSWER = Configured(5, [])
WIDE = EnvSpec(spaces.Box(-np.inf, np.inf, (1 << 16,), np.float64), spaces.Discrete(2))


def decoded(data):
    """Return what a message says, which may be several in one."""
    message = decode(data)
    return message if isinstance(message, list) else [message]


class Bench:
    """An outbox, the clock that it looks at, and what it sent."""

    def __init__(self, patience=1.0, takes_posts=False, spec=SPEC):
        self.now = 100.0
        self.n_sent = 0
        self.sent = []
        self.posted = []
        self.quiet = []
        self.rings = 0
        self.takes_posts = takes_posts
        self.recorder = EpisodeRecorder(spec)
        self.box = Outbox(self._send, self, patience)
        with pytest.MonkeyPatch.context() as patch:
            self.use(patch)
            self.box.begin(5, 2)

    def use(self, patch):
        patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))

    def _send(self, message):
        self.n_sent += 1
        self.sent += decoded(message)

    def post(self, parts):
        if self.takes_posts:
            self.posted += decoded(b"".join(parts))
        return self.takes_posts

    def leave(self, parts):
        if self.takes_posts:
            self.quiet += decoded(b"".join(parts))
        return self.takes_posts

    def ring(self):
        self.rings += 1

    def episode(self, number, info=None, length=1):
        """Return an episode that says which unit it is."""
        shape = self.recorder.env_spec.observation_space.shape
        self.recorder.start(np.full(shape, float(number)), {})
        for _ in range(length):
            self.recorder.cast_action(0)
            self.recorder.add(float(number), np.full(shape, float(number)), info or {}, {})
        return self.recorder.keep(StepType.TERMINAL)

    def episode_of(self, infos):
        """Return an episode whose steps have these infos of the environment, and the first of the policy."""
        self.recorder.start(np.zeros(1), infos[0])
        for info in infos:
            self.recorder.cast_action(0)
            self.recorder.add(0.0, np.zeros(1), info, infos[0])
        return self.recorder.keep(StepType.TERMINAL)

    def put(self, number, **arguments):
        self.box.put(number, self.episode(number, **arguments))

    @property
    def numbers(self):
        return [message.numbers for message in self.sent]


@pytest.fixture
def make(monkeypatch):
    def make_one(**arguments):
        bench = Bench(**arguments)
        bench.use(monkeypatch)
        return bench

    return make_one


def failure(number):
    return Failure(number % 2, number, "ValueError", "no", "trace", None)


def came(bench):
    """Return what arrived by number: the observation that says which unit it is, or its failure."""
    results = {}
    for message in [*bench.sent, *bench.posted]:
        if message.batch is not None:
            for number, piece in zip(
                message.numbers, span_of(message.batch, message.n_episodes).slices(), strict=True
            ):
                assert number not in results, "it came twice"
                results[number] = piece.view().observations[0, 0]
        results.update(message.failures)
    return results


@given(data=st.data())
def test_whatever_is_put_in_comes_once_and_in_order(data):
    bench = Bench(takes_posts=data.draw(st.booleans()))
    expected = {}
    with pytest.MonkeyPatch.context() as patch:
        bench.use(patch)
        for number in range(data.draw(st.integers(0, 20))):
            bench.now += data.draw(st.sampled_from([0.0, 0.3, 2.0]))
            if data.draw(st.integers(0, 4)) == 0:
                expected[number] = failure(number)
                bench.box.put(number, expected[number])
            else:
                expected[number] = float(number)
                infos = st.sampled_from([{}, {"x": 1.0}, {"x": "text"}, {"x": {"y": 1}}, {"x": {3}}])
                bench.put(number, info=data.draw(infos), length=data.draw(st.integers(1, 3)))
            if data.draw(st.integers(0, 5)) == 0:
                bench.box.flush()
        bench.box.flush()
    assert came(bench) == expected
    sent = [number for message in [*bench.sent, *bench.posted] for number in message.numbers]
    assert sent == sorted(sent)
    assert all(message.epoch == 5 for message in [*bench.sent, *bench.posted])


VALUES = {
    "number": st.sampled_from([1, 2, 0.5, True, 2**63, np.int8(1), np.float32(0.5)]),
    "word": st.text("ab", max_size=3),
    "object": st.sampled_from([None, 1, 0.5, (3,)]),
    "array": st.sampled_from([np.zeros(2), np.zeros(2, np.float32), np.zeros(2, np.int64)]),
    "nested": st.fixed_dictionaries({"one": st.sampled_from([1, 0.5])}, optional={"other": st.text("ab")}),
}
UNITS = st.lists(
    st.lists(st.fixed_dictionaries({}, optional=VALUES), min_size=1, max_size=3), min_size=1, max_size=8
)


@given(units=UNITS)
@example(units=[[{"number": 1}], [{"number": 1}, {"number": 2**63}]])
@example(units=[[{"object": None}, {"object": 1}], [{"object": None}, {"object": 0.5}]])
def test_infos_come_as_if_their_unit_had_travelled_alone(units):
    bench = Bench()
    kept = [(number, infos) for number, infos in enumerate(units) if fit_together(infos)]
    with pytest.MonkeyPatch.context() as patch:
        bench.use(patch)
        for number, infos in kept:
            bench.box.put(number, bench.episode_of(infos))
        bench.box.flush()
    arrived = {}
    for message in bench.sent:
        for number, piece in zip(
            message.numbers, span_of(message.batch, message.n_episodes).slices(), strict=True
        ):
            arrived[number] = join([piece])
    assert sorted(arrived) == [number for number, _ in kept]
    for number, infos in kept:
        batch, first = arrived[number], stack_infos(infos[:1])
        for got, wanted in (
            (batch.env_infos, stack_infos(infos)),
            (batch.agent_infos, stack_infos(infos[:1] * len(infos))),
            (batch.episode_infos_by_episode, first),
        ):
            assert list(column_differences(wanted, got, "infos")) == []


def fit_together(infos):
    try:
        return stack_infos(infos) is not None
    except (ValueError, TypeError):
        return False


def test_infos_of_the_same_types_travel_in_one_message_and_others_in_as_few_as_may_be(make):
    bench = make()
    for number, word in enumerate(["a", "b", "long", "more", "c"]):
        bench.put(number, info={"word": word})
    bench.box.flush()
    assert bench.numbers == [(0, 1), (2, 3), (4,)]


@pytest.mark.parametrize("fails", [False, True])
def test_what_takes_several_messages_is_sent_as_one_so_that_all_of_it_comes_or_nothing(make, fails):
    bench = make()
    for number, info in enumerate([{"x": 1}, {"x": 0.5}, {"x": Unpicklable(RuntimeError) if fails else {3}}]):
        bench.box.put(number, bench.episode(number, info=info), hidden=lambda number=number: b"%d" % number)
    bench.box.flush()
    assert bench.n_sent == 1
    assert [*came(bench)] == [0, 1, 2]
    assert [message.hidden for message in bench.sent if message.batch is not None][-1] == (
        {1: b"1"} if fails else {2: b"2"}
    )


def test_results_wait_for_others_and_travel_together(make):
    bench = make()
    for number in range(5):
        bench.now += 0.1
        bench.put(number)
    assert bench.sent == []
    bench.now += 0.6
    bench.put(5)
    assert bench.numbers == [(0, 1, 2, 3, 4, 5)]


def test_a_result_that_comes_after_a_long_time_waits_for_nothing(make):
    bench = make()
    bench.now += 1.0
    bench.put(0)
    bench.put(1)
    assert bench.numbers == [(0,)]


def test_patience_is_counted_from_the_last_message(make):
    bench = make()
    bench.now += 0.9
    bench.put(0)
    bench.box.flush()
    bench.now += 0.9
    bench.put(1)
    assert bench.numbers == [(0,)]
    bench.now += 0.1
    bench.put(2)
    assert bench.numbers == [(0,), (1, 2)]


def test_without_patience_each_result_is_sent_at_once(make):
    bench = make(patience=0.0)
    for number in range(3):
        bench.put(number)
    assert bench.numbers == [(0,), (1,), (2,)]


def test_a_failure_waits_for_nothing(make):
    bench = make()
    bench.put(0)
    bench.box.put(1, failure(1))
    assert came(bench) == {0: 0.0, 1: failure(1)}


def test_what_is_large_waits_for_nothing(make):
    bench = make(spec=WIDE)
    bench.put(0, length=2)
    assert bench.sent == []
    bench.put(1, length=7)
    assert bench.numbers == [(0, 1)]
    bench.put(2)
    assert len(bench.sent) == 1, "the bytes are counted anew"


def test_flushing_nothing_sends_nothing(make):
    bench = make()
    bench.box.flush()
    assert bench.sent == []


def test_what_is_posted_is_not_sent(make):
    bench = make(takes_posts=True)
    bench.put(0)
    bench.box.flush()
    assert bench.sent == []
    assert came(bench) == {0: 0.0}


def test_units_that_do_not_go_together_go_one_by_one(make):
    bench = make()
    bench.put(0, info={"x": 1.0})
    bench.put(1, info={"x": "text"})
    bench.put(2, info={"x": 2.0})
    bench.box.flush()
    assert bench.numbers == [(0,), (1,), (2,)]
    assert came(bench) == {0: 0.0, 1: 1.0, 2: 2.0}


def together(*infos):
    """Return episodes of one step each, that slots ended together; their observations are their numbers."""
    recorder = TickRecorder(SPEC, len(infos))
    slots = range(len(infos))
    for slot in slots:
        recorder.begin(slot, np.full(1, float(slot)), infos[slot])
    given = recorder.act(np.zeros(len(infos), np.int64), {}, slots)
    step = [lambda action, slot=slot: (np.zeros(1), float(slot), True, False, {}) for slot in slots]
    return recorder.keep_all(recorder.step(step, given, slots, 10))


def test_units_that_ended_together_are_told_apart(make):
    bench = make()
    bench.box.put_together([7, 3], together({}, {}))
    bench.put(5)
    bench.box.flush()
    assert bench.numbers == [(7, 3, 5)]
    assert came(bench) == {7: 0.0, 3: 1.0, 5: 5.0}


def test_units_that_ended_together_and_do_not_go_together_go_one_by_one(make):
    bench = make()
    bench.box.put_together([7, 3], together({"x": 1.0}, {"x": "text"}))
    bench.box.flush()
    assert bench.numbers == [(7,), (3,)]
    assert came(bench) == {7: 0.0, 3: 1.0}


class Unpicklable:
    def __init__(self, kind):
        self.kind = kind

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise self.kind("nobody can carry this")


@pytest.mark.parametrize(
    "thing",
    [Unpicklable(RuntimeError), Unpicklable(asyncio.CancelledError), threading.Lock],
    ids=["refuses", "refuses rudely", "is a function"],
)
def test_an_info_that_nobody_can_carry_fails_its_unit_only(make, thing):
    bench = make()
    bench.put(0, info={"x": 1})
    bench.put(1, info={"x": thing})
    bench.put(2, info={"x": 2})
    bench.box.flush()
    results = came(bench)
    if isinstance(thing, Unpicklable):
        assert (results[1].worker, results[1].unit) == (1, 1)
        assert results[1].error_type.endswith(thing.kind.__name__)
        assert "nobody can carry this" in results[1].message
    assert (results[0], results[2]) == (0.0, 2.0)


def test_failures_beside_units_that_do_not_go_together_arrive(make):
    bench = make()
    bench.put(0, info={"x": 1.0})
    bench.put(1, info={"x": "text"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.box, "flush", lambda: None)
        bench.box.put(2, failure(2))
    bench.box.flush()
    assert came(bench) == {0: 0.0, 1: 1.0, 2: failure(2)}


def test_a_new_epoch_drops_what_is_left_of_the_old_one(make):
    bench = make(spec=WIDE)
    bench.put(0, length=7)
    bench.box.begin(6, 2)
    bench.put(1, length=2)
    assert bench.sent == [], "the bytes are counted anew"
    bench.box.flush()
    assert bench.numbers == [(1,)]
    assert bench.sent[0].epoch == 6
    assert bench.sent[0].failures == {}


def test_somebody_else_may_send_what_waits_for_a_long_unit(monkeypatch):
    monkeypatch.setattr(module, "_LATEST", 0.01)
    arrived = threading.Event()
    bench = Bench(patience=1000.0)
    bench.box = Outbox(lambda message: (bench.sent.append(decode(message)), arrived.set()), None, 1000.0)
    bench.box.begin(5, 2)
    watcher = threading.Thread(target=bench.box.watch, daemon=True)
    watcher.start()
    for number in range(3):
        arrived.clear()
        bench.put(number)
        assert arrived.wait(20.0), "nobody sent it"
    bench.box.close()
    watcher.join(20.0)
    assert not watcher.is_alive()
    assert came(bench) == {0: 0.0, 1: 1.0, 2: 2.0}


def test_where_results_may_linger_nobody_sends_them_as_soon_as_usual(monkeypatch):
    monkeypatch.setattr(module, "_LATEST", 0.01)
    arrived = threading.Event()
    bench = Bench(patience=1000.0)
    box = Outbox(lambda message: arrived.set(), None, 1000.0, latest=0.5)
    box.begin(5, 2)
    watcher = threading.Thread(target=box.watch, daemon=True)
    watcher.start()
    began = time.monotonic()
    box.put(0, bench.episode(0))
    assert arrived.wait(20.0), "nobody sent it"
    assert time.monotonic() - began > 0.4
    box.close()
    watcher.join(20.0)
    assert not watcher.is_alive()


def test_watching_ends_at_once_where_nothing_ever_came():
    box = Outbox(lambda message: None, None, 1000.0)
    box.close()
    box.watch()


def test_watching_ends_where_it_is_closed_while_the_watcher_is_at_work(monkeypatch):
    class ClosesInBetween(threading.Event):
        def clear(self):
            box.close()
            super().clear()

    monkeypatch.setattr(module, "_LATEST", 0.01)
    box = Outbox(lambda message: None, None, 1000.0)
    box._filled = ClosesInBetween()
    box.owe(ANSWER)
    watcher = threading.Thread(target=box.watch, daemon=True)
    watcher.start()
    watcher.join(5.0)
    assert not watcher.is_alive()


def test_what_is_owed_is_sent_where_nothing_else_is(make):
    bench = make()
    bench.box.owe(ANSWER)
    assert bench.sent == []
    bench.box.flush()
    bench.box.flush()
    assert bench.sent == [ANSWER]


def test_results_pay_what_is_owed(make):
    bench = make()
    bench.box.owe(ANSWER)
    bench.put(0)
    bench.box.flush()
    assert bench.numbers == [(0,)]


def test_a_new_epoch_owes_nothing_to_the_old_one(make):
    bench = make()
    bench.box.owe(ANSWER)
    bench.box.begin(6, 2)
    bench.box.flush()
    assert bench.sent == []


def test_whoever_watches_pays_what_is_owed(monkeypatch):
    monkeypatch.setattr(module, "_LATEST", 0.01)
    arrived = threading.Event()
    box = Outbox(lambda message: arrived.set(), None, 1000.0)
    watcher = threading.Thread(target=box.watch, daemon=True)
    watcher.start()
    box.owe(ANSWER)
    assert arrived.wait(20.0)
    box.close()
    watcher.join(20.0)


def test_what_is_sent_quietly_wakes_nobody_until_there_is_a_reason_to(make):
    bench = make(takes_posts=True)
    bench.put(0)
    bench.box.flush(quietly=True)
    assert [message.numbers for message in bench.quiet] == [(0,)]
    assert (bench.posted, bench.sent, bench.rings) == ([], [], 0)
    bench.box.flush()
    bench.box.flush()
    assert bench.rings == 1, "there is nothing more to send, but something to be heard of"


def test_a_message_that_wakes_the_pool_needs_no_ring_for_those_before_it(make):
    bench = make(takes_posts=True)
    bench.put(0)
    bench.box.flush(quietly=True)
    bench.put(1)
    bench.box.flush()
    assert [message.numbers for message in bench.posted] == [(1,)]
    bench.box.flush()
    assert bench.rings == 0


def test_a_quiet_message_that_nobody_takes_is_sent_like_any_other(make):
    bench = make()
    bench.put(0)
    bench.box.flush(quietly=True)
    assert bench.numbers == [(0,)]
    bench.box.flush()
    assert bench.rings == 0, "it woke the pool by itself"


def test_what_is_owed_may_be_paid_quietly(make):
    bench = make(takes_posts=True)
    bench.box.owe(ANSWER)
    bench.box.flush(quietly=True)
    assert (bench.quiet, bench.sent) == ([ANSWER], [])


def test_whoever_watches_rings_for_what_was_sent_quietly(monkeypatch):
    monkeypatch.setattr(module, "_LATEST", 0.01)
    rang = threading.Event()
    bench = Bench(patience=1000.0, takes_posts=True)
    bench.ring = rang.set
    bench.box = Outbox(bench._send, bench, 1000.0)
    bench.box.begin(5, 2)
    bench.put(0)
    bench.box.flush(quietly=True)
    watcher = threading.Thread(target=bench.box.watch, daemon=True)
    watcher.start()
    assert rang.wait(20.0)
    bench.box.close()
    watcher.join(20.0)
    assert not watcher.is_alive()


def test_a_policy_is_asked_for_its_hidden_state_when_the_last_call_of_its_worker_is_sent(monkeypatch):
    bench, asked = Bench(patience=1.0), []
    bench.use(monkeypatch)

    def state_after(number):
        def ask():
            asked.append(number)
            return b"%d" % number

        return ask

    for number in (0, 1, 2, 3, 4):
        bench.box.put(number, bench.episode(number), state_after(number))
    assert asked == []
    bench.box.flush()
    assert sorted(asked) == [3, 4]
    assert bench.sent[-1].hidden == {3: b"3", 4: b"4"}
    bench.box.put(6, bench.episode(6), lambda: None)
    bench.box.flush()
    assert bench.sent[-1].hidden == {}


def test_a_unit_whose_hidden_state_cannot_be_had_has_failed_after_all(make):
    bench = make()
    for number in range(4):
        bench.box.put(number, bench.episode(number), lambda number=number: failure(number))
    bench.box.flush()
    assert came(bench) == {0: 0.0, 1: 1.0, 2: failure(2), 3: failure(3)}


def test_a_policy_that_is_at_work_is_not_asked_for_its_hidden_state(monkeypatch):
    monkeypatch.setattr(module, "_LATEST", 0.01)
    bench, asked = Bench(patience=1e9), threading.Event()
    watcher = threading.Thread(target=bench.box.watch)
    watcher.start()
    bench.box.put(0, bench.episode(0), asked.set)
    assert not asked.wait(0.1)
    assert bench.sent == []
    bench.box.flush()
    assert asked.is_set()
    assert [message.numbers for message in bench.sent] == [(0,)]
    bench.box.close()
    watcher.join(5)


def test_after_a_failure_nobody_is_asked_for_what_was_before_it(monkeypatch):
    bench = Bench(patience=1e9)
    bench.use(monkeypatch)
    bench.box.put(0, bench.episode(0), lambda: b"too late")
    bench.box.put(2, Failure.of(ValueError("no"), 0, 2))
    assert bench.sent[-1].hidden == {}
    assert bench.sent[-1].numbers == (0,)
