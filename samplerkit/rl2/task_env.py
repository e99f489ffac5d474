"""Environments whose dynamics are a random task: one draw for a whole trial."""

from __future__ import annotations

import abc
from typing import Any, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt

Task: TypeAlias = dict[str, npt.NDArray[np.float64]]


class TaskEnv(gymnasium.Env[np.int64, np.int64], abc.ABC):
    """A distribution over tasks, one of which is played at a time.

    ``reset(seed=s)`` draws a new task, ``reset()`` begins another episode of the present one: what
    `RL2Env` needs to play several episodes of a task. `set_task` overrides the draw for all later resets,
    so that a `SetTaskUpdate` decides which task a worker plays.
    """

    def __init__(self) -> None:
        self._given: Task | None = None
        self._ready = False

    @abc.abstractmethod
    def draw_task(self, generator: np.random.Generator) -> Task:
        """Draw one task of the distribution."""

    @abc.abstractmethod
    def use_task(self, task: Task) -> None:
        """Make the task the one that is played.

        Raises:
            ValueError: it is no task of this environment.
        """

    @abc.abstractmethod
    def begin_episode(self) -> np.int64:
        """Go to the start state and return its observation."""

    def sample_tasks(self, n_tasks: int) -> list[Task]:
        """Draw tasks for `set_task`, with this environment's own generator."""
        return [self.draw_task(self.np_random) for _ in range(n_tasks)]

    def set_task(self, task: Task | None) -> None:
        """Play this task from the next reset on, at every reset; None: draw again."""
        if task is not None:
            self.use_task(task)
        self._given = task
        self._ready = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        """Begin an episode: of a new task if there is a seed (or no task yet), else of the present one."""
        if seed is not None:
            super().reset(seed=seed)
        if seed is not None or not self._ready:
            self.use_task(self.draw_task(self.np_random) if self._given is None else self._given)
            self._ready = True
        return self.begin_episode(), {}
