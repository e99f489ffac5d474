"""Where workers stand whose episodes go on from call to call."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.episodes import EnvSpec, EpisodeBatch
from samplerkit.interfaces import CallShape, Resumption
from samplerkit.sampling.boundary import agent_change, env_change
from samplerkit.sampling.construction import first_record
from samplerkit.sampling.continuation import (
    Continuation,
    SlotState,
    load_continuation,
    save_continuation,
)
from samplerkit.sampling.host import WorkerHost
from samplerkit.sampling.packing import Packed
from samplerkit.sampling.passage import CallsThatCame, Passage
from samplerkit.sampling.recipes import AgentChange, EnvChange
from samplerkit.sampling.seating import HostSetup
from samplerkit.workers import WorkerFactory

FIRST, MID, TERMINAL, TIMEOUT = range(4)
SPEC = EnvSpec(spaces.Box(-9, 9, (1,), np.float64), spaces.Discrete(1000))
WEIGHTS, POLICY = AgentChange(Packed(b""), False), AgentChange(Packed(b""), True)


def fragments(*parts, action=0):
    """A batch of fragments, each given by its length and the type of its last step; actions count up."""
    lengths = [length for length, _ in parts]
    stops = np.cumsum(lengths)
    step_types = np.full(stops[-1], MID, np.int8)
    step_types[stops - 1] = [last for _, last in parts]
    return EpisodeBatch.unchecked(
        env_spec=SPEC,
        episode_infos={},
        observations=np.zeros((stops[-1], 1)),
        last_observations=np.array(stops, np.float64)[:, None],
        actions=np.arange(action, action + stops[-1]),
        rewards=np.zeros(stops[-1]),
        env_infos={},
        agent_infos={},
        step_types=step_types,
        lengths=np.array(lengths),
    )


def start(n_slots=2, n_steps=3, n_workers=1):
    return Continuation.first(CallShape(n_slots, n_steps), n_workers)


def test_units_are_numbered_by_round_slot_and_worker():
    it = start(n_slots=2, n_workers=3)
    numbers = [
        it.unit(worker, slot, round_) for round_ in range(2) for slot in range(2) for worker in range(3)
    ]
    assert numbers == list(range(12))


def test_a_fragment_that_ends_begins_the_slots_next_round():
    batch = fragments((2, TERMINAL), (1, MID), (3, MID))
    after, units = Passage(start()).after([0], [3], batch)
    assert units == [0, 2, 1]
    assert [(slot.round, slot.n_steps) for slot in after.workers[0].slots] == [(1, 1), (0, 3)]


def test_open_episodes_keep_their_actions_over_calls_and_the_newest_observation():
    first, _ = Passage(start()).after([0], [2], fragments((3, MID), (3, MID)))
    second, _ = Passage(first).after([1], [3], fragments((3, MID), (1, TIMEOUT), (2, MID), action=100))
    resumption = second.workers[0].resumption()
    assert resumption.rounds == (0, 1)
    assert [it.actions.tolist() for it in resumption.episodes] == [[0, 1, 2, 100, 101, 102], [104, 105]]
    assert [it.observation.tolist() for it in resumption.episodes] == [[[3.0]], [[6.0]]]


def test_one_batch_of_several_calls_leads_where_one_call_after_the_other_leads():
    one = fragments((3, MID), (2, TERMINAL), (1, MID))
    two = fragments((1, TERMINAL), (1, TERMINAL), (1, MID), (3, MID), action=50)
    apart, first_units = Passage(start()).after([0], [3], one)
    apart, more_units = Passage(apart).after([1], [4], two)
    together, units = Passage(start()).after([0, 1], [3, 4], EpisodeBatch.concatenate(one, two))
    assert units == first_units + more_units
    assert str(together) == str(apart)


def test_calls_belong_to_workers_in_turn():
    batch = fragments((3, MID), (3, MID), (3, TERMINAL), (3, MID))
    after, units = Passage(start(n_workers=2)).after([4, 5], [2, 2], batch)
    assert units == [0, 2, 1, 3]
    assert [[slot.n_steps for slot in worker.slots] for worker in after.workers] == [[3, 3], [0, 3]]


@pytest.mark.parametrize(
    "parts", [[(3, MID), (2, MID)], [(4, MID), (2, MID)], [(3, MID), (3, MID), (3, MID)]]
)
def test_a_call_of_another_shape_is_refused(parts):
    with pytest.raises(RuntimeError, match="call 0 yielded fragments"):
        Passage(start()).after([0], [len(parts)], fragments(*parts))


def test_new_weights_abandon_nothing_and_are_remembered_for_replays():
    opened, _ = Passage(start()).after([0], [2], fragments((3, MID), (3, TERMINAL)))
    after = opened.changed([WEIGHTS], None)
    assert after.abandoned == ()
    assert [(slot.n_steps, slot.one_policy) for slot in after.workers[0].slots] == [(3, False), (0, True)]
    longer, _ = Passage(after).after([1], [2], fragments((3, TERMINAL), (3, MID)))
    assert [slot.one_policy for slot in longer.workers[0].slots] == [True, True]


@pytest.mark.parametrize("change", [([POLICY], None), (None, [EnvChange(Packed(b""), 0)])])
def test_a_new_policy_or_environment_abandons_what_is_open_and_names_it(change):
    opened, _ = Passage(start()).after([0], [3], fragments((2, TERMINAL), (1, MID), (3, TERMINAL)))
    after = opened.changed(*change)
    assert after.abandoned == (2,)
    assert [(slot.round, slot.n_steps) for slot in after.workers[0].slots] == [(2, 0), (1, 0)]
    assert after.settled().abandoned == ()


def test_an_update_of_one_worker_leaves_the_others_alone():
    batch = fragments((3, MID), (3, MID), (3, MID), (3, MID))
    opened, _ = Passage(start(n_workers=2)).after([0, 1], [2, 2], batch)
    assert opened.changed([None, POLICY], None).abandoned == (1, 3)


def test_what_is_given_up_before_a_call_is_abandoned_between_its_fragments():
    passage = Passage(start())
    passage.note_given_up(1, (0,))
    batch = fragments((3, MID), (3, MID), (3, MID), (3, MID))
    after, units = passage.after([0, 1], [2, 2], batch)
    assert (units, after.abandoned) == ([0, 1, 2, 1], (0,))
    assert after.workers[0].resumption().episodes[0].actions.tolist() == [6, 7, 8]


def test_what_is_given_up_after_the_last_call_that_came_counts_too():
    passage = Passage(start())
    passage.note_given_up(1, (1,))
    after, _ = passage.after([0], [2], fragments((3, MID), (3, MID)))
    assert (after.abandoned, after.workers[0].resumption().rounds) == ((1,), (0, 1))


def test_the_next_call_of_a_worker_follows_those_that_came():
    passage = Passage(start(n_workers=3))
    assert [passage.next_call(worker, [], 7) for worker in range(3)] == [9, 7, 8]
    assert passage.next_call(1, [7, 8, 10], 7) == 13


def test_the_newest_hidden_state_of_a_worker_is_kept():
    passage = Passage(start(n_workers=2))
    for number, hidden in ((2, b"two"), (0, b"none"), (1, b"one")):
        passage.note_hidden(number, hidden)
    after, _ = passage.after([0, 1], [2, 2], fragments(*[(3, MID)] * 4))
    assert [worker.hidden for worker in after.workers] == [b"two", b"one"]


def test_nothing_hidden_counts_where_nothing_is_open():
    passage = Passage(start())
    passage.note_hidden(0, b"hidden")
    opened, _ = passage.after([0], [2], fragments((3, MID), (3, TERMINAL)))
    assert opened.workers[0].hidden == b"hidden"
    assert opened.changed([POLICY], None).workers[0].hidden is None
    ended, _ = passage.after([0], [2], fragments((3, TERMINAL), (3, TERMINAL)))
    assert ended.workers[0].hidden is None


def test_calls_that_came_are_copied():
    batch = fragments((3, MID), (3, MID))
    came = CallsThatCame(1)
    came.add([0], [2], batch)
    batch.actions[:] = 0
    episodes = came.followed(Passage(start())).workers[0].resumption().episodes
    assert episodes[0].actions.tolist() == [0, 1, 2]


def test_a_thousand_calls_of_one_step_leave_few_pieces():
    slot = SlotState()
    for step in range(1000):
        slot = slot.longer(1, np.array([step]), np.zeros((1, 1)))
    assert len(slot.actions) < 12
    assert slot.open_episode(0).actions.tolist() == list(range(1000))


def test_a_state_can_be_saved_and_loaded():
    opened, _ = Passage(start()).after([0], [3], fragments((2, TERMINAL), (1, MID), (3, MID)))
    opened = opened.changed([WEIGHTS], None)
    saved = save_continuation(opened)
    assert str(load_continuation(saved, CallShape(2, 3))) == str(opened)


def test_a_host_that_is_not_told_where_to_go_on_says_so():
    from samplerkit_fragment.worker import FragmentWorker

    factory = WorkerFactory(worker_class=FragmentWorker, seed=0, n_workers=1, max_episode_length=5)
    host = WorkerHost(HostSetup.of(factory, 1, reseed=True), catch_interrupts=False)
    record = first_record([agent_change(ProbePolicy(1))], [env_change(TattooEnv, 0)])
    (failure,) = host.configure(0, {0: record.recipes[0]})
    assert "FragmentWorker is to go on" in failure.message
    assert host.configure(0, {0: record.recipes[0]}, {0: Resumption((0,) * 8)}) == []
    host.close()


def test_of_calls_that_came_only_the_last_observations_are_kept():
    came = CallsThatCame(2)
    passage = Passage(start(n_workers=2))
    for number in range(0, 20, 2):
        numbers = [number + 1, number]
        came.add(numbers, [2, 2], fragments(*[(3, MID)] * 4, action=100 * number))
    kept = [column for _, _, column in came._followed.values()]
    assert [len(column) for column in kept] == [2, 2]
    batches = [fragments(*[(3, MID)] * 4, action=100 * number) for number in range(0, 20, 2)]
    whole, _ = passage.after(
        [n for number in range(0, 20, 2) for n in (number + 1, number)],
        [2] * 20,
        EpisodeBatch.concatenate(*batches),
    )
    assert str(came.followed(passage)) == str(whole)


def test_a_continuation_does_not_keep_a_batch_in_memory():
    batch = fragments((3, MID), (3, MID))
    after, _ = Passage(start()).after([0], [2], batch)
    observation = after.workers[0].slots[1].observation
    assert not np.may_share_memory(observation, batch.last_observations)
