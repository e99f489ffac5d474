"""Which batch a sampler returns: a function of seed, cursor, agents, environments and updates alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit import DefaultWorker, EpisodeBatch, LocalSampler, SetTaskUpdate, WorkerFactory
from samplerkit.contract.probes import (
    GlobalDrawPolicy,
    ProbePolicy,
    TattooEnv,
    assert_whole,
    expected_batch,
    mark_of,
)

LENGTHS = (1, 2, 3, 5, 8, 13)


def units(batch):
    return batch.provenance.units.tolist()


def column(batch, index):
    """Return tag (0) or key (1) of each episode."""
    return mark_of(batch.last_observations)[:, index].tolist()


def prefix(env, seed, cursor, least, limit):
    """Return the numbers of the shortest run of units that holds so many steps."""
    numbers, steps = [], 0
    while steps < least:
        numbers.append(cursor + len(numbers))
        steps += int(expected_batch(env, ProbePolicy(), seed, [numbers[-1]], limit)["lengths"][0])
    return numbers


@pytest.mark.parametrize("seed", [0, 1, 2**70])
@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_the_shortest_run_of_units_that_holds_enough_steps(make, seed, n_workers):
    env = TattooEnv(lengths=LENGTHS)
    sampler = make(envs=env, seed=seed, n_workers=n_workers, max_episode_length=6)
    cursor = 0
    for least in (1, 7, 30, 2):
        numbers = prefix(env, seed, cursor, least, 6)
        batch = sampler.obtain_samples(0, least)
        assert units(batch) == numbers
        assert_whole(batch, env, ProbePolicy(), seed, numbers, 6)
        cursor += len(numbers)
    assert sampler.total_env_steps == sampler.statistics().env_steps
    assert sampler.statistics().units == cursor
    assert sampler.statistics().calls == 4


@settings(max_examples=25)
@given(
    n_workers=st.integers(1, 4),
    seed=st.integers(0, 5),
    limit=st.integers(1, 9),
    calls=st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
def test_the_number_of_workers_plays_no_part(n_workers, seed, limit, calls):
    arguments = {"max_episode_length": limit, "seed": seed}
    env = TattooEnv(lengths=LENGTHS)
    with (
        LocalSampler(ProbePolicy(), env, n_workers=1, **arguments) as one,
        LocalSampler(ProbePolicy(), env, n_workers=n_workers, **arguments) as many,
    ):
        for least in calls:
            difference = one.obtain_samples(0, least).difference(many.obtain_samples(0, least))
            assert difference is None, difference


@settings(max_examples=25)
@given(calls=st.lists(st.integers(1, 30), min_size=2, max_size=5), seed=st.integers(0, 5))
def test_several_calls_equal_one(calls, seed):
    env = TattooEnv(lengths=LENGTHS)
    with (
        LocalSampler(ProbePolicy(), env, n_workers=2, seed=seed, max_episode_length=9) as several,
        LocalSampler(ProbePolicy(), env, n_workers=2, seed=seed, max_episode_length=9) as once,
    ):
        parts = EpisodeBatch.concatenate(*(several.obtain_samples(0, least) for least in calls))
        whole = once.obtain_samples(0, len(parts.rewards))
        assert parts.equals(whole)
        assert units(parts) == units(whole)


def test_exact_episodes_come_worker_by_worker(make):
    batch = make(n_workers=3).obtain_exact_episodes(2)
    assert units(batch) == [0, 3, 1, 4, 2, 5]
    assert batch.provenance.workers.tolist() == [0, 0, 1, 1, 2, 2]
    assert_whole(batch, TattooEnv(), ProbePolicy(), 1, units(batch), 6)


def test_exact_episodes_follow_the_cursor(make):
    sampler = make(n_workers=3, envs=lambda: TattooEnv(lengths=(2,)))
    sampler.obtain_samples(0, 2)
    batch = sampler.obtain_exact_episodes(2)
    assert units(batch) == [3, 6, 1, 4, 2, 5], "worker 0 first, though unit 1 is worker 1's"
    assert units(sampler.obtain_samples(0, 1)) == [7]


@pytest.mark.parametrize("k", [1, 3, np.int64(2)])
def test_exactly_k_episodes_of_each_worker(make, k):
    batch = make(n_workers=4).obtain_exact_episodes(k)
    assert np.bincount(batch.provenance.workers).tolist() == [k] * 4


def test_long_episodes_are_not_crowded_out(make):
    # Whoever takes the first to finish has far fewer long ones than half.
    env = TattooEnv(lengths=(10, 500), infos="none")
    sampler = make(envs=env, n_workers=4, max_episode_length=500)
    lengths = np.concatenate([sampler.obtain_samples(0, 2000).lengths for _ in range(20)])
    assert 0.35 < np.mean(lengths == 500) < 0.65


def test_workers_may_have_their_own_agents_and_environments(make):
    sampler = make(
        [ProbePolicy(version) for version in (5, 6, 7)],
        [TattooEnv(tag=tag) for tag in (50, 60, 70)],
        n_workers=None,
    )
    batch = sampler.obtain_exact_episodes(2)
    assert sampler.n_workers == 3
    assert column(batch, 0) == [50, 50, 60, 60, 70, 70]
    starts = np.cumsum(batch.lengths) - batch.lengths
    assert batch.agent_infos["version"][starts].tolist() == [5, 5, 6, 6, 7, 7]


def test_one_environment_for_all_is_a_copy_for_each(make):
    env = TattooEnv(tag=5)
    sampler = make(envs=[env, env, env], n_workers=3)
    env.tag = 8
    assert set(column(sampler.obtain_exact_episodes(1), 0)) == {5}


def test_changing_the_caller_s_policy_changes_nothing_inside(make):
    policy = ProbePolicy(3)
    sampler = make(policy)
    policy.params["version"][:] = 4
    assert set(sampler.obtain_samples(0, 5).agent_infos["version"]) == {3}
    assert policy._counts == [0], "nor does sampling change the caller's"


# -- updates -------------------------------------------------------------------------------------


def weights(version):
    return {"version": np.array([version])}


def test_an_update_takes_effect_in_the_same_call(make):
    sampler = make()
    for version in range(1, 4):
        batch = sampler.obtain_samples(0, 8, agent_update=weights(version))
        assert set(batch.agent_infos["version"]) == {version}
        assert set(batch.provenance.agent_versions) == {version}


def test_updates_last(make):
    sampler = make()
    sampler.obtain_samples(0, 8, agent_update=weights(4), env_update=SetTaskUpdate(TattooEnv, 9))
    batch = sampler.obtain_samples(0, 8)
    assert set(batch.agent_infos["version"]) == {4}
    assert set(column(batch, 0)) == {9}


def test_weights_are_copied(make):
    sampler, update = make(), weights(4)
    sampler.obtain_samples(0, 8, agent_update=update)
    update["version"][:] = 7
    assert set(sampler.obtain_samples(0, 8).agent_infos["version"]) == {4}


def test_lists_are_spread_one_each(make):
    sampler = make(n_workers=3)
    batch = sampler.obtain_exact_episodes(
        2,
        agent_update=[weights(version) for version in (7, 8, 9)],
        env_update=[SetTaskUpdate(TattooEnv, tag) for tag in (70, 80, 90)],
    )
    assert column(batch, 0) == [70, 70, 80, 80, 90, 90]
    starts = np.cumsum(batch.lengths) - batch.lengths
    assert batch.agent_infos["version"][starts].tolist() == [7, 7, 8, 8, 9, 9]


def test_none_in_a_list_leaves_that_worker_alone(make):
    batch = make(n_workers=3).obtain_exact_episodes(1, env_update=[None, SetTaskUpdate(TattooEnv, 8), None])
    assert column(batch, 0) == [0, 8, 0]


def test_forty_workers_with_forty_tasks(make):
    sampler = make(n_workers=40)
    for base in (100, 200):
        batch = sampler.obtain_exact_episodes(
            1, env_update=[SetTaskUpdate(TattooEnv, base + i) for i in range(40)]
        )
        assert column(batch, 0) == list(range(base, base + 40))


@pytest.mark.parametrize("update", [0, {}, (), np.zeros(0)])
def test_falsy_weights_are_updates(make, update):
    class Tolerant(ProbePolicy):
        def set_param_values(self, params):
            self.params["version"] += 1

    batch = make(Tolerant()).obtain_samples(0, 5, agent_update=update)
    assert set(batch.agent_infos["version"]) == {1}
    assert set(batch.provenance.agent_versions) == {1}


def test_every_kind_of_environment_update(make):
    sampler = make()
    for tag, update in enumerate(
        [TattooEnv(tag=1), lambda: TattooEnv(tag=2), SetTaskUpdate(TattooEnv, 3)], start=1
    ):
        batch = sampler.obtain_samples(0, 5, env_update=update)
        assert set(column(batch, 0)) == {tag}
        assert set(batch.provenance.env_versions) == {tag}


def test_a_new_policy_is_an_update(make):
    batch = make().obtain_samples(0, 5, agent_update=ProbePolicy(11))
    assert set(batch.agent_infos["version"]) == {11}


def test_versions_count_applied_updates_only(make):
    sampler = make()
    sampler.obtain_samples(0, 1, agent_update=weights(1))
    batch = sampler.obtain_samples(0, 1)
    assert (set(batch.provenance.agent_versions), set(batch.provenance.env_versions)) == ({1}, {0})


# -- provenance ----------------------------------------------------------------------------------


def test_provenance_is_kept_by_split_and_concatenate(make):
    batch = make().obtain_samples(0, 30)
    parts = batch.split()
    assert [units(part) for part in parts] == [[unit] for unit in units(batch)]
    joined = EpisodeBatch.concatenate(*parts)
    assert units(joined) == units(batch)
    assert joined.provenance.workers.tolist() == [unit % 2 for unit in units(batch)]
    assert batch.provenance.reproducible


def test_the_batch_belongs_to_the_caller(make):
    sampler = make()
    batch = sampler.obtain_samples(0, 20)
    digest = batch.digest()
    sampler.obtain_samples(0, 20)
    sampler.shutdown_worker()
    assert batch.digest() == digest
    assert batch.rewards.flags.writeable
    assert batch.observations.flags.writeable


# -- randomness ----------------------------------------------------------------------------------


def test_the_global_random_state_is_untouched():
    class Draws(TattooEnv):
        def __init__(self, *arguments, **more):
            super().__init__(*arguments, **more)
            random.random()
            np.random.random()

        def close(self):
            np.random.random()
            super().close()

    def states():
        return random.getstate(), [
            part.tolist() if hasattr(part, "tolist") else part for part in np.random.get_state()
        ]

    before = states()
    sampler = LocalSampler(GlobalDrawPolicy(), Draws, n_workers=2, seed=0, max_episode_length=4)
    assert states() == before, "construction"
    sampler.obtain_samples(0, 10, env_update=Draws)
    assert states() == before, "a call"
    sampler.shutdown_worker()
    assert states() == before, "shutdown"


def test_a_policy_that_draws_from_the_globals_is_reproducible(make):
    batches = []
    for caller in (1, 2):
        random.seed(caller)
        np.random.seed(caller)
        batches.append(make(GlobalDrawPolicy(), n_workers=caller).obtain_samples(0, 40))
    assert batches[0].equals(batches[1])
    assert len(set(batches[0].agent_infos["draw"])) == 40 or len(batches[0].rewards) > 40


class DrawsWhenBuilt(DefaultWorker):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.draw = np.random.random()

    def rollout(self):
        return super().rollout().replace(episode_infos={"draw": np.array([self.draw])})


class DrawsWhenTold(ProbePolicy):
    """Draws new noise with its weights."""

    def set_param_values(self, params):
        super().set_param_values(params)
        self.params["version"][:] = np.random.randint(2**20)


def test_what_workers_and_policies_draw_when_they_are_built_is_reproducible(make):
    batches = []
    for caller in (1, 2):
        np.random.seed(caller)
        sampler = make(DrawsWhenTold(), n_workers=caller, worker_class=DrawsWhenBuilt)
        sampler.obtain_samples(0, 9, agent_update=weights(1))
        batches.append(sampler.obtain_samples(0, 9))
        sampler.set_state(sampler.get_state())
        batches.append(sampler.obtain_samples(0, 9, agent_update=weights(2)))
    assert batches[0].equals(batches[2])
    assert batches[1].equals(batches[3]), "workers that were built again draw the same"
    assert batches[0].agent_infos["version"][0] != batches[1].agent_infos["version"][0]


class DrawsItsTag(TattooEnv):
    def __init__(self):
        super().__init__(tag=int(np.random.randint(2**20)))


def test_what_an_environment_draws_when_it_is_made_follows_from_seed_and_version(make):
    sampler = make(envs=DrawsItsTag)
    updates = (None, DrawsItsTag, DrawsItsTag)
    tags = [column(sampler.obtain_samples(0, 1, env_update=update), 0)[0] for update in updates]
    assert len(set(tags)) == 3, "each version has its own"
    sampler.set_state(sampler.get_state())
    assert column(sampler.obtain_samples(0, 1), 0) == tags[-1:], "and keeps it when it is made again"


def test_neighbouring_seeds_and_workers_share_no_episode(make):
    keys = [column(make(seed=seed, n_workers=3).obtain_samples(0, 200), 1) for seed in (100, 101)]
    assert len({*keys[0], *keys[1]}) == len(keys[0]) + len(keys[1])


def test_a_drawn_seed_is_kept_and_logged(make, caplog):
    caplog.set_level("INFO", "samplerkit")
    sampler = make(seed=None)
    assert str(sampler.seed) in caplog.text
    assert sampler.worker_factory.seed == sampler.seed
    assert make(seed=sampler.seed).obtain_samples(0, 20).equals(sampler.obtain_samples(0, 20))
    assert make(seed=None).seed != sampler.seed


def test_nothing_is_printed(make, capfd):
    sampler = make()
    sampler.obtain_samples(0, 20, agent_update=weights(1))
    sampler.shutdown_worker()
    assert capfd.readouterr() == ("", "")


# -- the limit -----------------------------------------------------------------------------------


def test_none_means_the_environment_s_own_limit(make):
    from gymnasium.wrappers import TimeLimit

    sampler = make(envs=lambda: TimeLimit(TattooEnv(lengths=(50,)), 4), max_episode_length=None)
    assert sampler.worker_factory.max_episode_length == 4
    assert set(sampler.obtain_samples(0, 20).lengths) == {4}


def test_an_environment_without_a_limit_needs_one(make):
    with pytest.raises(ValueError, match="pass max_episode_length"):
        make(max_episode_length=None)


# -- workers -------------------------------------------------------------------------------------


class Remembers(DefaultWorker):
    """Adds what it remembers to the infos."""

    stateful = True

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.past = []

    def rollout(self):
        self.past.append(self.unit.number)
        batch = super().rollout()
        return batch.replace(
            episode_infos={"worker": np.array([self.worker_number]), "past": np.array([len(self.past)])}
        )


def test_stateful_workers_run_their_units_in_order_in_one_place(make):
    sampler = make(worker_class=Remembers, n_workers=2)
    infos = [sampler.obtain_exact_episodes(2).episode_infos_by_episode for _ in range(2)]
    assert infos[0]["past"].tolist() == [1, 2, 1, 2]
    assert infos[1]["past"].tolist() == [3, 4, 3, 4]
    assert infos[1]["worker"].tolist() == [0, 0, 1, 1]


def test_stateful_workers_say_what_they_cannot(make):
    sampler = make(worker_class=Remembers)
    assert sampler.supports("stateful")
    assert not sampler.supports("restartable")
    assert sampler.supports("reproducible")


def test_environments_can_be_declared_stateful(make):
    batch = make(stateful=True, n_workers=3).obtain_samples(0, 20)
    assert_whole(batch, TattooEnv(), ProbePolicy(), 1, range(len(batch.lengths)), 6)
    batch = make(reseed=False, n_workers=1).obtain_samples(0, 30)
    keys = column(batch, 1)
    assert keys[0] == column(make().obtain_samples(0, 1), 1)[0]
    assert len(set(keys)) == len(keys)


def test_a_factory_gives_the_same_as_its_arguments(make):
    factory = WorkerFactory(max_episode_length=6, seed=1, n_workers=2)
    sampler = make(worker_factory=factory)
    assert sampler.obtain_samples(0, 20).equals(make().obtain_samples(0, 20))
    other = LocalSampler.from_worker_factory(factory, ProbePolicy(), TattooEnv)
    with other:
        assert other.obtain_samples(0, 20).equals(make().obtain_samples(0, 20))
