from __future__ import annotations

import dataclasses
import tomllib
from importlib import resources

import numpy as np
import pytest

import samplerkit
from samplerkit.cli import main
from samplerkit.errors import UnsupportedFeature
from samplerkit.rl2 import RL2Env, bayes_optimal_value, greedy_value, random_value
from samplerkit.tf.experiments import return_per_trial, rl2_bandit
from samplerkit.trainer import TIMING_COLUMNS, ConfigError, ExperimentConfig, read_progress
from samplerkit.trainer.experiment import SamplerSettings

LOCAL = SamplerSettings(name="local", n_workers=2)


@pytest.fixture
def config():
    text = (resources.files("samplerkit") / "configs" / "rl2-bandit.toml").read_text()
    return ExperimentConfig.from_tables(tomllib.loads(text))


def with_table(config, **changes):
    return dataclasses.replace(config, **changes)


def test_the_configuration_builds_the_paper_s_bandit(config):
    experiment = rl2_bandit(config)
    assert isinstance(experiment.env, RL2Env)
    assert experiment.env.episodes_per_trial == 10
    assert experiment.env.action_space.n == 5
    assert experiment.algo.policy.hidden_size == 32
    assert experiment.trainer == "samplerkit.tf:TFTrainer"


def test_trials_run_side_by_side_in_processes(config):
    assert config.sampler.name == "multiprocessing+vectorized"
    assert config.sampler.options["n_envs"] > 1
    experiment = rl2_bandit(config)
    batches = []
    for name, options in ((config.sampler.name, config.sampler.options), ("local", {})):
        with samplerkit.make_sampler(
            name, agents=experiment.algo.policy, envs=experiment.env, seed=1, n_workers=2, **options
        ) as sampler:
            batches.append(sampler.obtain_samples(0, 2_000))
    assert batches[0].difference(batches[1]) is None


def test_rates_decay_over_the_epochs_of_the_configuration(config):
    settings = rl2_bandit(config).algo.inner_algo.settings
    assert settings.decay_epochs == config.train.n_epochs
    assert settings.learning_rate_at(config.train.n_epochs) == pytest.approx(settings.final_learning_rate)


def test_the_decay_does_not_follow_the_number_of_epochs(config):
    longer = with_table(config, train=dataclasses.replace(config.train, n_epochs=400))
    assert rl2_bandit(longer).algo.inner_algo.settings == rl2_bandit(config).algo.inner_algo.settings
    unsaid = {key: value for key, value in config.algo.items() if key != "decay_epochs"}
    with pytest.raises(ValueError, match="need decay_epochs"):
        rl2_bandit(with_table(config, algo=unsaid))


@pytest.mark.slow
def test_a_run_that_is_extended_equals_one_of_that_length(tmp_path):
    few = ["--sampler", "local", "--set", "train.batch_size=200", "--set", "evaluation.trials=0"]

    def train(folder, n_epochs):
        words = ["train", "rl2-bandit", "--logdir", str(folder), "--set", f"train.n_epochs={n_epochs}"]
        assert main([*words, *few]) == 0

    train(tmp_path / "whole", 4)
    train(tmp_path / "halves", 2)
    assert main(["resume", str(tmp_path / "halves"), "--n-epochs", "4"]) == 0
    whole, halves = (
        [{k: v for k, v in row.items() if k not in TIMING_COLUMNS} for row in read_progress(tmp_path / name)]
        for name in ("whole", "halves")
    )
    assert len(whole) == 4
    assert halves == whole


def test_references_are_the_exact_values(config):
    exact = {
        "random play": random_value(5, 10),
        "greedy play": greedy_value(5, 10),
        "exact optimum": bayes_optimal_value(5, 10),
    }
    assert config.evaluation.references == pytest.approx(exact, abs=5e-4)


def test_a_misspelt_key_is_refused(config):
    with pytest.raises(ConfigError, match="discount"):
        rl2_bandit(with_table(config, algo={"discont": 0.9}))


def test_the_seed_decides_the_initial_weights(config):
    one, same, other = (
        rl2_bandit(with_table(config, seed=seed)).algo.policy.get_param_values()["gru/kernel"]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_an_untrained_policy_is_measured_at_random_play(config):
    experiment = rl2_bandit(with_table(config, sampler=LOCAL))
    figures = experiment.evaluate(experiment.algo, experiment.env, trials=2000, seed=9)
    assert next(iter(figures)) == "mean return per trial"
    assert abs(figures["mean return per trial"] - 5.0) < 4 * figures["standard error"]
    assert figures["standard error"] == pytest.approx(2.0 / np.sqrt(2000), rel=0.2)


def test_the_seed_of_the_sampler_is_not_that_of_the_evaluation(config):
    experiment = rl2_bandit(config)
    seeded = dataclasses.replace(LOCAL, options={"seed": 3})
    figures = [
        return_per_trial(sampler)(experiment.algo, experiment.env, trials=50, seed=9)
        for sampler in (LOCAL, seeded)
    ]
    assert figures[0] == figures[1]


def test_returns_of_trials_are_not_measured_on_parts_of_them(config):
    experiment = rl2_bandit(config)
    evaluate = return_per_trial(SamplerSettings(name="fragment", n_workers=2))
    with pytest.raises(UnsupportedFeature, match="return of a trial needs whole episodes"):
        evaluate(experiment.algo, experiment.env, trials=20, seed=1)


def test_the_evaluation_counts_exactly_the_trials_asked_for(config, monkeypatch):
    experiment = rl2_bandit(config)
    taken = []
    sampler = samplerkit.make_sampler(
        "local", agents=experiment.algo.policy, envs=experiment.env, seed=1, n_workers=1
    )
    obtain = sampler.obtain_samples
    monkeypatch.setattr(sampler, "obtain_samples", lambda itr, n: taken.append(n) or obtain(itr, n))
    monkeypatch.setattr("samplerkit.tf.experiments._STEPS_AT_ONCE", 100)
    monkeypatch.setattr(samplerkit, "make_sampler", lambda *args, **kwargs: sampler)
    return_per_trial(LOCAL)(experiment.algo, experiment.env, trials=23, seed=1)
    assert taken == [100, 100, 30]
