"""A vector environment that can only be seeded as a whole: its episodes are a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NoReturn

import numpy as np
from gymnasium.vector import AutoresetMode

from samplerkit.episodes import EnvSpec, EpisodeSlice, StepType, whole
from samplerkit.episodes.columns import Array, Column, assign, fits, map_column, row_of
from samplerkit.episodes.native_recorder import checked_rewards
from samplerkit.episodes.recorded_infos import RecordedInfos
from samplerkit.episodes.stream_recording import StreamRecording
from samplerkit.episodes.tick_recorder import check_rows
from samplerkit.episodes.tick_recording import usual_ticks
from samplerkit.episodes.vector_infos import final_observations, reset_infos, step_infos
from samplerkit.interfaces import Unit, UnitCancelled, VectorEnv, Worker
from samplerkit.workers.native_slots import NativeSlots, seeded_as_a_whole
from samplerkit.workers.seeded_when_made import takes_no_seed

_NONE: Array = np.zeros(0, np.int64)

_LAST_STEP_TYPES = np.array([StepType.TIMEOUT, StepType.TERMINAL], np.int8)
"""Of an episode that did not terminate, and of one that did."""


class Stream:
    """Steps all slots, tick by tick, and keeps every tick.

    Where `max_episode_length` cuts an episode that the environment goes on with, the slot waits for the
    environment's own end, unless it can be reset alone (autoreset mode DISABLED).

    Args:
        env: the vector environment.
        agent: a policy.
        policy_seed: see `StreamingWorker.begin_stream`.
        recording: where steps are recorded; what it has is forgotten.
    """

    def __init__(self, env: Any, agent: Any, policy_seed: int, recording: StreamRecording) -> None:
        self._env, self._agent = env, agent
        self._policy_seeds = np.random.PCG64(policy_seed)
        limit = recording.env_spec.max_episode_length
        self._limit = np.inf if limit is None else limit
        self._mode = AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        n = self._n = env.num_envs
        self.recording = recording
        recording.restart()
        self._tick = 0
        self._episodes = np.zeros(n, np.int64)
        self._starts = np.zeros(n, np.int64)
        self._live = np.zeros(n, np.bool_)
        # Slots that ended with the last step: the next one is a reset (autoreset mode NEXT_STEP).
        self._resetting = _NONE
        # Whether slots may wait; and before which tick no episode can reach the limit.
        self._may_wait = False
        self._limit_from = self._limit

    def reset(self, seed: int | None) -> None:
        """Reset all slots, and let an episode begin in each."""
        observations, infos = self._env.reset(seed=seed)
        self._put_observations(observations)
        self._begin(np.arange(self._n), infos)

    def tick(self) -> None:
        """Take one step in all slots."""
        if self._tick == self.recording.capacity:
            self._make_room()
        recording, tick = self.recording, self._tick
        rows = recording.tick_rows(tick)
        observations, rewards, terminated, truncated, infos = self._env.step(self._act(rows))
        terminated, truncated = np.asarray(terminated), np.asarray(truncated)
        over = terminated | truncated
        recording.rewards[rows] = checked_rewards(rewards, self._n)
        self._tick = tick + 1
        self._put_observations(observations)
        resets_in_step = self._mode is AutoresetMode.SAME_STEP  # else these names are infos like any
        finals = final_observations(infos, over) if infos and resets_in_step else None
        _put_infos(recording.env_infos, tick, infos if finals is None else step_infos(infos, over))
        gone = np.flatnonzero(over)
        ended = self._ended(gone, over)
        if len(ended):
            self._end(ended, terminated, over, finals)
        self._go_on(gone, ended, infos)

    def _act(self, rows: slice) -> Column:
        """Ask the policy, record its actions, and return them as the environment is to get them."""
        recording = self.recording
        actions, infos = self._agent.get_actions(map_column(np.copy, recording.observations.rows(rows)))
        place = recording.actions.rows(rows)
        if fits(place, actions):
            assign(place, actions)
        else:
            check_rows(actions, self._n)
            for slot in range(self._n):
                recording.actions.cast(rows.start + slot, row_of(actions, slot))
        _put_infos(recording.agent_infos, self._tick, infos)
        return map_column(np.copy, place)

    def _put_observations(self, observations: Any, slots: Array | None = None) -> None:
        """Record what the next actions will be chosen on, of some slots or of all."""
        column, row = self.recording.observations, self._tick * self._n
        place = column.rows(slice(row, row + self._n))
        if slots is None and fits(place, observations):
            assign(place, observations)
            return
        for slot in range(self._n) if slots is None else slots.tolist():
            column.put(row + slot, row_of(observations, slot))

    # -- episodes end and begin ------------------------------------------------------------------

    def _ended(self, gone: Array, over: Array) -> Array:
        """Return the slots whose episodes ended, given those where the environment's own did."""
        if self._tick >= self._limit_from:
            cut = self._live & (self._tick - self._starts >= self._limit)
            oldest = self._starts[self._live & ~cut].min(initial=self._tick)
            self._limit_from = oldest + self._limit
            self._may_wait |= bool((cut & ~over).any())
            ended: Array = np.flatnonzero(cut | (over & self._live))
            return ended
        return gone[self._live[gone]] if self._may_wait else gone

    def _end(self, slots: Array, terminated: Array, over: Array, finals: tuple[Any, Array] | None) -> None:
        numbers, lengths = self._episodes[slots], self._tick - self._starts[slots]
        self.recording.end(numbers, lengths, _LAST_STEP_TYPES.take(terminated[slots]), self._tick, slots)
        self._live[slots] = False
        if finals is not None:
            column, has = finals
            self.recording.put_finals(numbers[has[slots]], column, slots[has[slots]])
        elif self._mode is AutoresetMode.SAME_STEP and over[slots].any():
            raise TypeError(
                f"{type(self._env.unwrapped).__name__} resets slots in the step that ends their episodes "
                "(autoreset mode SAME_STEP), and so must give the final observations as infos['final_obs']"
            )

    def _go_on(self, gone: Array, ended: Array, infos: Mapping[str, Any]) -> None:
        """Let the next episodes begin, where slots were reset."""
        if self._mode is AutoresetMode.DISABLED:
            begins = ended
            if len(ended):
                observations, infos = self._env.reset(options={"reset_mask": self._flags(ended)})
                self._put_observations(observations, ended)
        elif self._mode is AutoresetMode.SAME_STEP:
            begins, infos = gone, reset_infos(infos)
        else:
            begins, self._resetting = self._resetting, gone
        if len(begins):
            self._begin(begins, infos)
        elif self._may_wait and not (len(self._resetting) or self._live.any()):
            self.reset(None)  # all were cut, and none would ever end by itself

    def _begin(self, slots: Array, infos: Mapping[str, Any]) -> None:
        self._episodes[slots] = self.recording.begin(self._tick, slots)
        self._starts[slots] = self._tick
        self._live[slots] = True
        _put_infos(self.recording.episode_infos, self._tick, infos)
        self._agent.reset(self._flags(slots))
        seed = getattr(self._agent, "seed", None)
        if seed is not None:
            seed(self._policy_seeds.random_raw(len(slots)))

    def _flags(self, slots: Array) -> Array:
        flags = np.zeros(self._n, np.bool_)
        flags[slots] = True
        return flags

    # -- room ------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        ticks, episodes = self.recording.make_room(self._tick)
        self._tick -= ticks
        self._limit_from -= ticks
        self._starts -= ticks
        self._episodes -= episodes


class StreamSlots(NativeSlots):
    """Slots of a vector environment that can only be seeded as a whole: no unit runs in them by itself.

    Args:
        n_slots, max_episode_length: as for `Slots`.
    """

    stream_type: ClassVar[type[Stream]] = Stream
    """What steps the slots."""

    recording_type: ClassVar[type[StreamRecording]] = StreamRecording
    """Where they are recorded."""

    _recording: StreamRecording | None = None

    @staticmethod
    def check(env: VectorEnv) -> None:
        """Raise a TypeError for a vector environment that ignores the seed of a reset."""
        if takes_no_seed(env):
            raise TypeError(
                "EnvPool takes a seed when it is made, and ignores that of a reset: pass "
                "samplerkit.workers.SeededWhenMade(make), where make(seed) returns the environment"
            )

    def take_vector_env(self, env: VectorEnv, spec: EnvSpec) -> None:
        """Take a vector environment of `n_slots` slots."""
        self._env = env
        self._recording = self.recording_type(spec, self.n_slots, usual_ticks(spec, self.n_slots), set())

    def stream(self, worker: Worker, first: Unit, size: int) -> Iterator[EpisodeSlice]:
        """Reset all slots, and yield the episodes that follow in the order in which they begin.

        Args:
            worker: looked at between ticks.
            first: see `StreamingWorker.begin_stream`.
            size: episodes to yield at once.

        Raises:
            UnitCancelled: if the worker was cancelled.
        """
        recording = self._recording
        assert recording is not None, "there is an environment"
        stream = self.stream_type(self._env, self._agent, first.policy_seed, recording)
        stream.reset(first.env_seed)
        while True:
            while not recording.has(size):
                if worker.cancelled:
                    raise UnitCancelled
                stream.tick()
            yield whole(recording.take(size))

    def begin(self, slot: int, unit: Unit | None, env_seed: int | None) -> NoReturn:
        """Refuse.

        Raises:
            TypeError: always.
        """
        raise seeded_as_a_whole(self._env)


def _put_infos(recorded: RecordedInfos, tick: int, infos: Mapping[str, Any]) -> None:
    if (infos or not recorded.ticks.empty) and not recorded.ticks.put(tick, infos):
        raise TypeError(
            f"{recorded.name} of a vector environment that is seeded as a whole must be arrays with a row "
            f"for each slot, always of the same dtype and shape; got {dict(infos)!r:.200}"
        )
