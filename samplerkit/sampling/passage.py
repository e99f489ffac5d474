"""Workers whose episodes go on, on their way through one call of the sampler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from samplerkit.episodes import EpisodeBatch, StepType
from samplerkit.episodes.columns import map_column, rows_of
from samplerkit.sampling.continuation import Continuation, WorkerState


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
            WorkerState.of(slots, hidden[number][1] if number in hidden else before.hidden)
            for number, (slots, before) in enumerate(zip(self._slots, self._origin.workers, strict=True))
        )
        return Continuation(self._origin.shape, workers, tuple(self._abandoned))
