"""Batches of vectorized workers equal those of workers with one environment, bit for bit."""

from __future__ import annotations

import sys

import gymnasium
import numpy as np
import pytest
from equal_batches import assert_equal
from fault_probes import DictEnv, FaultyEnv, TwoLengthsEnv
from gymnasium import spaces

import samplerkit
from samplerkit.contract.probes import PictureEnv, ProbePolicy, TattooEnv
from samplerkit.interfaces import NewEnvUpdate
from samplerkit.policies import GRUPolicy, MLPPolicy, RandomPolicy

BACKENDS = [
    ("vectorized", 1, {}),
    ("vectorized", 3, {}),
    ("vectorized", 8, {}),
    ("multiprocessing+vectorized", 3, {"n_processes": 1}),
    ("multiprocessing+vectorized", 8, {"n_processes": 2}),
]


def sampler(name: str, agents, envs, **arguments):
    arguments = {"seed": 11, "max_episode_length": 600, "n_workers": 3, **arguments}
    return samplerkit.make_sampler(name, agents=agents, envs=envs, **arguments)


@pytest.fixture(scope="module")
def cartpole():
    return gymnasium.make("CartPole-v1")


@pytest.mark.parametrize(("name", "n_envs", "options"), BACKENDS)
def test_cartpole_gives_the_local_batches_over_several_calls(cartpole, name, n_envs, options):
    policy = MLPPolicy(cartpole.observation_space, cartpole.action_space, seed=3)
    weights = {key: value * 0.5 for key, value in policy.get_param_values().items()}
    calls = [
        lambda s: s.obtain_samples(0, 2000),
        lambda s: s.obtain_exact_episodes(3, agent_update=weights),
        lambda s: s.obtain_samples(2, 1),
        lambda s: s.obtain_samples(3, 700, env_update="CartPole-v0"),
        lambda s: s.obtain_samples(4, 700),
    ]
    with (
        sampler("local", policy, "CartPole-v1") as local,
        sampler(name, policy, "CartPole-v1", n_envs=n_envs, **options) as vectorized,
    ):
        for call in calls:
            assert_equal(call(vectorized), call(local))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_envs", "options"), BACKENDS)
@pytest.mark.parametrize("lengths", [(6,), (4, 5, 6, 7)])
def test_batches_of_several_megabytes_are_the_local_ones_with_new_weights_each_call(
    name, n_envs, options, lengths
):
    envs = NewEnvUpdate(lambda: PictureEnv(lengths))
    with (
        sampler("local", ProbePolicy(), envs) as local,
        sampler(name, ProbePolicy(), envs, n_envs=n_envs, **options) as vectorized,
    ):
        for call in range(4):
            weights = ProbePolicy(call).get_param_values()
            assert_equal(vectorized.obtain_samples(0, 40, weights), local.obtain_samples(0, 40, weights))


@pytest.mark.parametrize(("name", "n_envs", "options"), BACKENDS[1:])
def test_recurrent_policies_are_reset_row_by_row(cartpole, name, n_envs, options):
    policy = GRUPolicy(cartpole.observation_space, cartpole.action_space, hidden_size=8, seed=3)
    with (
        sampler("local", policy, "CartPole-v1") as local,
        sampler(name, policy, "CartPole-v1", n_envs=n_envs, **options) as vectorized,
    ):
        assert_equal(vectorized.obtain_samples(0, 1500), local.obtain_samples(0, 1500))


@pytest.mark.parametrize(("name", "n_envs", "options"), BACKENDS[1:])
def test_nested_spaces_and_infos_of_every_kind_come_through(name, n_envs, options):
    for policy, env in (
        (RandomPolicy(DictEnv.action_space), DictEnv),
        (ProbePolicy(1), NewEnvUpdate(lambda: TattooEnv(infos="rich", layout="dict"))),
    ):
        with (
            sampler("local", policy, env) as local,
            sampler(name, policy, env, n_envs=n_envs, **options) as vectorized,
        ):
            assert_equal(vectorized.obtain_samples(0, 300), local.obtain_samples(0, 300))


class NamingPolicy(RandomPolicy):
    """Names its actions, out of an array that has longer names as well."""

    NAMES = np.array(["up", "down", "somewhere else"])

    def get_actions(self, observations):
        actions, infos = super().get_actions(observations)
        late = np.asarray(observations)[:, 0] > 0.04
        return actions, {
            **infos,
            "name": self.NAMES[late.astype(int)],
            "code": self.NAMES.astype("S")[actions],
        }

    def get_action(self, observation):
        actions, infos = self.get_actions(observation[np.newaxis])
        return actions[0], {key: column[0] for key, column in infos.items()}


@pytest.mark.parametrize(("name", "n_envs", "options"), [*BACKENDS, ("multiprocessing", 1, None)])
def test_strings_of_a_policy_are_as_wide_as_those_that_are_in_the_batch(cartpole, name, n_envs, options):
    policy = NamingPolicy(cartpole.action_space)
    options = {} if options is None else {"n_envs": n_envs, **options}
    with (
        sampler("local", policy, "CartPole-v1") as local,
        sampler(name, policy, "CartPole-v1", **options) as vectorized,
    ):
        for call in range(4):
            expected = local.obtain_samples(call, 1 if call < 3 else 300)
            assert expected.agent_infos["code"].dtype == "S4"
            assert_equal(vectorized.obtain_samples(call, 1 if call < 3 else 300), expected)


class SwappedEnv(gymnasium.Env):
    """Numbers in the other byte order wherever there may be some."""

    OTHER = ">" if sys.byteorder == "little" else "<"

    observation_space = spaces.Box(-1e9, 1e9, (3,), np.dtype(OTHER + "f4"))
    action_space = spaces.Box(-2, 2, (2,), np.dtype(OTHER + "f8"))

    def numbers(self):
        return self.np_random.normal(size=3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.numbers().astype(self.OTHER + "f4"), {"first": self.numbers().astype(self.OTHER + "f8")}

    def step(self, action):
        observation = (self.numbers() + action[0]).astype(self.OTHER + "f4")
        infos = {"often": np.arange(3, dtype=self.OTHER + "i4")}
        if observation[0] > 0:
            infos["at times"] = np.array(self.np_random.normal(), self.OTHER + "f8")
        return observation, 1.0, bool(self.np_random.random() < 0.2), False, infos


class SwappingPolicy(ProbePolicy):
    def get_actions(self, observations):
        infos = {"seen": observations.astype(SwappedEnv.OTHER + "f8")}
        return np.tanh(observations[:, :2]).astype(SwappedEnv.action_space.dtype), infos

    def get_action(self, observation):
        actions, infos = self.get_actions(observation[np.newaxis])
        return actions[0], {key: column[0] for key, column in infos.items()}


@pytest.mark.filterwarnings("error:.*has dtype")
@pytest.mark.parametrize(("name", "n_envs", "options"), [*BACKENDS, ("multiprocessing", 1, None)])
def test_numbers_in_another_byte_order_come_in_that_of_the_machine(name, n_envs, options):
    options = {} if options is None else {"n_envs": n_envs, **options}
    with (
        sampler("local", SwappingPolicy(), SwappedEnv) as local,
        sampler(name, SwappingPolicy(), SwappedEnv, **options) as vectorized,
    ):
        for count in (1, 30, 500):
            expected = local.obtain_samples(0, count)
            infos = expected.episode_infos_by_episode, expected.env_infos, expected.agent_infos
            columns = [column for some in infos for column in some.values()]
            for column in (*columns, expected.observations, expected.last_observations, expected.actions):
                assert column.dtype.isnative
            assert_equal(vectorized.obtain_samples(0, count), expected)


@pytest.mark.parametrize(("name", "n_envs", "options"), BACKENDS[1:])
def test_batches_are_not_biased_towards_short_episodes(name, n_envs, options):
    policy = RandomPolicy(TwoLengthsEnv.action_space)
    with (
        sampler("local", policy, TwoLengthsEnv) as local,
        sampler(name, policy, TwoLengthsEnv, n_envs=n_envs, **options) as vectorized,
    ):
        for call in range(3):
            assert_equal(vectorized.obtain_samples(call, 500), local.obtain_samples(call, 500))


@pytest.mark.parametrize(("name", "n_envs", "options"), BACKENDS[1:])
def test_workers_with_agents_and_environments_of_their_own(name, n_envs, options):
    agents = [ProbePolicy(version) for version in range(3)]
    envs = [NewEnvUpdate(lambda tag=tag: TattooEnv(tag=tag)) for tag in range(3)]
    with (
        sampler("local", agents, envs) as local,
        sampler(name, agents, envs, n_envs=n_envs, **options) as vectorized,
    ):
        assert_equal(vectorized.obtain_exact_episodes(5), local.obtain_exact_episodes(5))
        assert_equal(vectorized.obtain_samples(1, 90), local.obtain_samples(1, 90))


@pytest.mark.parametrize("name", ["vectorized", "multiprocessing+vectorized"])
def test_with_nested_lists_unit_m_of_a_worker_runs_in_slot_m(name):
    tags = [[10 * worker + slot for slot in range(3)] for worker in range(2)]
    envs = [[NewEnvUpdate(lambda tag=tag: TattooEnv(tag=tag)) for tag in row] for row in tags]
    with sampler(name, ProbePolicy(1), envs, n_workers=2, n_envs=3) as vectorized:
        for batch in (vectorized.obtain_exact_episodes(4), vectorized.obtain_samples(1, 60)):
            seen = batch.episode_infos_by_episode["tag"]
            units, workers = batch.provenance.units, batch.provenance.workers
            expected = [
                tags[worker][unit // 2 % 3]
                for unit, worker in zip(units.tolist(), workers.tolist(), strict=True)
            ]
            assert seen.tolist() == expected


def test_as_many_units_run_at_once_as_there_are_slots():
    policy = Counting()
    with sampler("vectorized", policy, Fixed, n_envs=4, n_workers=1) as vectorized:
        batch = vectorized.obtain_exact_episodes(8)
    assert batch.agent_infos["tick"].max() + 1 == 2 * Fixed.length


@pytest.mark.parametrize("n_workers", [1, 3])
def test_slots_stay_busy_where_workers_share_one_environment(n_workers):
    with sampler("vectorized", Counting(), Fixed, n_envs=3, n_workers=n_workers) as vectorized:
        batch = vectorized.obtain_samples(0, 9 * Fixed.length)
    assert batch.agent_infos["tick"].max() + 1 == 3 * Fixed.length


@pytest.mark.parametrize("n_processes", [1, 2])
def test_a_worker_that_dies_with_units_under_way_leaves_no_trace(tmp_path, n_processes):
    once = tmp_path / "died"
    policy = RandomPolicy(FaultyEnv.action_space)
    with (
        sampler("local", policy, FaultyEnv) as local,
        sampler(
            "multiprocessing+vectorized",
            policy,
            NewEnvUpdate(lambda: FaultyEnv("kill", once=once)),
            n_processes=n_processes,
            n_envs=4,
        ) as vectorized,
    ):
        assert_equal(vectorized.obtain_samples(0, 200), local.obtain_samples(0, 200))
        assert vectorized.statistics().restarts == 1


def test_one_that_remembers_runs_its_units_in_order_in_one_environment():
    policy = ProbePolicy(1)
    with (
        sampler("local", policy, TattooEnv, reseed=False, n_workers=2) as local,
        sampler("vectorized", policy, TattooEnv, reseed=False, n_workers=2, n_envs=4) as vectorized,
    ):
        for call in range(2):
            assert_equal(vectorized.obtain_exact_episodes(3), local.obtain_exact_episodes(3))
            assert_equal(vectorized.obtain_samples(call, 30), local.obtain_samples(call, 30))


class Fixed(gymnasium.Env):
    """Episodes of five steps."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)
    length = 5

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return 0, {}

    def step(self, action):
        self.t += 1
        return 0, 0.0, self.t == self.length, False, {}


class Counting:
    """Says how often it was asked."""

    def __init__(self):
        self.ticks = 0

    def reset(self, do_resets=None):
        pass

    def get_action(self, observation):
        raise AssertionError("a vectorized worker asks for actions of all rows")

    def get_actions(self, observations):
        self.ticks += 1
        n = len(observations)
        return np.zeros(n, np.int64), {"tick": np.full(n, self.ticks - 1)}

    def get_param_values(self):
        return {}

    def set_param_values(self, params):
        pass
