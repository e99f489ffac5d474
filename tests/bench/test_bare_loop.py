from __future__ import annotations

import numpy as np
import pytest

from samplerkit.bench.bare_loop import BareLoop
from samplerkit.bench.sampler_contestant import SamplerContestant
from samplerkit.bench.workload import Workload
from samplerkit.local import LocalSampler


def loop(env="bench_environments:Plain", policy="constant", n_rows=20, **more):
    limit = more.pop("max_episode_length", None)
    made = BareLoop(Workload(env, policy, 20, seed=4, max_episode_length=limit).as_dict(), n_rows, **more)
    made.start()
    return made


def test_it_stores_the_very_steps_that_a_sampler_delivers():
    made = loop("CartPole-v1", "mlp", n_rows=500)
    workload = Workload("CartPole-v1", "mlp")
    env = workload.make_env()
    with LocalSampler(workload.make_policy(env), "CartPole-v1", seed=4, n_workers=3) as sampler:
        batch = sampler.obtain_samples(0, 500)
    np.testing.assert_array_equal(made.observations, batch.observations[:500])
    np.testing.assert_array_equal(made.actions, batch.actions[:500])
    np.testing.assert_array_equal(made.rewards, batch.rewards[:500])
    ends = np.cumsum(batch.lengths) - 1
    np.testing.assert_array_equal(np.flatnonzero(made.terminated | made.truncated), ends[ends < 500])
    n = (ends < 500).sum()
    np.testing.assert_array_equal(made.last_observations[1 : n + 1], batch.last_observations[:n])


def test_several_loops_share_the_episodes():
    seeds = [loop(n_rows=10, first_unit=index, stride=2).observations[::5, 0] for index in range(2)]
    together = np.stack(seeds, axis=1).ravel()
    np.testing.assert_array_equal(together, loop(n_rows=20).observations[::5, 0])


def test_episodes_end_at_the_limit_and_go_on_from_call_to_call():
    made = loop("bench_environments:Nested", "random", n_rows=7, max_episode_length=4)
    np.testing.assert_array_equal(made.observations["n"], [0, 1, 2, 3, 0, 1, 2])
    filled = made.fill()
    np.testing.assert_array_equal(filled["observations"]["n"], [3, 0, 1, 2, 3, 0, 1])
    np.testing.assert_array_equal(filled["observations"]["pair"][0][:, 0], [3, 0, 1, 2, 3, 0, 1])
    assert filled["actions"].shape == (7, 2)
    assert len(filled["last_observations"]["n"]) == 2


def test_it_measures_for_as_long_as_asked_and_at_least_once():
    made = loop()
    measured = made.measure(0.02)
    assert measured.seconds >= 0.02
    assert measured.steps >= 256
    made.stop()
    made.stop()


@pytest.mark.parametrize("update", [True, False], ids=["updates", "none"])
def test_a_sampler_delivers_whole_batches_and_an_update_with_each_where_there_are_weights(update):
    workload = Workload("bench_environments:Plain", "constant", 10)
    it = SamplerContestant(workload.as_dict(), "local", n_workers=2, update=update)
    it.start()
    calls = []
    real = it._sampler.obtain_samples

    def obtain(itr, n, given):
        calls.append(given)
        return real(itr, n, given)

    it._sampler.obtain_samples = obtain
    assert it.measure(0.01).steps == 10 * len(calls)
    it.measure(0.01)
    if update:
        assert calls[0]["nothing"] != calls[1]["nothing"], "weights that were sent already cost nothing"
    else:
        assert set(calls) == {None}
    it.stop()


def test_options_reach_the_sampler():
    workload = Workload("bench_environments:Plain", "constant", 10)
    it = SamplerContestant(workload.as_dict(), "local", n_workers=2, options={"n_processes": 2})
    with pytest.raises(TypeError, match="n_processes"):
        it.start()
    it.stop()
