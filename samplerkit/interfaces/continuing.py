"""Workers whose episodes go on from call to call: what they yield, and what brings an open episode back."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from samplerkit.interfaces.capabilities import YES, Capabilities, no
from samplerkit.interfaces.unit import Unit
from samplerkit.interfaces.worker import Worker


class CallShape(NamedTuple):
    """What one call of a continuing worker yields: so many steps of each slot, neither more nor less."""

    n_slots: int
    n_steps: int

    @property
    def size(self) -> int:
        """All steps of a call."""
        return self.n_slots * self.n_steps


@dataclass(frozen=True)
class OpenEpisode:
    """An episode that was cut and goes on in the slot's next step.

    Attributes:
        slot: where.
        n_steps: so far; at least 1.
        actions: column with a row for each step so far.
        observation: column of one row: what the next action will be chosen on.
        one_policy: whether all these actions were chosen with the weights that the policy has now.
    """

    slot: int
    n_steps: int
    actions: Any
    observation: Any
    one_policy: bool


@dataclass(frozen=True)
class Resumption:
    """Where a continuing worker stands between two calls; it is brought there by `ContinuingWorker.go_on`.

    Attributes:
        rounds: for each slot, which of its episodes is open, or comes next.
        episodes: those that are open.
        hidden: what `ContinuingWorker.hidden_state` returned; None if nothing did.
    """

    rounds: tuple[int, ...]
    episodes: tuple[OpenEpisode, ...] = ()
    hidden: bytes | None = None


class ContinuingWorker(Worker):
    """A worker whose episodes are cut where a call ends, and go on in its next one.

    What a sampler hands to `rollouts` are calls: ``unit.number`` is the number of a call, and each yields
    fragments of episodes, slot by slot, in a slot in the order of time, ``call_shape().size`` steps in all.
    The worker's units are its episodes. Slot s begins them in rounds 0, 1, 2, …; the one of round r is the
    worker's own unit number ``r * n_slots + s``, whose seeds `own_unit` returns.

    A new policy object, or a new environment, abandons what is open: the slot goes on with its next round.
    New weights abandon nothing. An episode's round counts from its first step on: a slot that has ended its
    episode begins the next one with the first step of the worker's next call.
    """

    stateful: ClassVar[bool] = False

    capabilities: ClassVar[Capabilities] = {
        "exact_episodes": no(
            "a fragment worker's calls end after a number of steps, not of episodes: ask for samples"
        ),
        "fragments": YES,
    }

    own_unit: Callable[[int], Unit] | None = None
    """Returns the unit of a number of the worker's own; set by the sampler. None outside of one."""

    @classmethod
    @abc.abstractmethod
    def call_shape(cls, **worker_args: Any) -> CallShape:
        """Return what a call of a worker with these arguments yields.

        Raises:
            TypeError, ValueError: for arguments that make no sense.
        """

    @abc.abstractmethod
    def go_on(self, resumption: Resumption) -> tuple[int, ...]:
        """Bring a worker that has run nothing yet to where another one stood.

        Returns:
            The slots whose episode cannot be brought back. It is abandoned there: the slot's round is the
            next one.
        """

    @abc.abstractmethod
    def hidden_state(self) -> bytes | None:
        """Return the policy's hidden state of all slots, pickled; None if the policy does not offer it."""
