"""Vector environments that can only be seeded as a whole: their episodes are admitted as they begin."""

from __future__ import annotations

import functools
import os
import pickle
import threading
import time

import gymnasium
import numpy as np
import pytest
from equal_batches import assert_equal
from gymnasium import spaces

import samplerkit
from samplerkit.contract.probes import ChoirEnv, Fault, ProbePolicy, TattooEnv, crash, unclosed
from samplerkit.contract.stream_reference import Streams
from samplerkit.episodes.stream_recording import StreamRecording
from samplerkit.policies import GRUPolicy, MLPPolicy
from samplerkit.sampling.numbering import UnitSeeds
from samplerkit.workers import SeededWhenMade
from samplerkit.workers.native_stream import StreamSlots
from samplerkit_vectorized.worker import VecWorker

MODES = ["NEXT_STEP", "SAME_STEP", "DISABLED"]
PROCESSES = "multiprocessing+vectorized"


def cartpole(n_envs):
    return functools.partial(
        gymnasium.make_vec, "CartPole-v1", num_envs=n_envs, vectorization_mode="vector_entry_point"
    )


def perceptron(kind=MLPPolicy):
    env = gymnasium.make("CartPole-v1")
    return kind(env.observation_space, env.action_space, seed=3)


def sampler(name, agents, envs, **arguments):
    arguments = {"seed": 11, "n_workers": 1, **arguments}
    return samplerkit.make_sampler(name, agents=agents, envs=envs, **arguments)


def calls(native):
    """Return some batches of all kinds, with an update of the weights in between."""
    weights = {key: 1.5 * array for key, array in perceptron().get_param_values().items()}
    return [
        native.obtain_samples(0, 1_200),
        native.obtain_exact_episodes(7),
        native.obtain_samples(1, 1),
        native.obtain_samples(2, 700, agent_update=weights),
        native.obtain_samples(3, 700),
    ]


# -- what is in a batch ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("infos", ["none", "rich"])
@pytest.mark.parametrize("limit", [4, 60])
@pytest.mark.parametrize("mode", MODES)
def test_batches_are_those_of_a_plain_loop_over_the_slots(mode, limit, infos):
    n_envs, n_workers = 5, 2
    make = functools.partial(ChoirEnv, n_envs, mode, infos=infos)
    streams = Streams(env=make, policy=lambda: ProbePolicy(1), n_workers=n_workers, seed=11, limit=limit)
    with sampler(
        "vectorized", ProbePolicy(1), make, n_envs=n_envs, n_workers=n_workers, max_episode_length=limit
    ) as native:
        cursor = 0
        for kind, count in (("samples", 90), ("exact", 4), ("samples", 1), ("samples", 60)):
            if kind == "samples":
                batch, expected = native.obtain_samples(0, count), streams.samples(cursor, count)
            else:
                batch, expected = native.obtain_exact_episodes(count), streams.exact(cursor, count)
            assert_equal(batch, expected)
            cursor += len(batch.lengths)
        assert native.get_state()["cursor"] == cursor == native.statistics().units


class Cramped(StreamRecording):
    """Has room for two ticks at first."""

    def __init__(self, env_spec, n_slots, capacity, warned):
        super().__init__(env_spec, n_slots, 2, warned)


class CrampedWorker(VecWorker):
    stream_type = type("CrampedSlots", (StreamSlots,), {"recording_type": Cramped})


@pytest.mark.slow
@pytest.mark.parametrize("limit", [7, 60])
@pytest.mark.parametrize("mode", MODES)
def test_how_much_room_there_is_for_ticks_plays_no_part(mode, limit):
    make = functools.partial(ChoirEnv, 3, mode, lengths=(1, 2, 30))
    streams = Streams(env=make, policy=lambda: ProbePolicy(1), n_workers=1, seed=11, limit=limit)
    with sampler(
        "local",
        ProbePolicy(1),
        make,
        worker_class=CrampedWorker,
        worker_args={"n_envs": 3},
        max_episode_length=limit,
    ) as native:
        batch = native.obtain_samples(0, 900)
        assert_equal(batch, streams.samples(0, 900))
        assert_equal(native.obtain_samples(0, 300), streams.samples(len(batch.lengths), 300))


def test_each_episode_of_the_native_cartpole_is_one_of_the_scalar_environment():
    with sampler("vectorized", perceptron(), cartpole(32), n_envs=32) as native:
        batch = native.obtain_samples(0, 4_000)
    env = gymnasium.make("CartPole-v1").unwrapped
    env.reset(seed=0)
    for episode in batch.split():
        env.state, env.steps_beyond_terminated = episode.observations[0].astype(np.float64), None
        following = [*episode.observations[1:], episode.last_observations[0]]
        for step, (action, wanted) in enumerate(zip(episode.actions, following, strict=True)):
            observation, reward, terminated, _, _ = env.step(action)
            np.testing.assert_allclose(observation, wanted, atol=1e-4)
            assert reward == episode.rewards[step] == 1.0
            assert terminated == (episode.step_types[step] == samplerkit.StepType.TERMINAL)
    assert np.all(np.abs(batch.observations[np.cumsum(batch.lengths) - batch.lengths]) <= 0.05)
    assert len(np.unique(batch.last_observations, axis=0)) == len(batch.lengths)


def test_the_environments_own_truncation_is_a_timeout():
    make = functools.partial(cartpole(8), max_episode_steps=12)
    with sampler("vectorized", perceptron(), make, n_envs=8) as native:
        batch = native.obtain_samples(0, 500)
    assert batch.lengths.max() == 12
    ends = batch.step_types[np.cumsum(batch.lengths) - 1]
    assert set(ends.tolist()) == {samplerkit.StepType.TERMINAL, samplerkit.StepType.TIMEOUT}
    assert (batch.lengths[ends == samplerkit.StepType.TIMEOUT] == 12).all()


@pytest.mark.slow
def test_short_episodes_are_not_preferred():
    lengths = (1, 1, 1, 1, 1, 40)
    make = functools.partial(ChoirEnv, 16, lengths=lengths, infos="none")
    with sampler("vectorized", ProbePolicy(1), make, n_envs=16, max_episode_length=40) as native:
        # Whoever takes the first that end finds hardly a long one in a batch of a few ticks.
        found = np.concatenate([native.obtain_exact_episodes(24).lengths for _ in range(60)])
    assert 0.12 < np.mean(found == 40) < 0.22


def test_slots_that_never_end_by_themselves_begin_again_together():
    make = functools.partial(ChoirEnv, 3, lengths=(10**6,), infos="none")
    with sampler("vectorized", ProbePolicy(1), make, n_envs=3, max_episode_length=5) as native:
        batch = native.obtain_samples(0, 100)
    assert batch.lengths.tolist() == [5] * 20
    assert len(set(batch.observations[:, 1].tolist())) == 20


def test_a_recurrent_policy_forgets_where_an_episode_begins():
    with sampler("vectorized", perceptron(GRUPolicy), cartpole(8), n_envs=8) as native:
        batch = native.obtain_samples(0, 600)
    seeds = np.random.PCG64(UnitSeeds(11).unit(0).policy_seed).random_raw(len(batch.lengths))
    policy = perceptron(GRUPolicy)
    for episode, seed in zip(batch.split(), seeds, strict=True):
        policy.reset()
        policy.seed(np.array([seed], np.uint64))
        assert [policy.get_action(it)[0] for it in episode.observations] == episode.actions.tolist()


# -- where it runs plays no part -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 3])
def test_processes_give_the_same_batches_however_many_there_are(n_workers):
    arguments = {"n_envs": 16, "n_workers": n_workers}
    with sampler("vectorized", perceptron(), cartpole(16), **arguments) as local:
        expected = calls(local)
    for n_processes in (1, 2, 3):
        with sampler(PROCESSES, perceptron(), cartpole(16), n_processes=n_processes, **arguments) as pool:
            for batch, wanted in zip(calls(pool), expected, strict=True):
                assert_equal(batch, wanted)


def test_what_draws_from_the_global_generators_does_so_the_same_everywhere():
    batches = []
    for name in ("vectorized", PROCESSES):
        with sampler(name, Wanton(), cartpole(4), n_envs=4, n_workers=2) as native:
            batches.append(native.obtain_samples(0, 200))
    assert_equal(*batches)


class Wanton(ProbePolicy):
    def get_actions(self, observations):
        return np.random.randint(0, 2, len(observations)), {}


def test_a_state_leads_to_the_same_batches_on_any_backend():
    arguments = {"n_envs": 8, "n_workers": 2}
    with sampler("vectorized", perceptron(), cartpole(8), **arguments) as native:
        native.obtain_samples(0, 300)
        state, copy = native.get_state(), pickle.loads(pickle.dumps(native))
        expected = native.obtain_samples(1, 300)
    with copy, sampler(PROCESSES, perceptron(), cartpole(8), **arguments) as pool:
        assert not copy.supports("stateful")
        assert_equal(copy.obtain_samples(1, 300), expected)
        pool.set_state(state)
        assert_equal(pool.obtain_samples(1, 300), expected)


def test_calls_go_on_with_other_episodes():
    with sampler("vectorized", perceptron(), cartpole(8), n_envs=8) as native:
        one, other = native.obtain_samples(0, 200), native.obtain_samples(0, 200)
    assert other.provenance.units[0] == one.provenance.units[-1] + 1
    assert not np.isin(one.observations, other.observations).all(axis=1).any()


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_process_that_dies_leaves_no_trace(n_workers, tmp_path):
    arguments = {"n_envs": 4, "n_workers": n_workers, "max_episode_length": 20}
    make = functools.partial(ChoirEnv, 4, lengths=(3, 9))
    with sampler("vectorized", ProbePolicy(1), make, **arguments) as local:
        expected = [local.obtain_samples(0, 700), local.obtain_samples(1, 50)]
    fault = Fault("step", crash, step=8, once=str(tmp_path / "struck"))
    deadly = functools.partial(make, fault=fault)
    with sampler(PROCESSES, ProbePolicy(1), deadly, n_processes=2, **arguments) as pool:
        assert_equal(pool.obtain_samples(0, 700), expected[0])
        assert pool.statistics().restarts == 1
        assert_equal(pool.obtain_samples(1, 50), expected[1])


def test_a_process_that_always_dies_is_reported():
    deadly = functools.partial(ChoirEnv, 4, fault=Fault("step", crash, step=2))
    with (
        sampler(PROCESSES, ProbePolicy(1), deadly, n_envs=4, max_episode_length=9, max_restarts=1) as pool,
        pytest.raises(samplerkit.WorkerDied),
    ):
        pool.obtain_samples(0, 100)


@pytest.mark.parametrize("name", ["vectorized", PROCESSES])
def test_after_an_exception_the_call_has_not_happened(name, tmp_path):
    make = functools.partial(ChoirEnv, 4)
    arguments = {"n_envs": 4, "n_workers": 2, "max_episode_length": 9}
    with sampler("vectorized", ProbePolicy(1), make, **arguments) as local:
        expected = [local.obtain_samples(0, 80), local.obtain_samples(0, 80)]
    with sampler(name, ProbePolicy(1), make, **arguments) as native:
        assert_equal(native.obtain_samples(0, 80), expected[0])
        bad = functools.partial(ChoirEnv, 4, fault=Fault("step", step=3))
        with pytest.raises(samplerkit.WorkerError, match="the probe raised this"):
            native.obtain_samples(0, 80, env_update=bad)
        assert_equal(native.obtain_samples(0, 80), expected[1])


def hang():
    time.sleep(600)


@pytest.mark.slow
def test_one_that_hangs_is_killed(tmp_path):
    make = functools.partial(ChoirEnv, 4)
    arguments = {"n_envs": 4, "max_episode_length": 9}
    with sampler("vectorized", ProbePolicy(1), make, **arguments) as local:
        expected = local.obtain_samples(0, 200)
    hanging = functools.partial(make, fault=Fault("step", hang, step=5, once=str(tmp_path / "struck")))
    with sampler(PROCESSES, ProbePolicy(1), hanging, unit_timeout=1.0, **arguments) as pool:
        assert_equal(pool.obtain_samples(0, 200), expected)


@pytest.mark.parametrize("name", ["vectorized", PROCESSES])
def test_a_shutdown_from_another_thread_ends_an_endless_call(name):
    native = sampler(name, perceptron(), cartpole(8), n_envs=8, n_workers=2)
    native.obtain_samples(0, 50)
    timer = threading.Timer(0.3, native.shutdown_worker)
    timer.start()
    with pytest.raises(samplerkit.SamplerClosed):
        native.obtain_samples(0, 10**9)
    timer.join()


# -- what is refused, and what it says of itself ---------------------------------------------------


def test_capabilities_are_those_of_a_stream():
    with sampler("vectorized", perceptron(), cartpole(4), n_envs=4) as native:
        for capability in ("exact_episodes", "reproducible", "per_worker_agents", "per_worker_envs"):
            assert native.supports(capability)
        assert not native.supports("stateful")
        assert not native.supports("fragments")
    for argument in ({"stateful": True}, {"reseed": False}):
        with pytest.raises(samplerkit.UnsupportedFeature, match="is reset at each call"):
            sampler("vectorized", perceptron(), cartpole(4), n_envs=4, **argument)


def test_workers_may_have_streams_of_their_own_but_all_must_have_one():
    envs = [functools.partial(ChoirEnv, 3, tag=tag) for tag in (5, 6)]
    arguments = {"n_envs": 3, "n_workers": 2, "max_episode_length": 9}
    with sampler("vectorized", ProbePolicy(1), envs, **arguments) as native:
        batch = native.obtain_samples(0, 60)
    starts = np.cumsum(batch.lengths) - batch.lengths
    assert batch.observations[starts, 0].tolist() == [5 + unit % 2 for unit in batch.provenance.units]
    with pytest.raises(ValueError, match="give these workers a sampler of their own"):
        sampler("vectorized", ProbePolicy(1), [envs[0], TattooEnv], **arguments)


@pytest.mark.parametrize("name", ["vectorized", PROCESSES])
def test_a_sampler_stays_with_streams_or_with_units(name):
    choir = functools.partial(ChoirEnv, 3)
    arguments = {"n_envs": 3, "max_episode_length": 9}
    with (
        sampler(name, ProbePolicy(1), choir, **arguments) as streams,
        sampler(name, ProbePolicy(1), TattooEnv, **arguments) as units,
    ):
        for native, update in ((streams, TattooEnv), (units, choir)):
            expected = native.obtain_samples(0, 40)
            with pytest.raises(samplerkit.WorkerError, match="make a new sampler for them"):
                native.obtain_samples(1, 40, env_update=update)
            assert native.obtain_samples(1, 40).provenance.units[0] == len(expected.lengths)


def test_fragments_of_a_stream_are_refused():
    with pytest.raises(samplerkit.WorkerError, match="can only be seeded as a whole"):
        sampler("fragment", perceptron(), cartpole(4), n_envs=4)


class Silent(ChoirEnv):
    """Resets slots in the step that ends their episodes, and does not tell the last observations."""

    def step(self, actions):
        *result, infos = super().step(actions)
        return (*result, {key: value for key, value in infos.items() if "final" not in key})


def test_last_observations_that_nobody_tells_are_asked_for():
    make = functools.partial(Silent, 3, "SAME_STEP")
    with (
        sampler("vectorized", ProbePolicy(1), make, n_envs=3, max_episode_length=9) as native,
        pytest.raises(samplerkit.WorkerError, match="must give the final observations"),
    ):
        native.obtain_samples(0, 40)


class Namesake(ChoirEnv):
    """Has infos that are called like what environments tell that reset slots in a step."""

    def step(self, actions):
        *result, infos = super().step(actions)
        return (*result, {**infos, "final_obs": np.arange(self.num_envs), "final_info": 2.0 * result[1]})


@pytest.mark.parametrize("mode", ["NEXT_STEP", "DISABLED"])
def test_infos_named_like_final_observations_stay_infos_where_slots_are_reset_later(mode):
    batches = []
    for kind in (ChoirEnv, Namesake):
        make = functools.partial(kind, 3, mode)
        with sampler("vectorized", ProbePolicy(1), make, n_envs=3, max_episode_length=9) as native:
            batches.append(native.obtain_samples(0, 40))
    expected, batch = batches
    assert batch.env_infos["final_info"].tolist() == (2.0 * batch.rewards).tolist()
    assert set(batch.env_infos["final_obs"].tolist()) == {0, 1, 2}
    kept = {
        name: {key: column for key, column in getattr(batch, name).items() if "final" not in key}
        for name in ("env_infos", "episode_infos_by_episode")  # the step of a reset gives the latter
    }
    assert_equal(batch.with_columns(**kept), expected)


class Chatty(ChoirEnv):
    def step(self, actions):
        *result, infos = super().step(actions)
        return (*result, {**infos, "words": ["la"] * self.num_envs})


def test_infos_that_make_no_columns_are_refused_by_name():
    make = functools.partial(Chatty, 3, infos="none")
    with (
        sampler("vectorized", ProbePolicy(1), make, n_envs=3, max_episode_length=9) as native,
        pytest.raises(samplerkit.WorkerError, match=r"env_infos .* must be arrays .*words"),
    ):
        native.obtain_samples(0, 40)


class Wide(ChoirEnv):
    """Observations of another dtype than the space's."""

    def __init__(self, *arguments):
        super().__init__(*arguments, infos="none")
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)


def test_observations_are_cast_to_their_space_with_a_warning():
    make = functools.partial(Wide, 3)
    with (
        sampler("vectorized", ProbePolicy(1), make, n_envs=3, max_episode_length=9) as native,
        pytest.warns(UserWarning, match="cast to the space's dtype"),
    ):
        assert native.obtain_samples(0, 40).observations.dtype == np.float32


def test_environments_are_closed_once(tmp_path):
    ledger = tmp_path / "ledger"
    make = functools.partial(ChoirEnv, 3, ledger=os.fspath(ledger))
    with sampler(PROCESSES, ProbePolicy(1), make, n_envs=3, n_workers=2, max_episode_length=9) as native:
        native.obtain_samples(0, 40)
        native.obtain_samples(0, 40, env_update=make)
    assert unclosed(ledger) == {}


# -- by an id, or from elsewhere -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vectorized", PROCESSES])
def test_an_id_may_stand_for_its_native_vector_environment(name):
    with (
        sampler("vectorized", perceptron(), cartpole(16), n_envs=16) as expected,
        sampler(name, perceptron(), "CartPole-v1", n_envs=16, native=True) as native,
    ):
        assert_equal(native.obtain_samples(0, 200), expected.obtain_samples(0, 200))
        again = native.obtain_samples(0, 200, env_update="CartPole-v1")
        assert_equal(again, expected.obtain_samples(0, 200, env_update=cartpole(16)))


def test_an_id_without_a_native_vector_environment_is_refused_with_native():
    env = gymnasium.make("MountainCar-v0")
    policy = MLPPolicy(env.observation_space, env.action_space)
    with pytest.raises(ValueError, match="MountainCar-v0 has no native vector environment"):
        sampler("vectorized", policy, "MountainCar-v0", native=True)
    with pytest.raises(TypeError, match="native must be True or False, not 1"):
        sampler("vectorized", policy, "MountainCar-v0", native=1)


class Pool(ChoirEnv):
    """Like EnvPool's: the seed is an argument, and that of a reset counts for nothing."""

    def __init__(self, seed):
        super().__init__(4)
        self._np_random, self._np_random_seed = gymnasium.utils.seeding.np_random(seed)

    def reset(self, *, seed=None, options=None):
        assert seed is None
        return super().reset(options=options)


def test_environments_that_are_seeded_when_they_are_made_are_made_for_each_call():
    arguments = {"n_envs": 4, "n_workers": 2, "max_episode_length": 9}
    batches = []
    for make in (functools.partial(SeededWhenMade, Pool), functools.partial(ChoirEnv, 4)):
        with sampler("vectorized", ProbePolicy(1), make, **arguments) as native:
            batches.append([native.obtain_samples(0, 60), native.obtain_samples(0, 60)])
    for one, other in zip(*batches, strict=True):
        assert_equal(one, other)


def test_envpool_alone_is_refused_since_it_ignores_the_seed_of_a_reset():
    alone = type("PongPool", (ChoirEnv,), {"__module__": "envpool.atari"})
    with pytest.raises(samplerkit.WorkerError, match=r"samplerkit.workers.SeededWhenMade\(make\)"):
        sampler("vectorized", ProbePolicy(1), functools.partial(alone, 4), n_envs=4, max_episode_length=9)
