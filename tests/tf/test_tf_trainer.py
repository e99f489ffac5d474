from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from samplerkit.rl2 import BanditEnv, RL2Env
from samplerkit.tf import PPO, PPOSettings, TFGRUPolicy, TFGRUValue, TFTrainer
from samplerkit.trainer import SnapshotConfig, read_progress


def algorithm(env):
    policy = TFGRUPolicy(env.observation_space, env.action_space, hidden_size=4, seed=1)
    settings = PPOSettings(minibatch_size=16, update_epochs=1, learning_rate=0.01, jit_compile=False)
    return PPO(policy, TFGRUValue(env.observation_space, hidden_size=4, seed=2), settings, seed=3)


def bandit():
    return RL2Env(BanditEnv(3), episodes_per_trial=4)


def set_up(trainer, env=None):
    env = bandit() if env is None else env
    trainer.setup(algorithm(env), env, sampler="local", sampler_options={"seed": 1, "n_workers": 1})


@pytest.mark.parametrize("arguments", [{"sess": object()}, {"mode": "session"}])
def test_sessions_are_refused_with_advice(tmp_path, arguments):
    with pytest.raises(NotImplementedError, match="leave out sess and mode"):
        TFTrainer(SnapshotConfig(tmp_path), **arguments)


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'graph'"):
        TFTrainer(SnapshotConfig(tmp_path), mode="graph")


def test_it_leaves_tensorflow_as_it_was(tmp_path):
    with TFTrainer(SnapshotConfig(tmp_path)) as trainer:
        assert trainer.sess is None
        assert tf.compat.v1.get_default_session() is None
        assert tf.executing_eagerly()
    assert tf.executing_eagerly()


def test_it_is_refused_where_eager_execution_is_off(tmp_path):
    trainer, env = TFTrainer(SnapshotConfig(tmp_path)), bandit()
    algo = algorithm(env)
    with tf.Graph().as_default(), pytest.raises(RuntimeError, match="eager execution"):
        trainer.setup(algo, env, sampler="local")


def run(folder, n_epochs):
    with TFTrainer(SnapshotConfig(folder)) as trainer:
        set_up(trainer)
        trainer.train(n_epochs, batch_size=80)
    return trainer


def rows(folder):
    timing = {"Time", "EpochTime", "SamplingTime"}
    return [{key: value for key, value in row.items() if key not in timing} for row in read_progress(folder)]


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / "whole", 4)
    run(tmp_path / "halves", 2)
    with TFTrainer() as resumed:
        resumed.restore(tmp_path / "halves")
        resumed.resume(4)
    expected, got = rows(tmp_path / "whole"), rows(tmp_path / "halves")
    assert len(got) == 4
    for row, other in zip(expected, got, strict=True):
        assert other == pytest.approx(row, rel=1e-4, abs=1e-5)
    for name, value in whole.algo.policy.get_param_values().items():
        np.testing.assert_allclose(resumed.algo.policy.get_param_values()[name], value, atol=1e-6)


@pytest.mark.slow
def test_rows_hold_what_the_learner_reports(tmp_path):
    run(tmp_path, 1)
    [row] = read_progress(tmp_path)
    assert {"PPO/Entropy", "PPO/KL", "PPO/ValueLoss", "Train/AverageReturn"} <= set(row)
    assert row["TotalEnvSteps"] == 80
