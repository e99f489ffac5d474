"""Where workers stand whose episodes go on from call to call: enough to bring them back anywhere.

The sampler gets every fragment, so it knows all that was done in the open episodes: it keeps their actions.
Like the record of updates this is a value, committed at the end of a call, from which workers are built again
after an error, a death, or a restore.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from samplerkit.episodes.columns import Column, concatenate_columns
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
    """A worker between two calls.

    Attributes:
        slots: its slots.
        hidden: the policy's hidden state, pickled, where it offers it and something is open.
    """

    slots: tuple[SlotState, ...]
    hidden: bytes | None = None

    @classmethod
    def of(cls, slots: Sequence[SlotState], hidden: bytes | None) -> WorkerState:
        """Return a worker with these slots; where nothing is open there is nothing hidden that counts."""
        return cls(tuple(slots), hidden if any(slot.n_steps for slot in slots) else None)

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
        return WorkerState.of(kept, state.hidden)

    def without_any(self) -> Continuation:
        """Return it after all workers gave up whatever was open."""
        after = self
        for worker in range(len(self.workers)):
            after = after.without(worker, range(self.shape.n_slots))
        return after

    def settled(self) -> Continuation:
        """Return it after a batch has named what was abandoned."""
        return replace(self, abandoned=())


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
