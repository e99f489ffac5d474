"""Workers whose episodes go on, on their way through one call of the sampler."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from samplerkit.episodes import EpisodeBatch, StepType
from samplerkit.episodes.columns import Column, map_column, rows_of
from samplerkit.episodes.finals import picked
from samplerkit.episodes.joining import ranges
from samplerkit.sampling.continuation import Continuation, SlotState, WorkerState


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
        self,
        numbers: Sequence[int],
        n_fragments: Sequence[int],
        batch: EpisodeBatch,
        observation: Callable[[int], Column] | None = None,
    ) -> tuple[Continuation, list[int]]:
        """Return where the workers stand after some calls, and the unit of each fragment.

        Args:
            numbers: of the calls, each worker's in order, and without a gap.
            n_fragments: of each call.
            batch: the fragments.
            observation: returns the one that follows a fragment of the last call of a worker, as a column of
                one row; given where the batch lacks them.

        Raises:
            RuntimeError: where a call has not as many steps of each slot as it should.
        """
        return _Walk(self, batch, observation).walk(numbers, n_fragments)


class CallsThatCame:
    """What has come in the present call, kept for the case that a carrier dies: of each step the action, and
    what follows the last step of each slot.

    Messages may stand in memory that is needed again, so what is kept is a copy.

    Args:
        n_workers: of the sampler.
    """

    def __init__(self, n_workers: int) -> None:
        self._n_workers = n_workers
        self.numbers: list[int] = []
        self._n_fragments: list[int] = []
        self._batches: list[EpisodeBatch] = []
        # For each worker the number of its last call, the first fragment of it, and what follows these.
        self._followed: dict[int, tuple[int, int, Column]] = {}
        self._count = 0

    def add(self, numbers: Sequence[int], n_fragments: Sequence[int], batch: EpisodeBatch) -> None:
        """Keep what is needed of some calls, each worker's in order."""
        self.numbers += numbers
        self._n_fragments += n_fragments
        self._batches.append(_slim(batch))
        last = {
            number % self._n_workers: (number, stop - count, stop)
            for number, count, stop in zip(numbers, n_fragments, np.cumsum(n_fragments).tolist(), strict=True)
        }
        for worker, (number, first, stop) in last.items():
            if self._followed.get(worker, (-1,))[0] < number:
                self._followed[worker] = number, self._count + first, _final_rows(batch, first, stop)
        self._count += sum(n_fragments)

    def followed(self, passage: Passage) -> Continuation:
        """Return where the workers stand after these calls."""
        batch = EpisodeBatch.concatenate(*self._batches)
        after, _ = passage.after(self.numbers, self._n_fragments, batch, self._observation)
        return after

    def _observation(self, fragment: int) -> Column:
        first, column = max(
            (first, column) for _, first, column in self._followed.values() if first <= fragment
        )
        return rows_of(column, np.array([fragment - first]))


def _final_rows(batch: EpisodeBatch, first: int, stop: int) -> Column:
    standing = batch.standing(np.arange(0), np.arange(first, stop))
    return picked(standing.every, standing.apart, standing.finals)


def _slim(batch: EpisodeBatch) -> EpisodeBatch:
    return EpisodeBatch.unchecked(
        env_spec=batch.env_spec,
        episode_infos={},
        observations={},
        last_observations={},
        actions=map_column(np.copy, batch.actions),
        rewards=np.zeros(len(batch.rewards)),
        env_infos={},
        agent_infos={},
        step_types=batch.step_types.copy(),
        lengths=batch.lengths.copy(),
    )


class _Walk:
    """Follows slots through fragments."""

    def __init__(
        self, passage: Passage, batch: EpisodeBatch, observation: Callable[[int], Column] | None
    ) -> None:
        self._passage = passage
        self._origin = passage.start
        self._actions = batch.actions
        self._observation = observation or (lambda i: rows_of(batch.last_observations, np.array([i])))
        self._lengths = batch.lengths
        self._stops = np.cumsum(batch.lengths)
        self._ended = batch.step_types[self._stops - 1] >= StepType.TERMINAL
        self._slots = [list(worker.slots) for worker in passage.start.workers]
        # For each slot with an open episode its fragments here.
        self._open: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
        self._abandoned = list(passage.start.abandoned)
        self._units: NDArray[np.int64] = np.empty(len(batch.lengths), np.int64)

    def walk(self, numbers: Sequence[int], n_fragments: Sequence[int]) -> tuple[Continuation, list[int]]:
        given_up = self._passage.given_up
        stops = [i for i, number in enumerate(numbers) if i and number in given_up]
        first = 0
        for start, stop in itertools.pairwise([0, *stops, len(numbers)]):
            if start < stop:
                self._give_up(numbers[start])
                counts = n_fragments[start:stop]
                self._calls(np.array(numbers[start:stop]), np.array(counts), first)
                first += sum(counts)
        for number in given_up.keys() - set(numbers):
            self._give_up(number)
        return self._end(), self._units.tolist()

    def _calls(self, numbers: NDArray[np.int64], counts: NDArray[np.int64], first: int) -> None:
        """Go through consecutive fragments, those of some calls, all at once."""
        shape, n_workers = self._origin.shape, len(self._slots)
        slots = self._slots_of(numbers, counts, first)
        keys = np.repeat(numbers % n_workers, counts) * shape.n_slots + slots
        order = np.argsort(keys, kind="stable")
        starts = [0, *(np.flatnonzero(np.diff(keys[order])) + 1).tolist(), len(order)]
        for start, stop in itertools.pairwise(starts):
            fragments = order[start:stop] + first
            worker, slot = divmod(int(keys[order[start]]), shape.n_slots)
            self._follow(worker, slot, fragments)

    def _slots_of(
        self, numbers: NDArray[np.int64], counts: NDArray[np.int64], first: int
    ) -> NDArray[np.int64]:
        """Return the slot of each fragment of some calls.

        Raises:
            RuntimeError: where a call has not as many steps of each slot as it should.
        """
        shape, last = self._origin.shape, np.cumsum(counts) + first
        lengths = self._lengths[first : last[-1]]
        calls = np.repeat(np.arange(len(counts)), counts)
        filled = np.cumsum(lengths)
        before = np.concatenate([[0], filled[np.maximum(np.cumsum(counts)[:-1] - 1, 0)]])
        ends = filled - before[calls]
        slots: NDArray[np.int64] = (ends - lengths) // shape.n_steps
        wrong = (ends - 1) // shape.n_steps != slots
        wrong_calls = {*calls[wrong].tolist(), *np.flatnonzero(np.diff([*before, filled[-1]]) != shape.size)}
        if wrong_calls:
            call = int(min(wrong_calls))
            found = self._lengths[last[call] - counts[call] : last[call]].tolist()
            raise RuntimeError(
                f"call {numbers[call]} yielded fragments of {found} steps; it must yield {shape.n_steps} "
                f"steps of each of {shape.n_slots} slots, one slot after the other"
            )
        return slots

    def _follow(self, worker: int, slot: int, fragments: NDArray[np.int64]) -> None:
        """Go through the next fragments of a slot."""
        shape, n_workers = self._origin.shape, len(self._slots)
        ended = self._ended[fragments]
        ends = np.cumsum(ended)
        rounds = self._slots[worker][slot].round + ends - ended
        self._units[fragments] = (rounds * shape.n_slots + slot) * n_workers + worker
        if ends[-1]:
            self._slots[worker][slot] = SlotState(self._slots[worker][slot].round + int(ends[-1]))
            self._open.pop((worker, slot), None)
            fragments = fragments[ends == ends[-1]][1:]
        if len(fragments):
            self._open.setdefault((worker, slot), []).append(fragments)

    def _give_up(self, number: int) -> None:
        worker = number % len(self._slots)
        for slot in self._passage.given_up.get(number, ()):
            state = self._slots[worker][slot]
            if state.n_steps or (worker, slot) in self._open:
                self._abandoned.append(self._origin.unit(worker, slot, state.round))
                self._slots[worker][slot] = state.next_round()
                self._open.pop((worker, slot), None)

    def _end(self) -> Continuation:
        for (worker, slot), pieces in self._open.items():
            fragments = np.concatenate(pieces)
            lengths, stops = self._lengths[fragments], self._stops[fragments]
            rows = ranges(list(zip((stops - lengths).tolist(), lengths.tolist(), strict=True)))
            self._slots[worker][slot] = self._slots[worker][slot].longer(
                len(rows), rows_of(self._actions, rows), self._observation(int(fragments[-1]))
            )
        hidden = self._passage.hidden
        workers = tuple(
            WorkerState.of(slots, hidden[number][1] if number in hidden else before.hidden)
            for number, (slots, before) in enumerate(zip(self._slots, self._origin.workers, strict=True))
        )
        return Continuation(self._origin.shape, workers, tuple(self._abandoned))
