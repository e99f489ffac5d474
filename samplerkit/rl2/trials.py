"""Trials in a batch: which episodes belong together, and what each inner episode earned.

Trials are known by the explicit id ``"trial"`` in the episode infos, never by the worker that ran them: a
worker runs any number of trials, and which worker ran what is not the learner's business.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from samplerkit.episodes import EpisodeBatch, StepType
from samplerkit.episodes.columns import Array, Column, map_pair, rows_of
from samplerkit.episodes.returns import episode_returns

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def group_trials(batch: EpisodeBatch) -> list[IntArray]:
    """Say which episodes make up each trial.

    `RL2Worker` gives a trial as several episodes with ``"trial"`` and ``"episode_index"`` in their infos;
    where there is no ``"episode_index"`` (from `RL2Env` in any other worker) each episode is a whole trial.

    Returns:
        For each trial, in the order of its first episode, the numbers of its episodes in the order of play.

    Raises:
        ValueError: a trial's episodes are not numbered 0, 1, 2, …; the batch was split or two batches with
            the same trials were joined.
    """
    infos = batch.episode_infos_by_episode
    n_episodes = len(batch.lengths)
    if "episode_index" not in infos:
        return [np.array([episode]) for episode in range(n_episodes)]
    if "trial" not in infos:
        raise ValueError('episode infos have "episode_index" but no "trial": the trials cannot be told apart')
    ids, indices = np.asarray(infos["trial"]), np.asarray(infos["episode_index"])
    _, first, trial_of = np.unique(ids, return_index=True, return_inverse=True)
    trials = []
    for trial in np.argsort(first):
        members = np.flatnonzero(trial_of == trial)
        members = members[np.argsort(indices[members], kind="stable")]
        if not np.array_equal(indices[members], np.arange(len(members))):
            raise ValueError(
                f"trial {ids[members[0]]} has episodes {indices[members].tolist()} instead of 0, 1, 2, …: "
                "pass whole trials, each once"
            )
        trials.append(members)
    return trials


def join_trials(batch: EpisodeBatch) -> EpisodeBatch:
    """Make each trial one episode, over which returns and advantages can run.

    A trial is over when it is over: its last step is TERMINAL, whatever ended the last inner episode. A batch
    of whole trials is returned as it is.
    """
    if "episode_index" not in batch.episode_infos_by_episode:
        return batch
    trials = group_trials(batch)
    starts = np.cumsum(batch.lengths) - batch.lengths
    steps = np.concatenate(
        [np.arange(starts[i], starts[i] + batch.lengths[i]) for trial in trials for i in trial]
    )
    first = np.array([trial[0] for trial in trials])
    last = np.array([trial[-1] for trial in trials])
    lengths = np.array([batch.lengths[trial].sum() for trial in trials])
    step_types = np.full(len(steps), StepType.MID, dtype=np.int8)
    step_types[np.cumsum(lengths) - lengths] = StepType.FIRST
    step_types[np.cumsum(lengths) - 1] = StepType.TERMINAL
    infos = {key: rows_of(column, first) for key, column in batch.episode_infos_by_episode.items()}
    return EpisodeBatch(
        env_spec=replace(batch.env_spec, max_episode_length=None),
        episode_infos={key: column for key, column in infos.items() if key != "episode_index"},
        observations=rows_of(batch.observations, steps),
        last_observations=rows_of(batch.last_observations, last),
        actions=rows_of(batch.actions, steps),
        rewards=batch.rewards[steps],
        env_infos={key: rows_of(column, steps) for key, column in batch.env_infos.items()},
        agent_infos={key: rows_of(column, steps) for key, column in batch.agent_infos.items()},
        step_types=step_types,
        lengths=lengths,
        provenance=None if batch.provenance is None else batch.provenance.select(first, steps),
    )


def cut_trials(batch: EpisodeBatch, ids: npt.ArrayLike | None = None) -> EpisodeBatch:
    """Make each inner episode one episode: what `RL2Worker` gives, of trials from any worker.

    The inverse of `join_trials`, but that a trial which was cut by a limit of its own ends in a TIMEOUT.
    An inner episode's final observation is what the policy saw next: where another one follows, its first
    observation; the infos hold ``"inner_final_observation"``. A batch of inner episodes is returned as it is.

    Args:
        batch: whole trials of an `RL2Env`.
        ids: an integer for each trial, which becomes its ``"trial"``. None: the number of its unit, or its
            place in the batch where there is no provenance. The seed that stands there will not do: two
            trials of a large batch may share one.

    Raises:
        ValueError: if these are no trials of an `RL2Env`.
    """
    if "episode_index" in batch.episode_infos_by_episode:
        return batch
    if not {"episode_index", "inner_done", "inner_truncated"} <= batch.env_infos.keys():
        raise ValueError(
            'the steps of this batch have no infos "episode_index", "inner_done" and "inner_truncated": pass '
            "trials that were played in an RL2Env"
        )
    ends = np.asarray(batch.env_infos["inner_done"]).copy()
    ends[np.cumsum(batch.lengths) - 1] = True
    (last,) = np.nonzero(ends)
    first = np.concatenate([[0], last[:-1] + 1])
    trial_of = np.repeat(np.arange(len(batch.lengths)), batch.lengths)[last]
    infos = {key: rows_of(column, trial_of) for key, column in batch.episode_infos_by_episode.items()}
    infos["trial"] = _trial_ids(batch, ids)[trial_of]
    infos["episode_index"] = np.asarray(batch.env_infos["episode_index"])[first]
    return EpisodeBatch(
        env_spec=batch.env_spec,
        episode_infos=infos,
        observations=batch.observations,
        last_observations=_following(batch, last, trial_of),
        actions=batch.actions,
        rewards=batch.rewards,
        env_infos=batch.env_infos,
        agent_infos=batch.agent_infos,
        step_types=_inner_step_types(batch, first, last),
        lengths=last + 1 - first,
        provenance=None if batch.provenance is None else batch.provenance.select(trial_of, slice(None)),
    )


def _trial_ids(batch: EpisodeBatch, ids: npt.ArrayLike | None) -> IntArray:
    if ids is not None:
        return np.asarray(ids, np.int64)
    return np.arange(len(batch.lengths)) if batch.provenance is None else batch.provenance.units


def _following(batch: EpisodeBatch, last: IntArray, trial_of: IntArray) -> Column:
    """Return what the policy saw after each of these steps: of the same trial, or its final observation."""
    ends_trial = last == (np.cumsum(batch.lengths) - 1)[trial_of]

    def rows(following: Array, final: Array) -> Array:
        taken = following.take(np.minimum(last + 1, len(following) - 1), 0)
        taken[ends_trial] = final[trial_of[ends_trial]]
        return taken

    return map_pair(rows, batch.observations, batch.last_observations)


def _inner_step_types(batch: EpisodeBatch, first: IntArray, last: IntArray) -> npt.NDArray[np.int8]:
    types = np.full(len(batch.rewards), StepType.MID, np.int8)
    types[first] = StepType.FIRST
    done, truncated = (np.asarray(batch.env_infos[key])[last] for key in ("inner_done", "inner_truncated"))
    types[last] = np.where(truncated, StepType.TIMEOUT, StepType.TERMINAL)
    # Where the trial was cut in the middle of an inner episode.
    types[last[~done]] = batch.step_types[last[~done]]
    return types


def trial_returns(batch: EpisodeBatch) -> FloatArray:
    """Sum of rewards of each trial, shape (n_trials,)."""
    returns = episode_returns(batch)
    return np.array([returns[members].sum() for members in group_trials(batch)])


def inner_returns(batch: EpisodeBatch) -> FloatArray:
    """Sum of rewards of each inner episode, shape (n_trials, most inner episodes); missing ones are NaN."""
    if "episode_index" in batch.env_infos and "episode_index" not in batch.episode_infos_by_episode:
        episode_of = np.repeat(np.arange(len(batch.lengths)), batch.lengths)
        return _table(episode_of, np.asarray(batch.env_infos["episode_index"]), batch.rewards)
    trials = group_trials(batch)
    rows = np.repeat(np.arange(len(trials)), [len(members) for members in trials])
    columns = np.concatenate([np.arange(len(members)) for members in trials])
    return _table(rows, columns, episode_returns(batch)[np.concatenate(trials)])


def _table(rows: IntArray, columns: IntArray, values: FloatArray) -> FloatArray:
    table = np.full((rows.max() + 1, columns.max() + 1), np.nan)
    table[rows, columns] = 0.0
    np.add.at(table, (rows, columns), values)
    return table
