"""Fakes for the trainer's tests: a sampler without workers, an algorithm that draws from everywhere."""

from __future__ import annotations

import random
from typing import Any

import gymnasium
import numpy as np
import pytest

from samplerkit.episodes import EnvSpec, EpisodeBatch, StepType
from samplerkit.errors import SamplerClosed, UnknownBackend
from samplerkit.interfaces import Sampler, Statistics
from samplerkit.trainer import log_performance

SPEC = EnvSpec(gymnasium.spaces.Box(-1, 1, (1,), np.float32), gymnasium.spaces.Discrete(2))


def episodes_of(rewards_of_each: list[list[float]], last: StepType = StepType.TERMINAL) -> EpisodeBatch:
    """Episodes with these rewards and nothing else in them."""
    lengths = np.array([len(rewards) for rewards in rewards_of_each], dtype=np.int64)
    n = int(lengths.sum())
    step_types = np.full(n, StepType.MID, dtype=np.int8)
    step_types[np.cumsum(lengths) - lengths] = StepType.FIRST
    step_types[np.cumsum(lengths) - 1] = last
    return EpisodeBatch(
        SPEC,
        {},
        np.zeros((n, 1), np.float32),
        np.zeros((len(lengths), 1), np.float32),
        np.zeros(n, np.int64),
        np.concatenate([np.asarray(rewards, dtype=np.float64) for rewards in rewards_of_each]),
        {},
        {},
        step_types,
        lengths,
    )


class FakePolicy:
    """Has weights; never asked to act."""

    def __init__(self) -> None:
        self.weights = np.zeros(1)

    def get_action(self, observation: Any) -> Any:
        raise AssertionError("the fake sampler asks no policy")

    def reset(self, do_resets: Any = None) -> None: ...

    def get_param_values(self) -> np.ndarray:
        return self.weights.copy()

    def set_param_values(self, params: np.ndarray) -> None:
        self.weights = params


class FakeSampler(Sampler):
    """Rewards follow from seed, cursor and the weights it was last given."""

    def __init__(self, *, seed: int = 1, n_workers: int = 2, **options: Any) -> None:
        self._seed, self._n_workers, self.options = seed, n_workers, options
        self.cursor, self.weights, self.steps = 0, 0.0, 0
        self.shutdowns = 0
        self.calls: list[tuple[Any, ...]] = []
        self.on_call: Any = None

    n_workers = property(lambda self: self._n_workers)
    seed = property(lambda self: self._seed)
    total_env_steps = property(lambda self: self.steps)

    def obtain_samples(
        self, itr: int, num_samples: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        self.calls.append((itr, num_samples, agent_update, env_update))
        return self._units(-(-num_samples // 5), agent_update)

    def obtain_exact_episodes(
        self, n_eps_per_worker: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        self.calls.append((n_eps_per_worker, agent_update, env_update))
        return self._units(n_eps_per_worker * self._n_workers, agent_update)

    def _units(self, n: int, agent_update: Any) -> EpisodeBatch:
        if self.shutdowns:
            raise SamplerClosed("closed")
        if self.on_call is not None:
            self.on_call(self)
        if agent_update is not None:
            self.weights = float(np.sum(agent_update))
        units = range(self.cursor, self.cursor + n)
        rewards = [np.random.default_rng((self._seed, unit)).random(5) + self.weights for unit in units]
        self.cursor += n
        self.steps += 5 * n
        return episodes_of([list(values) for values in rewards])

    def shutdown_worker(self) -> None:
        self.shutdowns += 1

    def get_state(self) -> dict[str, Any]:
        return {"cursor": self.cursor, "weights": self.weights, "seed": self._seed, "steps": self.steps}

    def set_state(self, state: dict[str, Any]) -> None:
        self.cursor, self.weights, self.steps = state["cursor"], state["weights"], state["steps"]
        self._seed = state["seed"]

    def supports(self, capability: str) -> bool:
        return capability != "fragments"

    def statistics(self) -> Statistics:
        return Statistics()

    def __reduce__(self) -> Any:
        raise AssertionError("a sampler must not be pickled into a snapshot")


class FakeAlgo:
    """Moves its weights by rewards, its own stream, and both global streams."""

    def __init__(self) -> None:
        self.policy = FakePolicy()
        self.stream = np.random.default_rng(3)
        self.after_sampling: Any = None

    def train(self, trainer: Any) -> float:
        average = float("nan")
        for epoch in trainer.step_epochs():
            episodes = trainer.obtain_episodes(epoch)
            if self.after_sampling is not None:
                self.after_sampling(epoch)
            noise = self.stream.random() + random.random() + np.random.random()
            self.policy.weights = self.policy.weights + 0.01 * episodes.rewards.mean() + 0.01 * noise
            trainer.record({"Weight": self.policy.weights[0]})
            if epoch >= 12:
                trainer.record({"Late": epoch})
            average = float(log_performance(trainer, episodes, discount=0.9).mean())
            trainer.step_episode = episodes
            trainer.step_itr += 1
        return average


class FakeBackends:
    """Stands in for `samplerkit.make_sampler`: makes fake samplers under any name but "unknown", and
    remembers them."""

    def __init__(self) -> None:
        self.made: list[tuple[str, FakeSampler]] = []
        self.arguments: list[dict[str, Any]] = []
        self.on_call: Any = None
        self.new_algo = FakeAlgo

    def __call__(self, name: str, *, agents: Any, envs: Any, **options: Any) -> FakeSampler:
        if name == "unknown":
            raise UnknownBackend("there is no backend 'unknown'")
        self.arguments.append({"agents": agents, "envs": envs, **options})
        sampler = FakeSampler(**options)
        sampler.on_call = self.on_call
        self.made.append((name, sampler))
        return sampler


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> FakeBackends:
    import samplerkit

    fake = FakeBackends()
    monkeypatch.setattr(samplerkit, "make_sampler", fake, raising=False)
    return fake


@pytest.fixture
def fake_algo() -> FakeAlgo:
    return FakeAlgo()


@pytest.fixture
def fake_sampler() -> FakeSampler:
    return FakeSampler()


@pytest.fixture
def make_episodes() -> Any:
    return episodes_of
