"""Vector environments are stepped as one object, and give what their environments give one by one."""

from __future__ import annotations

import copy
import functools
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
from equal_batches import assert_equal
from fault_probes import DictEnv
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers.vector import RecordEpisodeStatistics, TransformReward
from hypothesis import given
from hypothesis import strategies as st

import samplerkit
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.policies import MLPPolicy, RandomPolicy, from_callable
from samplerkit.rl2 import BanditVectorEnv
from samplerkit.sampling import host
from samplerkit.workers.native_slots import seeds_each_slot

MODES = list(AutoresetMode)


def synchronous(make, mode, n_envs):
    return SyncVectorEnv([make] * n_envs, autoreset_mode=mode)


def sampler(name, agents, envs, **arguments):
    arguments = {"seed": 11, "max_episode_length": 60, "n_workers": 2, **arguments}
    return samplerkit.make_sampler(name, agents=agents, envs=envs, **arguments)


class Copying(gymnasium.Wrapper):
    """Gives arrays that nobody writes to: `SyncVectorEnv` keeps those of a last step while it resets."""

    def step(self, action):
        return copy.deepcopy(self.env.step(action))


def tattoo(**arguments):
    return Copying(TattooEnv(**arguments))


def cartpole():
    return gymnasium.make("CartPole-v1")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("name", ["vectorized", "multiprocessing+vectorized"])
def test_whatever_the_autoreset_mode_batches_are_those_of_single_environments(name, mode):
    env = cartpole()
    policy = MLPPolicy(env.observation_space, env.action_space, seed=3)
    vector = functools.partial(synchronous, cartpole, mode, 4)
    with sampler("local", policy, cartpole) as local, sampler(name, policy, vector, n_envs=4) as native:
        for call in (
            lambda s: s.obtain_samples(0, 900),
            lambda s: s.obtain_exact_episodes(3),
            lambda s: s.obtain_samples(1, 1),
        ):
            assert_equal(call(native), call(local))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("infos", ["plain", "rich"])
def test_infos_of_vector_environments_belong_to_their_steps(mode, infos):
    make = functools.partial(tattoo, tag=1, infos=infos)
    vector = functools.partial(synchronous, make, mode, 3)
    with (
        sampler("local", ProbePolicy(1), make) as local,
        sampler("vectorized", ProbePolicy(1), vector, n_envs=3) as native,
    ):
        assert_equal(native.obtain_samples(0, 120), local.obtain_samples(0, 120))


KINDS = {
    "number": lambda t: t,
    "flag": lambda t: np.bool_(t % 2),  # of these gymnasium makes objects
    "word": lambda t: f"step {t}",
    "array": lambda t: np.full(2, t, np.float32),
    "tuple": lambda t: (t, "of", {}),
    "nested": lambda t: {"number": t, "word": f"step {t}"},
}


class Telling(TattooEnv):
    """Gives infos of some kinds, each at every so many steps from one on."""

    def __init__(self, when, **arguments):
        super().__init__(infos="none", **arguments)
        self.when = when

    def _info(self, action):
        return {
            name: KINDS[name](self.t)
            for name, (first, every) in self.when.items()
            if self.t >= first and (self.t - first) % every == 0
        }


@given(
    when=st.dictionaries(
        st.sampled_from(sorted(KINDS)), st.tuples(st.integers(1, 6), st.integers(1, 3)), max_size=3
    ),
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    mode=st.sampled_from(MODES),
    n_envs=st.integers(1, 4),
    limit=st.sampled_from([60, 4]),
    n_samples=st.integers(1, 60),
)
def test_infos_of_any_kind_may_come_at_any_step(when, lengths, mode, n_envs, limit, n_samples):
    make = functools.partial(lambda **made: Copying(Telling(when, **made)), tag=1, lengths=lengths)
    vector = functools.partial(synchronous, make, mode, n_envs)
    arguments = {"max_episode_length": limit, "n_workers": 1}
    with (
        sampler("local", ProbePolicy(1), make, **arguments) as local,
        sampler("vectorized", ProbePolicy(1), vector, n_envs=n_envs, **arguments) as native,
    ):
        for call in range(2):
            assert_equal(native.obtain_samples(call, n_samples), local.obtain_samples(call, n_samples))


class OneLegalMove(gymnasium.Env):
    """Allows one action only: what it showed last, as games do that are in one of many states."""

    observation_space = spaces.Discrete(5)
    action_space = spaces.Discrete(5)

    def _show(self):
        self.shown = int(self.np_random.integers(5))
        return self.shown

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 6))
        return self._show(), {}

    def step(self, action):
        assert action == self.shown, f"{action} is illegal: {self.shown} is the only legal one"
        self.left -= 1
        return self._show(), 1.0, self.left == 0, False, {}


@pytest.mark.parametrize("as_they_are", [True, False], ids=["actions as they are", "actions that are cast"])
@given(
    n_envs=st.integers(1, 5),
    n_workers=st.integers(1, 2),
    mode=st.sampled_from(MODES),
    limit=st.integers(1, 6),
    calls=st.lists(st.integers(1, 20), min_size=1, max_size=3),
)
def test_slots_without_a_unit_get_actions_that_are_legal_there(
    as_they_are, n_envs, n_workers, mode, limit, calls
):
    dtype = np.int64 if as_they_are else np.int16
    policy = from_callable(lambda observations: observations.astype(dtype), batched=True)
    vector = functools.partial(synchronous, OneLegalMove, mode, n_envs)
    arguments = {"max_episode_length": limit, "n_workers": n_workers}
    with (
        sampler("local", policy, OneLegalMove, **arguments) as local,
        sampler("vectorized", policy, vector, n_envs=n_envs, **arguments) as native,
    ):
        for call in calls:
            assert_equal(native.obtain_samples(0, call), local.obtain_samples(0, call))


def test_nested_spaces_of_vector_environments_come_through():
    policy = RandomPolicy(DictEnv.action_space)
    vector = functools.partial(synchronous, DictEnv, AutoresetMode.DISABLED, 3)
    with (
        sampler("local", policy, DictEnv) as local,
        sampler("vectorized", policy, vector, n_envs=3) as native,
    ):
        assert_equal(native.obtain_samples(0, 120), local.obtain_samples(0, 120))


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.name
)
def test_atari_games_are_the_same_in_any_number_of_slots(mode):
    atari = pytest.importorskip("ale_py.vector_env")
    batches = []
    for n_envs in (1, 3):
        make = functools.partial(
            atari.AtariVectorEnv,
            "breakout",
            num_envs=n_envs,
            autoreset_mode=mode,
            episodic_life=True,
            num_threads=1,
        )
        env = make()
        policy = RandomPolicy(env.single_action_space)
        env.close()
        with sampler("vectorized", policy, make, n_envs=n_envs, max_episode_length=30) as native:
            batches.append(native.obtain_samples(0, 150))
    assert_equal(*batches)
    assert len(set(batches[0].lengths.tolist())) > 1


class NotingSeeds(BanditVectorEnv):
    """Notes the seeds of every reset."""

    given: ClassVar[list[list[int] | None]] = []

    def reset(self, *, seed=None, options=None):
        self.given.append(None if seed is None else np.asarray(seed).tolist())
        return super().reset(seed=seed, options=options)


@pytest.mark.parametrize("reseed", [True, False])
def test_without_reseeding_a_vector_environment_is_seeded_once(monkeypatch, reseed):
    monkeypatch.setattr(NotingSeeds, "given", [])
    policy = RandomPolicy(BanditVectorEnv(1).single_action_space)
    with sampler("vectorized", policy, lambda: NotingSeeds(2), n_workers=1, n_envs=2, reseed=reseed) as it:
        it.obtain_samples(0, 40)
    first, *later = NotingSeeds.given
    assert first is not None
    assert len(later) >= 1
    assert [seeds is not None for seeds in later] == [reseed] * len(later)


def test_a_vector_environment_may_be_given_as_it_is_or_as_an_update():
    env = synchronous(TattooEnv, AutoresetMode.DISABLED, 3)
    with (
        sampler("local", ProbePolicy(1), TattooEnv) as local,
        sampler("vectorized", ProbePolicy(1), env, n_envs=3) as native,
    ):
        assert_equal(native.obtain_samples(0, 30), local.obtain_samples(0, 30))
        for update in (functools.partial(tattoo, tag=2), functools.partial(tattoo, tag=3)):
            vector = functools.partial(synchronous, update, AutoresetMode.SAME_STEP, 3)
            one = native.obtain_samples(1, 30, env_update=vector)
            assert_equal(one, local.obtain_samples(1, 30, env_update=update))
        # And back to single environments.
        assert_equal(
            native.obtain_samples(2, 30, env_update=TattooEnv),
            local.obtain_samples(2, 30, env_update=TattooEnv),
        )


def test_a_vector_environment_of_another_size_is_refused():
    vector = functools.partial(synchronous, TattooEnv, AutoresetMode.DISABLED, 3)
    with pytest.raises(
        samplerkit.WorkerError, match="has 3 environments, but the worker has n_envs=8: pass n_envs=3"
    ):
        sampler("vectorized", ProbePolicy(1), vector)


def test_other_kinds_of_worker_take_no_vector_environment():
    env = synchronous(TattooEnv, AutoresetMode.DISABLED, 2)
    with pytest.raises(TypeError, match="a vector environment needs a vectorized worker"):
        sampler("local", ProbePolicy(1), env)
    env.close()


class Own(VectorEnv):
    """A vector environment of somebody's own: the length of an episode is told by its seed."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012
    seeds_each_slot = True

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.single_action_space = spaces.Discrete(2)
        self.buffer = np.zeros((num_envs, 2))
        self.lengths = np.zeros(num_envs, np.int64)

    def reset(self, *, seed=None, options=None):
        mask = options["reset_mask"]
        self.buffer[mask] = 0
        self.buffer[mask, 0] = seed
        self.lengths[mask] = 1 + seed % 7
        return self.buffer, {"seed": self.buffer[:, 0].copy()}

    def step(self, actions):
        assert not (self.buffer[:, 1] >= self.lengths).any(), "a step after the end"
        self.buffer[:, 1] += 1
        over = self.buffer[:, 1] >= self.lengths
        return self.buffer, self.buffer[:, 1] / 2, over, np.zeros_like(over), {}


@pytest.mark.parametrize("n_envs", [1, 5])
def test_a_vector_environment_of_ones_own_says_that_it_seeds_its_slots(n_envs):
    policy = RandomPolicy(spaces.Discrete(2))
    make = functools.partial(Own, n_envs)
    with sampler("vectorized", policy, make, n_envs=n_envs) as native:
        batch = native.obtain_samples(0, 200)
    seeds = batch.episode_infos_by_episode["seed"]
    assert batch.lengths.tolist() == (1 + seeds % 7).tolist()
    assert len(set(seeds.tolist())) == len(seeds)
    np.testing.assert_array_equal(batch.last_observations[:, 1], batch.lengths)
    starts = np.cumsum(batch.lengths) - batch.lengths
    assert not batch.observations[starts, 1].any()


class NamedLikeGymnasium(TattooEnv):
    """Has an info of its own by the name that gymnasium gives to final observations."""

    def _info(self, action):
        return {"final_obs": np.full(self.observation_space.shape, -1.0, self.observation_space.dtype)}


@pytest.mark.parametrize(
    "mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED], ids=lambda mode: mode.name
)
def test_an_info_named_like_a_final_observation_is_an_info_where_slots_do_not_reset_themselves(mode):
    def make():
        return Copying(NamedLikeGymnasium(tag=1))

    with (
        sampler("local", ProbePolicy(1), make) as local,
        sampler("vectorized", ProbePolicy(1), lambda: synchronous(make, mode, 3), n_envs=3) as native,
    ):
        assert_equal(native.obtain_samples(0, 120), local.obtain_samples(0, 120))


@pytest.mark.parametrize("name", ["vectorized", "fragment"])
def test_statistics_that_begin_anew_in_all_slots_when_one_is_reset_are_refused(name):
    def envs():
        return TransformReward(
            RecordEpisodeStatistics(synchronous(cartpole, AutoresetMode.NEXT_STEP, 3)), lambda reward: reward
        )

    with (
        pytest.raises(samplerkit.WorkerError, match=r"around each of its environments") as raised,
        sampler(name, RandomPolicy(cartpole().action_space), envs, n_envs=3) as it,
    ):
        it.obtain_samples(0, 40)
    assert raised.value.error_type == "TypeError"


def test_what_is_known_of_seeding():
    assert seeds_each_slot(Own(2))
    assert seeds_each_slot(synchronous(TattooEnv, AutoresetMode.DISABLED, 2))
    assert not seeds_each_slot(gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point"))


@pytest.mark.parametrize(
    ("envs", "policy", "set_"),
    [
        (functools.partial(BanditVectorEnv, 4), RandomPolicy, False),
        (functools.partial(BanditVectorEnv, 4), type("Other", (RandomPolicy,), {}), True),
        (lambda: RecordEpisodeStatistics(BanditVectorEnv(4)), RandomPolicy, True),
        (type("OtherBandit", (BanditVectorEnv,), {}), RandomPolicy, True),
        (cartpole, RandomPolicy, False),
        (tattoo, RandomPolicy, True),
    ],
)
def test_the_global_generators_are_set_only_where_something_in_the_slots_may_draw_from_them(
    monkeypatch, envs, policy, set_
):
    made = (lambda: envs(4)) if isinstance(envs, type) else envs
    env = made()
    space = env.single_action_space if isinstance(env, VectorEnv) else env.action_space
    with sampler("vectorized", policy(space), made, n_envs=4) as it:
        it.obtain_samples(0, 40)
        seeds = []
        monkeypatch.setattr(host, "seed_globals", seeds.append)
        it.obtain_samples(1, 40)
    assert bool(seeds) is set_


class Strict(VectorEnv):
    """Some episodes end after two steps, others never; raises if a slot goes on after five."""

    metadata: ClassVar[dict] = {"autoreset_mode": AutoresetMode.DISABLED}
    seeds_each_slot = True

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.single_observation_space = spaces.Box(0, 9, (1,), np.float32)
        self.single_action_space = spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.steps = np.zeros(num_envs, np.int64)
        self.lengths = np.zeros(num_envs, np.int64)

    def reset(self, *, seed=None, options=None):
        mask = options["reset_mask"]
        self.steps[mask] = 0
        self.lengths[mask] = np.where(np.asarray(seed) % 2, 99, 2)
        return self.steps[:, None].astype(np.float32), {}

    def step(self, actions):
        self.steps += 1
        if (self.steps > np.minimum(self.lengths, 5)).any():
            raise RuntimeError("stepped on after the end")
        over = self.steps == self.lengths
        flags = np.zeros(self.num_envs, np.bool_)
        return self.steps[:, None].astype(np.float32), np.ones(self.num_envs), over, flags, {}


@pytest.mark.parametrize("count", [4, 5, 6, 7, 8, 9, 10])
def test_slots_that_reached_the_limit_and_have_no_more_units_are_reset(count):
    policy = RandomPolicy(spaces.Discrete(2))
    with sampler("vectorized", policy, lambda: Strict(3), n_workers=1, n_envs=3, max_episode_length=5) as it:
        for _ in range(3):
            batch = it.obtain_exact_episodes(count)
            assert set(batch.lengths.tolist()) <= {2, 5}
