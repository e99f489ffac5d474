"""The vectorized worker by itself: slots, resets, seeds, failures, cancelling."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.interfaces import NewEnvUpdate, Unit, UnitCancelled
from samplerkit.interfaces.unit_feeds import Asking
from samplerkit.sampling.numbering import UnitSeeds
from samplerkit_vectorized.worker import VecWorker

SEEDS = UnitSeeds(5)


class Told(gymnasium.Env):
    """The length of an episode is told by its seed; observations say seed, step and which copy it is."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = spaces.Discrete(4)
    copies = itertools.count()

    def __init__(self, fails_at=None, on_step=None):
        self.fails_at, self.on_step = fails_at, on_step
        self.copy = next(self.copies)
        self.seeds = []

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.seed, self.t = -1 if seed is None else seed, 0
        return self._observe(), {"seed": self.seed}

    def _observe(self):
        return np.array([self.seed, self.t, self.copy], np.float64)

    def step(self, action):
        if self.on_step is not None:
            self.on_step()
        self.t += 1
        if (self.seed, self.t) == self.fails_at:
            raise KeyError("told to")
        return self._observe(), 1.0, self.t > self.seed % 5, False, {}


class Noting:
    """Acts on nothing; notes what it was called with."""

    def __init__(self, fails_on=None):
        self.resets, self.seeds, self.rows = [], [], []
        self.fails_on = fails_on

    def reset(self, do_resets=None):
        self.resets.append(np.array(do_resets).tolist())

    def seed(self, seeds):
        self.seeds.append(np.array(seeds))

    def get_action(self, observation):
        return 0, {}

    def get_actions(self, observations):
        self.rows.append(observations.copy())
        if self.fails_on is not None and (observations[:, :2] == self.fails_on).all(axis=1).any():
            raise KeyError("policy")
        return np.zeros(len(observations), np.int64), {}

    def get_param_values(self):
        return {}

    def set_param_values(self, params):
        self.params = params


def worker_of(n_envs=3, agent=None, env=None, **arguments):
    worker = VecWorker(seed=0, max_episode_length=100, worker_number=0, n_envs=n_envs, **arguments)
    worker.update_agent(agent or Noting())
    worker.update_env(env or NewEnvUpdate(Told))
    return worker


def units(*lengths):
    """Units whose episodes have these lengths, from 1 to 5."""
    return [Unit(number, 10 * number + length - 1, number, number) for number, length in enumerate(lengths)]


def lengths_of(results):
    return {unit.number: result.n_steps for unit, result in results}


def test_all_units_come_out_whole():
    wanted = (3, 1, 5, 2, 2, 4, 1, 1, 5, 3)
    assert lengths_of(worker_of().rollouts(units(*wanted))) == dict(enumerate(wanted))


def test_a_slot_that_finishes_takes_the_next_unit_at_once():
    agent = Noting()
    list(worker_of(2, agent).rollouts(units(1, 5, 2, 2)))
    seeds = [rows[:, 0].astype(int).tolist() for rows in agent.rows]
    assert seeds == [[0, 14], [21, 14], [21, 14], [31, 14], [31, 14]]


def test_units_come_as_soon_as_they_end():
    worker = worker_of(2)
    order = [unit.number for unit, _ in worker.rollouts(units(5, 1, 1, 1))]
    assert order == [1, 2, 3, 0]


def test_the_policy_gets_n_envs_rows_and_idle_ones_repeat_a_live_one():
    agent = Noting()
    list(worker_of(3, agent).rollouts(units(2)))
    assert [rows.shape for rows in agent.rows] == [(3, 3)] * 2
    assert (agent.rows[1] == agent.rows[1][0]).all()


def test_rows_are_reset_and_seeded_where_episodes_begin():
    agent = Noting()
    list(worker_of(2, agent).rollouts(units(1, 3, 2)))
    assert agent.resets == [[True, True], [True, False]]
    assert [seeds.tolist() for seeds in agent.seeds] == [[0, 1], [2]]
    assert all(seeds.dtype == np.uint64 for seeds in agent.seeds)


def test_every_slot_is_seeded_by_its_unit():
    agent = Noting()
    results = list(worker_of(3, agent).rollouts([SEEDS.unit(number) for number in range(9)]))
    for unit, episode in results:
        assert (episode.view().observations[:, 0] == unit.env_seed).all()
        assert episode.view().episode_infos_by_episode["seed"].tolist() == [unit.env_seed]


def test_more_units_may_come_after_there_were_none():
    first, second, third = units(3, 2, 2)
    answers = iter([first, None, None, second, None, third])
    results = lengths_of(worker_of(2).rollouts(Asking(lambda: next(answers, None))))
    assert results == {0: 3, 1: 2, 2: 2}


def test_with_a_list_of_environments_each_unit_has_its_slot():
    worker = worker_of(2, env=[Told(), Told()])
    worker.n_workers = 2
    copies = [env.copy for env in worker._slots.envs]
    mine = [Unit(number, 10 * number + number % 3, number, number) for number in range(1, 16, 2)]
    for unit, episode in worker.rollouts(mine):
        slot = unit.number // 2 % 2
        assert (episode.view().observations[:, 2] == copies[slot]).all()


def test_where_units_remember_they_run_one_at_a_time_in_one_environment():
    agent = Noting()
    worker = worker_of(3, agent)
    worker.one_at_a_time = True
    results = [
        (unit.number, episode.view().observations[0, 2]) for unit, episode in worker.rollouts(units(3, 1, 2))
    ]
    assert [number for number, _ in results] == [0, 1, 2]
    assert len({copy for _, copy in results}) == 1


def test_without_reseeding_each_environment_is_seeded_once():
    worker = worker_of(1)
    worker.reseed = False
    list(worker.rollouts(units(1, 1, 1)))
    assert worker._slots.envs[0].seeds == [0, None, None]


def test_an_error_in_an_environment_is_blamed_on_its_unit():
    lengths = units(3, 5, 4)
    worker = worker_of(3, env=NewEnvUpdate(lambda: Told(fails_at=(lengths[1].env_seed, 2))))
    with pytest.raises(KeyError, match="told to"):
        list(worker.rollouts(lengths))
    assert worker.unit == lengths[1]


def test_an_error_of_the_policy_is_blamed_on_the_unit_that_fails_alone():
    lengths = units(3, 5, 4, 2)
    worker = worker_of(3, Noting(fails_on=(lengths[2].env_seed, 2)))
    done = []
    running = worker.rollouts(lengths)
    with pytest.raises(KeyError, match="policy"):
        done.extend(unit.number for unit, _ in iter(lambda: next(running), None))
    assert worker.unit == lengths[2]


@pytest.mark.parametrize("is_a_units_own", [True, False])
def test_an_interrupt_of_the_policy_is_blamed_on_a_unit_where_nobody_presses_ctrl_c(is_a_units_own):
    class Interrupting(Noting):
        def get_actions(self, observations):
            if (observations[:, 0] == lengths[2].env_seed).any():
                raise KeyboardInterrupt
            return super().get_actions(observations)

    lengths = units(3, 5, 4, 2)
    worker = worker_of(3, Interrupting())
    if is_a_units_own:
        worker.interrupts = ()
    done = []
    running = worker.rollouts(lengths)
    with pytest.raises(KeyboardInterrupt):
        done.extend(unit.number for unit, _ in iter(lambda: next(running), None))
    assert (done, worker.unit) == (([0, 1], lengths[2]) if is_a_units_own else ([], None))


def test_units_before_the_one_that_the_policy_fails_on_come_out():
    lengths = units(3, 5, 4, 2)
    running = worker_of(3, Noting(fails_on=(lengths[2].env_seed, 2))).rollouts(lengths)
    assert [next(running)[0].number, next(running)[0].number] == [0, 1]
    with pytest.raises(KeyError, match="policy"):
        next(running)


def test_a_policy_that_fails_on_several_rows_only_has_no_guilty_unit():
    class Crowded(Noting):
        def get_actions(self, observations):
            if len(np.unique(observations[:, 0])) > 1 and not self.rows:
                self.rows.append(observations)
                raise KeyError("crowd")
            return super().get_actions(observations)

    assert lengths_of(worker_of(3, Crowded()).rollouts(units(3, 5, 4, 2))) == {0: 3, 1: 5, 2: 4, 3: 2}


def test_a_cancelled_worker_ends_before_the_next_step():
    steps = []
    worker = worker_of(2, env=NewEnvUpdate(lambda: Told(on_step=lambda: steps.append(worker.cancel()))))
    with pytest.raises(UnitCancelled):
        list(worker.rollouts(units(5, 5)))
    assert len(steps) == 1


def test_what_was_open_is_forgotten_at_the_next_call():
    worker = worker_of(2)
    running = worker.rollouts(units(1, 5, 5))
    next(running)
    running.close()
    assert lengths_of(worker.rollouts(units(2, 3))) == {0: 2, 1: 3}


def test_rollout_runs_one_unit():
    worker = worker_of(3)
    worker.unit = units(4)[0]
    batch = worker.rollout()
    assert batch.lengths.tolist() == [4]
    worker.unit = None
    assert len(worker.rollout().lengths) == 1


@pytest.mark.parametrize(("n_envs", "error"), [(0, ValueError), (True, TypeError), (2.0, TypeError)])
def test_n_envs_is_an_integer_of_at_least_one(n_envs, error):
    with pytest.raises(error, match="n_envs must be"):
        worker_of(n_envs)
    with pytest.raises(error, match="n_envs must be"):
        VecWorker.overlap(n_envs=n_envs)


def test_a_policy_without_get_actions_is_refused():
    class Single:
        def get_action(self, observation):
            return 0, {}

    with pytest.raises(TypeError, match="Single has no get_actions"):
        worker_of(agent=Single())


def test_weights_go_to_the_policy():
    agent = Noting()
    worker = worker_of(agent=agent)
    worker.update_agent({"w": 1})
    assert agent.params == {"w": 1}
