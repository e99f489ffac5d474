"""Recording an episode, step by step: the path that every step of every worker takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from samplerkit.episodes.batch_buffer import Place
from samplerkit.episodes.columns import Columns, map_columns
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.infos import stack_infos
from samplerkit.episodes.recording import Recording, step_types, usual_capacity
from samplerkit.episodes.slices import EpisodeSlice
from samplerkit.episodes.space_columns import plain_array, plain_scalar, plain_vectors
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType

_FLOATS = frozenset({float, np.float64})
_PLAIN_REWARDS = frozenset({int, bool, np.float64, np.float32, np.int64})


class Cancellable(Protocol):
    """Something that can be asked to end between two steps."""

    cancelled: bool


class EpisodeRecorder:
    """Growing columns for the steps of one episode at a time, episode after episode.

    The calls, in this order::

        recorder.start(observation, episode_info)            # after env.reset
        while ...:
            action = recorder.cast_action(policy_action)         # before the environment touches it
            observation, reward, ..., env_info = env.step(action)
            recorder.add(reward, observation, env_info, agent_info)
        batch = recorder.finish(last_step_type)              # or keep(last_step_type): no copy yet

    Everything is copied when it is given: the environment and the policy may write to their arrays
    afterwards. What differs from the spaces is cast within its kind, with one warning for each path (float64
    to float32), or refused with an error (float for int, wrong shape or structure). `start` may be called at
    any time: it drops what was recorded and not kept.

    Args:
        env_spec: the spaces of the values to come.

    """

    __slots__ = (
        "_action_row",
        "_episode_info",
        "_first_step_type",
        "_longest",
        "_recording",
        "_row",
        "_start",
        "_started",
        "_warned",
        "env_spec",
    )

    def __init__(self, env_spec: EnvSpec) -> None:
        self.env_spec = env_spec
        self._warned: set[str] = set()
        self._recording = self._new_recording(0)
        # Rows of the recording: where this episode begins, and where its next step goes.
        self._start = self._row = 0
        self._longest = 1
        self._episode_info: Columns = {}
        self._first_step_type = StepType.FIRST
        self._action_row = -1
        self._started = False

    @property
    def length(self) -> int:
        """The number of steps recorded since `start`."""
        return self._row - self._start

    def start(
        self,
        observation: Any,
        episode_info: Mapping[str, Any] | None = None,
        *,
        first_step_type: StepType = StepType.FIRST,
    ) -> Any:
        """Begin an episode with its first observation and the info of `env.reset`.

        Args:
            observation: what the first action will be chosen on.
            episode_info: one value per key for the whole episode.
            first_step_type: MID for a fragment that goes on from an earlier one.

        Returns:
            the observation as it was recorded, in its space's dtype: what the policy is to see.

        Raises:
            ValueError, TypeError: where the observation does not fit its space.
        """
        self._started = False
        row = self._row = self._start
        if row + self._longest > self._recording.capacity:
            row = self._turn_over()
        self._action_row = -1
        recording = self._recording
        recording.drop_infos(row)
        observation = recording.observations.put(row, observation)
        self._episode_info = stack_infos((episode_info,), "episode_infos") if episode_info else {}
        self._first_step_type = first_step_type
        self._started = True
        return observation

    def cast_action(self, action: Any) -> Any:
        """Record the action of the coming step, and return it as the environment is to get it.

        Returns:
            a value of the action space's dtype: a fresh array, an integer for Discrete spaces, nested as the
            space is.

        Raises:
            ValueError, TypeError: where the action does not fit its space.
        """
        if self._row >= self._recording.capacity:
            self._make_room()
        row = self._action_row = self._row
        return self._recording.actions.cast(row, action)

    def add(
        self,
        reward: Any,
        next_observation: Any,
        env_info: Mapping[str, Any],
        agent_info: Mapping[str, Any],
    ) -> Any:
        """Record what came of the action last given to `cast_action`.

        Returns:
            the observation as it was recorded, in its space's dtype: what the policy is to see.

        Raises:
            RuntimeError: without an action, or before `start`.
            ValueError, TypeError: where the observation does not fit its space, the reward is no number, or
                an info does not fit to those before it.
        """
        row = self._row
        if self._action_row != row or not self._started:
            raise RuntimeError(
                "Each step is start or add, then cast_action, then add: this add has no action before it."
            )
        recording = self._recording
        observation = recording.observations.put(row + 1, next_observation)
        recording.rewards[row] = reward if type(reward) is float else checked_reward(reward)
        if env_info:
            recording.env_infos.add(self._start, row, env_info)
        if agent_info:
            recording.agent_infos.add(self._start, row, agent_info)
        self._row = row + 1
        return observation

    def episodes(
        self,
        beginnings: Iterable[tuple[Any, Mapping[str, Any]]],
        get_action: Callable[[Any], tuple[Any, Mapping[str, Any]]],
        step: Callable[[Any], tuple[Any, Any, bool, bool, Mapping[str, Any]]],
        max_length: float,
        worker: Cancellable,
        next_place: Callable[[], Place | None] | None = None,
    ) -> Iterator[EpisodeSlice]:
        """Record and keep episode after episode: what the single calls do, in one loop.

        Every step of every ordinary worker passes here. With local names, and `put` and `cast` written out
        for the plainest columns, a step costs what it costs in a loop that does nothing but store.

        Args:
            beginnings: makes the next episode begin; what `env.reset` returned.
            get_action: of the policy: observation -> action, agent info.
            step: of the environment.
            max_length: most steps of an episode.
            worker: looked at between steps. Once it is cancelled there are no more episodes, and the
                running one is not kept.
            next_place: says where the observations of the episode go that begins, if not to memory of the
                recorder's own.

        Raises:
            ValueError, TypeError: as `start`, `cast_action`, `add` and `keep`.
        """
        array, floats = np.ndarray, _FLOATS
        recording, place = None, None
        for first, info in beginnings:
            if next_place is not None and (place := next_place()) is not None:
                before = self._record_at(place)
            try:
                observation = self.start(first, info)
                if self._recording is not recording:
                    recording = self._recording
                    put, cast, rewards, capacity, plain, add_env_info, add_agent_info = self._places()
                    dtype, shape, rows, line, width, kind, actions = plain
                start = row = self._row
                last = min(start + max_length, capacity)
                while True:
                    action, agent_info = get_action(observation)
                    if type(action) is kind:
                        actions[row] = action
                    else:
                        action = cast(row, action)
                    observation, reward, terminated, truncated, env_info = step(action)
                    rewards[row] = reward if type(reward) in floats else checked_reward(reward)
                    if env_info:
                        add_env_info(start, row, env_info)
                    if agent_info:
                        add_agent_info(start, row, agent_info)
                    row += 1
                    if terminated or truncated:
                        break
                    if row >= last:
                        if row - start >= max_length:
                            break
                        self._row = row
                        self._make_room()
                        start, row, recording = self._start, self._row, self._recording
                        put, cast, rewards, capacity, plain, add_env_info, add_agent_info = self._places()
                        dtype, shape, rows, line, width, kind, actions = plain
                        last = min(start + max_length, capacity)
                    if worker.cancelled:
                        return
                    if line is not None and type(observation) is array:
                        try:
                            line[row * width : row * width + width] = observation
                        except ValueError:
                            observation = put(row, observation)
                    elif (
                        type(observation) is array
                        and observation.dtype is dtype
                        and observation.shape == shape
                    ):
                        rows[row] = observation
                    else:
                        observation = put(row, observation)
                # Not to the row behind the last step: in a place that was given it may be another unit's.
                recording.put_last(observation)
                self._row = row
                yield self._keep(StepType.TERMINAL if terminated else StepType.TIMEOUT)
            finally:
                if place is not None:
                    self._recording, self._start = before
                    self._row = self._start

    def _record_at(self, place: Place) -> tuple[Recording, int]:
        """Let the observations of an episode go to a given place; return where it was before."""
        before = self._recording, self._start
        self._recording = Recording(self.env_spec, place.n_rows, self._warned, place)
        self._start = self._row = 0
        return before

    def _places(self) -> tuple[Any, Any, memoryview[Any], int, tuple[Any, ...], Any, Any]:
        """Return where steps go now, and how.

        General ways for observations and actions, rewards, the capacity, what plain columns take, infos.
        """
        it = self._recording
        return (
            it.observations.put,
            it.actions.cast,
            it.rewards.data,
            it.capacity,
            (*plain_array(it.observations), *plain_vectors(it.observations), *plain_scalar(it.actions)),
            it.env_infos.add,
            it.agent_infos.add,
        )

    def finish(self, last_step_type: StepType) -> EpisodeBatch:
        """Return what was recorded since `start` as a batch of one episode, in fresh arrays.

        Args:
            last_step_type: TERMINAL or TIMEOUT; MID where the episode is still open (a fragment).

        Raises:
            ValueError: where no step was recorded.
        """
        start, stop = self._rows()
        recording, length = self._recording, stop - start
        return EpisodeBatch.unchecked(
            env_spec=self.env_spec,
            episode_infos=map_columns(np.copy, self._episode_info),
            observations=recording.observations.copy_rows(start, stop),
            last_observations=recording.observations.copy_rows(stop, stop + 1),
            actions=recording.actions.copy_rows(start, stop),
            rewards=recording.rewards[start:stop].copy(),
            env_infos=recording.env_infos.running(start, stop),
            agent_infos=recording.agent_infos.running(start, stop),
            step_types=step_types([length], [self._first_step_type], [last_step_type]),
            lengths=np.array([length], np.int64),
        )

    def keep(self, last_step_type: StepType) -> EpisodeSlice:
        """End the episode and leave its rows where they are; the next one begins behind them.

        Args:
            last_step_type: as for `finish`.

        Raises:
            ValueError: where no step was recorded.
        """
        self._recording.copy_last(self._rows()[1])
        return self._keep(last_step_type)

    def _keep(self, last_step_type: StepType) -> EpisodeSlice:
        start, stop = self._rows()
        kept = self._recording.keep(start, stop, self._first_step_type, last_step_type, self._episode_info)
        self._started = False
        self._start = stop
        if stop - start > self._longest:
            self._longest = stop - start
        return kept

    def _rows(self) -> tuple[int, int]:
        if self._row == self._start:
            raise ValueError(
                "An episode has at least one step, but none was recorded: add a step before its end."
            )
        return self._start, self._row

    def _turn_over(self) -> int:
        """Go on in a new recording, large enough for the longest episode so far; return its first row."""
        self._recording = self._new_recording(self._longest)
        self._start = self._row = 0
        return 0

    def _new_recording(self, rows: int) -> Recording:
        return Recording(self.env_spec, max(usual_capacity(self.env_spec), rows), self._warned)

    def _make_room(self) -> None:
        old, start, stop = self._recording, self._start, self._row
        if not old.n_episodes:
            old.grow(2 * old.capacity)
            return
        self._recording = self._new_recording(2 * (stop - start))
        self._recording.take_rows(old, start, stop)
        self._start, self._row = 0, stop - start


def checked_reward(reward: Any) -> Any:
    """Return a reward that is a real number.

    Raises:
        TypeError, ValueError: if it is none, or an array of several.
    """
    if type(reward) in _PLAIN_REWARDS:
        return reward
    array = np.asarray(reward)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"reward is {reward!r} of type {type(reward).__name__}, but must be a real number.")
    if array.shape != ():
        raise ValueError(
            f"reward has shape {array.shape}, but must be a single number: give reward[0] or its sum."
        )
    return reward
