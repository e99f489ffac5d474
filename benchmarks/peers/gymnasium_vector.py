"""gymnasium's vector environments, stepped by a loop that stores what comes."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.peers.common import PeerContestant, Rollout
from benchmarks.plain import plain_policy
from samplerkit.bench.contestant import Skipped


class Vector(PeerContestant):
    """``AsyncVectorEnv`` (a process for each environment) or ``SyncVectorEnv`` (one process).

    Args:
        kind: the class's name.
        n_envs: how many environments.
    """

    distributions: ClassVar[tuple[str, ...]] = ("gymnasium", "numpy")

    def __init__(self, *, kind: str, n_envs: int, **common: Any) -> None:
        super().__init__(**common)
        self._kind = kind
        self._n_envs = n_envs
        self._envs: Any = None

    def begin(self) -> None:
        """Make the vector environment; ended episodes begin again in the same step, so that none is lost."""
        import gymnasium

        mode = getattr(gymnasium.vector, "AutoresetMode", None)
        if mode is None:
            raise Skipped("gymnasium 1.1 or newer is needed")
        cls = getattr(gymnasium.vector, self._kind)
        self._envs = cls([self.make_env()] * self._n_envs, autoreset_mode=mode.SAME_STEP)
        spaces = self._envs.single_observation_space, self._envs.single_action_space
        self._act = plain_policy(self.policy, *spaces)
        self._rollout = Rollout(*spaces, -(-self.num_samples // self._n_envs), self._n_envs)
        self._observations, _ = self._envs.reset(seed=0)

    def batch(self) -> int:
        """Fill the arrays."""
        into, observations = self._rollout, self._observations
        into.last_observations = []
        for t in range(len(into.rewards)):
            actions = self._act(observations)
            into.observations[t] = observations
            into.actions[t] = actions
            observations, rewards, terminated, truncated, infos = self._envs.step(actions)
            into.rewards[t] = rewards
            into.terminated[t] = terminated
            into.truncated[t] = truncated
            if "final_obs" in infos:
                into.last_observations.append(infos["final_obs"])
        self._observations = observations
        return into.size

    def end(self) -> None:
        """Close it."""
        if self._envs is not None:
            self._envs.close()
