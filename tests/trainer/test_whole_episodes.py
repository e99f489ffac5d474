"""An algorithm that learns from episodes is not given parts of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import samplerkit
from samplerkit.errors import UnsupportedFeature
from samplerkit.trainer import SnapshotConfig, Trainer
from samplerkit.trainer.reinforce import LinearSoftmaxPolicy, Reinforce


class StepCounter:
    """Learns nothing, from whatever steps there are."""

    takes_fragments = True

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def train(self, trainer: Any) -> int:
        return sum(int(trainer.obtain_episodes(epoch).lengths.sum()) for epoch in trainer.step_epochs())


def trainer_in(folder: Path, algo: Any, sampler: Any, **options: Any) -> Trainer:
    trainer = Trainer(SnapshotConfig(folder))
    trainer.setup(algo, "CartPole-v1", sampler=sampler, **options)
    return trainer


def reinforce() -> Reinforce:
    return Reinforce(LinearSoftmaxPolicy(4, 2), learning_rate=0.1, discount=0.99)


def test_a_backend_of_fragments_is_refused_before_the_first_epoch(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, reinforce(), "fragment")
    with pytest.raises(UnsupportedFeature, match=r"Reinforce needs whole episodes.*'multiprocessing'"):
        trainer.train(2, 100)
    assert trainer.total_env_steps == 0
    assert trainer.sampler is None, "the sampler that was made is stopped"
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_a_sampler_of_fragments_that_was_handed_over_is_refused_and_stays_up(tmp_path: Path) -> None:
    algo = reinforce()
    with samplerkit.make_sampler("fragment", agents=algo.policy, envs="CartPole-v1", seed=1) as sampler:
        with pytest.raises(UnsupportedFeature, match="whole episodes"):
            trainer_in(tmp_path, algo, sampler).train(2, 100)
        sampler.obtain_samples(0, 10)


def test_an_algorithm_that_says_so_is_given_fragments(tmp_path: Path) -> None:
    algo = StepCounter(LinearSoftmaxPolicy(4, 2))
    options = {"seed": 1, "n_workers": 2, "n_envs": 4, "timesteps_per_call": 25}
    assert trainer_in(tmp_path, algo, "fragment", sampler_options=options).train(2, 100) == 200
