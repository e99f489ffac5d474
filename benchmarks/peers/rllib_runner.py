"""RLlib's single-agent environment runners as remote actors."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks import environments
from benchmarks.peers.common import PeerContestant
from benchmarks.peers.ray_actors import start_ray


class EnvRunners(PeerContestant):
    """``SingleAgentEnvRunner`` actors that sample at the same time, with random actions: no policy is slower.

    Args:
        n_envs: environments for each actor.
    """

    distributions: ClassVar[tuple[str, ...]] = ("ray", "torch", "gymnasium")

    def __init__(self, *, n_envs: int, **common: Any) -> None:
        super().__init__(**common)
        self._n_envs = n_envs
        self._ray: Any = None

    def begin(self) -> None:
        """Start Ray and the runners."""
        import ray
        from ray.rllib.algorithms.ppo import PPOConfig
        from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
        from ray.tune.registry import register_env

        self._ray = ray
        start_ray(ray, self.n_processes)
        reference = self.env
        register_env("measured", lambda config: environments.make(reference))
        config = (
            PPOConfig()
            .environment("measured")
            .env_runners(num_envs_per_env_runner=self._n_envs, num_cpus_per_env_runner=1)
        )
        remote = ray.remote(num_cpus=1)(SingleAgentEnvRunner)
        self._runners = [remote.remote(config=config, worker_index=n + 1) for n in range(self.n_processes)]

    def batch(self) -> int:
        """Let all sample their share, and take the episodes as numpy arrays."""
        share = -(-self.num_samples // self.n_processes)
        calls = [runner.sample.remote(num_timesteps=share, random_actions=True) for runner in self._runners]
        episodes = [episode for taken in self._ray.get(calls) for episode in taken]
        return sum(len(episode) for episode in episodes)

    def end(self) -> None:
        """Stop Ray."""
        if self._ray is not None:
            self._ray.shutdown()
