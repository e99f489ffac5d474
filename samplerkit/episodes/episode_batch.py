"""Whole episodes, or fragments of them, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from samplerkit.episodes import checks
from samplerkit.episodes.bits import Difference, column_differences
from samplerkit.episodes.columns import (
    Array,
    Column,
    Columns,
    concatenate_columns,
    map_columns,
    map_pair,
    rows_of,
    rows_of_each,
)
from samplerkit.episodes.episode_dicts import check_episode, episode_from_dict, episodes_to_list
from samplerkit.episodes.finals import Finals, Standing
from samplerkit.episodes.infos import concatenate_infos, in_order
from samplerkit.episodes.padding import PaddedColumns
from samplerkit.episodes.provenance import Provenance
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.stitching import stitch
from samplerkit.episodes.time_step_batch import TimeStepBatch


@dataclass(frozen=True, eq=False, repr=False, init=False)
class EpisodeBatch(PaddedColumns, TimeStepBatch):
    """N episodes of T steps altogether: their rows stand one after the other, in order.

    Args:
        env_spec: the spaces of observations and actions.
        episode_infos: dict of columns with one row per EPISODE; kept as `episode_infos_by_episode`, while the
            attribute `episode_infos` repeats them for each step.
        observations: (T, *observation_shape), the observation that preceded each action; nested as the space
            is.
        last_observations: (N, *observation_shape), the final observation of each episode.
        actions: (T, *action_shape), nested as the space is.
        rewards: (T,) float64.
        env_infos: dict of columns with one row per step.
        agent_infos: dict of columns with one row per step.
        step_types: (T,) int8, see `StepType`.
        lengths: (N,) int64, the number of steps of each episode; they sum to T.
        provenance: where the episodes come from, if known.

    Raises:
        ValueError: where a field is no array, or its shape or number of rows does not fit the others or its
            space; where step types do not read as episodes or fragments do.
    """

    last_observations: Column
    lengths: Array
    episode_infos_by_episode: Columns
    provenance: Provenance | None

    _data_fields: ClassVar[tuple[str, ...]] = (
        "lengths",
        "observations",
        "actions",
        "rewards",
        "step_types",
        "env_infos",
        "agent_infos",
        "last_observations",
        "episode_infos_by_episode",
    )

    def __init__(
        self,
        env_spec: EnvSpec,
        episode_infos: Columns,
        observations: Column,
        last_observations: Column,
        actions: Column,
        rewards: Array,
        env_infos: Columns,
        agent_infos: Columns,
        step_types: Array,
        lengths: Array,
        provenance: Provenance | None = None,
    ) -> None:
        self.__dict__.update(
            env_spec=env_spec,
            episode_infos_by_episode=episode_infos,
            observations=observations,
            last_observations=last_observations,
            actions=actions,
            rewards=rewards,
            env_infos=env_infos,
            agent_infos=agent_infos,
            step_types=step_types,
            lengths=lengths,
            provenance=provenance,
        )
        self._check_episodes()

    @classmethod
    def unchecked(
        cls,
        *,
        env_spec: EnvSpec,
        episode_infos: Columns,
        observations: Column,
        last_observations: Column,
        actions: Column,
        rewards: Array,
        env_infos: Columns,
        agent_infos: Columns,
        step_types: Array,
        lengths: Array,
        provenance: Provenance | None = None,
    ) -> EpisodeBatch:
        """Return a batch of columns that are right by construction, with the dtypes named above."""
        batch = object.__new__(cls)
        batch.__dict__.update(
            env_spec=env_spec,
            episode_infos_by_episode=episode_infos,
            observations=observations,
            last_observations=last_observations,
            actions=actions,
            rewards=rewards,
            env_infos=env_infos,
            agent_infos=agent_infos,
            step_types=step_types,
            lengths=lengths,
            provenance=provenance,
        )
        return batch

    def with_columns(self, **columns: Column) -> EpisodeBatch:
        """Return the same batch with some of its columns, right by construction, in the place of others."""
        batch = object.__new__(EpisodeBatch)
        batch.__dict__.update(self.__dict__)
        if "last_observations" in columns:
            batch.__dict__.pop("finals", None)
        batch.__dict__.update(columns)
        return batch

    def with_finals(self, finals: Finals) -> EpisodeBatch:
        """Return the same batch, whose last observations are copied from where they stand when they are asked
        for. So it is on its way to whoever gets arrays of his own.
        """
        batch = object.__new__(EpisodeBatch)
        batch.__dict__.update(self.__dict__)
        batch.__dict__.pop("last_observations", None)
        batch.__dict__["finals"] = finals
        return batch

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Make the last observations of a batch `with_finals`."""
            if name != "last_observations" or "finals" not in self.__dict__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            self.__dict__[name] = self.__dict__["finals"].among(self.observations)
            del self.__dict__["finals"]
            return self.__dict__[name]

    def standing(self, steps: Array, episodes: Array) -> Standing:
        """Say where the observations of some steps and the final ones of some episodes stand."""
        finals: Finals | None = self.__dict__.get("finals")
        if finals is None:
            return Standing(self.observations, steps, self.last_observations, -1 - episodes)
        return Standing(self.observations, steps, finals.apart, finals.rows[episodes])

    def _check_episodes(self) -> None:
        lengths = checks.check_lengths(self.lengths)
        object.__setattr__(self, "lengths", lengths)
        checks.check_infos(self.episode_infos_by_episode, "episode_infos", len(lengths), "lengths")
        self._check_last_observations(len(lengths))
        self._check_steps()
        checks.check_lengths_sum(lengths, len(self.rewards))
        checks.check_step_order(self.step_types, lengths)
        if self.provenance is not None:
            checks.check_batch_size(self.provenance.units, "provenance", len(lengths), "lengths")
            for name in ("step_agent_versions", "step_env_versions"):
                versions = getattr(self.provenance, name)
                if versions is not None:
                    checks.check_batch_size(versions, f"provenance.{name}", len(self.rewards), "rewards")

    def _check_last_observations(self, episodes: int) -> None:
        column, space = self.last_observations, self.env_spec.observation_space
        if isinstance(column, np.ndarray) and (column.ndim == 0 or len(column) != episodes):
            raise ValueError(
                f"last_observations must have the same number of entries as there are episodes: it has shape "
                f"{column.shape}, but there are {episodes} episodes."
            )
        checks.check_column(column, space, "last_observations", episodes, "lengths")

    def replace(self, **changes: Any) -> EpisodeBatch:
        """Return a checked batch with some of the constructor's arguments changed."""
        arguments = dict(self.__dict__, last_observations=self.last_observations)
        arguments.pop("finals", None)
        arguments["episode_infos"] = arguments.pop("episode_infos_by_episode")
        return EpisodeBatch(**{**arguments, **changes})

    def with_provenance(self, provenance: Provenance | None) -> EpisodeBatch:
        """Return the same batch with another provenance, as a sampler hands it over.

        Infos have their keys in alphabetical order, each followed by its mask: in which order they came
        depends on which episodes were put together first.
        """
        batch = self.with_columns(
            episode_infos_by_episode=in_order(self.episode_infos_by_episode),
            env_infos=in_order(self.env_infos),
            agent_infos=in_order(self.agent_infos),
        )
        batch.__dict__["provenance"] = provenance
        return batch

    # Episodes

    @classmethod
    def concatenate(cls, *batches: TimeStepBatch) -> EpisodeBatch:
        """Return the episodes of all batches in fresh arrays; the first batch's spec is kept.

        The keys of infos may differ: see `samplerkit.episodes.infos`. Provenance is kept where all batches
        have one.

        Raises:
            ValueError: without any batch; where columns do not fit together.
            TypeError: where one is not an `EpisodeBatch`.
        """
        if not batches:
            raise ValueError("There is nothing to concatenate: give at least one EpisodeBatch.")
        if not all(isinstance(batch, EpisodeBatch) for batch in batches):
            raise TypeError(
                "Only an EpisodeBatch can be joined with an EpisodeBatch: lengths are not known otherwise."
            )
        parts = cast("tuple[EpisodeBatch, ...]", batches)
        rows = [len(part.rewards) for part in parts]
        episodes = [len(part.lengths) for part in parts]
        origins = [part.provenance for part in parts if part.provenance is not None]
        return EpisodeBatch.unchecked(
            env_spec=parts[0].env_spec,
            episode_infos=concatenate_infos(
                [part.episode_infos_by_episode for part in parts], episodes, "episode_infos"
            ),
            observations=concatenate_columns([part.observations for part in parts], "observations"),
            last_observations=concatenate_columns(
                [part.last_observations for part in parts], "last_observations"
            ),
            actions=concatenate_columns([part.actions for part in parts], "actions"),
            rewards=np.concatenate([part.rewards for part in parts]),
            env_infos=concatenate_infos([part.env_infos for part in parts], rows, "env_infos"),
            agent_infos=concatenate_infos([part.agent_infos for part in parts], rows, "agent_infos"),
            step_types=np.concatenate([part.step_types for part in parts]),
            lengths=np.concatenate([part.lengths for part in parts]),
            provenance=(
                Provenance.concatenate(origins, [part.lengths for part in parts])
                if len(origins) == len(parts)
                else None
            ),
        )

    def split(self) -> list[EpisodeBatch]:
        """Return one batch for each episode, in order; their arrays are views of this batch's."""
        return [self.view(slice(i, i + 1), slice(*rows)) for i, rows in enumerate(self._episode_ranges())]

    def stitch(self) -> EpisodeBatch:
        """Return the episodes that the fragments of this batch belong to, joined by the unit of their
        provenance.

        The fragments of one unit are joined in the order in which they stand here: where one was cut, the
        next goes on. Units come in the order of their first fragments. The last step of a unit that
        provenance names as abandoned becomes a TIMEOUT; other unfinished episodes stay open, and those whose
        start is not in this batch start with MID.

        Raises:
            ValueError: without provenance; where two fragments of one unit do not fit together, by their step
                types or because the second does not begin with what the first saw last.
        """
        return stitch(self)

    def view(self, episodes: slice, rows: slice) -> EpisodeBatch:
        """Return consecutive episodes, given with their rows, as a batch of views."""
        return EpisodeBatch.unchecked(
            env_spec=self.env_spec,
            episode_infos=rows_of_each(self.episode_infos_by_episode, episodes),
            observations=rows_of(self.observations, rows),
            last_observations=rows_of(self.last_observations, episodes),
            actions=rows_of(self.actions, rows),
            rewards=self.rewards[rows],
            env_infos=rows_of_each(self.env_infos, rows),
            agent_infos=rows_of_each(self.agent_infos, rows),
            step_types=self.step_types[rows],
            lengths=self.lengths[episodes],
            provenance=None if self.provenance is None else self.provenance.select(episodes, rows),
        )

    def _episode_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the first row of each episode and the row after its last."""
        stops = np.cumsum(self.lengths).tolist()
        yield from zip([0, *stops[:-1]], stops, strict=True)

    # Derived columns

    @property  # type: ignore[misc]
    def episode_infos(self) -> Columns:
        """Dict of columns with one row per step: the info of the step's episode."""
        return map_columns(
            lambda array: np.repeat(array, self.lengths, axis=0), self.episode_infos_by_episode
        )

    @property  # type: ignore[misc]
    def next_observations(self) -> Column:
        """(T, *observation_shape): the observation after each action."""
        ends = np.cumsum(self.lengths) - 1

        def shifted(observations: Array, last: Array) -> Array:
            following = np.empty_like(observations)
            following[:-1] = observations[1:]
            following[ends] = last
            return following

        return map_pair(shifted, self.observations, self.last_observations)

    @property
    def padded_next_observations(self) -> Column:
        """(N, width, *observation_shape), zero where an episode has no step."""
        return self._padded(self.next_observations)

    @property
    def observations_list(self) -> list[Column]:
        """For each episode its observations, as views."""
        return [rows_of(self.observations, slice(*rows)) for rows in self._episode_ranges()]

    @property
    def actions_list(self) -> list[Column]:
        """For each episode its actions, as views."""
        return [rows_of(self.actions, slice(*rows)) for rows in self._episode_ranges()]

    # Lists of dicts

    def to_list(self) -> list[dict[str, Any]]:
        """Return one dict for each episode.

        Keys: observations, next_observations, actions, rewards, env_infos, agent_infos, step_types (one row
            per step)
        and episode_infos (one row).
        """
        return episodes_to_list(self)

    @classmethod
    def from_list(cls, env_spec: EnvSpec, paths: Sequence[Mapping[str, Any]]) -> EpisodeBatch:
        """Return the batch of dicts such as `to_list` gives.

        An episode of T steps may have T + 1 observations, the last one being its final observation; otherwise
        that is the last of its next_observations, and without these its last observation is repeated. Where
        step_types are missing they are made from `dones` (T,): the step that is done is TERMINAL, or TIMEOUT
        where max_episode_length was reached and nothing was done.

        Raises:
            ValueError: without any dict; where one lacks what is needed; where values do not fit together.
        """
        if not paths:
            raise ValueError("There are no episodes: give at least one dict.")
        for index, path in enumerate(paths):
            check_episode(path, f"episode {index}")
        return EpisodeBatch.concatenate(*(episode_from_dict(env_spec, path) for path in paths))

    # Comparison

    def _differences(self, other: TimeStepBatch) -> Iterator[Difference]:
        lengths = next(column_differences(self.lengths, cast("EpisodeBatch", other).lengths, "lengths"), None)
        if lengths is not None:  # every other column would differ in shape: name the episode instead
            yield lengths
            return
        yield from super()._differences(other)

    def _order(self, difference: Difference) -> int:
        row = difference.row or 0
        return int(np.cumsum(self.lengths)[row]) if _is_per_episode(difference) else row

    def _place(self, difference: Difference) -> str:
        row = difference.row or 0
        if _is_per_episode(difference):
            return f"episode {row}"
        ends = np.cumsum(self.lengths)
        episode = int(np.searchsorted(ends, row, side="right"))
        return f"episode {episode}, step {row - int(ends[episode] - self.lengths[episode])}"

    def __repr__(self) -> str:
        return f"<EpisodeBatch of {len(self.lengths)} episodes, {len(self.rewards)} steps>"


def _is_per_episode(difference: Difference) -> bool:
    return difference.path.split("[")[0] in ("lengths", "last_observations", "episode_infos_by_episode")
