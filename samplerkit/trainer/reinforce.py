"""REINFORCE with a linear softmax policy, in numpy: the smallest experiment, and a builder to copy.

Williams (1992), with discounted rewards to go, standardised over the batch, and Adam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import numpy.typing as npt

from samplerkit.policies import RowStreams
from samplerkit.trainer.experiment import Experiment, ExperimentConfig
from samplerkit.trainer.performance import log_performance
from samplerkit.trainer.tables import ConfigError, table_as

if TYPE_CHECKING:
    from samplerkit.episodes import EpisodeBatch
    from samplerkit.trainer.trainer import Trainer

Floats = npt.NDArray[np.float64]


class LinearSoftmaxPolicy:
    """Chooses action a with probability softmax(W [observation, 1])_a.

    Args:
        n_inputs: Length of the flat observation.
        n_actions: Number of actions, 0 to ``n_actions - 1``.
        init_std: Spread of the initial weights.
        seed: Seeds the initial weights.
    """

    def __init__(self, n_inputs: int, n_actions: int, *, init_std: float = 0.0, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.weights: Floats = generator.normal(0.0, init_std, (n_inputs + 1, n_actions))
        self._streams = RowStreams()
        self._reset_rows = np.zeros(1, dtype=np.intp)

    def probabilities(self, observations: npt.NDArray[Any]) -> Floats:
        """Action probabilities, ``(n, n_actions)`` for observations ``(n, n_inputs)``; exact row by row."""
        inputs = with_one(observations)
        # A matrix product may give a row other bits in a batch of another size; this sum does not.
        logits = sum(inputs[:, i, None] * self.weights[i] for i in range(inputs.shape[1]))
        exponentials = np.exp(logits - np.max(logits, axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    def get_action(self, observation: Any, /) -> tuple[int, dict[str, Any]]:
        """An action for one observation."""
        actions, _ = self.get_actions(np.asarray(observation)[None])
        return int(actions[0]), {}

    def get_actions(self, observations: Any, /) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
        """An action for each row, int64 ``(n,)``."""
        cumulated = self.probabilities(np.asarray(observations)).cumsum(axis=1)
        # The last sum may be less than 1 by a rounding error: it is not compared with.
        return (self._streams.uniform() >= cumulated[:, :-1]).sum(axis=1), {}

    def reset(self, do_resets: npt.NDArray[np.bool_] | None = None, /) -> None:
        """Begin episodes in these rows; `seed` follows."""
        flags = np.ones(1, dtype=np.bool_) if do_resets is None else do_resets
        self._reset_rows = np.flatnonzero(flags)
        self._streams.resize(len(flags))

    def seed(self, seeds: npt.NDArray[np.uint64], /) -> None:
        """Give each row that was reset its own stream."""
        self._streams.seed(seeds, self._reset_rows)

    def get_param_values(self) -> dict[str, Floats]:
        """The weights, ``{"weights": (n_inputs + 1, n_actions)}``."""
        return {"weights": self.weights.copy()}

    def set_param_values(self, params: dict[str, Floats], /) -> None:
        """Set the weights."""
        self.weights = np.array(params["weights"], dtype=np.float64)


class Reinforce:
    """The algorithm. All its state is in its attributes, so that it resumes exactly.

    Args:
        policy: The policy to train.
        learning_rate: Adam's step size.
        discount: For the rewards to go.
    """

    def __init__(self, policy: LinearSoftmaxPolicy, *, learning_rate: float, discount: float) -> None:
        self.policy = policy
        self.learning_rate = learning_rate
        self.discount = discount
        self._n_updates = 0
        self._mean = np.zeros_like(policy.weights)
        self._square = np.zeros_like(policy.weights)

    def train(self, trainer: Trainer) -> float:
        """Sample, learn, record; returns the average return of the last epoch."""
        average_return = float("nan")
        for epoch in trainer.step_epochs():
            episodes = trainer.obtain_episodes(epoch)
            trainer.record({"Entropy": self._learn(episodes)})
            average_return = float(log_performance(trainer, episodes, discount=self.discount).mean())
        return average_return

    def _learn(self, episodes: EpisodeBatch) -> float:
        """One step up the gradient of E[advantage * log pi]; returns the policy's entropy in nats."""
        returns = np.concatenate([rewards_to_go(e.rewards, self.discount) for e in episodes.split()])
        advantages = (returns - returns.mean()) / (returns.std() + 1e-8)
        observations, actions = np.asarray(episodes.observations), np.asarray(episodes.actions)
        probabilities = self.policy.probabilities(observations)
        chosen = np.eye(probabilities.shape[1])[actions]
        scores = (chosen - probabilities) * advantages[:, None]
        self._ascend(with_one(observations).T @ scores / len(returns))
        return float(-(probabilities * np.log(probabilities)).sum(axis=1).mean())

    def _ascend(self, gradient: Floats) -> None:
        self._n_updates += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.001 * (gradient**2 - self._square)
        mean = self._mean / (1 - 0.9**self._n_updates)
        square = self._square / (1 - 0.999**self._n_updates)
        self.policy.weights = self.policy.weights + self.learning_rate * mean / (np.sqrt(square) + 1e-8)


def rewards_to_go(rewards: npt.NDArray[Any], discount: float) -> Floats:
    """The discounted sum of this and all later rewards of one episode, ``(length,)``."""
    sums = np.zeros(len(rewards))
    following = 0.0
    for step in range(len(rewards) - 1, -1, -1):
        following = float(rewards[step]) + discount * following
        sums[step] = following
    return sums


def with_one(observations: npt.NDArray[Any]) -> Floats:
    """Observations as float64 with a constant 1 as last column."""
    columns = np.asarray(observations, dtype=np.float64)
    return np.concatenate([columns, np.ones((len(columns), 1))], axis=1)


@dataclass(frozen=True, kw_only=True)
class _AlgoOptions:
    learning_rate: float = 0.1
    discount: float = 0.99


@dataclass(frozen=True, kw_only=True)
class _EnvOptions:
    id: str = "CartPole-v1"


@dataclass(frozen=True, kw_only=True)
class _PolicyOptions:
    init_std: float = 0.0


def build(config: ExperimentConfig) -> Experiment:
    """The builder behind configs/cartpole-reinforce.toml, for flat observations and discrete actions."""
    algo_options = table_as(_AlgoOptions, config.algo, where="algo")
    policy_options = table_as(_PolicyOptions, config.policy, where="policy")
    env_id = table_as(_EnvOptions, config.env, where="env").id
    try:
        env = gymnasium.make(env_id)
    except (gymnasium.error.Error, ImportError) as error:
        raise ConfigError(f"env.id: {env_id!r} cannot be made: {error}") from error
    spaces = env.observation_space, env.action_space
    env.close()
    if not (isinstance(spaces[0], gymnasium.spaces.Box) and isinstance(spaces[1], gymnasium.spaces.Discrete)):
        raise ConfigError(f"env.id: {env_id} needs a Box observation and Discrete actions; it has {spaces}.")
    policy = LinearSoftmaxPolicy(
        int(np.prod(spaces[0].shape)), int(spaces[1].n), init_std=policy_options.init_std, seed=config.seed
    )
    algo = Reinforce(policy, learning_rate=algo_options.learning_rate, discount=algo_options.discount)
    return Experiment(algo=algo, env=env_id)
