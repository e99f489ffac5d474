"""TorchRL's synchronous collector with several processes."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks import environments
from benchmarks.peers.common import PeerContestant
from benchmarks.plain import plain_policy


class MultiSync(PeerContestant):
    """``MultiSyncCollector``: a process with some environments for each worker.

    Args:
        n_envs: environments for each process.
    """

    distributions: ClassVar[tuple[str, ...]] = ("torchrl", "tensordict", "torch", "gymnasium")

    def __init__(self, *, n_envs: int, **common: Any) -> None:
        super().__init__(**common)
        self._n_envs = n_envs
        self._collector: Any = None

    def begin(self) -> None:
        """Start the collector."""
        import functools

        from torchrl.collectors import MultiSyncCollector

        make = functools.partial(make_torchrl_env, self.env, self._n_envs)
        frames = -(-self.num_samples // (self.n_processes * self._n_envs)) * self.n_processes * self._n_envs
        self._collector = MultiSyncCollector(
            [make] * self.n_processes,
            policy_factory=[functools.partial(make_torchrl_policy, self.env, self.policy)] * self.n_processes,
            frames_per_batch=frames,
            total_frames=-1,
            use_buffers=True,
        )
        self._batches = iter(self._collector)

    def batch(self) -> int:
        """Take the next batch; its columns share memory with numpy arrays."""
        taken = next(self._batches)
        rewards = taken["next", "reward"].numpy()
        taken["observation"].numpy()
        taken["action"].numpy()
        return int(rewards.size)

    def end(self) -> None:
        """Shut it down."""
        if self._collector is not None:
            self._collector.shutdown()


def make_torchrl_env(reference: str, n_envs: int) -> Any:
    """Wrap one environment, or several that are stepped in turn."""
    from torchrl.envs import GymWrapper, SerialEnv

    def make() -> Any:
        return GymWrapper(environments.make(reference))

    return make() if n_envs == 1 else SerialEnv(n_envs, make)


def make_torchrl_policy(reference: str, name: str) -> Any:
    """Wrap the plain numpy policy as a module that reads and writes a tensordict."""
    import torch
    from tensordict.nn import TensorDictModule

    env = environments.make(reference)
    discrete = not env.action_space.shape
    n_actions = int(getattr(env.action_space, "n", 0))
    act = plain_policy(name, env.observation_space, env.action_space)
    env.close()

    def choose(observation: Any) -> Any:
        rows = observation.numpy()
        single = rows.ndim == len(env.observation_space.shape)
        actions = torch.as_tensor(act(rows[None] if single else rows))
        if discrete:
            actions = torch.nn.functional.one_hot(actions, n_actions)
        return actions[0] if single else actions

    return TensorDictModule(choose, in_keys=["observation"], out_keys=["action"])
