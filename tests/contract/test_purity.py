from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import environment_zoo as zoo
import gymnasium
import numpy as np
import pytest

from samplerkit import NewEnvUpdate, make_sampler
from samplerkit.contract import check_purity
from samplerkit.contract.environment_report import Impurity, PurityReport
from samplerkit.policies import MLPPolicy, RandomPolicy
from samplerkit.rl2 import BanditEnv, RL2Env


def held(report: PurityReport) -> dict[str, bool | None]:
    return {comparison.name: comparison.held for comparison in report.comparisons}


def check(env: Any, **options: Any) -> PurityReport:
    return check_purity(env, **{"processes": False, "n_units": 3, **options})


class CountingPolicy:
    """Impure: it remembers how many actions it has taken."""

    count = 0

    def get_action(self, observation: Any) -> Any:
        self.count += 1
        return np.int64(self.count // 4 % 2), {}

    def reset(self, do_resets: Any = None) -> None:
        pass

    def get_param_values(self) -> Any:
        return {}

    def set_param_values(self, params: Any) -> None:
        pass


# ---- pure environments


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Taxi-v4"])
def test_gymnasium_s_own_environments_are_pure(name: str) -> None:
    report = check(name, max_episode_length=50)
    assert report.pure, str(report)
    assert not report.findings
    assert report.declare == {}


@pytest.mark.parametrize(
    "env",
    [
        zoo.Drawing(),
        zoo.Drawing,
        zoo.GlobalMap,
        NewEnvUpdate(zoo.Drawing),
        lambda: RL2Env(BanditEnv(3), episodes_per_trial=5),
        zoo.without_time,
    ],
    ids=["instance", "class", "constructor-draws", "update", "rl2", "without-time"],
)
def test_whatever_samplers_take_can_be_checked(env: Any) -> None:
    report = check(env)
    assert report.pure, str(report)


def test_a_pure_environment_is_compared_in_every_way() -> None:
    report = check_purity(zoo.Drawing, n_units=2)
    assert held(report) == {
        "in another copy": True,
        "in an unpickled copy": True,
        "after other units": True,
        "after an interrupted unit": True,
        "beside another copy": True,
        "in another process": True,
    }


def test_global_generators_are_named_and_harmless() -> None:
    report = check_purity(zoo.FromGlobals, n_units=2)
    assert report.pure, str(report)
    assert set(report.global_draws) == {
        f"{name} in {where}" for name in ("random", "numpy.random") for where in ("reset", "step")
    }
    assert "numpy.random in its constructor" in check(zoo.GlobalMap).global_draws
    assert check(zoo.Drawing).global_draws == ()


# ---- impure ones: kind, and what to declare


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "kind", "declare", "suffices"),
    [
        (zoo.Counting, Impurity.REMEMBERS, {"stateful": True}, True),
        (zoo.Unfinished, Impurity.REMEMBERS, {"stateful": True}, True),
        (zoo.GeneratorInClass, Impurity.ENTANGLED, {"stateful": True}, True),
        (zoo.OwnGenerator, Impurity.SEED_IGNORED, {"stateful": True}, True),
        (zoo.SeededOnce, Impurity.SEEDED_ONCE, {"reseed": False}, True),
        (zoo.RefusesSecondSeed, Impurity.SEEDED_ONCE, {"reseed": False}, True),
        (zoo.FromOperatingSystem, Impurity.UNSEEDED, {"stateful": True}, False),
        (zoo.FromSpace, Impurity.UNSEEDED, {"stateful": True}, False),
        (zoo.RandomMap, Impurity.CONSTRUCTION, {"stateful": True}, False),
        (zoo.Clock, Impurity.CLOCK, {"stateful": True}, False),
        (zoo.timed, Impurity.CLOCK, {}, False),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_kind_of_impurity_is_told_apart(
    env: Any, kind: Impurity, declare: dict[str, bool], suffices: bool
) -> None:
    report = check(env)
    assert not report.pure
    assert report.kinds == (kind,), str(report)
    assert report.declare == declare
    assert report.declaration_suffices is suffices


def test_what_copies_share_shows_where_they_are_stepped_in_turn() -> None:
    def batch(backend: str, **options: Any) -> Any:
        policy = RandomPolicy(zoo.GeneratorInClass.action_space)
        with make_sampler(backend, agents=policy, envs=zoo.GeneratorInClass, seed=1, **options) as sampler:
            return sampler.obtain_exact_episodes(3)

    report = check(zoo.GeneratorInClass)
    assert [name for name, same in held(report).items() if same is False] == ["beside another copy"]
    one_by_one = batch("local", n_workers=1)
    assert not batch("vectorized", n_workers=1, n_envs=2).equals(one_by_one)
    assert batch("vectorized", n_workers=1, n_envs=2, **report.declare).equals(one_by_one)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "kind"),
    [
        (zoo.HashOrder, Impurity.HASH_ORDER),
        (zoo.ProcessNumber, Impurity.PROCESS),
        (zoo.CountingInClass, Impurity.SHARED),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_depends_on_the_process_shows_in_another_one(env: Any, kind: Impurity) -> None:
    report = check_purity(env, n_units=1)
    assert held(report)["in another process"] is False
    assert report.kinds == (kind,), str(report)


def test_an_interrupted_unit_alone_can_show_it() -> None:
    found = held(check(zoo.Unfinished))
    assert found["after other units"] is True
    assert found["after an interrupted unit"] is False


def test_the_first_difference_names_field_unit_step_and_values() -> None:
    report = check(zoo.Counting)
    detail = next(c.detail for c in report.comparisons if c.name == "after other units")
    assert detail.startswith("observations at unit 1, step 0 is [")
    assert " alone and [" in detail
    assert detail.endswith("after other units")


def test_a_declared_environment_gives_equal_batches_again() -> None:
    declare = check(zoo.SeededOnce).declare
    policy = MLPPolicy(zoo.Drawing().observation_space, zoo.Drawing.action_space)
    batches = []
    for _ in range(2):
        with make_sampler(
            "local", agents=policy, envs=zoo.SeededOnce, seed=3, n_workers=2, **declare
        ) as sampler:
            batches.append(sampler.obtain_exact_episodes(2))
    assert batches[0].difference(batches[1]) is None


# ---- who is to blame


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "blamed"),
    [
        (zoo.normalized, ("NormalizeObservation",)),
        (zoo.normalized_twice, ("NormalizeObservation", "NormalizeReward")),
        (zoo.timed, ("RecordEpisodeStatistics",)),
        (zoo.noisy, ("Noise",)),
        (zoo.Counting, ("the environment itself, Counting",)),
        (lambda: gymnasium.wrappers.TimeLimit(zoo.Counting(), 4), ("the environment itself, Counting",)),
    ],
    ids=["observation", "reward-and-observation", "statistics", "in-the-middle", "bare", "wrapped"],
)
def test_the_layer_whose_removal_mends_it_is_named(env: Any, blamed: tuple[str, ...]) -> None:
    (finding,) = check(env).findings
    assert finding.blamed == blamed


def test_two_impurities_are_blamed_on_a_wrapper_each() -> None:
    report = check(zoo.timed_and_normalized)
    assert [(finding.kind, finding.blamed) for finding in report.findings] == [
        (Impurity.CLOCK, ("RecordEpisodeStatistics",)),
        (Impurity.REMEMBERS, ("NormalizeObservation",)),
    ]
    assert report.declare == {"stateful": True}


def test_wall_clock_infos_are_named_with_a_way_to_drop_them() -> None:
    (finding,) = check(zoo.timed).findings
    assert "env_infos['episode']['t']" in finding.evidence
    assert "drop info['episode']['t']" in finding.mend


def test_a_generator_that_no_reset_seeds_is_named() -> None:
    (finding,) = check(zoo.OwnGenerator).findings
    assert "OwnGenerator.generator" in finding.evidence
    (finding,) = check(zoo.FromSpace).findings
    assert "FromSpace.observation_space" in finding.evidence


def test_an_impure_policy_is_blamed_instead_of_the_environment() -> None:
    (finding,) = check("CartPole-v1", policy=CountingPolicy()).findings
    assert finding.blamed == ("the policy, CountingPolicy",)


def test_a_pure_policy_takes_part() -> None:
    env = zoo.Drawing()
    report = check(env, policy=MLPPolicy(env.observation_space, env.action_space))
    assert report.pure, str(report)


# ---- what else is said


def test_what_a_learner_may_not_expect_is_noted() -> None:
    report = check(zoo.Odd)
    assert report.pure, str(report)
    notes = "\n".join(report.notes)
    for words in (
        "reset returned float64 for a space of float32",
        "the reward nan",
        "no episode limit of its own",
        "env_infos['thing'] holds Python objects",
    ):
        assert words in notes


class Denying(zoo.FromGlobals):
    """Says what is not so."""

    draws_from_global_random = False


def test_draws_from_the_globals_are_harmless_only_where_they_are_not_denied() -> None:
    denying, honest = str(check(Denying)), str(check(zoo.FromGlobals))
    assert "it says draws_from_global_random = False: take that away" in " ".join(denying.split())
    assert "harmless, set for each unit" not in denying
    assert "harmless, set for each unit" in honest
    assert "draws_from_global_random" not in honest


def test_an_environment_that_cannot_be_pickled_passes_as_what_constructs_it() -> None:
    report = check(zoo.Unpicklable)
    assert report.pure, str(report)
    assert any("cannot be pickled" in note for note in report.notes)
    with pytest.raises(TypeError, match="Pass a callable that constructs it"):
        check(zoo.Unpicklable())


def test_losses_in_pickling_are_said_and_not_held_against_a_constructor() -> None:
    report = check(zoo.LosesWhenPickled)
    assert report.pure
    assert held(report)["in an unpickled copy"] is None
    assert "never an instance" in str(report)


def test_a_unit_that_raises_is_reported() -> None:
    report = check(zoo.Raising)
    assert not report.pure
    assert report.error == "unit 0 raised RuntimeError: the door is locked"
    assert "the door is locked" in str(report)


def test_costs_are_medians_in_microseconds() -> None:
    class SlowToSeed(zoo.Drawing):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            time.sleep(0.005 if seed is not None else 0)
            return super().reset(seed=seed)

    report = check(SlowToSeed(), n_units=1)
    assert report.costs.seeded_reset >= 5_000
    assert 0 < report.costs.plain_reset < report.costs.seeded_reset
    assert 0 < report.costs.step < report.costs.seeded_reset
    assert "reseed=False would save" in str(report)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"env": [zoo.Drawing()]}, TypeError),
        ({"env": 3}, TypeError),
        ({"env": "Nowhere-v0"}, ValueError),
        ({"env": dict}, TypeError),
        ({"env": zoo.Drawing, "n_units": 0}, ValueError),
        ({"env": zoo.Drawing, "max_episode_length": 0}, ValueError),
        ({"env": zoo.Drawing, "seed": -1}, ValueError),
        ({"env": zoo.Drawing, "policy": object()}, TypeError),
    ],
    ids=["list", "number", "unknown-id", "no-env", "n_units", "max_episode_length", "seed", "no-policy"],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        check_purity(**arguments)


def test_nothing_of_the_caller_s_is_touched() -> None:
    env = zoo.Counting()
    clocks = (time.time, time.perf_counter)
    before = (random.getstate(), np.random.get_state()[1].tobytes())
    check(env)
    assert env.episodes == 0
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before
    assert (time.time, time.perf_counter) == clocks


def test_the_report_as_plain_values_names_everything() -> None:
    plain = check(zoo.normalized).as_dict()
    assert plain["pure"] is False
    assert plain["findings"][0]["kind"] == "remembers earlier episodes"
    assert plain["declare"] == {"stateful": True}
    assert {comparison["name"] for comparison in plain["comparisons"]} >= {"in another copy"}


def test_the_page_on_environments_says_how_to_mend_each_kind() -> None:
    page = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()
    missing = [kind for kind in Impurity if f"| {kind} |" not in page]
    assert not missing, f"docs/environments.md does not say how to mend: {missing}"
