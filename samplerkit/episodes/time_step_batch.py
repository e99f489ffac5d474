"""Many steps, in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from samplerkit.episodes import checks
from samplerkit.episodes.bits import Difference, column_differences, update_hash
from samplerkit.episodes.columns import Array, Column, Columns, concatenate_columns, rows_of, rows_of_each
from samplerkit.episodes.infos import concatenate_infos
from samplerkit.episodes.spec import EnvSpec, spec_key
from samplerkit.episodes.step_type import StepType


@dataclass(frozen=True, eq=False, repr=False)
class TimeStepBatch:
    """T steps, which may come from different episodes. Every column has one row per step.

    Args:
        env_spec: the spaces of observations and actions.
        episode_infos: dict of columns, the info of each step's episode.
        observations: (T, *observation_shape), nested as the observation space is.
        actions: (T, *action_shape), nested as the action space is.
        rewards: (T,) float64.
        next_observations: (T, *observation_shape), the observations after the actions.
        agent_infos: dict of columns, what the policy said at each step.
        env_infos: dict of columns, what the environment said at each step.
        step_types: (T,) int8, see `StepType`.

    Raises:
        ValueError: where a field is no array, or its shape or number of rows does not fit the others or its
            space.
    """

    env_spec: EnvSpec
    episode_infos: Columns
    observations: Column
    actions: Column
    rewards: Array
    next_observations: Column
    agent_infos: Columns
    env_infos: Columns
    step_types: Array

    _data_fields: ClassVar[tuple[str, ...]] = (
        "observations",
        "actions",
        "rewards",
        "step_types",
        "next_observations",
        "env_infos",
        "agent_infos",
        "episode_infos",
    )

    def __post_init__(self) -> None:
        self._check_steps()
        rows, spaces = len(self.rewards), self.env_spec
        checks.check_column(
            self.next_observations, spaces.observation_space, "next_observations", rows, "rewards"
        )
        checks.check_infos(self.episode_infos, "episode_infos", rows, "rewards")

    def _check_steps(self) -> None:
        """Check what all batches have in common; bring rewards and step types to their dtype."""
        object.__setattr__(self, "rewards", checks.check_rewards(self.rewards))
        rows, spaces = len(self.rewards), self.env_spec
        checks.check_column(self.observations, spaces.observation_space, "observations", rows, "rewards")
        checks.check_column(self.actions, spaces.action_space, "actions", rows, "rewards")
        checks.check_infos(self.env_infos, "env_infos", rows, "rewards")
        checks.check_infos(self.agent_infos, "agent_infos", rows, "rewards")
        object.__setattr__(self, "step_types", checks.check_step_types(self.step_types, rows))

    @property
    def terminals(self) -> Array:
        """(T,) bool: whether the environment's episode is over after the step (TERMINAL, not TIMEOUT)."""
        terminals: Array = self.step_types == StepType.TERMINAL
        return terminals

    @classmethod
    def concatenate(cls, *batches: TimeStepBatch) -> TimeStepBatch:
        """Return the steps of all batches in fresh arrays; the first batch's spec is kept.

        Raises:
            ValueError: without any batch; where columns do not fit together.
            TypeError: where one is no batch.
        """
        if not batches:
            raise ValueError("There is nothing to concatenate: give at least one TimeStepBatch.")
        for batch in batches:
            if not isinstance(batch, TimeStepBatch):
                raise TypeError(f"Only batches can be joined, and one is of type {type(batch).__name__}.")
        rows = [len(batch.rewards) for batch in batches]
        return TimeStepBatch(
            env_spec=batches[0].env_spec,
            episode_infos=concatenate_infos(
                [batch.episode_infos for batch in batches], rows, "episode_infos"
            ),
            observations=concatenate_columns([batch.observations for batch in batches], "observations"),
            actions=concatenate_columns([batch.actions for batch in batches], "actions"),
            rewards=np.concatenate([batch.rewards for batch in batches]),
            next_observations=concatenate_columns(
                [batch.next_observations for batch in batches], "next_observations"
            ),
            agent_infos=concatenate_infos([batch.agent_infos for batch in batches], rows, "agent_infos"),
            env_infos=concatenate_infos([batch.env_infos for batch in batches], rows, "env_infos"),
            step_types=np.concatenate([batch.step_types for batch in batches]),
        )

    def split(self) -> Sequence[TimeStepBatch]:
        """Return one batch for each step, in order; their arrays are views of this batch's."""
        whole = [getattr(self, name) for name in ("observations", "actions", "next_observations")]
        infos = [getattr(self, name) for name in ("episode_infos", "agent_infos", "env_infos")]
        batches = []
        for row in range(len(self.rewards)):
            step = slice(row, row + 1)
            observations, actions, next_observations = (rows_of(column, step) for column in whole)
            episode_infos, agent_infos, env_infos = (rows_of_each(columns, step) for columns in infos)
            batches.append(
                TimeStepBatch(
                    env_spec=self.env_spec,
                    episode_infos=episode_infos,
                    observations=observations,
                    actions=actions,
                    rewards=self.rewards[step],
                    next_observations=next_observations,
                    agent_infos=agent_infos,
                    env_infos=env_infos,
                    step_types=self.step_types[step],
                )
            )
        return batches

    def to_time_step_list(self) -> list[dict[str, Any]]:
        """Return one dict for each step, whose values have a leading axis of length 1."""
        return [
            {name: getattr(step, name) for name in TimeStepBatch._data_fields}
            for step in TimeStepBatch.split(self)
        ]

    @classmethod
    def from_time_step_list(cls, env_spec: EnvSpec, ts_samples: Sequence[Mapping[str, Any]]) -> TimeStepBatch:
        """Return the batch of dicts such as `to_time_step_list` gives.

        Raises:
            ValueError: without any dict; where one lacks a field; where values do not fit together.
        """
        if not ts_samples:
            raise ValueError("There are no time steps: give at least one dict.")
        names = TimeStepBatch._data_fields
        for index, sample in enumerate(ts_samples):
            checks.check_fields(sample, names, f"time step {index}")
        return TimeStepBatch.concatenate(
            *(
                TimeStepBatch(env_spec=env_spec, **{name: sample[name] for name in names})
                for sample in ts_samples
            )
        )

    def equals(self, other: TimeStepBatch) -> bool:
        """Return whether the data and the spec of both batches are the same, bit for bit."""
        return self.difference(other) is None

    def difference(self, other: TimeStepBatch) -> str | None:
        """Return a sentence on the first place where two batches differ, or None where they are equal.

        Compared are the spec and all data fields: keys, dtypes, shapes and bits (NaN payloads, the sign of
        zero). Where one batch comes from is not. Of several fields the one that differs at the earliest step
        is named.
        """
        if type(self) is not type(other):
            return f"One is a {type(self).__name__}, the other a {type(other).__name__}."
        kinds = [type(batch.env_spec) for batch in (self, other)]
        if kinds[0] is not kinds[1]:  # of a batch that was made unchecked
            return f"env_spec is of type {kinds[0].__name__} here and {kinds[1].__name__} there."
        if issubclass(kinds[0], EnvSpec) and spec_key(self.env_spec) != spec_key(other.env_spec):
            return f"env_spec is {self.env_spec} here and {other.env_spec} there."
        found = list(self._differences(other))
        if not found:
            return None
        first = min(found, key=lambda difference: -1 if difference.row is None else self._order(difference))
        place = "" if first.row is None else f" at {self._place(first)}"
        return f"{first.path}{place} {first.reason}."

    def digest(self) -> str:
        """Return the sha256, in hex, of what `difference` compares: equal batches have equal digests."""
        digest = hashlib.sha256(repr((type(self).__name__, spec_key(self.env_spec))).encode())
        for name in self._data_fields:
            update_hash(digest, name, getattr(self, name))
        return digest.hexdigest()

    def _differences(self, other: TimeStepBatch) -> Iterator[Difference]:
        for name in self._data_fields:
            yield from column_differences(getattr(self, name), getattr(other, name), name)

    def _order(self, difference: Difference) -> int:
        """Return the row of the step that a difference belongs to."""
        return difference.row or 0

    def _place(self, difference: Difference) -> str:
        return f"step {difference.row}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.rewards)} steps>"
