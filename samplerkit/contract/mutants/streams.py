"""Streams of episodes that are mixed up, cut in the wrong place, or do not begin where they should."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from gymnasium.vector import AutoresetMode

from samplerkit.contract.mutants.bases import VECTORIZED
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import EpisodeBatch, whole
from samplerkit.episodes.columns import map_column
from samplerkit.episodes.joining import select
from samplerkit.episodes.vector_infos import final_observations
from samplerkit.interfaces import Unit
from samplerkit.workers.native_stream import Stream, StreamSlots

S = TypeVar("S", bound=type[Stream])


def in_stream(name: str) -> Callable[[S], S]:
    """Register a defect of what steps the slots."""

    def register(stream: S) -> S:
        slots = type(stream.__name__, (StreamSlots,), {"stream_type": stream})
        namespace = {"stream_type": slots, "__doc__": stream.__doc__, "__module__": __name__}
        in_worker(name)(type(stream.__name__, (), namespace))
        return stream

    return register


def in_worker(name: str) -> Callable[[Any], Any]:
    """Register a defect of the worker."""
    return mutant(name, "A11.stream", bases=(VECTORIZED,))


# -- which episodes, in which order ----------------------------------------------------------------


@in_worker("stream-shortest-first")
class StreamShortestFirst:
    """Of the episodes of a piece the shortest come first."""

    def rollouts(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Any]]:
        for unit, piece in super().rollouts(units):  # type: ignore[misc]
            if piece.n_episodes > 1 and isinstance(piece.store, EpisodeBatch):
                yield unit, whole(select(piece.store, np.argsort(piece.store.lengths, kind="stable")))
            else:
                yield unit, piece


@in_stream("stream-as-they-end")
class StreamAsTheyEnd(Stream):
    """Episodes are numbered when they end, so that short ones come first."""

    def _begin(self, slots: Any, infos: Mapping[str, Any]) -> None:
        begun = self.recording.n_begun
        super()._begin(slots, infos)
        self.recording.n_begun = begun

    def _end(self, slots: Any, terminated: Any, over: Any, finals: Any) -> None:
        starts: Any = self._starts[slots]
        self._episodes[slots] = self.recording.begin(starts, slots)
        super()._end(slots, terminated, over, finals)


@in_worker("stream-goes-on")
class StreamGoesOn:
    """The environment is not reset at a call, but goes on where the last one ended."""

    def begin_stream(self, first: Unit) -> None:
        if getattr(self, "_stream", None) is None:
            super().begin_stream(first)  # type: ignore[misc]


@in_worker("stream-one-seed")
class StreamOneSeed:
    """Each call, of each worker, begins with the same seed."""

    def begin_stream(self, first: Unit) -> None:
        super().begin_stream(first._replace(env_seed=7))  # type: ignore[misc]


@in_stream("stream-unseeded")
class StreamUnseeded(Stream):
    """The environment is reset without a seed."""

    def reset(self, seed: int | None) -> None:
        super().reset(None)


# -- where episodes begin and end ------------------------------------------------------------------


@in_stream("stream-reset-step-counted")
class StreamResetStepCounted(Stream):
    """The tick in which a slot is reset counts as the first step of its next episode."""

    def _go_on(self, gone: Any, ended: Any, infos: Mapping[str, Any]) -> None:
        self._resetting = gone
        super()._go_on(gone, ended, infos)


@in_stream("stream-cut-goes-on")
class StreamCutGoesOn(Stream):
    """Where the limit cuts an episode the next one begins with what the environment goes on with."""

    def _go_on(self, gone: Any, ended: Any, infos: Mapping[str, Any]) -> None:
        super()._go_on(gone, ended, infos)
        cut = np.setdiff1d(ended, gone)
        if len(cut) and not self._live[cut].any():
            self._begin(cut, {})


@in_stream("stream-no-limit")
class StreamNoLimit(Stream):
    """Nothing but the environment itself ends an episode."""

    def _ended(self, gone: Any, over: Any) -> Any:
        self._limit_from = np.inf
        ended = super()._ended(gone, over)
        if self._tick > 500:
            raise RuntimeError("it would never end")
        return ended


@in_stream("stream-final-of-the-next")
class StreamFinalOfTheNext(Stream):
    """Where a slot is reset in the step that ends its episode, the final observation is that of the reset."""

    def _end(self, slots: Any, terminated: Any, over: Any, finals: Any) -> None:
        none = np.zeros_like(over)
        super()._end(slots, terminated, none, None if finals is None else (finals[0], none))


@in_stream("stream-namesake-taken-for-final")
class StreamNamesakeTakenForFinal(Stream):
    """An info named final_obs is taken for the final observation where slots are reset later, too."""

    def _go_on(self, gone: Any, ended: Any, infos: Mapping[str, Any]) -> None:
        found = final_observations(infos, self._flags(ended))
        if found is not None and self._mode is not AutoresetMode.SAME_STEP:
            self.recording.put_finals(self._episodes[ended], found[0], ended)
        super()._go_on(gone, ended, infos)


@in_stream("stream-every-end-terminal")
class StreamEveryEndTerminal(Stream):
    """An episode that was cut or truncated is said to be over."""

    def _end(self, slots: Any, terminated: Any, over: Any, finals: Any) -> None:
        super()._end(slots, np.ones_like(over), over, finals)


# -- rows and the policy ---------------------------------------------------------------------------


@in_stream("stream-actions-mixed-up")
class StreamActionsMixedUp(Stream):
    """Each slot gets the action of its neighbour, while the right ones are recorded."""

    def _act(self, rows: slice) -> Any:
        return map_column(lambda column: np.roll(column, 1, axis=0), super()._act(rows))


@in_stream("stream-policy-not-reset")
class StreamPolicyNotReset(Stream):
    """The policy is reset at the beginning of a call only."""

    def _begin(self, slots: Any, infos: Mapping[str, Any]) -> None:
        agent, self._agent = self._agent, self._agent if self._tick == 0 else _Deaf()
        super()._begin(slots, infos)
        self._agent = agent


class _Deaf:
    def reset(self, do_resets: Any = None) -> None:
        """Nothing."""


@in_stream("stream-all-rows-reset")
class StreamAllRowsReset(Stream):
    """Where an episode begins all rows of the policy are reset."""

    def _flags(self, slots: Any) -> Any:
        return np.ones(self._n, np.bool_)


@in_stream("stream-seeds-of-other-slots")
class StreamSeedsOfOtherSlots(Stream):
    """The rows that were reset are seeded in reversed order."""

    def _begin(self, slots: Any, infos: Mapping[str, Any]) -> None:
        agent = self._agent
        self._agent = _Reversing(agent)
        super()._begin(slots, infos)
        self._agent = agent


class _Reversing:
    def __init__(self, agent: Any) -> None:
        self.reset = agent.reset
        self._seed = agent.seed

    def seed(self, seeds: Any) -> None:
        self._seed(seeds[::-1].copy())
