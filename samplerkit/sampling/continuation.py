"""Where workers stand whose episodes go on from call to call: enough to bring them back anywhere.

The sampler gets every fragment, so it knows all that was done in the open episodes: it keeps their actions.
Like the record of updates this is a value, committed at the end of a call, from which workers are built again
after an error, a death, or a restore.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from samplerkit.episodes import EpisodeBatch, StepType
from samplerkit.episodes.columns import Column, concatenate_columns, map_column, rows_of
from samplerkit.interfaces.continuing import CallShape, OpenEpisode, Resumption
from samplerkit.sampling.recipes import AgentChange, EnvChange


@dataclass(frozen=True)
class SlotState:
    """One slot between two calls.

    Attributes:
        round: which of its episodes is open, or comes next.
        n_steps: how many steps the open one has; 0 where none is open.
        actions: of these, in pieces: how many, and the column. The pieces get shorter and shorter, so that
            one can be added, again and again, at little cost.
        observation: column of one row that follows the last of them.
        one_policy: see `OpenEpisode`.
    """

    round: int = 0
    n_steps: int = 0
    actions: tuple[tuple[int, Column], ...] = ()
    observation: Column | None = None
    one_policy: bool = True

    def next_round(self) -> SlotState:
        """Return the slot without its open episode."""
        return SlotState(self.round + 1)

    def longer(self, n_steps: int, actions: Column, observation: Column) -> SlotState:
        """Return the slot after more steps of its episode."""
        pieces, more = list(self.actions), n_steps
        while pieces and pieces[-1][0] <= more:
            count, before = pieces.pop()
            more, actions = count + more, concatenate_columns([before, actions], "actions")
        return replace(
            self,
            n_steps=self.n_steps + n_steps,
            actions=(*pieces, (more, actions)),
            observation=observation,
        )

    def open_episode(self, slot: int) -> OpenEpisode:
        """Return what brings the open episode back."""
        actions = concatenate_columns([column for _, column in self.actions], "actions")
        return OpenEpisode(slot, self.n_steps, actions, self.observation, self.one_policy)


@dataclass(frozen=True)
class WorkerState:
    """A worker between two calls: its slots, and the policy's hidden state, pickled, where it offers it."""

    slots: tuple[SlotState, ...]
    hidden: bytes | None = None

    def resumption(self) -> Resumption:
        """Return what brings a new worker there."""
        episodes = tuple(slot.open_episode(i) for i, slot in enumerate(self.slots) if slot.n_steps)
        return Resumption(tuple(slot.round for slot in self.slots), episodes, self.hidden)


@dataclass(frozen=True)
class Continuation:
    """All workers between two calls.

    Attributes:
        shape: of a call.
        workers: where each stands.
        abandoned: units that were given up since the last batch.
    """

    shape: CallShape
    workers: tuple[WorkerState, ...]
    abandoned: tuple[int, ...] = ()

    @classmethod
    def first(cls, shape: CallShape, n_workers: int) -> Continuation:
        """Return where workers start."""
        return cls(shape, (WorkerState((SlotState(),) * shape.n_slots),) * n_workers)

    def unit(self, worker: int, slot: int, round_: int) -> int:
        """Return the number of the unit that a slot begins in a round."""
        return (round_ * self.shape.n_slots + slot) * len(self.workers) + worker

    def n_calls(self, num_samples: int) -> int:
        """Return how many calls yield at least so many steps."""
        return -(-num_samples // self.shape.size)

    def changed(
        self, agents: Sequence[AgentChange | None] | None, envs: Sequence[EnvChange | None] | None
    ) -> Continuation:
        """Return it after updates: new policies and environments abandon episodes, new weights do not."""
        if agents is None and envs is None:
            return self
        n = len(self.workers)
        workers, abandoned = list(self.workers), list(self.abandoned)
        for number, (agent, env) in enumerate(zip(agents or [None] * n, envs or [None] * n, strict=True)):
            if env is not None or (agent is not None and agent.is_policy):
                every = range(self.shape.n_slots)
                workers[number] = self._without(workers[number], number, every, abandoned)
            elif agent is not None:
                slots = workers[number].slots
                workers[number] = replace(
                    workers[number], slots=tuple(replace(slot, one_policy=not slot.n_steps) for slot in slots)
                )
        return replace(self, workers=tuple(workers), abandoned=tuple(abandoned))

    def without(self, worker: int, slots: Sequence[int]) -> Continuation:
        """Return it after a worker gave up what was open in some slots."""
        abandoned = list(self.abandoned)
        workers = list(self.workers)
        workers[worker] = self._without(workers[worker], worker, slots, abandoned)
        return replace(self, workers=tuple(workers), abandoned=tuple(abandoned))

    def _without(
        self, state: WorkerState, worker: int, slots: Sequence[int], abandoned: list[int]
    ) -> WorkerState:
        kept = list(state.slots)
        for slot in slots:
            if kept[slot].n_steps:
                abandoned.append(self.unit(worker, slot, kept[slot].round))
                kept[slot] = kept[slot].next_round()
        return replace(state, slots=tuple(kept))

    def without_any(self) -> Continuation:
        """Return it after all workers gave up whatever was open."""
        after = self
        for worker in range(len(self.workers)):
            after = after.without(worker, range(self.shape.n_slots))
        return after

    def settled(self) -> Continuation:
        """Return it after a batch has named what was abandoned."""
        return replace(self, abandoned=())


@dataclass
class Passage:
    """The workers on their way through one call of the sampler.

    Attributes:
        start: where they stood when it began, its updates applied.
        given_up: for the number of a worker's call the slots whose episodes could not be brought back when
            the worker was built again right before it.
        hidden: for each worker the hidden state after the newest of its calls, and the number of that.
    """

    start: Continuation
    given_up: dict[int, tuple[int, ...]] = field(default_factory=dict)
    hidden: dict[int, tuple[int, bytes | None]] = field(default_factory=dict)

    def next_call(self, worker: int, numbers: Sequence[int], cursor: int) -> int:
        """Return the number of a worker's next call, given those that have come since the cursor."""
        n_workers = len(self.start.workers)
        mine = [number for number in numbers if number % n_workers == worker]
        return max(mine) + n_workers if mine else cursor + (worker - cursor) % n_workers

    def note_given_up(self, number: int, slots: tuple[int, ...]) -> None:
        """Take note that a worker gave up episodes right before a call of this number."""
        self.given_up[number] = (*self.given_up.get(number, ()), *slots)

    def note_hidden(self, number: int, hidden: bytes | None) -> None:
        """Take the hidden state of a worker after a call of this number."""
        worker = number % len(self.start.workers)
        if self.hidden.get(worker, (-1, None))[0] < number:
            self.hidden[worker] = number, hidden

    def after(
        self, numbers: Sequence[int], n_fragments: Sequence[int], batch: EpisodeBatch
    ) -> tuple[Continuation, list[int]]:
        """Return where the workers stand after some calls, and the unit of each fragment.

        Args:
            numbers: of the calls, each worker's in order, and without a gap.
            n_fragments: of each call.
            batch: the fragments.

        Raises:
            RuntimeError: where a call has not as many steps of each slot as it should.
        """
        return _Walk(self, batch).walk(numbers, n_fragments)


class CallsThatCame:
    """What has come in the present call, kept for the case that a carrier dies: of each step the action.

    Messages may stand in memory that is needed again, so what is kept is a copy.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._n_fragments: list[int] = []
        self._batches: list[EpisodeBatch] = []

    def add(self, numbers: Sequence[int], n_fragments: Sequence[int], batch: EpisodeBatch) -> None:
        """Keep what is needed of some calls, each worker's in order."""
        self.numbers += numbers
        self._n_fragments += n_fragments
        self._batches.append(_slim(batch))

    def followed(self, passage: Passage) -> Continuation:
        """Return where the workers stand after these calls."""
        after, _ = passage.after(self.numbers, self._n_fragments, EpisodeBatch.concatenate(*self._batches))
        return after


def _slim(batch: EpisodeBatch) -> EpisodeBatch:
    return EpisodeBatch.unchecked(
        env_spec=batch.env_spec,
        episode_infos={},
        observations={},
        last_observations=map_column(np.copy, batch.last_observations),
        actions=map_column(np.copy, batch.actions),
        rewards=np.zeros(len(batch.rewards)),
        env_infos={},
        agent_infos={},
        step_types=batch.step_types.copy(),
        lengths=batch.lengths.copy(),
    )


class _Walk:
    """Follows slots through fragments."""

    def __init__(self, passage: Passage, batch: EpisodeBatch) -> None:
        self._passage = passage
        self._origin = passage.start
        self._batch = batch
        self._slots = [list(worker.slots) for worker in passage.start.workers]
        # For each slot with an open episode its fragments here: number, first row, row after the last.
        self._pieces: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        self._abandoned = list(passage.start.abandoned)
        self._units: list[int] = []

    def walk(self, numbers: Sequence[int], n_fragments: Sequence[int]) -> tuple[Continuation, list[int]]:
        stops = np.cumsum(self._batch.lengths)
        ended = (self._batch.step_types[stops - 1] >= StepType.TERMINAL).tolist()
        fragments = list(zip(self._batch.lengths.tolist(), stops.tolist(), ended, strict=True))
        first = 0
        for number, count in zip(numbers, n_fragments, strict=True):
            self._give_up(number)
            self._call(number, first, fragments[first : first + count])
            first += count
        for number in self._passage.given_up.keys() - set(numbers):
            self._give_up(number)
        return self._end(), self._units

    def _call(self, number: int, first: int, fragments: Sequence[tuple[int, int, bool]]) -> None:
        shape, n_workers = self._origin.shape, len(self._slots)
        worker, slot, filled = number % n_workers, 0, 0
        slots, units = self._slots[worker], self._units
        for index, (length, stop, ended) in enumerate(fragments, first):
            if slot == shape.n_slots or filled + length > shape.n_steps:
                break
            filled += length
            units.append((slots[slot].round * shape.n_slots + slot) * n_workers + worker)
            if ended:
                slots[slot] = slots[slot].next_round()
                self._pieces.pop((worker, slot), None)
            else:
                self._pieces.setdefault((worker, slot), []).append((index, stop - length, stop))
            if filled == shape.n_steps:
                slot, filled = slot + 1, 0
        else:
            if slot == shape.n_slots:
                return
        raise RuntimeError(
            f"call {number} yielded fragments of {[length for length, _, _ in fragments]} steps; it must "
            f"yield {shape.n_steps} steps of each of {shape.n_slots} slots, one slot after the other"
        )

    def _give_up(self, number: int) -> None:
        worker = number % len(self._slots)
        for slot in self._passage.given_up.get(number, ()):
            state = self._slots[worker][slot]
            if state.n_steps or (worker, slot) in self._pieces:
                self._abandoned.append(self._origin.unit(worker, slot, state.round))
                self._slots[worker][slot] = state.next_round()
                self._pieces.pop((worker, slot), None)

    def _end(self) -> Continuation:
        for (worker, slot), pieces in self._pieces.items():
            rows = np.concatenate([np.arange(start, stop) for _, start, stop in pieces])
            last = np.array([pieces[-1][0]])
            self._slots[worker][slot] = self._slots[worker][slot].longer(
                len(rows), rows_of(self._batch.actions, rows), rows_of(self._batch.last_observations, last)
            )
        hidden = self._passage.hidden
        workers = tuple(
            WorkerState(tuple(slots), hidden[number][1] if number in hidden else before.hidden)
            for number, (slots, before) in enumerate(zip(self._slots, self._origin.workers, strict=True))
        )
        return Continuation(self._origin.shape, workers, tuple(self._abandoned))


# -- as a part of a sampler's state ----------------------------------------------------------------


def save_continuation(continuation: Continuation) -> dict[str, Any]:
    """Return numbers, bytes and lists of these."""
    return {
        "n_slots": continuation.shape.n_slots,
        "abandoned": list(continuation.abandoned),
        "workers": [_saved(worker) for worker in continuation.workers],
    }


def _saved(worker: WorkerState) -> dict[str, Any]:
    episodes = {i: slot.open_episode(i) for i, slot in enumerate(worker.slots) if slot.n_steps}
    return {
        "rounds": [slot.round for slot in worker.slots],
        "open": [
            (slot, worker.slots[slot].n_steps, it.one_policy, pickle.dumps((it.actions, it.observation)))
            for slot, it in episodes.items()
        ],
        "hidden": worker.hidden,
    }


def load_continuation(saved: Mapping[str, Any], shape: CallShape) -> Continuation:
    """Read what `save_continuation` returned, for workers with as many slots."""
    workers = tuple(_loaded(worker) for worker in saved["workers"])
    return Continuation(shape, workers, tuple(saved["abandoned"]))


def _loaded(saved: Mapping[str, Any]) -> WorkerState:
    slots = [SlotState(round_) for round_ in saved["rounds"]]
    for slot, n_steps, one_policy, data in saved["open"]:
        actions, observation = pickle.loads(data)
        slots[slot] = SlotState(slots[slot].round, n_steps, ((n_steps, actions),), observation, one_policy)
    return WorkerState(tuple(slots), saved["hidden"])
