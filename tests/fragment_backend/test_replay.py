"""What can be brought back is, and what cannot be is abandoned, with its name."""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import samplerkit
from samplerkit import EpisodeBatch, StepType, WorkerError
from samplerkit.policies import RandomPolicy
from samplerkit_fragment.replay import Rehearsal


class Long(gymnasium.Env):
    """Thirty steps, whose observations say which episode it is, and what the actions added up to."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = spaces.Discrete(5)
    noise = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.sum = 0, 0
        self.key = float(self.np_random.integers(1000)) + (secrets.randbelow(2**50) if self.noise else 0)
        return self._observe(), {}

    def _observe(self):
        return np.array([self.key, self.t, self.sum])

    def step(self, action):
        self.t += 1
        self.sum += int(action)
        return self._observe(), float(action), self.t == 30, False, {}


class Noisy(Long):
    """Another episode at every reset, whatever the seed."""

    noise = True


class NoisyAndDeadly(Noisy):
    """Kills its process, the first that gets there, at step 11 of an episode."""

    def __init__(self, once: Path):
        self.once = once

    def step(self, action):
        if self.t == 10 and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


class Breaks(Long):
    """Raises an exception where an episode is played again: two resets with the same seed."""

    seeds: set[int] = set()  # noqa: RUF012

    def step(self, action):
        if self.again and self.t == 2:
            raise RuntimeError("once only")
        return super().step(action)

    def reset(self, *, seed=None, options=None):
        self.again = seed in self.seeds
        self.seeds.add(seed)
        return super().reset(seed=seed)


class Counting:
    """Its actions depend on how often each row acted since its reset, on its seed, and on its weights."""

    def __init__(self):
        self.weight = np.array([1])
        self.counts, self.seeds = np.zeros(1, int), np.zeros(1, np.uint64)

    def reset(self, do_resets=None):
        flags = np.array([True]) if do_resets is None else do_resets
        if len(flags) != len(self.counts):
            self.counts, self.seeds = np.zeros(len(flags), int), np.zeros(len(flags), np.uint64)
        self.fresh = np.flatnonzero(flags)
        self.counts[self.fresh] = 0

    def seed(self, seeds):
        self.seeds[self.fresh] = seeds

    def get_actions(self, observations):
        self.counts += 1
        actions = (self.counts * self.weight[0] + (self.seeds % np.uint64(97)).astype(int)) % 5
        return actions, {"count": self.counts.copy()}

    def get_action(self, observation):
        actions, infos = self.get_actions(observation)
        return actions[0], {"count": infos["count"][0]}

    def get_param_values(self):
        return (self.weight,)

    def set_param_values(self, params):
        (self.weight,) = params


class WithState(Counting):
    def get_state(self, rows):
        return self.counts[rows].copy(), self.seeds[rows].copy()

    def set_state(self, rows, state):
        self.counts[rows], self.seeds[rows] = state


def sampler(agents, envs, name="fragment", **arguments):
    given = {
        "seed": 5,
        "n_workers": 1,
        "max_episode_length": 40,
        "worker_args": {"n_envs": 3, "timesteps_per_call": 4},
        **arguments,
    }
    return samplerkit.make_sampler(name, agents=agents, envs=envs, **given)


def continued(agents, envs=Long, update=None, **arguments):
    """Three calls with a restore, on a fresh sampler, before the last."""
    with sampler(agents, envs, **arguments) as s:
        batches = [s.obtain_samples(0, 12), s.obtain_samples(0, 12, update)]
        state = s.get_state()
    with sampler(agents, envs, **arguments) as s:
        s.set_state(state)
        return [*batches, s.obtain_samples(0, 12)]


def uninterrupted(agents, envs=Long, update=None):
    with sampler(agents, envs) as s:
        return [s.obtain_samples(0, 12), s.obtain_samples(0, 12, update), s.obtain_samples(0, 12)]


@pytest.mark.parametrize("policy", [Counting, WithState, lambda: RandomPolicy(Long.action_space)])
def test_episodes_go_on_with_the_policys_hidden_state(policy):
    wanted, got = uninterrupted(policy()), continued(policy())
    assert wanted[-1].difference(got[-1]) is None
    assert got[-1].provenance.abandoned == ()
    assert got[-1].provenance.equals(wanted[-1].provenance)


def test_a_policy_with_get_state_goes_on_after_new_weights():
    wanted = uninterrupted(WithState(), update=(np.array([3]),))
    got = continued(WithState(), update=(np.array([3]),))
    assert wanted[-1].difference(got[-1]) is None
    assert got[-1].provenance.abandoned == ()


class WithoutItsState(WithState):
    """Cannot say where it stands."""

    def get_state(self, rows):
        if self.refuses:
            raise LookupError("no state to be had")
        return super().get_state(rows)

    refuses = True


class Recovered(WithoutItsState):
    refuses = False


@pytest.mark.parametrize("name", ["fragment", "multiprocessing+fragment"])
def test_a_policy_that_cannot_say_where_it_stands_is_the_failure_of_its_unit(name):
    with sampler(WithoutItsState(), Long, name=name) as s:
        with pytest.raises(WorkerError, match=r"raised LookupError in unit \d.*no state to be had"):
            s.obtain_samples(0, 12)
        got = s.obtain_samples(0, 12, Recovered())
    with sampler(WithState(), Long) as s:
        assert s.obtain_samples(0, 12).difference(got) is None


def test_a_policy_without_get_state_is_not_guessed_at_after_new_weights():
    got = continued(Counting(), update=(np.array([3]),))
    assert got[-1].provenance.abandoned == (0, 1, 2)
    assert got[-1].provenance.units.tolist() == [3, 4, 5]
    assert got[-1].step_types[0] == StepType.FIRST


def test_an_environment_that_is_not_determined_by_its_seed_is_given_up_with_a_word(caplog):
    got = continued(Counting(), Noisy)
    assert got[-1].provenance.abandoned == (0, 1, 2)
    assert "lead elsewhere" in caplog.text
    stitched = EpisodeBatch.concatenate(*got).stitch()
    assert stitched.lengths.tolist() == [8, 8, 8, 4, 4, 4]
    ends = np.cumsum(stitched.lengths) - 1
    assert stitched.step_types[ends].tolist() == [StepType.TIMEOUT] * 3 + [StepType.MID] * 3


def test_an_environment_that_raises_while_it_is_played_again_is_given_up(caplog):
    Breaks.seeds.clear()
    got = continued(Counting(), Breaks)
    assert got[-1].provenance.abandoned == (0, 1, 2)
    assert "once only" in caplog.text


def test_a_stateful_environment_is_never_played_again():
    got = continued(WithState(), stateful=True)
    assert got[-1].provenance.abandoned == (0, 1, 2)
    assert not got[-1].provenance.reproducible
    assert [batch.provenance.reproducible for batch in got[:-1]] == [True, True]


def test_with_reseed_false_environments_are_seeded_once():
    with sampler(WithState(), Long, reseed=False, worker_args={"n_envs": 1, "timesteps_per_call": 30}) as s:
        keys = [s.obtain_samples(0, 30).observations[0, 0] for _ in range(3)]
    with sampler(WithState(), Long, worker_args={"n_envs": 1, "timesteps_per_call": 30}) as s:
        seeded = [s.obtain_samples(0, 30).observations[0, 0] for _ in range(3)]
    assert keys[0] == seeded[0]
    assert keys[1:] != seeded[1:]


@pytest.mark.parametrize("calls", [[12] * 8, [96]], ids=["eight calls", "one call"])
def test_what_a_dead_process_took_along_is_abandoned_where_it_stood(tmp_path, calls):
    name, envs = "multiprocessing+fragment", lambda: NoisyAndDeadly(tmp_path / "dead")
    with sampler(WithState(), envs, name, n_processes=1) as s:
        batches = [s.obtain_samples(0, count) for count in calls]
        assert s.statistics().restarts == 1
    # Results that the process had sent in time are there, and their episodes go no further.
    abandoned = [unit for batch in batches for unit in batch.provenance.abandoned]
    assert abandoned in ([], [0, 1, 2])
    stitched = EpisodeBatch.concatenate(*batches).stitch()
    for unit, episode in zip(stitched.provenance.units.tolist(), stitched.split(), strict=True):
        assert len(set(episode.observations[:, 0])) == 1, f"unit {unit} is two episodes"
        assert episode.observations[:, 1].tolist() == list(range(len(episode.rewards)))
        assert (episode.step_types[-1] == StepType.TIMEOUT) == (unit in abandoned)
    if len(calls) > 1:
        assert abandoned == [0, 1, 2], "the batches before the death were delivered"


@pytest.mark.skipif(np.finfo(np.longdouble).nmant != 63, reason="its long doubles use all of their bytes")
def test_unused_bytes_of_long_doubles_do_not_lead_elsewhere():
    one, other = np.ones((1, 2), np.longdouble), np.ones((1, 2), np.longdouble)
    one.view(np.uint8).reshape(2, -1)[:, 10:] = 0xAA
    other.view(np.uint8).reshape(2, -1)[:, 10:] = 0xBB
    assert Rehearsal.same(one, other)
    assert not Rehearsal.same(one, np.nextafter(one, 2))
