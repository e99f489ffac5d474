"""What a fragment worker's batches hold, and what stitching makes of them."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from fault_probes import DictEnv, FaultyEnv
from gymnasium.envs.classic_control import CartPoleEnv

import samplerkit
from samplerkit import EpisodeBatch, NewEnvUpdate, StepType
from samplerkit.contract.probes import ProbePolicy, TattooEnv, mark_of
from samplerkit.interfaces import Unit
from samplerkit.policies import RandomPolicy, from_callable


def tattoo(tag: int = 1) -> NewEnvUpdate:
    return NewEnvUpdate(lambda: TattooEnv(tag=tag, lengths=(1, 3, 30), ends="mixed"))


def sampler(name: str = "fragment", *, n_envs: int = 3, timesteps_per_call: int = 4, **arguments):
    given = {
        "agents": ProbePolicy(1),
        "envs": tattoo(),
        "seed": 3,
        "n_workers": 2,
        "max_episode_length": 20,
        "worker_args": {"n_envs": n_envs, "timesteps_per_call": timesteps_per_call},
        **arguments,
    }
    return samplerkit.make_sampler(name, **given)


def whole_units(batch: EpisodeBatch) -> dict[int, EpisodeBatch]:
    """The episodes of a stitched batch that have their end, by unit."""
    parts = zip(batch.provenance.units.tolist(), batch.split(), strict=True)
    return {unit: part for unit, part in parts if part.step_types[-1] >= StepType.TERMINAL}


@pytest.mark.parametrize(("asked", "calls"), [(1, 1), (12, 1), (13, 2), (100, 9)])
def test_a_call_makes_the_fixed_number_of_workers_calls_that_yields_enough(asked, calls):
    with sampler() as s:
        batch = s.obtain_samples(0, asked)
        assert (len(batch.rewards), s.get_state()["cursor"]) == (12 * calls, calls)
        assert s.total_env_steps == 12 * calls
        assert s.statistics().env_steps_discarded == 0


def test_calls_go_round_the_workers_over_the_samplers_life():
    with sampler() as s:
        seen = [set(s.obtain_samples(0, 12).provenance.workers.tolist()) for _ in range(4)]
    assert seen == [{0}, {1}, {0}, {1}]


def test_each_environment_has_its_own_units_whose_number_says_which_one_it_is():
    with sampler(n_envs=3, n_workers=2) as s:
        batch = EpisodeBatch.concatenate(*[s.obtain_samples(0, 24) for _ in range(8)])
    units = batch.provenance.units
    assert batch.provenance.workers.tolist() == (units % 2).tolist()
    slots = units // 2 % 3
    for worker in range(2):
        for slot in range(3):
            mine = units[(units % 2 == worker) & (slots == slot)]
            rounds = mine // 6
            assert rounds[0] == 0
            assert set(np.diff(rounds).tolist()) <= {0, 1}


def test_a_cut_ends_mid_and_goes_on_mid_and_its_last_observation_is_the_next_ones_first():
    with sampler(n_envs=1, n_workers=1, envs=lambda: TattooEnv(lengths=(30,))) as s:
        batches = [s.obtain_samples(0, 4) for _ in range(5)]
    assert [batch.step_types.tolist() for batch in batches] == [[0, 1, 1, 1], *[[1] * 4] * 3, [1, 1, 1, 3]]
    for before, after in itertools.pairwise(batches):
        np.testing.assert_array_equal(before.last_observations[0], after.observations[0])
    assert mark_of(batches[-1].last_observations)[0, 2] == 20


@pytest.mark.parametrize("timesteps_per_call", [1, 5, 64])
def test_stitched_fragments_equal_the_whole_episodes_of_a_default_worker(timesteps_per_call):
    with sampler(timesteps_per_call=timesteps_per_call) as s:
        stitched = EpisodeBatch.concatenate(
            *[s.obtain_samples(0, 2 * 3 * timesteps_per_call) for _ in range(192 // timesteps_per_call)]
        ).stitch()
    with sampler("local", worker_args=None) as s:
        reference = whole_units(s.obtain_exact_episodes(200))
    found = whole_units(stitched)
    assert len(found) > 40
    for unit, episode in found.items():
        assert reference[unit].difference(episode) is None


def test_how_many_steps_a_call_has_is_not_seen_once_stitched():
    def episodes(timesteps_per_call):
        with sampler(n_workers=1, timesteps_per_call=timesteps_per_call) as s:
            stitched = EpisodeBatch.concatenate(*[s.obtain_samples(0, 3 * 5) for _ in range(12)]).stitch()
        return dict(zip(stitched.provenance.units.tolist(), stitched.split(), strict=True))

    one, five = episodes(1), episodes(5)
    assert one.keys() == five.keys()
    for unit, episode in one.items():
        assert episode.difference(five[unit]) is None


def test_a_call_is_recorded_in_one_piece_however_long_it_is(monkeypatch):
    from samplerkit_fragment import gathering
    from samplerkit_fragment.worker import FragmentWorker

    def joined(parts):
        raise AssertionError("parts of a call were copied together")

    monkeypatch.setattr(gathering, "join", joined)
    worker = FragmentWorker(seed=0, max_episode_length=50, worker_number=0, n_envs=3, timesteps_per_call=400)
    worker.update_agent(from_callable(lambda observation: 1))
    worker.update_env(TattooEnv(lengths=(50,)))
    calls = [result.view() for _, result in worker.rollouts([Unit(number, 1, 2, 3) for number in range(20)])]
    worker.shutdown()
    assert [len(call.rewards) for call in calls] == [1200] * 20
    assert {length for call in calls for length in call.lengths.tolist()} == {50}


def test_nested_spaces_come_through():
    policy = RandomPolicy(DictEnv.action_space)
    with sampler(agents=policy, envs=DictEnv, n_workers=1, max_episode_length=50) as s:
        stitched = EpisodeBatch.concatenate(*[s.obtain_samples(0, 12) for _ in range(20)]).stitch()
    with sampler(
        "local", worker_args=None, agents=policy, envs=DictEnv, n_workers=1, max_episode_length=50
    ) as s:
        reference = whole_units(s.obtain_exact_episodes(200))
    for unit, episode in whole_units(stitched).items():
        assert reference[unit].difference(episode) is None


def test_new_weights_count_from_the_next_call_on_in_the_middle_of_episodes():
    with sampler(n_envs=1, n_workers=1, envs=lambda: TattooEnv(lengths=(30,))) as s:
        first = s.obtain_samples(0, 8)
        second = s.obtain_samples(0, 8, ProbePolicy(7).get_param_values())
        stitched = EpisodeBatch.concatenate(first, second).stitch()
    assert stitched.lengths.tolist() == [16]
    assert stitched.agent_infos["version"].tolist() == [1] * 8 + [7] * 8
    assert stitched.agent_infos["count"].tolist() == list(range(16))
    assert stitched.provenance.step_agent_versions.tolist() == [0] * 8 + [1] * 8
    assert second.provenance.abandoned == ()


@pytest.mark.parametrize(
    "update", [{"agent_update": ProbePolicy(7)}, {"env_update": tattoo(2)}], ids=["policy", "environment"]
)
def test_a_new_policy_or_environment_abandons_what_is_open_and_the_next_batch_names_it(update):
    with sampler(n_envs=2, n_workers=1, envs=lambda: TattooEnv(lengths=(30,))) as s:
        first = s.obtain_samples(0, 8)
        second = s.obtain_samples(0, 8, **update)
        third = s.obtain_samples(0, 8)
    assert second.provenance.abandoned == (0, 1)
    assert third.provenance.abandoned == ()
    assert first.provenance.units.tolist() == [0, 1]
    assert second.provenance.units.tolist()[0] == 2
    assert second.step_types[0] == StepType.FIRST or second.lengths[0] == 1
    stitched = EpisodeBatch.concatenate(first, second).stitch()
    assert stitched.step_types[[3, 7]].tolist() == [StepType.TIMEOUT] * 2


def test_an_update_of_one_worker_abandons_nothing_of_another():
    with sampler(n_envs=1, envs=lambda: TattooEnv(lengths=(30,))) as s:
        s.obtain_samples(0, 8)
        batch = s.obtain_samples(0, 8, [None, ProbePolicy(5)])
    assert batch.provenance.abandoned == (1,)
    assert batch.provenance.units.tolist() == [0, 3]


def test_each_environment_of_a_list_gets_its_own_item():
    envs = [[NewEnvUpdate(lambda tag=tag: TattooEnv(tag=tag)) for tag in (10, 20, 30)]] * 2
    with sampler(envs=envs) as s:
        batch = s.obtain_samples(0, 24)
    tags = mark_of(batch.observations)[:, 0]
    slots = np.repeat(batch.provenance.units // 2 % 3, batch.lengths)
    assert tags.tolist() == (10 * (slots + 1)).tolist()


def test_exact_episodes_are_refused_and_fragments_are_supported():
    with sampler() as s:
        assert s.supports("fragments")
        assert not s.supports("exact_episodes")
        with pytest.raises(samplerkit.UnsupportedFeature, match="number of steps"):
            s.obtain_exact_episodes(1)
        assert len(s.obtain_samples(0, 1).rewards) == 12


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [({"n_envs": 0}, ValueError), ({"n_envs": 2.0}, TypeError), ({"timesteps_per_call": True}, TypeError)],
)
def test_bad_arguments_are_refused_before_anything_is_started(arguments, kind):
    with pytest.raises(kind, match=next(iter(arguments))):
        sampler(**arguments)


def test_a_policy_for_single_rows_only_is_refused_with_a_sentence():
    class Single:
        def get_action(self, observation):
            return 0, {}

        def reset(self, do_resets=None):
            pass

        def get_param_values(self):
            return ()

        def set_param_values(self, params):
            pass

    with pytest.raises(samplerkit.WorkerError, match="get_actions"):
        sampler(agents=Single())


def test_an_error_takes_the_whole_call_back_and_the_next_one_goes_on_as_if_it_had_not_been():
    policy = RandomPolicy(FaultyEnv.action_space)
    arguments = {"agents": policy, "max_episode_length": 9}
    with sampler(envs=FaultyEnv, **arguments) as s:
        wanted = [s.obtain_samples(0, 24) for _ in range(6)]
    with tempfile.TemporaryDirectory() as folder:
        once = Path(folder) / "failed"
        with sampler(envs=lambda: FaultyEnv("key error", at=5, once=once), **arguments) as s:
            got = []
            while not once.exists():
                before = s.get_state()
                with contextlib.suppress(samplerkit.WorkerError):
                    got.append(s.obtain_samples(0, 24))
            assert len(got) in range(1, 6), "there was no call before it, or none with the failure"
            assert s.get_state() == before
            got += [s.obtain_samples(0, 24) for _ in range(6 - len(got))]
    for one, other in zip(wanted, got, strict=True):
        assert one.difference(other) is None
        assert one.provenance.equals(other.provenance)


def test_a_fragment_worker_works_without_a_sampler():
    from samplerkit_fragment.worker import FragmentWorker

    worker = FragmentWorker(seed=1, max_episode_length=20, worker_number=0, n_envs=2, timesteps_per_call=3)
    worker.update_agent(from_callable(lambda observation: 1))
    worker.update_env(TattooEnv(lengths=(4,)))
    first, second = worker.rollout(), worker.rollout()
    worker.shutdown()
    assert first.lengths.tolist() == [3, 3]
    assert second.lengths.tolist() == [1, 2, 1, 2]
    assert second.step_types.tolist()[0] in (StepType.TERMINAL, StepType.TIMEOUT)


@pytest.mark.parametrize("says", [False, True])
def test_global_generators_are_set_for_each_call_only_where_something_may_draw_from_them(monkeypatch, says):
    class Policy(RandomPolicy):
        draws_from_global_random = says

    with sampler(agents=Policy(CartPoleEnv().action_space), envs="CartPole-v1") as s:
        seeded = []
        monkeypatch.setattr("samplerkit.sampling.host.seed_globals", seeded.append)
        s.obtain_samples(0, 12 * 10)
    assert len(seeded) >= 10 if says else seeded == []
