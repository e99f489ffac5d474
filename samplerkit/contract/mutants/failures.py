"""Failures that are swallowed, misreported, raised at the wrong time, or never survived."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from samplerkit.contract.mutants.anything import AnyPool, AnySampler
from samplerkit.contract.mutants.bases import EVERYWHERE, LOCAL, PROCESSES, STATEFUL, STATEFUL_PROCESSES
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.contract.mutants.messages import Meddler, MessageDefect
from samplerkit.episodes import EpisodeBatch, EpisodeSlice, Span, StepType
from samplerkit.errors import WorkerDied, WorkerError
from samplerkit.sampling import Claim, Running, Transport
from samplerkit.sampling.admission import Admission, Goal, Result, Units
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.messages import Reply, Run, decode
from samplerkit.sampling.recipes import Record
from samplerkit.workers import DefaultWorker


@mutant("never-up", "A3.shortest-run")
class NeverUp(AnySampler):
    """No worker ever comes up."""

    def _start(self, record: Record) -> None:
        raise RuntimeError("no worker came up")


@mutant("second-call-raises", "A5.cursor")
class SecondCallRaises(AnySampler):
    """A sampler can be asked only once."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        if self._statistics.calls:
            raise RuntimeError("there is no second call")
        return super()._obtain(goal, agent_update, env_update)


@mutant("weights-raise", "C1.agents")
class WeightsRaise(AnySampler):
    """A call with an agent update raises."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        if agent_update is not None:
            raise RuntimeError("there are no updates")
        return super()._obtain(goal, agent_update, env_update)


@mutant("exact-raises", "A4.exact-episodes")
class ExactRaises(AnySampler):
    """Exact episodes are declared, and asked for they raise."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        if isinstance(goal, Units):
            raise RuntimeError("there are no exact episodes")
        return super()._obtain(goal, agent_update, env_update)


@mutant("no-batch", "A3.shortest-run", bases=(LOCAL,))
class NoBatch(AnySampler):
    """Calls return None."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> Any:
        super()._obtain(goal, agent_update, env_update)


@mutant("error-ends-episode", "D1", bases=EVERYWHERE)
class ErrorEndsEpisode(DefaultWorker):
    """An exception in a step ends the episode quietly."""

    def step_episode(self) -> bool:
        try:
            return super().step_episode()
        except Exception:
            if not self.recorder.length:
                raise
            self._last_step_type = StepType.TIMEOUT
            return True


@mutant("error-skips-unit", "D1", bases=(LOCAL,))
class ErrorSkipsUnit(AnySampler):
    """A unit that raised is left out of the batch."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except WorkerError as error:
            if error.unit is None:
                raise
            self._cursor = error.unit + 1
            return super()._obtain(goal, agent_update, env_update)


class ReportsLate(AnySampler):
    """Raises an exception a while after it is known."""

    late: type[Exception]

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except self.late:
            time.sleep(1.5)
            raise


@mutant("late-error", "D0", bases=(LOCAL, PROCESSES))
class LateError(ReportsLate):
    """An exception is reported when all workers have had the time to end."""

    late = WorkerError


@mutant("late-death", "D0", bases=(PROCESSES,))
class LateDeath(ReportsLate):
    """A death is reported when the next look at the clock is due."""

    late = WorkerDied


@mutant("error-hangs", "D1.every-kind", "D1", "C5", bases=(LOCAL, PROCESSES))
class ErrorHangs(DefaultWorker):
    """A worker that raised never answers."""

    def step_episode(self) -> bool:
        try:
            return super().step_episode()
        except Exception:
            while True:
                time.sleep(0.05)


class ErrorChanged(AnySampler):
    """Reports something else than what happened."""

    def changed(self, error: WorkerError) -> Exception:
        raise NotImplementedError

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except WorkerError as error:
            other = self.changed(error)
            if other is error:
                raise
            raise other from other.__cause__


def _like(error: WorkerError, **fields: Any) -> WorkerError:
    made = WorkerError(
        fields.get("worker", error.worker),
        fields.get("unit", error.unit),
        fields.get("error_type", error.error_type),
        fields.get("message", error.message),
        fields.get("remote_traceback", error.remote_traceback),
    )
    made.__cause__ = error.__cause__
    return made


@mutant("bare-error", "D1", bases=(LOCAL, PROCESSES))
class BareError(ErrorChanged):
    """The original exception comes out as it is, without worker or unit."""

    def changed(self, error: WorkerError) -> Exception:
        return error.__cause__ if isinstance(error.__cause__, Exception) else RuntimeError(error.message)


@mutant("wrong-worker", "D1", bases=EVERYWHERE)
class WrongWorker(ErrorChanged):
    """An error names the wrong worker."""

    def changed(self, error: WorkerError) -> Exception:
        return _like(error, worker=(error.worker + 1) % max(2, self.n_workers))


@mutant("wrong-unit", "D1")
class WrongUnit(ErrorChanged):
    """An error names the wrong unit."""

    def changed(self, error: WorkerError) -> Exception:
        return error if error.unit is None else _like(error, unit=error.unit + 1)


@mutant("no-unit", "D1", bases=(LOCAL,))
class NoUnit(ErrorChanged):
    """An error does not name the unit."""

    def changed(self, error: WorkerError) -> Exception:
        return _like(error, unit=None)


@mutant("lost-type", "D1")
class LostType(ErrorChanged):
    """The type of the original exception is lost."""

    def changed(self, error: WorkerError) -> Exception:
        return _like(error, error_type="Exception")


@mutant("lost-text", "D1", bases=(LOCAL,))
class LostText(ErrorChanged):
    """The text of the original exception is lost."""

    def changed(self, error: WorkerError) -> Exception:
        return _like(error, message="")


@mutant("lost-traceback", "D1", bases=(LOCAL, PROCESSES))
class LostTraceback(ErrorChanged):
    """The traceback of the worker is lost."""

    def changed(self, error: WorkerError) -> Exception:
        return _like(error, remote_traceback="")


@mutant("lost-cause", "D1")
class LostCause(ErrorChanged):
    """The original exception is not the cause of the error."""

    def changed(self, error: WorkerError) -> Exception:
        made = _like(error)
        made.__cause__ = None
        return made


@mutant("early-error", "D1", bases=(LOCAL, STATEFUL))
class EarlyError(AnySampler):
    """An error in a unit that ran ahead, and is not needed, is raised."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        units = super()._run(record, goal)
        super()._run(record, Units(len(units) + 1))
        return units


@mutant("earliest-error", "D1", bases=(PROCESSES,))
class EarliestError(AnyPool):
    """The first error that arrives is raised, whatever its unit."""

    def _finished(self, member: Any, reply: Reply, *call: Any) -> None:
        super()._finished(member, reply, *call)
        for _, result in self._ahead:
            if isinstance(result, Failure):
                raise result.to_error()


@mutant("unpicklable-kills", "D1", bases=(PROCESSES,))
class UnpicklableKills(DefaultWorker):
    """An exception that cannot be pickled ends the process."""

    def step_episode(self) -> bool:
        try:
            return super().step_episode()
        except Exception as error:
            try:
                pickle.loads(pickle.dumps(error))
            except Exception:
                os._exit(1)
            raise


@mutant("unpicklable-unreported", "D1", bases=(LOCAL,))
class UnpicklableUnreported(DefaultWorker):
    """An exception that cannot be pickled is replaced by the pickler's."""

    def step_episode(self) -> bool:
        try:
            return super().step_episode()
        except Exception as error:
            pickle.loads(pickle.dumps(error))
            raise


@mutant("system-exit-escapes", "D1", bases=(LOCAL, PROCESSES))
class SystemExitEscapes(DefaultWorker):
    """SystemExit in an environment ends the process."""

    def rollout(self) -> EpisodeBatch:
        try:
            return super().rollout()
        except SystemExit:
            os._exit(0)


@mutant("cancelled-error-escapes", "D1", bases=(LOCAL, PROCESSES))
class CancelledErrorEscapes(DefaultWorker):
    """What an environment raises ends the process if it is no Exception."""

    def rollout(self) -> EpisodeBatch:
        try:
            return super().rollout()
        except asyncio.CancelledError:
            os._exit(1)


@mutant("stop-iteration-renamed", "D1", bases=(LOCAL, PROCESSES))
class StopIterationRenamed(DefaultWorker):
    """A StopIteration is reported as what a generator makes of it."""

    def rollout(self) -> EpisodeBatch:
        try:
            return super().rollout()
        except StopIteration as error:
            raise RuntimeError("generator raised StopIteration") from error


@mutant("closed-by-error", "D1", "C5", bases=EVERYWHERE)
class ClosedByError(ErrorChanged):
    """After an error the sampler cannot be used again."""

    def changed(self, error: WorkerError) -> Exception:
        self._closed = "an error happened"
        return error


@mutant("dirty-after-error", "D1", "C5", bases=(LOCAL,))
class DirtyAfterError(DefaultWorker):
    """After an error a worker goes on with what is left of the episode."""

    _broken = False

    def start_episode(self) -> None:
        super().start_episode()
        if self._broken:
            self.agent.get_action(self._observation)

    def step_episode(self) -> bool:
        try:
            return super().step_episode()
        except Exception:
            type(self)._broken = True
            raise


@mutant("stale-replies", "C5", "D1", "D4", "C3", "A5", bases=(PROCESSES,))
class StaleReplies(AnyPool):
    """Results of a call that raised, or of before an update, answer the next call."""

    _seen: Sequence[Result] = ()
    _stale: Sequence[Result] = ()

    def _finished(self, member: Any, reply: Any, *call: Any) -> None:
        super()._finished(member, reply, *call)
        if reply.epoch == self._epoch:
            self._seen = [*self._seen, *(it for it in self._results(reply) if isinstance(it[1], Span))]
            self._ahead += [it for it in self._stale if it[0] >= self._cursor]
            self._stale = ()

    def _new_epoch(self) -> None:
        self._stale, self._seen = self._seen, ()
        super()._new_epoch()


@mutant("never-restarts", "D2", bases=(PROCESSES,))
class NeverRestarts(AnyPool):
    """The first death of a process is raised."""

    @property
    def _max_restarts(self) -> int:
        return -1


@mutant("restarts-for-ever", "D2.worker-died", "D2", bases=(PROCESSES,))
class RestartsForEver(AnyPool):
    """max_restarts is ignored."""

    @property
    def _max_restarts(self) -> int:
        return 10**9


@mutant("one-restart-too-many", "D2.worker-died", "D2", bases=(PROCESSES,))
class OneRestartTooMany(AnyPool):
    """One death more than max_restarts is survived."""

    @property
    def _max_restarts(self) -> int:
        return super()._max_restarts + 1


@mutant("deaths-at-the-start", "D2.at-start", "D2", bases=(PROCESSES,))
class DeathsAtTheStart(AnyPool):
    """A process that dies before it is up is not started again."""

    _starting = False

    @property
    def _max_restarts(self) -> int:
        return 0 if self._starting else super()._max_restarts

    def _start(self, record: Record) -> None:
        self._starting = True
        try:
            super()._start(record)
        finally:
            self._starting = False


@mutant("restarts-uncounted", "D2", "B6", bases=(PROCESSES,))
class RestartsUncounted(AnyPool):
    """statistics() does not count restarts."""

    def _count(self, **more: int) -> None:
        super()._count(**{**more, "restarts": 0})


@mutant("exit-status-lost", "D2", bases=(PROCESSES,))
class ExitStatusLost(AnyPool):
    """WorkerDied does not say how the process ended."""

    def _collect(self, record: Record, admission: Admission) -> Sequence[EpisodeSlice]:
        try:
            return super()._collect(record, admission)
        except WorkerDied as error:
            raise WorkerDied(error.worker, error.unit, None, error.deaths, error.hint) from None


@mutant("restart-loses-updates", "D2.latest", "D2", bases=(PROCESSES,))
class RestartLosesUpdates(AnyPool):
    """A process that was started again knows nothing of the updates."""

    _first: Record | None = None

    def _start(self, record: Record) -> None:
        self._first = record
        super()._start(record)

    def _configure(self, members: Any, record: Record) -> None:
        reborn = [member for member in members if not member.keys and self.statistics().restarts > 0]
        super()._configure([member for member in members if member not in reborn], record)
        super()._configure(reborn, self._first or record)


@mutant("restart-moves-on", "D2", bases=(PROCESSES,))
class RestartMovesOn(AnyPool):
    """The unit that a dead process was running is left out."""

    def _collect(self, record: Record, admission: Admission) -> Sequence[EpisodeSlice]:
        before = self.statistics().restarts
        units = super()._collect(record, admission)
        return units[1:] if self.statistics().restarts > before and len(units) > 1 else units


@mutant("timeout-ignored", "D3.hang", "D3", bases=(PROCESSES,))
class TimeoutIgnored(AnyPool):
    """unit_timeout is accepted and ignored."""

    @property
    def _unit_timeout(self) -> float | None:
        return None


class _SinceOffered(Meddler):
    """Says that a unit has been running since it was first offered to anybody."""

    def __init__(self, inner: Transport[Any]) -> None:
        super().__init__(inner)
        self.offered: dict[tuple[int, int], float] = {}

    def offer(self, claims: Sequence[Claim]) -> int:
        for claim in claims:
            self.offered.setdefault(claim[:2], time.monotonic())
        return super().offer(claims)

    def send(self, carrier: Any, message: bytes) -> None:
        request = decode(message)
        if isinstance(request, Run):
            for number in request.numbers:
                self.offered.setdefault((request.epoch, number), time.monotonic())
        super().send(carrier, message)

    def running(self, carrier: Any) -> Running | None:
        noted = super().running(carrier)
        return noted and noted._replace(since=self.offered.get(noted[:2], noted.since))


@mutant("timeout-of-call", "D3", bases=(PROCESSES,))
class TimeoutOfCall(MessageDefect):
    """unit_timeout counts from a unit's dispatch, and kills what is only waiting behind others."""

    meddler = _SinceOffered


class _OfTheLatestCall(Meddler):
    """Says what runs of the latest call only."""

    epoch = -1

    def aim(self, epoch: int, first: int, least: int) -> None:
        self.epoch = epoch
        super().aim(epoch, first, least)

    def running(self, carrier: Any) -> Running | None:
        noted = super().running(carrier)
        return noted if noted is not None and noted.epoch >= self.epoch else None


@mutant("timeout-ends-with-call", "D3.failed-call", bases=(PROCESSES,))
class TimeoutEndsWithCall(MessageDefect):
    """unit_timeout no longer counts for a unit whose call has failed: whoever hangs in it is waited for."""

    meddler = _OfTheLatestCall


@mutant("interrupt-swallowed", "D4", bases=(LOCAL, PROCESSES))
class InterruptSwallowed(AnySampler):
    """Ctrl-C is swallowed, and the call begins again."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        while True:
            try:
                return super()._obtain(goal, agent_update, env_update)
            except KeyboardInterrupt:
                continue


@mutant("interrupt-moves-cursor", "D4", "C5", bases=(LOCAL, PROCESSES))
class InterruptMovesCursor(AnySampler):
    """A call that was interrupted moves the cursor."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except KeyboardInterrupt:
            self._cursor += 1
            raise


@mutant("interrupt-closes", "D4", bases=(LOCAL,))
class InterruptCloses(AnySampler):
    """After Ctrl-C the sampler cannot be used again."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except KeyboardInterrupt:
            self._closed = "it was interrupted"
            raise


@mutant("interrupt-as-error", "D4", bases=(LOCAL,))
class InterruptAsError(AnySampler):
    """Ctrl-C is reported as an error of a worker."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except KeyboardInterrupt as error:
            raise WorkerError(0, None, "KeyboardInterrupt", "", "") from error


@mutant("calls-at-once", "D6.busy", "D6", bases=EVERYWHERE)
class CallsAtOnce(AnySampler):
    """Two calls may run at once."""

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self._check_open()
        if not self._started:
            self._bring_up()
        yield


@mutant("busy-as-runtime-error", "D6", bases=(LOCAL, PROCESSES))
class BusyAsRuntimeError(AnySampler):
    """A second call raises something else than SamplerBusy."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        if self._lock.locked():
            raise RuntimeError("busy")
        return super()._obtain(goal, agent_update, env_update)


@mutant("busy-waits", "D6", bases=(LOCAL, PROCESSES))
class BusyWaits(AnySampler):
    """A second call waits until the first has ended."""

    def __init__(self, agents: Any, envs: Any, **arguments: Any) -> None:
        self._turn = threading.Lock()
        super().__init__(agents, envs, **arguments)

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        with self._turn:
            return super()._obtain(goal, agent_update, env_update)


@mutant("shutdown-waits", "D6.shutdown", "D6", "E2", "E3", "D4", bases=(LOCAL,))
class ShutdownWaits(AnySampler):
    """A shutdown from another thread lets a running call go on, and closes the workers under it."""

    def _interrupt(self) -> None:
        return


@mutant("restarts-stateful", "A11", bases=(PROCESSES,))
class RestartsStateful(AnyPool):
    """A stateful worker that died is quietly started again."""

    def _bury(self, member: Any, *call: Any) -> None:
        stateful, self._stateful = self._stateful, False
        try:
            super()._bury(member, *call)
        finally:
            self._stateful = stateful


@mutant("stateless-after-all", "A11", bases=(LOCAL, PROCESSES, STATEFUL_PROCESSES))
class StatelessAfterAll(AnySampler):
    """stateful=True is ignored: workers share seats, and units run ahead."""

    def _begin(self) -> None:
        self._stateful = False
        super()._begin()


@mutant("stateful-runs-ahead", "A11", bases=(PROCESSES, STATEFUL_PROCESSES))
class StatefulRunsAhead(AnyPool):
    """Units of stateful workers run ahead."""

    def _start(self, record: Record) -> None:
        super()._start(record)
        self._schedule._in_order = False


@mutant("claims-reproducible", "A11", bases=(LOCAL, STATEFUL))
class ClaimsReproducible(AnySampler):
    """A batch says that it is reproducible although stateful workers were built again."""

    def _batch(self, units: Any, record: Record, *, by_worker: bool) -> EpisodeBatch:
        self._reproducible = True
        return super()._batch(units, record, by_worker=by_worker)


@mutant("late-interrupt", "D4.interrupt", bases=(LOCAL,))
class LateInterrupt(AnySampler):
    """Ctrl-C ends a call after three seconds."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        try:
            return super()._obtain(goal, agent_update, env_update)
        except KeyboardInterrupt:
            time.sleep(3)
            raise
