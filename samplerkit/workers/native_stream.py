"""A vector environment that can only be seeded as a whole: its episodes are a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import numpy as np
from gymnasium.vector import AutoresetMode

from samplerkit.episodes import EnvSpec, EpisodeSlice, StepType
from samplerkit.episodes.columns import Array, Column, map_column
from samplerkit.episodes.native_recorder import (
    assign,
    checked_rewards,
    final_observations,
    fits,
    reset_infos,
    step_infos,
)
from samplerkit.episodes.stream_recording import StreamRecording
from samplerkit.episodes.tick_recorder import check_rows, row_of
from samplerkit.episodes.tick_recording import RecordedInfos, usual_ticks
from samplerkit.interfaces import Unit, UnitCancelled, Worker
from samplerkit.workers.native_slots import NativeSlots, VectorEnv
from samplerkit.workers.seeded_when_made import takes_no_seed

AS_A_WHOLE = (
    "{} can only be seeded as a whole: an episode depends on those beside it. Pass its environments one by "
    "one (a gymnasium id, or a callable that makes one)"
)


class StreamSlots(NativeSlots):
    """Slots of a vector environment that can only be seeded as a whole: no unit runs in them by itself.

    Args:
        n_slots, max_episode_length: as for `Slots`.
    """

    _capacity = 0

    def take_vector_env(self, env: VectorEnv, spec: EnvSpec) -> None:
        """Take a vector environment of `n_slots` slots.

        Raises:
            TypeError: if it ignores the seed of a reset.
        """
        if takes_no_seed(env):
            env.close()
            raise TypeError(
                "EnvPool takes a seed when it is made, and ignores that of a reset: pass "
                "samplerkit.workers.SeededWhenMade(make), where make(seed) returns the environment"
            )
        self._env = env
        self._spec = spec

    def stream(self, worker: Worker, first: Unit, size: int) -> Iterator[EpisodeSlice]:
        """Reset all slots, and yield the episodes that follow in the order in which they begin.

        Args:
            worker: looked at between ticks.
            first: see `StreamingWorker.begin_stream`.
            size: episodes to yield at once.

        Raises:
            UnitCancelled: if the worker was cancelled.
        """
        stream = _Stream(self._env, self._agent, self._spec, first.policy_seed, self._capacity)
        stream.reset(first.env_seed)
        while True:
            while not stream.recording.has(size):
                if worker.cancelled:
                    raise UnitCancelled
                stream.tick()
            self._capacity = stream.recording.capacity
            yield stream.recording.take(size)

    def begin(self, slot: int, unit: Unit | None, env_seed: int | None) -> NoReturn:
        """Refuse.

        Raises:
            TypeError: always.
        """
        raise TypeError(AS_A_WHOLE.format(type(self._env.unwrapped).__name__))


class _Stream:
    """Steps all slots, tick by tick, and keeps every tick.

    Where `max_episode_length` cuts an episode that the environment goes on with, the slot waits for the
    environment's own end, unless it can be reset alone (autoreset mode DISABLED).

    Args:
        env: the vector environment.
        agent: a policy.
        spec: spaces and limit.
        policy_seed: seeds of the policy's episodes are drawn from.
        capacity: ticks to make room for, at least.
    """

    def __init__(self, env: Any, agent: Any, spec: EnvSpec, policy_seed: int, capacity: int) -> None:
        self._env, self._agent, self._spec = env, agent, spec
        self._policy_seeds = np.random.PCG64(policy_seed)
        self._limit = np.inf if spec.max_episode_length is None else spec.max_episode_length
        self._mode = AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        n = self._n = env.num_envs
        self._warned: set[str] = set()
        capacity = max(capacity, usual_ticks(spec, n))
        self.recording = StreamRecording(spec, n, capacity, self._warned)
        self._tick = 0
        self._episodes = np.zeros(n, np.int64)
        self._starts = np.zeros(n, np.int64)
        self._live = np.zeros(n, np.bool_)
        # Ended with the last step: the next one is a reset (autoreset mode NEXT_STEP).
        self._resetting = np.zeros(n, np.bool_)

    def reset(self, seed: int | None) -> None:
        """Reset all slots, and let an episode begin in each."""
        observations, infos = self._env.reset(seed=seed)
        self._put_observations(observations)
        self._resetting[:] = False
        self._begin(np.ones(self._n, np.bool_), infos)

    def tick(self) -> None:
        """Take one step in all slots."""
        if self._tick == self.recording.capacity:
            self._turn_over()
        recording, tick = self.recording, self._tick
        rows = recording.tick_rows(tick)
        observations, rewards, terminated, truncated, infos = self._env.step(self._act(rows))
        terminated, truncated = np.asarray(terminated), np.asarray(truncated)
        over = terminated | truncated
        recording.rewards[rows] = checked_rewards(rewards, self._n)
        self._tick = tick + 1
        self._put_observations(observations)
        finals = final_observations(infos, over) if infos else None
        _put_infos(recording.env_infos, tick, infos if finals is None else step_infos(infos, over))
        ended = over
        if self._tick - self._oldest >= self._limit:
            ended = over | (self._tick - self._starts >= self._limit)
        ended = ended & self._live
        if ended.any():
            self._end(np.flatnonzero(ended), terminated, over, finals)
        self._go_on(over, ended, infos)

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

    def _end(self, slots: Array, terminated: Array, over: Array, finals: tuple[Any, Array] | None) -> None:
        numbers = self._episodes[slots]
        last = np.where(terminated[slots], StepType.TERMINAL, StepType.TIMEOUT)
        self.recording.end(numbers, self._tick, slots, last)
        self._live[slots] = False
        if finals is not None:
            column, has = finals
            self.recording.put_finals(numbers[has[slots]], column, slots[has[slots]])
        elif self._mode is AutoresetMode.SAME_STEP and over[slots].any():
            raise TypeError(
                f"{type(self._env.unwrapped).__name__} resets slots in the step that ends their episodes "
                "(autoreset mode SAME_STEP), and so must give the final observations as infos['final_obs']"
            )

    def _go_on(self, over: Array, ended: Array, infos: Mapping[str, Any]) -> None:
        """Let the next episodes begin, where slots were reset."""
        if self._mode is AutoresetMode.DISABLED:
            begins = ended
            if ended.any():
                observations, infos = self._env.reset(options={"reset_mask": ended.copy()})
                self._put_observations(observations, np.flatnonzero(ended))
        elif self._mode is AutoresetMode.SAME_STEP:
            begins, infos = over, reset_infos(infos)
        else:
            begins, self._resetting = self._resetting, over & ~self._resetting
        if begins.any():
            self._begin(begins, infos)
        elif not (self._live.any() or self._resetting.any()):
            self.reset(None)  # all were cut, and none would ever end by itself

    def _begin(self, begins: Array, infos: Mapping[str, Any]) -> None:
        slots = np.flatnonzero(begins)
        numbers = self.recording.begin(self._tick, slots)
        self._episodes[slots] = np.arange(numbers.start, numbers.stop)
        self._starts[slots] = self._tick
        self._live |= begins
        self._oldest = int(self._starts.min())
        _put_infos(self.recording.episode_infos, self._tick, infos)
        self._agent.reset(begins.copy())
        seed = getattr(self._agent, "seed", None)
        if seed is not None:
            seed(self._policy_seeds.random_raw(len(slots)))

    # -- room ------------------------------------------------------------------------------------

    def _turn_over(self) -> None:
        """Go on in a new recording, and take along what was not taken yet."""
        old, tick = self.recording, self._tick
        first = min(old.first_needed, tick)
        capacity = max(old.capacity, 4 * (tick - first))
        self.recording = StreamRecording(self._spec, self._n, capacity, self._warned)
        passed = self.recording.go_on(old, first, tick)
        self._episodes -= passed
        self._starts -= first
        self._oldest -= first
        self._tick = tick - first


def _put_infos(recorded: RecordedInfos, tick: int, infos: Mapping[str, Any]) -> None:
    if (infos or not recorded.ticks.empty) and not recorded.ticks.put(tick, infos):
        raise TypeError(
            f"{recorded.name} of a vector environment that is seeded as a whole must be arrays with a row "
            f"for each slot, always of the same dtype and shape; got {dict(infos)!r:.200}"
        )
