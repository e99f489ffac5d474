"""Sample Factory's sampler, without its learner."""

from __future__ import annotations

import functools
import tempfile
from typing import Any, ClassVar

from benchmarks import environments
from benchmarks.peers.common import PeerContestant


class Sampler(PeerContestant):
    """``SyncSamplingAPI``: rollout workers in processes, and an inference worker with its own torch network.

    Args:
        n_envs: environments for each rollout worker.
    """

    distributions: ClassVar[tuple[str, ...]] = ("sample-factory", "torch", "gymnasium")

    def __init__(self, *, n_envs: int, **common: Any) -> None:
        super().__init__(**common)
        self._n_envs = n_envs
        self._sampler: Any = None

    def begin(self) -> None:
        """Start the sampler."""
        from sample_factory.algo.sampling.simplified_sampling_api import SyncSamplingAPI
        from sample_factory.algo.utils.env_info import obtain_env_info_in_a_separate_process
        from sample_factory.algo.utils.rl_utils import samples_per_trajectory
        from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
        from sample_factory.envs.env_utils import register_env

        self.make_env()().close()  # in its processes, a failure would be waited for
        register_env("measured", functools.partial(make_for_sample_factory, self.env))
        parser, _ = parse_sf_args(self._arguments(), evaluation=False)
        config = parse_full_cfg(parser, self._arguments())
        self._sampler = SyncSamplingAPI(config, obtain_env_info_in_a_separate_process(config))
        self._sampler.start()
        self._samples_in = samples_per_trajectory

    def _arguments(self) -> list[str]:
        self._folder = tempfile.mkdtemp(prefix="sample-factory-")
        given = {
            "algo": "APPO",
            "env": "measured",
            "experiment": "bench",
            "train_dir": self._folder,
            "device": "cpu",
            "num_workers": self.n_processes,
            "num_envs_per_worker": self._n_envs,
            "worker_num_splits": 2,
            "rollout": 32,
            "batch_size": 32 * self._n_envs * self.n_processes,
            "use_rnn": False,
            "encoder_mlp_layers": "32 32",
            "nonlinearity": "tanh",
            "normalize_input": False,
            "with_wandb": False,
        }
        words = []
        for name, value in given.items():
            words += [f"--{name}", *str(value).split()]
        return words

    def batch(self) -> int:
        """Take trajectories until there are enough."""
        steps = 0
        while steps < self.num_samples:
            steps += int(self._samples_in(self._sampler.get_trajectories_sync()))
        return steps

    def end(self) -> None:
        """Stop it."""
        if self._sampler is not None:
            self._sampler.stop()


def make_for_sample_factory(
    reference: str, name: str, config: Any, env_config: Any, render_mode: Any = None
) -> Any:
    """Construct the environment with the arguments that Sample Factory gives."""
    import gymnasium
    import numpy as np

    del name, config, env_config, render_mode
    env = environments.make(reference)
    space = env.observation_space
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 3:
        return env

    class ChannelsFirst(gymnasium.ObservationWrapper):
        """Pictures as its convolutions want them: a view, not a copy."""

        observation_space = gymnasium.spaces.Box(0, 255, (space.shape[2], *space.shape[:2]), np.uint8)

        def observation(self, observation: Any) -> Any:
            return np.moveaxis(observation, -1, 0)

    return ChannelsFirst(env)
