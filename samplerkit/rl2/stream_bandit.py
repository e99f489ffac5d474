"""A bandit that draws from counter-based streams, and many of them as one native vector environment."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from samplerkit.policies.rows import RowStreams
from samplerkit.rl2.bandit import BanditEnv
from samplerkit.sampling import check_count

Rows = npt.NDArray[np.float32]
Infos = dict[str, Any]


class StreamBanditEnv(BanditEnv):
    """A `BanditEnv` whose draws are a function of the seed and of how many there were.

    Wrapped in ``RL2Env(…, episodes_per_trial=n)`` it is one slot of a `BanditVectorEnv`, bit for bit.

    Args:
        n_arms: number of arms, at least 1.
    """

    def __init__(self, n_arms: int = 5) -> None:
        super().__init__(n_arms)
        self._streams = RowStreams(1, seed=secrets.randbits(63))

    def reset(self, *, seed: int | None = None, options: Infos | None = None) -> tuple[np.int64, Infos]:
        """Begin an episode: of a new task if there is a seed (or no task yet), else of the present one."""
        if seed is not None:
            self._streams.seed([seed])
        if seed is not None or not self._ready:
            drawn = {"means": self._streams.row_uniforms(0, self.n_arms)}
            self.use_task(drawn if self._given is None else self._given)
            self._ready = True
        return self.begin_episode(), {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, Infos]:
        """Pull an arm. The episode terminates."""
        if not 0 <= action < self.n_arms:
            raise ValueError(f"there is no arm {action}: arms are 0 to {self.n_arms - 1}")
        reward = 1.0 if self._streams.row_uniform() < self._means[action] else 0.0
        return np.int64(0), reward, True, False, {}


class BanditVectorEnv(gymnasium.vector.VectorEnv[Rows, npt.NDArray[np.int64], Any]):
    """The paper's bandit of n pulls, many tasks at once: what `RL2Env` makes of it, at array speed.

    Slot i is ``RL2Env(StreamBanditEnv(n_arms), episodes_per_trial=n_pulls)``, bit for bit, infos too. Each
    slot is seeded by itself, and its task is drawn from its seed. Slots that end must be reset, by
    ``options={"reset_mask": …}``, before the next step.

    Args:
        num_envs: how many slots.
        n_arms: number of arms, at least 1.
        n_pulls: steps of a trial, at least 1.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.DISABLED}  # type: ignore[misc]

    draws_from_global_random: ClassVar[bool] = False

    seeds_each_slot = True
    """See `samplerkit.workers.native_slots.seeds_each_slot`."""

    def __init__(self, num_envs: int, *, n_arms: int = 5, n_pulls: int = 10) -> None:
        num_envs, n_arms = check_count("num_envs", num_envs), check_count("n_arms", n_arms)
        n_pulls = check_count("n_pulls", n_pulls)
        self.num_envs = num_envs
        self.n_arms = n_arms
        self.max_episode_length = n_pulls
        self.single_observation_space = Box(-np.inf, np.inf, (n_arms + 3,), np.float32)
        self.single_action_space = Discrete(n_arms)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._streams = RowStreams(num_envs, seed=secrets.randbits(62))
        self._means = np.zeros((num_envs, n_arms))
        self._pulls = np.full(num_envs, n_pulls)
        self._rows = np.arange(num_envs)
        self._observations = np.zeros((num_envs, n_arms + 3), np.float32)

    def reset(self, *, seed: Any = None, options: Infos | None = None) -> tuple[Rows, Infos]:
        """Begin trials.

        Args:
            seed: one integer for each slot that is reset; a single integer counts on from there.
            options: ``"reset_mask"``, (num_envs,) booleans, says which slots; all by default.

        Returns:
            (num_envs, n_arms + 3) float32 observations, and infos; slots that were not reset as they were.

        Raises:
            ValueError: for another number of seeds.
        """
        mask = (options or {}).get("reset_mask")
        rows = self._rows if mask is None else np.flatnonzero(mask)
        if seed is None:
            seed = [secrets.randbits(31) for _ in rows]
        seeds = np.arange(seed, seed + len(rows)) if np.ndim(seed) == 0 else np.asarray(seed)
        if seeds.shape != rows.shape:
            raise ValueError(
                f"{len(rows)} slots are reset, so there must be as many seeds, not {seeds.shape}"
            )
        fresh = RowStreams(len(rows))
        fresh.seed(seeds)
        self._means[rows] = fresh.uniform(self.n_arms)
        self._streams.set_state(rows, fresh.get_state())
        self._pulls[rows] = 0
        observations = self._observations
        observations[rows] = 0.0
        observations[rows, 0] = observations[rows, 1] = observations[rows, -1] = 1.0
        trials = np.zeros(self.num_envs, np.int64)
        trials[rows] = seeds
        return observations.copy(), {"trial": trials}

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Rows, npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], Infos]:
        """Pull an arm in every slot.

        Raises:
            RuntimeError: where a trial has not begun or is over.
            ValueError: where there is no such arm.
        """
        index = self._pulls
        if (index >= self.max_episode_length).any():
            raise RuntimeError("a trial has not begun or is over: reset its slot before the next step")
        if ((actions < 0) | (actions >= self.n_arms)).any():
            raise ValueError(f"there is no such arm among {actions}: arms are 0 to {self.n_arms - 1}")
        rewards = (self._streams.uniform()[:, 0] < self._means[self._rows, actions]).astype(np.float64)
        observations = self._observations
        observations[:, 1:-2] = 0.0
        observations[self._rows, 1 + actions] = 1.0
        observations[:, -2] = rewards
        n, terminated = self.num_envs, index + 1 == self.max_episode_length
        infos = {
            "inner_done": np.ones(n, np.bool_),
            "inner_truncated": np.zeros(n, np.bool_),
            "inner_final_observation": np.ones((n, 1), np.float32),
            "episode_index": index.copy(),
        }
        self._pulls = index + 1
        return observations.copy(), rewards, terminated, np.zeros(n, np.bool_), infos

    def close(self, **arguments: Any) -> None:
        """Nothing to close."""
