"""Episodes as dicts of their columns, one dict each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from samplerkit.episodes.checks import check_batch_size, check_fields
from samplerkit.episodes.columns import Array, Column, arrays_of, rows_of
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import get_step_type

if TYPE_CHECKING:
    from samplerkit.episodes.episode_batch import EpisodeBatch


def episodes_to_list(batch: EpisodeBatch) -> list[dict[str, Any]]:
    """Return one dict for each episode: see `EpisodeBatch.to_list`."""
    following = batch.next_observations
    stops = np.cumsum(batch.lengths)
    return [
        {
            "observations": episode.observations,
            "next_observations": rows_of(following, slice(stop - len(episode.rewards), stop)),
            "actions": episode.actions,
            "rewards": episode.rewards,
            "env_infos": episode.env_infos,
            "agent_infos": episode.agent_infos,
            "step_types": episode.step_types,
            "episode_infos": episode.episode_infos_by_episode,
        }
        for episode, stop in zip(batch.split(), stops, strict=True)
    ]


def check_episode(path: Any, what: str) -> None:
    """Raise a ValueError unless a dict has the columns of an episode that cannot be made of others."""
    ends = "dones" if isinstance(path, Mapping) and "dones" in path else "step_types"
    check_fields(path, ("observations", "actions", "rewards", ends), what)


def episode_from_dict(env_spec: EnvSpec, path: Mapping[str, Any]) -> EpisodeBatch:
    """Return one episode from a dict of its columns: see `EpisodeBatch.from_list`."""
    from samplerkit.episodes.episode_batch import EpisodeBatch

    length = len(path["rewards"])
    observations: Column = path["observations"]
    surplus = {len(array) - length for _, array in arrays_of(observations)}
    if surplus == {1}:
        last = rows_of(observations, slice(length, None))
    else:
        source = "next_observations" if "next_observations" in path else "observations"
        following: Column = path[source]
        for name, array in arrays_of(following, source):
            check_batch_size(array, name, length, "rewards")
        last = rows_of(following, slice(-1, None))
    return EpisodeBatch(
        env_spec=env_spec,
        episode_infos=path.get("episode_infos", {}),
        observations=rows_of(observations, slice(0, length)) if surplus == {1} else observations,
        last_observations=last,
        actions=path["actions"],
        rewards=path["rewards"],
        env_infos=path.get("env_infos", {}),
        agent_infos=path.get("agent_infos", {}),
        step_types=path["step_types"] if "step_types" in path else _types_from(path["dones"], env_spec),
        lengths=np.array([length], np.int64),
    )


def _types_from(dones: Array, env_spec: EnvSpec) -> Array:
    limit = env_spec.max_episode_length
    types = [get_step_type(count, limit, bool(done)) for count, done in enumerate(dones, start=1)]
    return np.array(types, np.int8)
