"""tianshou's Collector."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks import environments
from benchmarks.peers.common import PeerContestant
from benchmarks.plain import plain_policy


class Collect(PeerContestant):
    """A ``Collector`` over one of tianshou's vector environments, into its vector replay buffer.

    Args:
        kind: the vector environment's class.
        n_envs: how many environments.
    """

    distributions: ClassVar[tuple[str, ...]] = ("tianshou", "torch", "gymnasium")

    def __init__(self, *, kind: str, n_envs: int, **common: Any) -> None:
        super().__init__(**common)
        self._kind = kind
        self._n_envs = n_envs
        self._envs: Any = None

    def begin(self) -> None:
        """Make environments, buffer and collector."""
        from tianshou import env as vector
        from tianshou.algorithm.algorithm_base import Policy
        from tianshou.data import Batch, Collector, VectorReplayBuffer

        one = environments.make(self.env)
        act = plain_policy(self.policy, one.observation_space, one.action_space)

        class Numpy(Policy):
            """Actions from the plain numpy policy."""

            def forward(self, batch: Any, state: Any = None, **more: Any) -> Any:
                return Batch(act=act(batch.obs))

        policy = Numpy(
            action_space=one.action_space,
            observation_space=one.observation_space,
            action_scaling=False,
            action_bound_method=None,
        )
        one.close()
        self._envs = getattr(vector, self._kind)([self.make_env()] * self._n_envs)
        size = -(-self.num_samples // self._n_envs) * self._n_envs
        self._buffer = VectorReplayBuffer(size, self._n_envs)
        self._collector = Collector(policy, self._envs, self._buffer, raise_on_nan_in_buffer=False)
        self._collector.reset()
        self._size = size

    def batch(self) -> int:
        """Collect into the buffer, whose columns are numpy arrays."""
        self._collector.reset_buffer()
        return int(self._collector.collect(n_step=self._size).n_collected_steps)

    def end(self) -> None:
        """Close the environments."""
        if self._envs is not None:
            self._envs.close()
