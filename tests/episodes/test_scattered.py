"""Large observations go to a batch in one copy, wherever they stand, and the batch is the same."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.episodes import (
    Assembly,
    EnvSpec,
    EpisodeBatch,
    EpisodeRecorder,
    Span,
    StepType,
    TickRecorder,
    join,
    merged,
    whole,
)
from samplerkit.episodes import assembly as module
from samplerkit.episodes.columns import arrays_of
from samplerkit.episodes.scattered import copy_rows, scattered

N = 3


def spec_of(width: int) -> EnvSpec:
    """Observations of a dict with two arrays."""
    box = spaces.Box(-np.inf, np.inf, (width,), np.float64)
    return EnvSpec(spaces.Dict({"a": box, "b": spaces.Discrete(1 << 30)}), spaces.Discrete(2))


def seen(spec, number):
    return {"a": np.full(spec.observation_space["a"].shape, float(number)), "b": number}


def calls(spec, first, n_calls, infos=None):
    """Fragments of one step each, of slots that are cut together; one ends in every second call."""
    recorder, number = TickRecorder(spec, N), first
    for slot in range(N):
        recorder.begin(slot, seen(spec, number + slot), {"slot": slot})
    live = list(range(N))
    for call in range(n_calls):
        number += N

        def step(slot, at=number, over=call % 2 == 1):
            return lambda action: (seen(spec, at + slot), float(at), over and slot == 1, False, infos or {})

        recorder.step([step(slot) for slot in live], recorder.act(np.ones(N, np.int64), {}, live), live, 99)
        if call % 2:
            ended = recorder.keep(1, StepType.TERMINAL)
            before, after = recorder.cut_each([0, 2])
            recorder.begin(1, seen(spec, -number), {"slot": 1})
            yield recorder._recording.arranged([before, ended, after])
        else:
            yield recorder.cut_all(live)


def episodes(spec, first, n):
    recorder = EpisodeRecorder(spec)
    for number in range(first, first + 10 * n, 10):
        recorder.start(seen(spec, number), {"slot": number})
        for t in range(1, 4):
            recorder.cast_action(1)
            recorder.add(0.5, seen(spec, number + t), {}, {})
        yield recorder.keep(StepType.TIMEOUT)


def alternating(spec):
    return [call for two in zip(calls(spec, 0, 7), calls(spec, 500, 7), strict=True) for call in two]


def copied(parts):
    """What the same would be without any short cut."""
    return EpisodeBatch.concatenate(*[part.view() for part in parts])


KINDS = {
    "one-worker": lambda spec: list(calls(spec, 0, 80)),
    "workers-that-alternate": alternating,
    "episodes": lambda spec: list(episodes(spec, 0, 6)),
    "messages": lambda spec: [whole(merged(list(calls(spec, at, 3)))) for at in (0, 100, 200)],
    "of-all-kinds": lambda spec: [*calls(spec, 0, 3), *episodes(spec, 900, 2), *alternating(spec)],
    "infos-of-other-kinds": lambda spec: [
        call
        for two in zip(calls(spec, 0, 3, {"x": 1}), calls(spec, 50, 3, {"y": 2}), strict=True)
        for call in two
    ],
}


@pytest.mark.parametrize("width", [1, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_the_same_however_its_parts_are_put_together(kind, width, monkeypatch):
    monkeypatch.setattr(module, "_BYTES", 1 << 12)
    parts = KINDS[kind](spec_of(width))
    expected = copied(parts)
    assert join(parts).difference(expected) is None
    assembly = Assembly(lambda units, steps: 20)
    for part in parts:
        assembly.add([Span.of(part)])
    assert join(assembly.finish()).difference(expected) is None


@pytest.mark.parametrize("kind", ["one-worker", "workers-that-alternate", "messages", "of-all-kinds"])
def test_all_but_the_observations_comes_in_order(kind):
    parts = KINDS[kind](spec_of(200))
    light, places = scattered(parts)
    assert light.observations == light.last_observations == ()
    np.testing.assert_array_equal(light.rewards, copied(parts).rewards)
    assert sorted(row for part in places for row in part.rows) == list(range(len(light.rewards)))


def test_a_message_has_what_follows_a_cut_once():
    batch = merged(list(calls(spec_of(200), 0, 10)))
    finals = batch.__dict__["finals"]
    assert len(finals.apart["b"]) == N + 5 - 1, "of the last call, and where episodes ended before"


def test_what_is_cut_from_one_recording_is_sent_as_it_stands():
    parts = list(calls(spec_of(200), 0, 1))
    batch = merged(parts)
    every = parts[0].store.observations.rows(slice(None))
    for (_, array), (_, whole_) in zip(arrays_of(batch.observations), arrays_of(every), strict=True):
        assert np.may_share_memory(array, whole_)


def test_joined_slices_are_nobody_elses():
    parts = list(calls(spec_of(200), 0, 2))
    every = parts[0].store.observations.rows(slice(None))
    batch = join(parts)
    for column in (batch.observations, batch.last_observations):
        for (_, array), (_, whole_) in zip(arrays_of(column), arrays_of(every), strict=True):
            assert not np.may_share_memory(array, whole_)


@pytest.mark.parametrize("width", [1, 200])
def test_rows_are_copied_to_their_places(width):
    source = np.arange(10.0)[:, None] * np.ones(width)
    into = np.zeros((6, width))
    copy_rows(into, np.array([1, 2, 5, 0]), source, np.array([7, 8, 9, 3]))
    assert into[:, 0].tolist() == [3, 7, 8, 0, 0, 9]


def test_parts_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr(module, "_BYTES", 1)
    assembly = Assembly(lambda units, steps: 20)
    assembly.add([Span.of(next(calls(spec_of(200), 0, 1)))])
    with pytest.raises(ValueError, match="observations"):
        assembly.add([Span.of(next(calls(spec_of(300), 0, 1)))])
