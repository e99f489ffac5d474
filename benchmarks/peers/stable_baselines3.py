"""Stable-Baselines3's vector environments, stepped by a loop that stores what comes."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.peers.common import PeerContestant, Rollout
from benchmarks.plain import plain_policy


class VecEnv(PeerContestant):
    """``SubprocVecEnv`` (a process for each environment) or ``DummyVecEnv`` (one process).

    Args:
        kind: the class's name.
        n_envs: how many environments.
    """

    distributions: ClassVar[tuple[str, ...]] = ("stable-baselines3", "torch", "gymnasium")

    def __init__(self, *, kind: str, n_envs: int, **common: Any) -> None:
        super().__init__(**common)
        self._kind = kind
        self._n_envs = n_envs
        self._envs: Any = None

    def begin(self) -> None:
        """Make the vector environment."""
        from stable_baselines3.common import vec_env

        self._envs = getattr(vec_env, self._kind)([self.make_env()] * self._n_envs)
        self._envs.seed(0)
        spaces = self._envs.observation_space, self._envs.action_space
        self._act = plain_policy(self.policy, *spaces)
        self._rollout = Rollout(*spaces, -(-self.num_samples // self._n_envs), self._n_envs)
        self._observations = self._envs.reset()

    def batch(self) -> int:
        """Fill the arrays."""
        into, observations = self._rollout, self._observations
        into.last_observations = []
        for t in range(len(into.rewards)):
            actions = self._act(observations)
            into.observations[t] = observations
            into.actions[t] = actions
            observations, rewards, dones, infos = self._envs.step(actions)
            into.rewards[t] = rewards
            into.terminated[t] = dones
            if dones.any():
                for index, info in enumerate(infos):
                    if dones[index]:
                        into.truncated[t, index] = info["TimeLimit.truncated"]
                        into.last_observations.append(info["terminal_observation"])
        self._observations = observations
        return into.size

    def end(self) -> None:
        """Close it."""
        if self._envs is not None:
            self._envs.close()
