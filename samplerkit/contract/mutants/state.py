"""State: what is not saved, not restored, or shared by copies."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from samplerkit.contract.mutants.anything import AnySampler
from samplerkit.contract.mutants.bases import EVERYWHERE, LOCAL, PROCESSES
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import EpisodeBatch
from samplerkit.errors import SamplerBusy
from samplerkit.sampling.admission import Goal
from samplerkit.sampling.packing import Packed
from samplerkit.sampling.recipes import Recipe, Record


class SavedDefect(AnySampler):
    """Saves something else than it should."""

    def spoiled(self, state: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        return self.spoiled(super().get_state())


@mutant("cursor-not-saved", "A10", "E5", bases=EVERYWHERE)
class CursorNotSaved(SavedDefect):
    """The state has no cursor: a restored sampler begins with unit 0."""

    def spoiled(self, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "cursor": 0}


@mutant("seed-not-saved", "A10", "E5", bases=(LOCAL, PROCESSES))
class SeedNotSaved(AnySampler):
    """A restored sampler keeps its own seed."""

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state({**state, "seed": self.seed})


@mutant("weights-not-saved", "A10", "E5", bases=(LOCAL, PROCESSES))
class WeightsNotSaved(SavedDefect):
    """The state holds the policies of the construction, without later weights."""

    def spoiled(self, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "recipes": [{**recipe, "params": None} for recipe in state["recipes"]]}


@mutant("env-updates-not-saved", "A10", "E5")
class EnvUpdatesNotSaved(SavedDefect):
    """Of the environment's record the state holds the first item only."""

    def spoiled(self, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "recipes": [{**recipe, "envs": recipe["envs"][:1]} for recipe in state["recipes"]]}


@mutant("versions-not-saved", "A10", "E5", "B6", bases=(LOCAL,))
class VersionsNotSaved(SavedDefect):
    """The state holds no versions."""

    def spoiled(self, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "agent_version": 0, "env_version": 0}


@mutant("steps-not-saved", "A10", "E5", "B6", bases=(LOCAL,))
class StepsNotSaved(SavedDefect):
    """The state does not hold total_env_steps."""

    def spoiled(self, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "total_env_steps": 0}


@mutant("workers-mixed-up", "A10", "E5", bases=(LOCAL,))
class WorkersMixedUp(SavedDefect):
    """A restored sampler gives worker 0's agent and environment to all workers."""

    def spoiled(self, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "workers": [state["workers"][0]] * len(state["workers"])}


@mutant("state-of-own-format", "A10", bases=(LOCAL, PROCESSES))
class StateOfOwnFormat(SavedDefect):
    """The state can be restored on this backend only."""

    def spoiled(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"mine": state}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state["mine"])


@mutant("restore-ignored", "A10", bases=(LOCAL, PROCESSES))
class RestoreIgnored(AnySampler):
    """set_state does nothing."""

    def set_state(self, state: dict[str, Any]) -> None:
        return


@mutant("restore-keeps-results", "A10.again", "A10", bases=(LOCAL, PROCESSES))
class RestoreKeepsResults(AnySampler):
    """After a restore, results of the time before it are admitted."""

    _restored = False

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._restored = True

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        batch = super()._obtain(goal, agent_update, env_update)
        assert batch.provenance is not None, "every sampler's batch has one"
        self._kept: dict[int, EpisodeBatch] = getattr(self, "_kept", {})
        episodes = dict(zip(batch.provenance.units.tolist(), batch.split(), strict=True))
        if not self._restored:
            self._kept.update(episodes)
            return batch
        before, self._kept = self._kept, {**self._kept, **episodes}
        return EpisodeBatch.concatenate(*({**episodes, **before}[number] for number in episodes))


@mutant("restore-any-size", "A10", bases=(LOCAL, PROCESSES))
class RestoreAnySize(AnySampler):
    """A state of a sampler with another number of workers is accepted."""

    def set_state(self, state: dict[str, Any]) -> None:
        if isinstance(state, Mapping) and isinstance(state.get("workers"), list) and state["workers"]:
            state = {**state, "workers": (state["workers"] * self.n_workers)[: self.n_workers]}
        super().set_state(state)


@mutant("state-is-alive", "A10", bases=(LOCAL,))
class StateIsAlive(SavedDefect):
    """The state that was returned changes when the sampler goes on."""

    _given: list[dict[str, Any]]

    def spoiled(self, state: dict[str, Any]) -> dict[str, Any]:
        self._given = [*getattr(self, "_given", []), state]
        return state

    def _count(self, **more: int) -> None:
        super()._count(**more)
        for state in getattr(self, "_given", []):
            state["cursor"] = self._cursor


@mutant("not-picklable", "E5", bases=(LOCAL, PROCESSES))
class NotPicklable(AnySampler):
    """A sampler cannot be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("cannot pickle a sampler")


_originals: dict[int, Any] = {}


def _original(key: int) -> Any:
    return _originals[key]


@mutant("copy-is-original", "E5", bases=EVERYWHERE)
class CopyIsOriginal(AnySampler):
    """An unpickled sampler is the original, or shares its workers."""

    def __reduce__(self) -> tuple[Any, ...]:
        _originals[id(self)] = self
        return _original, (id(self),)


def _started_copy(make: Any, arguments: tuple[Any, ...]) -> Any:
    copy = make(*arguments)
    with copy._exclusive():
        return copy


@mutant("copy-starts-at-once", "E5.pickles", "E5", bases=(LOCAL, PROCESSES))
class CopyStartsAtOnce(AnySampler):
    """An unpickled sampler starts its workers before its first call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _started_copy, super().__reduce__()[:2]


@mutant("copy-forgets-options", "E5.options", bases=(PROCESSES,))
class CopyForgetsOptions(AnySampler):
    """An unpickled sampler has the default options."""

    def __reduce__(self) -> tuple[Any, ...]:
        make, (kind, arguments, state), *rest = super().__reduce__()
        arguments = {key: value for key, value in arguments.items() if key not in self.options}
        return make, (kind, arguments, state), *rest


class RestoreDefect(AnySampler):
    """Has a way of its own to set a state."""

    def before(self, state: Any) -> Any:
        """Return the state that is set, before it is."""
        return state

    def after(self) -> None:
        """Do something once it is set."""

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(self.before(state))
        self.after()


@mutant("newer-format-taken", "A10.refused")
class NewerFormatTaken(RestoreDefect):
    """A state of a format that nobody knows yet is read like one of today's."""

    def before(self, state: Any) -> Any:
        return {**state, "format": 2} if isinstance(state, dict) and "format" in state else state


@mutant("no-state-taken", "A10.refused", bases=(LOCAL,))
class NoStateTaken(AnySampler):
    """To set what is no state does nothing, and nobody is told."""

    def set_state(self, state: dict[str, Any]) -> None:
        if isinstance(state, dict) and "format" in state:
            super().set_state(state)


@mutant("refused-state-leaves-policy", "A10.refused", bases=(LOCAL, PROCESSES))
class RefusedStateLeavesPolicy(AnySampler):
    """A state that is refused leaves its first policy behind."""

    def set_state(self, state: dict[str, Any]) -> None:
        try:
            super().set_state(state)
        except ValueError:
            if isinstance(state, dict) and state.get("recipes") and state["format"] == 2:
                self._take(Packed(state["recipes"][0]["agent"]))
            raise

    def _take(self, agent: Packed) -> None:
        record, made = self._record, dict[int, Recipe]()
        for recipe in record.recipes:
            made.setdefault(id(recipe), Recipe(agent, recipe.params, recipe.envs))
        recipes = tuple(made[id(recipe)] for recipe in record.recipes)
        self._record = Record(recipes, record.agent_version, record.env_version)


@mutant("restore-waits", "D6.busy", bases=(LOCAL, PROCESSES))
class RestoreWaits(AnySampler):
    """set_state waits until the call that runs has ended."""

    def set_state(self, state: dict[str, Any]) -> None:
        while True:
            try:
                return super().set_state(state)
            except SamplerBusy:
                time.sleep(0.01)


@mutant("restore-leaves-thread", "E3.nothing-left", bases=(LOCAL,))
class RestoreLeavesThread(RestoreDefect):
    """set_state leaves a thread behind."""

    def after(self) -> None:
        threading.Thread(target=threading.Event().wait, daemon=True, name="left-behind").start()


@mutant("restore-moves-globals", "A9.globals-in-use", bases=(LOCAL,))
class RestoreMovesGlobals(RestoreDefect):
    """set_state draws from the caller's generator."""

    def after(self) -> None:
        np.random.random()


@mutant("restore-prints", "E6.silent", bases=(LOCAL,))
class RestorePrints(RestoreDefect):
    """set_state prints."""

    def after(self) -> None:
        sys.stdout.write("the state is set\n")


class PickleDefect(AnySampler):
    """Does something on the side when it is pickled."""

    def aside(self) -> None:
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        self.aside()
        return super().__reduce__()


@mutant("pickling-moves-globals", "A9.globals-in-use", bases=(LOCAL,))
class PicklingMovesGlobals(PickleDefect):
    """To pickle a sampler draws from the caller's generator."""

    def aside(self) -> None:
        np.random.random()


@mutant("pickling-prints", "E6.silent", bases=(LOCAL,))
class PicklingPrints(PickleDefect):
    """A sampler that is pickled says so."""

    def aside(self) -> None:
        sys.stdout.write("pickling a sampler\n")
