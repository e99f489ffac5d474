"""Slots that are recorded together give the episodes that they would have given one by one."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_values import nested_spaces, values_of

from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeRecorder, StepType, TickRecorder, join, merged
from samplerkit.episodes.columns import map_column, map_pair
from samplerkit.episodes.native_recorder import NativeRecorder
from samplerkit.episodes.tick_recording import usual_ticks

BOX = spaces.Box(-np.inf, np.inf, (2,), np.float32)
TWO = spaces.Discrete(2)
SPEC = EnvSpec(BOX, TWO)


class Walk:
    """An environment that writes into one buffer, and whose episode is known beforehand."""

    def __init__(self, key: int, length: int, end: StepType = StepType.TERMINAL, info=None) -> None:
        self.key, self.length, self.end, self.info = key, length, end, info
        self.buffer = np.zeros(2, np.float32)
        self.given = []
        self.t = 0

    def observe(self):
        self.buffer[:] = self.key, self.t
        return self.buffer

    def step(self, action):
        self.given.append(action)
        self.t += 1
        over = self.t == self.length
        info = {} if self.info is None else self.info(self.key, self.t)
        return (
            self.observe(),
            self.key + self.t / 8,
            over and self.end is StepType.TERMINAL,
            over and self.end is StepType.TIMEOUT,
            info,
        )


def is_open(recorder: TickRecorder, slot: int) -> bool:
    """Whether a slot has an open episode."""
    return recorder._starts[slot] >= 0


def alone(walk: Walk, act, spec=SPEC, max_length=math.inf) -> EpisodeBatch:
    """What `EpisodeRecorder` makes of the same episode."""
    walk = Walk(walk.key, walk.length, walk.end, walk.info)
    recorder = EpisodeRecorder(spec)
    observation = recorder.start(walk.observe(), {"key": walk.key})
    while True:
        action, infos = act(np.array([observation]))
        action = recorder.cast_action(action[0])
        observation, reward, terminated, truncated, env_info = walk.step(action)
        observation = recorder.add(reward, observation, env_info, {k: v[0] for k, v in infos.items()})
        if terminated:
            return recorder.finish(StepType.TERMINAL)
        if truncated or recorder.length >= max_length:
            return recorder.finish(StepType.TIMEOUT)


def act(observations):
    actions = observations.astype(np.int64).sum(axis=1) % 2
    return actions, {"sum": observations.sum(axis=1), "row": observations * 2}


def together(walks, n_slots, act=act, spec=SPEC, max_length=math.inf):
    """Run episodes in slots, each next one in the first that is free; yield them as they end."""
    recorder, waiting, running = TickRecorder(spec, n_slots), list(walks), {}
    while waiting or running:
        for slot in range(n_slots):
            if slot not in running and waiting:
                running[slot] = waiting.pop(0)
                recorder.begin(slot, running[slot].observe(), {"key": running[slot].key})
        live = sorted(running)
        actions, infos = act(recorder.observations(live))
        given = recorder.act(actions, infos, live)
        steps = [running[slot].step if slot in running else None for slot in range(n_slots)]
        for slot, last in recorder.step(steps, given, live, max_length):
            yield running.pop(slot), recorder.keep(slot, last)


def observing(observation):
    """One slot that takes two steps, after each of which it sees the same."""
    recorder = TickRecorder(SPEC, 2)
    recorder.begin(0, np.zeros(2, np.float32))
    for ends in (False, True):
        given = recorder.act([0, 0], {}, [0])
        step = lambda _, ends=ends: (observation, 1.0, ends, False, {})  # noqa: E731
        [*ended] = recorder.step([step, None], given, [0], math.inf)
    [(slot, last)] = ended
    return recorder.keep(slot, last).view()


NUMBERS = np.arange(-3.0, 3.0, dtype=np.float32)


@pytest.mark.parametrize(
    "observation",
    [
        NUMBERS[::3],
        NUMBERS[1::-1],
        np.frombuffer(NUMBERS[:2].tobytes(), np.float32),
        NUMBERS[:2].astype(">f4"),
        NUMBERS[:2].view(np.recarray),
        NUMBERS[:2].astype(np.float64),
        [1.0, 2.0],
    ],
    ids=["strided", "reversed", "read-only", "big-endian", "subclass", "float64", "list"],
)
@pytest.mark.filterwarnings("ignore:observation has dtype:UserWarning")
def test_vectors_of_any_making_are_recorded(observation):
    batch = observing(observation)
    assert batch.observations[1].tolist() == batch.last_observations[0].tolist() == list(observation)


@pytest.mark.parametrize(
    ("observation", "error", "message"),
    [
        (NUMBERS[:1], ValueError, r"has shape \(1,\)"),
        (NUMBERS[:3], ValueError, r"has shape \(3,\)"),
        (NUMBERS[None, :2], ValueError, r"has shape \(1, 2\)"),
        (np.zeros(2, complex), ValueError, "has dtype complex128"),
        (np.zeros(2, "datetime64[s]"), TypeError, "of type ndarray"),
        (bytes(8), TypeError, "of type bytes"),
    ],
)
def test_vectors_that_the_space_does_not_have_are_refused(observation, error, message):
    with pytest.raises(error, match=f"(?s)^observation.*{message}"):
        observing(observation)


@pytest.mark.parametrize("n_slots", [1, 3, 8])
def test_slots_give_the_episodes_that_come_one_by_one(n_slots):
    ends = [StepType.TERMINAL, StepType.TIMEOUT]
    walks = [Walk(key, 1 + key * 7 % 11, ends[key % 2]) for key in range(40)]
    results = list(together(walks, n_slots))
    assert len(results) == 40
    for walk, kept in results:
        assert kept.view().difference(alone(walk, act)) is None


def test_an_episode_stays_what_it_was_while_others_are_recorded():
    walks = [Walk(key, 5) for key in range(30)]
    kept = []
    for _, episode in together(walks, 3):
        kept.append((episode, episode.view().digest()))
    assert all(episode.view().digest() == digest for episode, digest in kept)


def test_episodes_far_longer_than_a_recording_are_whole():
    small = EnvSpec(spaces.Box(-np.inf, np.inf, (2,), np.float32), TWO)
    long = 3 * usual_ticks(small, 2) + 5
    walks = [Walk(0, long), *(Walk(key, 9) for key in range(1, long // 4))]
    results = {walk.key: kept for walk, kept in together(walks, 2)}
    assert results[0].view().difference(alone(walks[0], act)) is None
    assert results[7].view().difference(alone(walks[7], act)) is None


def test_the_limit_of_a_slot_counts_its_own_steps():
    walks = [Walk(0, 3), Walk(1, 9), Walk(2, 4), Walk(3, 5), Walk(4, 9)]
    for walk, kept in together(walks, 2, max_length=4):
        assert kept.view().difference(alone(walk, act, max_length=4)) is None


def test_termination_at_the_limit_wins():
    [(_, kept)] = together([Walk(0, 4)], 1, max_length=4)
    assert kept.view().step_types[-1] == StepType.TERMINAL


def test_several_episodes_at_once_are_the_same_in_any_order():
    results = [kept for _, kept in together([Walk(key, 1 + key % 5) for key in range(12)], 3)]
    expected = EpisodeBatch.concatenate(*(kept.view() for kept in results))
    assert join(results).difference(expected) is None
    store = results[0].store
    order = [5, 0, 11, 3]
    some = EpisodeBatch.concatenate(*(results[index].view() for index in order))
    assert store.gather([results[index].first_episode for index in order]).difference(some) is None


def test_slices_that_lie_side_by_side_are_merged():
    results = [kept for _, kept in together([Walk(key, 4) for key in range(6)], 2)]
    batch = merged(results)
    assert batch.lengths.tolist() == [4] * 6
    assert sum(kept.n_steps for kept in results) == 24


def test_env_infos_of_any_kind_are_kept_in_their_slot():
    def info(key, t):
        return {"t": t, **({"odd": {"key": np.array([key, t])}} if t % 2 else {}), "word": "x" * t}

    walks = [Walk(key, 1 + key % 4, info=info) for key in range(10)]
    for walk, kept in together(walks, 3):
        assert kept.view().difference(alone(walk, act)) is None


def test_agent_infos_with_masks_and_nested_dicts_are_those_of_the_rows():
    def masked(observations):
        flags = observations[:, 0] % 2 == 0
        values = np.where(flags, observations[:, 1], -1.0)
        return act(observations)[0], {"even": values, "_even": flags, "in": {"twice": observations * 2}}

    def plain(observations):
        actions, infos = masked(observations)
        single = {"in": [{"twice": infos["in"]["twice"][0]}]}
        return actions, {**single, **({"even": infos["even"]} if infos["_even"][0] else {})}

    walks = [Walk(key, 1 + key % 4) for key in range(10)]
    for walk, kept in together(walks, 3, masked):
        assert kept.view().difference(alone(walk, plain)) is None


def test_agent_infos_that_turn_into_objects_are_kept_row_by_row():
    def odd(observations):
        actions, infos = act(observations)
        if (observations[:, 1] >= 2).any():
            infos["seen"] = np.array([frozenset([int(key)]) for key in observations[:, 0]], object)
        return actions, infos

    walks = [Walk(key, 4) for key in range(6)]
    for walk, kept in together(walks, 2, odd):
        batch = kept.view()
        np.testing.assert_array_equal(batch.agent_infos["sum"], batch.observations.sum(axis=1))
        assert batch.agent_infos["_seen"].tolist() == [False, False, True, True]
        assert batch.agent_infos["seen"][2:].tolist() == [frozenset([walk.key])] * 2


def test_a_policy_may_write_to_what_it_sees():
    def writing(observations):
        actions, infos = act(observations)
        observations[:] = np.nan
        return actions, infos

    [(walk, kept)] = together([Walk(3, 5)], 1, writing)
    np.testing.assert_array_equal(kept.view().observations, alone(walk, act).observations)


def test_a_policy_may_use_its_arrays_again():
    actions, sums = np.zeros(2, np.int64), np.zeros(2, np.float32)

    def reusing(observations):
        actions[:], sums[:] = act(observations)[0], observations.sum(axis=1)
        return actions, {"sum": sums}

    for walk, kept in together([Walk(1, 4), Walk(2, 6), Walk(3, 2)], 2, reusing):
        batch, expected = kept.view(), alone(walk, act)
        np.testing.assert_array_equal(batch.actions, expected.actions)
        np.testing.assert_array_equal(batch.agent_infos["sum"], expected.agent_infos["sum"])


def test_an_environment_may_keep_and_change_its_action():
    spec = EnvSpec(BOX, spaces.Box(-1, 1, (2,), np.float32))

    class Keeping(Walk):
        def step(self, action):
            assert isinstance(action, np.ndarray)
            assert action.shape == (2,)
            for old in self.given:
                old[:] = 9
            return super().step(action)

    def half(observations):
        return observations / 2, {}

    for walk, kept in together([Keeping(1, 4), Keeping(2, 6)], 2, half, spec):
        np.testing.assert_array_equal(
            kept.view().actions, alone(Walk(walk.key, walk.length), half, spec).actions
        )


def test_idle_rows_repeat_a_live_one():
    recorder = TickRecorder(SPEC, 3)
    recorder.begin(1, np.array([7, 0], np.float32))
    np.testing.assert_array_equal(recorder.observations([1]), [[7, 0]] * 3)


def test_actions_of_idle_rows_are_ignored_and_those_of_live_ones_checked():
    recorder = TickRecorder(SPEC, 2)
    recorder.begin(1, np.array([7, 0], np.float32))
    assert recorder.act([99.5, 1], {}, [1])[1] == 1
    with pytest.raises(ValueError, match=r"action has dtype float64"):
        recorder.act([0.5, 0.5], {}, [1])
    assert recorder.failing == 1


def test_too_few_actions_are_refused():
    recorder = TickRecorder(SPEC, 2)
    recorder.begin(0, np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="returned 1 rows, but there are 2 slots"):
        recorder.act(np.zeros(1, np.int64), {}, [0])


@pytest.mark.parametrize(
    ("infos", "found"),
    [
        ({"log_std": np.zeros(1)}, "1 rows"),
        ({"log_std": np.zeros(3)}, "3 rows"),
        ({"distribution": {"log_std": np.zeros(3)}}, "3 rows"),
        ({"log_std": 0.5}, "0.5, which has no rows"),
        ({"log_std": np.array(0.5)}, r"array\(0.5\), which has no rows"),
        ({"log_std": None}, "None, which has no rows"),
    ],
)
def test_infos_of_the_policy_that_are_not_one_for_each_slot_are_refused(infos, found):
    recorder = TickRecorder(SPEC, 2)
    for slot in range(2):
        recorder.begin(slot, np.zeros(2, np.float32))
    with pytest.raises(ValueError, match=f"returned {found}.* there are 2 slots: return info '"):
        recorder.act(np.zeros(2, np.int64), infos, [0, 1])


def test_the_slot_that_raised_is_known():
    recorder = TickRecorder(SPEC, 2)
    for slot in range(2):
        recorder.begin(slot, np.zeros(2, np.float32))
    given = recorder.act(np.zeros(2, np.int64), {}, [0, 1])
    with pytest.raises(ValueError, match="observation has shape"):
        recorder.step(
            [Walk(0, 4).step, lambda action: (np.zeros(3), 0.0, False, False, {})], given, [0, 1], 9
        )
    assert recorder.failing == 1


def test_a_cancelled_tick_ends_before_the_next_step_and_leaves_nothing_open():
    recorder, worker = TickRecorder(SPEC, 2), SimpleNamespace(cancelled=False)
    first, second = Walk(0, 4), Walk(1, 4)
    for slot, walk in enumerate((first, second)):
        recorder.begin(slot, walk.observe())
    given = recorder.act(np.zeros(2, np.int64), {}, [0, 1])

    def cancelling(action):
        worker.cancelled = True
        return first.step(action)

    assert recorder.step([cancelling, second.step], given, [0, 1], 9, worker) == []
    assert (first.t, second.t) == (1, 0)
    assert not is_open(recorder, 0)


def test_parts_of_an_episode_join_to_the_whole_and_share_its_limit():
    recorder, walk, parts = TickRecorder(SPEC, 1), Walk(2, 99), []
    recorder.begin(0, walk.observe(), {"key": 2})
    while True:
        actions, infos = act(recorder.observations([0]))
        ended = recorder.step([walk.step], recorder.act(actions, infos, [0]), [0], 7)
        if ended:
            parts.append(recorder.keep(0, ended[0][1]).view())
            break
        if recorder.length(0) == 3:
            parts.append(recorder.keep(0, StepType.MID, goes_on=True).view())
    whole = alone(walk, act, max_length=7)
    assert [len(part.rewards) for part in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([part.observations for part in parts]), whole.observations)
    np.testing.assert_array_equal(np.concatenate([part.step_types for part in parts]), whole.step_types)
    np.testing.assert_array_equal(parts[0].last_observations, parts[1].observations[:1])


def test_an_episode_without_a_step_cannot_be_kept():
    recorder = TickRecorder(SPEC, 1)
    recorder.begin(0, np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="at least one step"):
        recorder.keep(0, StepType.TIMEOUT)


@settings(max_examples=25)
@given(st.data(), nested_spaces(1), nested_spaces(1), st.integers(1, 3))
def test_values_of_any_space_come_through_in_any_number_of_slots(data, observations, actions, n_slots):
    spec = EnvSpec(observations, actions)
    length = data.draw(st.integers(1, 3))
    seen = [[data.draw(values_of(observations)) for _ in range(length + 1)] for _ in range(n_slots)]
    acted = [[data.draw(values_of(actions)) for _ in range(length)] for _ in range(n_slots)]
    recorder = TickRecorder(spec, n_slots)
    singles = [EpisodeRecorder(spec) for _ in range(n_slots)]
    live = list(range(n_slots))
    for slot in live:
        recorder.begin(slot, seen[slot][0])
        singles[slot].start(seen[slot][0])
    for t in range(length):
        given = recorder.act([acted[slot][t] for slot in live], {}, live)
        steps = [
            lambda action, slot=slot, t=t: (seen[slot][t + 1], 1.0, t + 1 == length, False, {})
            for slot in live
        ]
        for slot in live:
            alone = singles[slot].cast_action(acted[slot][t])
            map_pair(_same, _as_arrays(given[slot]), _as_arrays(alone))
            singles[slot].add(1.0, seen[slot][t + 1], {}, {})
        ended = recorder.step(steps, given, live, math.inf)
    for slot, last in ended:
        expected = singles[slot].finish(last)
        assert recorder.keep(slot, last).view().difference(expected) is None


def _as_arrays(value):
    if isinstance(value, dict):
        return {key: _as_arrays(child) for key, child in value.items()}
    if isinstance(value, tuple):
        return tuple(_as_arrays(child) for child in value)
    return map_column(np.asarray, value)


def _same(one, other):
    assert one.dtype == other.dtype
    assert one.tobytes() == other.tobytes()
    return one


def opened(n_slots):
    """Slots that have taken two steps, each by an environment of its own."""
    recorder, walks = TickRecorder(SPEC, n_slots), [Walk(key, 99) for key in range(n_slots)]
    for slot, walk in enumerate(walks):
        recorder.begin(slot, walk.observe(), {"key": slot})
    for _ in range(2):
        stepped(recorder, walks)
    return recorder, walks


def stepped(recorder, walks):
    live = list(range(len(walks)))
    actions, infos = act(recorder.observations(live))
    recorder.step([walk.step for walk in walks], recorder.act(actions, infos, live), live, math.inf)


@pytest.mark.parametrize("n_steps", [1, 3])
def test_slots_that_are_cut_together_are_like_slots_cut_one_by_one(n_steps):
    found = []
    for one_by_one in (True, False):
        recorder, walks = opened(3)
        parts = []
        for _ in range(4):
            if one_by_one:
                parts += [recorder.keep(slot, StepType.MID, goes_on=True) for slot in range(3)]
            else:
                parts.append(recorder.cut_all([0, 1, 2]))
            for _ in range(n_steps):
                stepped(recorder, walks)
        found.append(join(parts))
    assert found[0].difference(found[1]) is None


def test_infos_of_slots_that_are_cut_together_are_theirs():
    recorder, walks = opened(2)
    walks[1].info = lambda key, t: {"t": t}
    stepped(recorder, walks)
    stepped(recorder, walks)
    first, second = recorder.cut_each([0, 1])
    assert first.view().env_infos == {}
    assert second.view().env_infos["t"][2:].tolist() == [3, 4]


def test_what_followed_a_cut_outlives_the_next_episode_in_its_row():
    recorder, _ = opened(2)
    parts = recorder.cut_each([0, 1])
    recorder.begin(1, np.array([50, 50], np.float32))
    recorder.drop(0)
    recorder.observations([1])  # which fills the rows of idle slots
    assert join(parts).last_observations.tolist() == [[0, 2], [1, 2]]


def test_what_was_kept_last_is_put_in_order_without_a_copy():
    recorder, walks = opened(3)
    ended = recorder.keep(1, StepType.TERMINAL)
    first, last = recorder.cut_each([0, 2])
    recording = ended.store
    together = recording.arranged([first, ended, last])
    assert together.view().observations[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert together.view().last_observations.tolist() == [[0, 2], [1, 2], [2, 2]]
    recorder.begin(1, walks[1].observe())
    stepped(recorder, walks)
    recorder.cut_all([0, 1, 2])
    assert recording.arranged([together]) is None, "others were kept since"


def test_recordings_of_large_observations_follow_each_other_in_the_same_memory():
    spec = EnvSpec(spaces.Box(0, 255, (1 << 17,), np.uint8), TWO)
    recorder, frame, places = TickRecorder(spec, 1), np.zeros(1 << 17, np.uint8), []
    recorder.begin(0, frame)
    for tick in range(400):
        recorder.step([lambda _: (frame, 0.0, False, False, {})], recorder.act([0], {}, [0]), [0], math.inf)
        if tick % 10 == 9:
            places.append(recorder.cut_all([0]).store.observations.buffer.ctypes.data)
    assert 1 <= len(set(places)) <= 2 < len(places)


@settings(deadline=None)
@given(before=st.integers(0, 30), after=st.integers(1, 3_000), length=st.integers(1, 40))
def test_ticks_that_room_was_reserved_for_are_recorded_in_one_piece(before, after, length):
    recorder = TickRecorder(SPEC, 1)
    walk, kept, stores = None, [], []
    for tick in range(before + after):
        if tick == before:
            recorder.reserve(after)
        if walk is None:
            walk = Walk(tick, length)
            recorder.begin(0, walk.observe(), {"key": walk.key})
        actions, infos = act(recorder.observations([0]))
        ended = recorder.step([walk.step], recorder.act(actions, infos, [0]), [0], math.inf)
        if ended:
            part = recorder.keep(0, StepType.TERMINAL)
            kept.append((walk, part))
            if tick >= before:
                stores.append(part.store)
            walk = None
    assert len(set(map(id, stores))) <= 1
    for it, part in kept:
        assert part.view().difference(alone(it, act)) is None


@given(st.data())
def test_slots_that_begin_and_end_together_are_recorded_as_one_by_one(data):
    n = data.draw(st.integers(1, 4))
    together, alone = NativeRecorder(SPEC, n), NativeRecorder(SPEC, n)
    left: dict[int, int] = {}
    ones, others = [], []
    for tick in range(12):
        idle = [slot for slot in range(n) if slot not in left]
        begins = sorted(data.draw(st.one_of(st.just(idle), st.sets(st.sampled_from(idle))))) if idle else []
        observations = np.stack([np.arange(n), np.full(n, tick)], axis=1).astype(np.float32)
        if begins:
            infos = {"key": np.arange(n) + 10 * tick}
            together.begin_all(begins, observations, infos)
            length = data.draw(st.integers(1, 3))
            for slot in begins:
                alone.begin(slot, observations[slot], {"key": infos["key"][slot]})
                left[slot] = data.draw(st.sampled_from([length, 1]))
        if not left:
            continue
        live = sorted(left)
        left = {slot: steps - 1 for slot, steps in left.items()}
        over = np.array([left.get(slot) == 0 for slot in range(n)])
        for recorder in (together, alone):
            recorder.act_together(np.full(n, tick % 2), {"tick": np.full(n, tick)}, live)
            ended = recorder.step_together(
                observations + 0.5, np.arange(n) + tick / 8, over, np.zeros(n, np.bool_), {}, live, 3
            )
        if ended:
            ones.append(together.keep_all(ended))
            others += [alone.keep(slot, last) for slot, last in ended]
            left = {slot: steps for slot, steps in left.items() if steps}
            assert [is_open(together, slot) for slot in range(n)] == [slot in left for slot in range(n)]
    if ones:
        assert merged(ones).difference(merged(others)) is None


def quiet_tick(recorder: NativeRecorder, max_length: float) -> list[tuple[int, StepType]]:
    """Let all slots take a step after which no environment says that its episode is over."""
    n = recorder.n_slots
    recorder.act_together(np.zeros(n, np.int64), {}, range(n))
    flags = np.zeros(n, np.bool_)
    return recorder.step_together(
        np.zeros((n, 2), np.float32), np.zeros(n), flags, flags, {}, range(n), max_length
    )


def test_the_limit_counts_steps_that_a_slot_took_before():
    recorder = NativeRecorder(SPEC, 2)
    recorder.begin(0, np.zeros(2, np.float32), steps_before=3)
    recorder.begin(1, np.zeros(2, np.float32))
    assert [quiet_tick(recorder, 5) for _ in range(2)] == [[], [(0, StepType.TIMEOUT)]]
    recorder.drop(0)
    recorder.begin(0, np.zeros(2, np.float32))
    assert [quiet_tick(recorder, 5) for _ in range(3)] == [[], [], [(1, StepType.TIMEOUT)]]


def test_the_limit_is_kept_however_often_the_recording_is_full():
    recorder = NativeRecorder(SPEC, 2)
    lengths = []
    for tick in range(3 * usual_ticks(SPEC, 2)):
        for slot in range(2):
            if not is_open(recorder, slot) and tick >= 3 * slot:
                recorder.begin(slot, np.zeros(2, np.float32))
        if is_open(recorder, 1):
            for slot, last in quiet_tick(recorder, 7):
                lengths += recorder.keep(slot, last).view().lengths.tolist()
        else:
            recorder.drop(0)
    assert set(lengths) == {7}


def test_a_vector_environment_gets_actions_in_memory_of_its_own():
    recorder = NativeRecorder(SPEC, 2)
    recorder.begin_all(range(2), np.zeros((2, 2), np.float32), {})
    actions = np.array([1, 0])
    given = recorder.act_together(actions, {}, range(2))
    given[:] = 7
    assert actions.tolist() == [1, 0]
    flags = np.zeros(2, np.bool_)
    recorder.step_together(np.zeros((2, 2), np.float32), np.zeros(2), flags, ~flags, {}, range(2), 9)
    assert merged([recorder.keep_all([(0, StepType.TIMEOUT), (1, StepType.TIMEOUT)])]).actions.tolist() == [
        1,
        0,
    ]


def observed(recorder, observations):
    recorder.begin_all(range(2), np.zeros((2, 2), np.float32), {})
    recorder.act_together(np.zeros(2, np.int64), {}, range(2))
    flags = np.ones(2, np.bool_)
    ended = recorder.step_together(observations, np.zeros(2), flags, ~flags, {}, range(2), 9)
    return merged([recorder.keep_all(ended)]).last_observations


def test_observations_of_a_vector_environment_are_cast_within_their_kind_with_a_warning():
    with pytest.warns(UserWarning, match="observation"):
        found = observed(NativeRecorder(SPEC, 2), np.array([[1.5, 2], [3, 4]], np.float64))
    assert found.dtype == np.float32
    assert found.tolist() == [[1.5, 2], [3, 4]]


@pytest.mark.parametrize("observations", [np.zeros((2, 2), np.complex64), np.zeros((2, 3), np.float32)])
def test_observations_of_a_vector_environment_that_do_not_fit_are_refused(observations):
    with pytest.raises(ValueError, match="observation has"):
        observed(NativeRecorder(SPEC, 2), observations)
