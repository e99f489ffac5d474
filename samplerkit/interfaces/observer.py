"""The observer: who is told what happens to a sampler, and changes nothing about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samplerkit.episodes import EpisodeBatch

if TYPE_CHECKING:
    from samplerkit.interfaces.sampler import Sampler


class Observer:
    """Is told what happens to the samplers that have it in `Sampler.observers`.

    Every method does nothing here: override what you want to hear of. They are called in the caller's
    process, in the thread of the call, once a call or less and never once a step. What they raise is
    logged once and harms nobody; only a KeyboardInterrupt goes through. They may read the sampler and the
    batch, not change them: the batch is the one that the caller gets.
    """

    def updated(self, sampler: Sampler, agent_version: int, env_version: int) -> None:
        """Hear that a call brought an update of agents, of environments or of both, and succeeded."""

    def batch_collected(self, sampler: Sampler, batch: EpisodeBatch, seconds: float) -> None:
        """Hear of a batch just before the caller gets it; the sampler's counts include it.

        Args:
            sampler: who collected it.
            batch: the batch.
            seconds: how long the call took, updates included.
        """

    def carrier_restarted(self, sampler: Sampler, index: int, exitcode: int | None) -> None:
        """Hear that a carrier of workers died and was replaced, as `Statistics.restarts` counts.

        Args:
            sampler: whose carrier it was.
            index: which of its carriers.
            exitcode: how the dead one ended; minus the signal's number, None if unknown.
        """

    def error(self, sampler: Sampler, error: BaseException) -> None:
        """Hear that a call failed and has not happened, or that workers could not be brought up again."""

    def shut_down(self, sampler: Sampler) -> None:
        """Hear that the workers are down; told once, and the last thing of this sampler."""
