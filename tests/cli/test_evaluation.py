"""The evaluation of a trained policy: on whole episodes, and exactly as many as asked for."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import samplerkit
from samplerkit.cli.evaluation import evaluate
from samplerkit.trainer import Experiment, ExperimentConfig, performance
from samplerkit.trainer.experiment import EvaluationSettings, SamplerSettings, TrainSettings
from samplerkit.trainer.reinforce import LinearSoftmaxPolicy, Reinforce

FIGURES = ("AverageReturn", "StdReturn", "MinReturn", "MaxReturn", "NumEpisodes")


def figures(
    trials: int, name: str = "local", *, env: Any = "CartPole-v1", **sampler: Any
) -> dict[str, float]:
    """What is measured of an untrained policy with a sampler that has these settings."""
    n_workers = sampler.pop("n_workers", None)
    config = ExperimentConfig(
        name="x",
        build="x:y",
        seed=1,
        train=TrainSettings(n_epochs=1),
        sampler=SamplerSettings(name=name, n_workers=n_workers, options=sampler),
        evaluation=EvaluationSettings(seed=5),
    )
    algo = Reinforce(LinearSoftmaxPolicy(4, 2), learning_rate=0.1, discount=0.99)
    trainer: Any = SimpleNamespace(algo=algo, env=env, policy=algo.policy)
    return evaluate(trainer, Experiment(algo=algo, env=env), config, trials)


def of_units(n: int) -> dict[str, float]:
    """The same of the first n units, whoever plays them."""
    policy = LinearSoftmaxPolicy(4, 2)
    with samplerkit.make_sampler("local", agents=policy, envs="CartPole-v1", n_workers=1, seed=5) as sampler:
        every = performance(sampler.obtain_exact_episodes(n))
    return {key: every[key] for key in FIGURES}


@pytest.mark.parametrize("trials", [1, 3, 4, 10])
@pytest.mark.parametrize("n_workers", [None, 1, 4, 7])
def test_exactly_so_many_trials_are_measured_with_any_number_of_workers(
    trials: int, n_workers: int | None
) -> None:
    assert figures(trials, n_workers=n_workers) == pytest.approx(of_units(trials))


@pytest.mark.parametrize("n_workers", [None, 4])
def test_fewer_trials_than_environments_of_a_list_can_be_measured(n_workers: int | None) -> None:
    assert figures(3, env=["CartPole-v1"] * 4, n_workers=n_workers) == pytest.approx(of_units(3))


def test_a_run_that_names_no_number_of_workers_is_measured_with_a_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers, make = [], samplerkit.make_sampler

    def made(*arguments: Any, **named: Any) -> Any:
        numbers.append(named["n_workers"])
        return make(*arguments, **named)

    monkeypatch.setattr(samplerkit, "make_sampler", made)
    assert figures(200, "vectorized")["NumEpisodes"] == 200
    assert figures(2, "vectorized")["NumEpisodes"] == 2
    assert numbers == [4, 2]


@pytest.mark.parametrize("name", ["fragment", "local+fragment", "multiprocessing+fragment"])
def test_a_run_on_fragments_is_measured_on_whole_episodes(name: str) -> None:
    options: dict[str, Any] = {"timesteps_per_call": 32, "n_envs": 2, "max_episode_length": 500}
    assert figures(5, name, n_workers=2, **options) == pytest.approx(of_units(5))
    del options["max_episode_length"]
    assert figures(5, name, n_workers=2, worker_args=options) == pytest.approx(of_units(5))


def test_the_policy_is_measured_with_the_seed_of_the_evaluation() -> None:
    assert figures(5, n_workers=2, seed=99) == pytest.approx(of_units(5))


def of_hook(returned: Any) -> dict[str, float]:
    """What is measured by a hook that returns this."""
    config = ExperimentConfig(name="x", build="x:y", seed=1, train=TrainSettings(n_epochs=1))
    trainer: Any = SimpleNamespace(algo=None, env=None)
    hook: Any = lambda algo, env, *, trials, seed: returned  # noqa: E731
    return evaluate(trainer, Experiment(algo=trainer, env=None, evaluate=hook), config, 3)


def test_figures_of_a_hook_may_be_numbers_of_numpy() -> None:
    found = of_hook({"solved": np.int64(3), "share": np.float32(0.5), "mean": np.array([1.5])})
    assert json.loads(json.dumps(found)) == {"solved": 3, "share": 0.5, "mean": 1.5}


@pytest.mark.parametrize("returned", [None, {}, 3.0, {"mean": "high"}, {"mean": np.zeros(2)}])
def test_a_hook_that_returns_no_figures_is_told_what_to_return(returned: Any) -> None:
    with pytest.raises(TypeError, match=r"return a dict of figures|record"):
        of_hook(returned)
