"""A trial as one episode of an environment (RL2, arXiv:1611.02779, section 2.2).

The semantics are those of the first author's code (rllab, `MultiEnv`); some later implementations never show
the policy the last reward of an inner episode, which leaves nothing to learn where episodes have one step.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
from gymnasium.spaces import Box, flatdim

from samplerkit.episodes.spec import episode_limit
from samplerkit.rl2.encoding import check_action_space, check_observation_space, default_action, make_writer
from samplerkit.sampling import check_count

Row: TypeAlias = npt.NDArray[np.float32]
Infos: TypeAlias = dict[str, Any]


class RL2Env(gymnasium.Env[Row, Any]):
    """Plays `episodes_per_trial` inner episodes of one task and calls them one episode.

    An observation is (inner observation, last action, last reward, done flag), flat: float32 of shape
    (inner size + action size + 2,). A trial begins with action index 0 (or zeros), reward 0 and done 1. The
    step that ends an inner episode delivers the *reset* observation of the next one, with that step's action
    and reward and done 1, so that the policy sees how it ended; the last step of the trial delivers the final
    observation of its own episode.

    The outer reset passes its seed to the inner environment, which draws its task from it; inner resets pass
    none and so keep the task and go on with the same random stream. The trial is a function of the seed and
    the actions.

    ``reset`` adds ``"trial"``, the seed, to the inner infos; those of inner resets are not passed on.
    ``step`` adds to the inner infos:

    - ``"inner_done"`` (bool): this step ended an inner episode,
    - ``"inner_truncated"`` (bool): it did so by a time limit,
    - ``"inner_final_observation"`` (float32, flat): its final observation, zeros while it goes on,
    - ``"episode_index"`` (int): the inner episode that the step belongs to.

    Not a `gymnasium.Wrapper`: limits and infos of the inner episodes are not those of this environment's.

    Args:
        env: the inner environment; Dict and Tuple observations are flattened.
        episodes_per_trial: inner episodes of a trial, at least 1.
        max_inner_length: truncates inner episodes after so many steps, for environments without a limit of
            their own.

    Raises:
        TypeError: for spaces that cannot be flattened, for Dict and Tuple actions, and for counts that are no
            integers.
        ValueError: for counts below 1.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], *, episodes_per_trial: int, max_inner_length: int | None = None
    ) -> None:
        check_observation_space(env.observation_space)
        check_action_space(env.action_space)
        self.env = env
        self.action_space = env.action_space
        self.metadata = env.metadata
        self.episodes_per_trial = check_count("episodes_per_trial", episodes_per_trial)
        self.max_inner_length = None
        if max_inner_length is not None:
            self.max_inner_length = check_count("max_inner_length", max_inner_length)
        inner_size, action_size = flatdim(env.observation_space), flatdim(env.action_space)
        self._size = inner_size + action_size + 2
        self._inner_size = inner_size
        self._write_observation = make_writer(env.observation_space, 0).write
        self._write_action = make_writer(env.action_space, inner_size).write
        self._first_action = default_action(env.action_space, action_size)
        self._nothing = np.zeros(inner_size, dtype=np.float32)
        self._nothing.flags.writeable = False
        self.observation_space = Box(-np.inf, np.inf, (self._size,), np.float32)
        self._episode_index = self.episodes_per_trial  # a trial that is over, until the first reset
        self._inner_length = 0
        self._last_seed: int | None = None
        self._seeds: np.random.Generator | None = None

    @property
    def spec(self) -> GymnasiumSpec:  # type: ignore[override]
        """The inner environment's, with the time limit of a whole trial."""
        inner = self.env.spec or GymnasiumSpec("samplerkit/RL2-v0")
        limits = [limit for limit in (episode_limit(self.env), self.max_inner_length) if limit is not None]
        steps = self.episodes_per_trial * min(limits, default=math.inf)
        return dataclasses.replace(inner, max_episode_steps=None if math.isinf(steps) else int(steps))

    @property
    def unwrapped(self) -> gymnasium.Env[Any, Any]:
        """The innermost environment."""
        return self.env.unwrapped

    @property
    def render_mode(self) -> str | None:  # type: ignore[override]
        """The inner environment's."""
        return self.env.render_mode

    def render(self) -> Any:
        """Render the inner environment."""
        return self.env.render()

    def close(self) -> None:
        """Close the inner environment."""
        self.env.close()

    def limit_inner_length(self, limit: float) -> None:
        """Truncate inner episodes after `limit` steps, unless they are already truncated earlier.

        Raises:
            TypeError, ValueError: if it is neither an integer of at least 1 nor `math.inf`.
        """
        if limit == math.inf:
            return
        steps = check_count("limit", limit)
        if self.max_inner_length is None or steps < self.max_inner_length:
            self.max_inner_length = steps

    def reset(self, *, seed: int | None = None, options: Infos | None = None) -> tuple[Row, Infos]:
        """Begin a trial: of the task that belongs to the seed, drawn if None is given."""
        trial = self._draw_seed() if seed is None else int(seed)
        if seed is not None:
            self._last_seed, self._seeds = trial, None
        inner, infos = self.env.reset(seed=trial, options=options)
        self._episode_index = 0
        self._inner_length = 0
        row = np.zeros(self._size, dtype=np.float32)
        self._write_observation(row, inner)
        row[self._inner_size : -2] = self._first_action
        row[-1] = 1.0
        return row, {**infos, "trial": trial}

    def step(self, action: Any) -> tuple[Row, float, bool, bool, Infos]:
        """Take a step; ``terminated`` is true when the last inner episode of the trial is over.

        Raises:
            RuntimeError: before the first reset, or when the trial is over.
        """
        index = self._episode_index
        if index >= self.episodes_per_trial:
            raise RuntimeError("the trial has not begun or is over: call reset() before step()")
        inner, reward, terminated, truncated, inner_infos = self.env.step(action)
        self._inner_length += 1
        if self._inner_length == self.max_inner_length:
            truncated = True
        infos = {
            **inner_infos,
            "inner_done": False,
            "inner_truncated": False,
            "inner_final_observation": self._nothing,
            "episode_index": index,
        }
        row = np.zeros(self._size, dtype=np.float32)
        if terminated or truncated:
            infos["inner_truncated"] = not terminated
            inner = self._end_inner_episode(inner, infos)
            row[-1] = 1.0
        self._write_observation(row, inner)
        self._write_action(row, action)
        row[-2] = reward
        return row, float(reward), self._episode_index == self.episodes_per_trial, False, infos

    def _end_inner_episode(self, inner: Any, infos: Infos) -> Any:
        """Note that the inner episode ended, begin the next one, and return the observation to deliver."""
        final = np.zeros(self._inner_size, dtype=np.float32)
        self._write_observation(final, inner)
        infos["inner_done"] = True
        infos["inner_final_observation"] = final
        self._episode_index += 1
        self._inner_length = 0
        if self._episode_index == self.episodes_per_trial:
            return inner
        return self.env.reset()[0]

    def sample_tasks(self, n_tasks: int) -> list[Any]:
        """Draw tasks of the inner environment."""
        tasks: list[Any] = self.env.get_wrapper_attr("sample_tasks")(n_tasks)
        return tasks

    def set_task(self, task: Any) -> None:
        """Set the task of the inner environment, for all trials to come."""
        self.env.get_wrapper_attr("set_task")(task)

    def _draw_seed(self) -> int:
        """Seeds of unseeded trials follow from the last seed that was given."""
        if self._seeds is None:
            self._seeds = np.random.default_rng(self._last_seed)
        return int(self._seeds.integers(2**31))
