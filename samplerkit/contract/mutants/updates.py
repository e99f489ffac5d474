"""Wrong updates: lost, misdirected, late, twice, or half applied after an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from samplerkit.contract.mutants.anything import AnyPool, AnySampler
from samplerkit.contract.mutants.bases import EVERYWHERE, LOCAL, PROCESSES, STATEFUL
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import EpisodeBatch, EpisodeSlice
from samplerkit.interfaces import EnvUpdate, is_policy
from samplerkit.sampling.admission import Goal
from samplerkit.sampling.packing import Packed
from samplerkit.sampling.recipes import AgentChange, EnvChange, Recipe, Record
from samplerkit.workers import DefaultWorker


class UpdateDefect(AnySampler):
    """Hands other updates on than it was given."""

    def agent(self, update: Any) -> Any:
        return update

    def env(self, update: Any) -> Any:
        return update

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        return super()._obtain(goal, self.agent(agent_update), self.env(env_update))


@mutant("agent-list-reversed", "C1.agents", "C1", "A1", bases=EVERYWHERE)
class AgentListReversed(UpdateDefect):
    """A list of agent updates reaches the workers in the reverse order."""

    def agent(self, update: Any) -> Any:
        return update[::-1] if isinstance(update, list) else update


@mutant("env-list-reversed", "C1.envs", "C1", "A1", bases=EVERYWHERE)
class EnvListReversed(UpdateDefect):
    """A list of environment updates reaches the workers in the reverse order."""

    def env(self, update: Any) -> Any:
        return update[::-1] if isinstance(update, list) else update


@mutant("first-agent-for-all", "C1.agents", "C1")
class FirstAgentForAll(UpdateDefect):
    """Of a list of agent updates, every worker gets the first."""

    def agent(self, update: Any) -> Any:
        return [update[0]] * len(update) if isinstance(update, list) and update else update


@mutant("first-env-for-all", "C1.envs", "C1")
class FirstEnvForAll(UpdateDefect):
    """Of a list of environment updates, every worker gets the first."""

    def env(self, update: Any) -> Any:
        return [update[0]] * len(update) if isinstance(update, list) and update else update


@mutant("tuples-spread", "C1.tuple-is-one", "C1")
class TuplesSpread(UpdateDefect):
    """A tuple of weights is spread over the workers as if it were a list."""

    def agent(self, update: Any) -> Any:
        return list(update) if isinstance(update, tuple) and len(update) == self.n_workers else update


@mutant("short-list-padded", "C1.list-length", "C1")
class ShortListPadded(UpdateDefect):
    """A list that is too short is filled up with its last item."""

    def agent(self, update: Any) -> Any:
        if isinstance(update, list) and update:
            return [*update, *[update[-1]] * (self.n_workers - len(update))]
        return update


@mutant("long-list-cut", "C1.list-length", "C1", bases=(LOCAL, PROCESSES))
class LongListCut(UpdateDefect):
    """A list that is too long is cut."""

    def agent(self, update: Any) -> Any:
        return update[: self.n_workers] if isinstance(update, list) else update

    def env(self, update: Any) -> Any:
        return update[: self.n_workers] if isinstance(update, list) else update


@mutant("opaque-list-error", "C1.list-length", "C1", "D5", bases=(LOCAL,))
class OpaqueListError(UpdateDefect):
    """A list of a wrong length ends in an IndexError."""

    def agent(self, update: Any) -> Any:
        if isinstance(update, list) and len(update) != self.n_workers:
            raise IndexError("list index out of range")
        return update


@mutant("falsy-is-no-update", "C2", bases=EVERYWHERE)
class FalsyIsNoUpdate(UpdateDefect):
    """0, {} and an empty array count as no update."""

    def agent(self, update: Any) -> Any:
        empty = isinstance(update, np.ndarray) and update.size == 0
        return None if empty or (not isinstance(update, np.ndarray) and not update) else update


@mutant("policy-as-weights", "C2", "C1")
class PolicyAsWeights(UpdateDefect):
    """An object with get_action is only asked for its weights."""

    def agent(self, update: Any) -> Any:
        return update.get_param_values() if is_policy(update) else update


@mutant("agent-update-lost", "C1", bases=EVERYWHERE)
class AgentUpdateLost(UpdateDefect):
    """Agent updates are ignored."""

    def agent(self, update: Any) -> Any:
        return None


@mutant("env-update-lost", "C1.busy-worker", "C1", bases=(LOCAL, PROCESSES))
class EnvUpdateLost(UpdateDefect):
    """Environment updates are ignored."""

    def env(self, update: Any) -> Any:
        return None


@mutant("second-update-lost", "C1")
class SecondUpdateLost(UpdateDefect):
    """Every second agent update is lost, as on a queue that is full."""

    _given = 0

    def agent(self, update: Any) -> Any:
        self._given += update is not None
        return None if self._given % 2 == 0 else update


@mutant("late-agent-update", "C1", "C3", bases=EVERYWHERE)
class LateAgentUpdate(UpdateDefect):
    """An agent update takes effect one call late."""

    _pending: Any = None

    def agent(self, update: Any) -> Any:
        due, self._pending = self._pending, update
        return due


@mutant("late-env-update", "C1.envs", "C1", "C3")
class LateEnvUpdate(UpdateDefect):
    """An environment update takes effect one call late."""

    _pending: Any = None

    def env(self, update: Any) -> Any:
        due, self._pending = self._pending, update
        return due


class RecordDefect(AnySampler):
    """Runs a call under another record than the one that it commits."""

    def other(self, old: Record, new: Record) -> Record:
        raise NotImplementedError

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        return super()._run(record if record is self._record else self.other(self._record, record), goal)


def _with(record: Record, recipes: Any) -> Record:
    return Record(tuple(recipes), record.agent_version, record.env_version)


@mutant("last-worker-left-out", "C1.agents", "C1", bases=(LOCAL, PROCESSES))
class LastWorkerLeftOut(RecordDefect):
    """Updates do not reach the last worker."""

    def other(self, old: Record, new: Record) -> Record:
        return _with(new, (*new.recipes[:-1], old.recipes[-1]))


@mutant("first-worker-only", "C1.agents", "C1", bases=(LOCAL, PROCESSES))
class FirstWorkerOnly(RecordDefect):
    """Updates reach worker 0 only."""

    def other(self, old: Record, new: Record) -> Record:
        return _with(new, (new.recipes[0], *old.recipes[1:]))


@mutant("one-process-left-out", "C1", "C3", "A0", bases=(PROCESSES,))
class OneProcessLeftOut(AnyPool):
    """Updates do not reach the last process."""

    def _configure(self, members: Any, record: Record) -> None:
        self._first_record: Record = getattr(self, "_first_record", self._record)
        for member in members:
            left_out = member.keys and member.index and member is self._pool.members[-1]
            super()._configure([member], self._first_record if left_out else record)


@mutant("lost-on-busy-worker", "C1.agents", "C1", "C3", "A5", bases=(PROCESSES,))
class LostOnBusyWorker(AnyPool):
    """An update is lost on a process that is running a unit when it comes."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        for member in self._pool.members:
            if self._pool.link.running(member.carrier) is not None and record is not self._epoch_record:
                homes = self._homes(record.seats(self._stateful))
                member.keys = {
                    seat: recipe.key
                    for seat, recipe in enumerate(record.recipes)
                    if homes[seat] in (None, member.index)
                }
        return super()._run(record, goal)


@mutant("after-first-step", "C3", "C1")
class AfterFirstStep(DefaultWorker):
    """New weights take effect after the first step that follows."""

    _pending: Any = None

    def update_agent(self, agent_update: Any) -> None:
        if self.agent is None or is_policy(agent_update):
            super().update_agent(agent_update)
        else:
            self._pending = agent_update

    def step_episode(self) -> bool:
        over = super().step_episode()
        if self._pending is not None:
            super().update_agent(self._pending)
            self._pending = None
        return over


@mutant("applied-twice", "C1.once", "C1", "C4")
class AppliedTwice(DefaultWorker):
    """An environment update is applied twice."""

    def update_env(self, env_update: Any) -> None:
        super().update_env(env_update)
        if isinstance(env_update, EnvUpdate):
            super().update_env(env_update)


@mutant("no-old-environment", "C4.kept-open", "C4", bases=(LOCAL, PROCESSES, STATEFUL))
class NoOldEnvironment(DefaultWorker):
    """An EnvUpdate is not given the old environment."""

    def update_env(self, env_update: Any) -> None:
        new = env_update(None) if isinstance(env_update, EnvUpdate) else env_update
        super().update_env(new)


@mutant("result-thrown-away", "C4.kept-open", "C4", "C1", bases=(LOCAL, PROCESSES))
class ResultThrownAway(DefaultWorker):
    """What an EnvUpdate returns is thrown away."""

    def update_env(self, env_update: Any) -> None:
        old = self.env
        if old is None:
            super().update_env(env_update)
        elif env_update is not None:
            new = env_update(old)
            if new is not old:
                new.close()


@mutant("replaced-not-closed", "C4.closed-once", "C4", "E2", bases=EVERYWHERE)
class ReplacedNotClosed(DefaultWorker):
    """A replaced environment is not closed."""

    def update_env(self, env_update: Any) -> None:
        old = self.env
        if old is not None and isinstance(env_update, EnvUpdate):
            new = env_update(old)
            if new is not old:
                self.env = None
                env_update = new
        super().update_env(env_update)


@mutant("kept-and-closed", "C4.closed-once", "C4", "E2")
class KeptAndClosed(DefaultWorker):
    """The old environment is closed although the update returned it."""

    def update_env(self, env_update: Any) -> None:
        old = self.env
        super().update_env(env_update)
        if old is not None and self.env is old:
            old.close()


@mutant("wrapped-and-closed", "C4.kept-open", "C4", "E2", bases=(LOCAL, PROCESSES))
class WrappedAndClosed(DefaultWorker):
    """The old environment is closed although the new one wraps it."""

    def update_env(self, env_update: Any) -> None:
        old: Any = self.env
        super().update_env(env_update)
        wrapped: Any = getattr(self.env, "env", None)
        if wrapped is not None and wrapped is old:
            wrapped.close()


@mutant("weights-overwritten", "C4.weights", bases=(LOCAL, PROCESSES))
class WeightsOverwritten(DefaultWorker):
    """Weights lie where the next ones are written to."""

    def update_agent(self, agent_update: Any) -> None:
        if isinstance(agent_update, dict):
            memory = self.__dict__.setdefault("memory", {})
            if memory.keys() == agent_update.keys():
                for name, array in agent_update.items():
                    memory[name].flags.writeable = True
                    memory[name][...] = array
            else:
                memory.update({name: array.copy() for name, array in agent_update.items()})
            agent_update = dict(memory)
        super().update_agent(agent_update)


@mutant("weights-shared", "C4.weights", bases=(STATEFUL,))
class WeightsShared(DefaultWorker):
    """All workers of a process get the same arrays, which they may write to."""

    last: ClassVar[list[Any]] = [None]

    def update_agent(self, agent_update: Any) -> None:
        if isinstance(agent_update, dict) and "many" in agent_update:
            last = self.last[0]
            if last is None or abs(last["many"][0, 0]) != abs(agent_update["many"][0, 0]):
                self.last[0] = agent_update
            agent_update = self.last[0]
        super().update_agent(agent_update)


@mutant("weights-never-own", "C4.weights", bases=(LOCAL, PROCESSES))
class WeightsNeverOwn(DefaultWorker):
    """No policy may write to the weights that it is given."""

    def update_agent(self, agent_update: Any) -> None:
        if isinstance(agent_update, dict):
            for array in agent_update.values():
                if isinstance(array, np.ndarray):
                    array.flags.writeable = False
        super().update_agent(agent_update)


@mutant("shared-agent", "C1.busy-worker", "C1", "C4", "A1", bases=(LOCAL, STATEFUL))
class SharedAgent(DefaultWorker):
    """All workers share one policy object."""

    shared: ClassVar[list[Any]] = []

    def update_agent(self, agent_update: Any) -> None:
        if is_policy(agent_update):
            self.shared[:] = [agent_update]
        super().update_agent(agent_update)

    def start_episode(self) -> None:
        self.agent = self.shared[0]
        super().start_episode()


class _ByReference(Packed):
    """Hands the caller's own object on, rather than a copy."""

    __slots__ = ("value",)

    def __init__(self, data: bytes, value: Any) -> None:
        super().__init__(data)
        self.value = value

    def load(self, *, in_place: bool = False) -> Any:
        del in_place
        return self.value

    def __reduce__(self) -> Any:
        return Packed, (self.data,)


@mutant("callers-policy", "C4", "C1", bases=(LOCAL,))
class CallersPolicy(AnySampler):
    """Workers use the caller's own policy object."""

    def _agent_changes(self, update: Any) -> list[AgentChange | None] | None:
        changes = super()._agent_changes(update)
        if changes is None or not is_policy(update):
            return changes
        return [
            None if it is None else replace(it, packed=_ByReference(it.packed.data, update)) for it in changes
        ]


@mutant("callers-environment", "C4", "E2", "B5", bases=(LOCAL,))
class CallersEnvironment(AnySampler):
    """Workers use the caller's own environment."""

    def _env_changes(self, update: Any, version: int) -> list[EnvChange | None] | None:
        changes = super()._env_changes(update, version)
        if changes is None or isinstance(update, list | EnvUpdate) or not hasattr(update, "step"):
            return changes
        from samplerkit.interfaces import ExistingEnvUpdate

        own = ExistingEnvUpdate(update)
        return [
            None if it is None else replace(it, packed=_ByReference(it.packed.data, own)) for it in changes
        ]


class ErrorDefect(AnySampler):
    """Leaves something behind when a call raises."""

    def leave(self, agent_update: Any, env_update: Any) -> None:
        raise NotImplementedError

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except Exception:
            self.leave(agent_update, env_update)
            raise


@mutant("error-keeps-agents", "C5.atomic", "C5", bases=EVERYWHERE)
class ErrorKeepsAgents(ErrorDefect):
    """A call that raised has updated the agents all the same."""

    def leave(self, agent_update: Any, env_update: Any) -> None:
        self._record = self._record.changed(self._agent_changes(agent_update), None)


@mutant("error-keeps-envs", "C5")
class ErrorKeepsEnvs(ErrorDefect):
    """A call that raised has updated the environments all the same."""

    def leave(self, agent_update: Any, env_update: Any) -> None:
        self._record = self._record.changed(None, self._env_changes(env_update, self._record.env_version + 1))


@mutant("half-applied", "C5.atomic", "C5")
class HalfApplied(ErrorDefect):
    """Of a list whose second item is bad, worker 0 keeps the first."""

    def leave(self, agent_update: Any, env_update: Any) -> None:
        if not isinstance(agent_update, list) or len(agent_update) != self.n_workers:
            return
        first = self._agent_changes(agent_update)
        if first is not None:
            rest: list[AgentChange | None] = [None] * (self.n_workers - 1)
            changed = self._record.changed([first[0], *rest], None)
            self._record = Record(changed.recipes, self._record.agent_version, self._record.env_version)


@mutant("error-moves-cursor", "C5", "D1", bases=EVERYWHERE)
class ErrorMovesCursor(ErrorDefect):
    """A call that raised moves the cursor."""

    def leave(self, agent_update: Any, env_update: Any) -> None:
        self._cursor += 1


@mutant("error-moves-versions", "C5")
class ErrorMovesVersions(ErrorDefect):
    """A call that raised is counted in the versions."""

    def leave(self, agent_update: Any, env_update: Any) -> None:
        record = self._record
        self._record = Record(record.recipes, record.agent_version + 1, record.env_version)


@mutant("error-counts", "C5", "B6")
class ErrorCounts(ErrorDefect):
    """A call that raised is counted in total_env_steps."""

    def leave(self, agent_update: Any, env_update: Any) -> None:
        self._count(env_steps=1)


@mutant("rebuilt-from-start", "C5", bases=(LOCAL,))
class RebuiltFromStart(AnySampler):
    """After an error, workers are built again from the construction values, without later updates."""

    _first: tuple[Recipe, ...] = ()

    def _start(self, record: Record) -> None:
        self._first = record.recipes
        super()._start(record)

    def _forget(self) -> None:
        record = self._record
        self._record = Record(self._first, record.agent_version, record.env_version)
        super()._forget()


@mutant("plain-pickle", "E7", "C", "D", bases=(LOCAL, PROCESSES))
class PlainPickle(AnySampler):
    """Closures, and classes of the main module, cannot be sent."""

    def _env_changes(self, update: Any, version: int) -> list[EnvChange | None] | None:
        import pickle

        pickle.dumps(update)
        return super()._env_changes(update, version)


class _OneObject(AnySampler):
    """Remembers the object that was passed last, and what was made of it."""

    _last: Any = None
    _made: Any = None

    def once(self, update: Any, make: Callable[[], Any]) -> Any:
        """Return what is made of an update; of one that is the same object as the last, what was."""
        if update is None or update is not self._last:
            self._last, self._made = update, make()
        return self._made


@mutant("same-policy-not-sent", "C4.passed-again")
class SamePolicyNotSent(_OneObject):
    """A policy, or weights, that is the same object as last time counts as it was then."""

    def _agent_changes(self, update: Any) -> list[AgentChange | None] | None:
        make = super()._agent_changes
        changes: list[AgentChange | None] | None = self.once(update, lambda: make(update))
        return changes


@mutant("same-env-not-sent", "C4.passed-again", bases=(LOCAL,))
class SameEnvNotSent(_OneObject):
    """An environment that is the same object as last time counts as it was then."""

    def _env_changes(self, update: Any, version: int) -> list[EnvChange | None] | None:
        make = super()._env_changes
        changes: list[EnvChange | None] | None = self.once(update, lambda: make(update, version))
        return changes


@mutant("same-update-is-none", "C4.passed-again", bases=(LOCAL,))
class SameUpdateIsNone(AnySampler):
    """An EnvUpdate that is the same object as last time is none."""

    _last: Any = None

    def _env_changes(self, update: Any, version: int) -> list[EnvChange | None] | None:
        if isinstance(update, EnvUpdate) and update is self._last:
            return None
        self._last = update
        return super()._env_changes(update, version)


@mutant("five-agents-at-most", "C1.agents")
class FiveAgentsAtMost(UpdateDefect):
    """Of a list of agent updates, worker 5 and those after it get the first."""

    def agent(self, update: Any) -> Any:
        if not isinstance(update, list) or len(update) <= 5:
            return update
        return update[:5] + [update[0]] * len(update[5:])


@mutant("lists-emptied", "C4.callers-objects", bases=(LOCAL,))
class ListsEmptied(AnySampler):
    """Lists of updates come back empty."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        batch = super()._obtain(goal, agent_update, env_update)
        for update in (agent_update, env_update):
            if isinstance(update, list):
                update.clear()
        return batch
