"""Clause C5 and section D, cell by cell: every failure is bounded, typed, atomic and clean."""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from samplerkit.contract.attempts import attempt, returned
from samplerkit.contract.clause import clause, require
from samplerkit.contract.faults import IN_UPDATES, RAISES, Cell, Kill
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import Fault, ProbePolicy, TaggedEnv, TattooEnv
from samplerkit.contract.trial import try_cells, try_in_turn
from samplerkit.contract.views import require_origin, require_same_units
from samplerkit.interfaces import NewEnvUpdate

_UPDATED = ("update_agent", "construct", "unpickle", "update_env")
"""Sites of updates. The policy that refuses weights comes first: a sampler is made with it."""

_TO_COME_UP = 0.3
"""Seconds that a process which was started again is given, so that it takes part in the next call."""


@clause(
    "D1.typed-errors",
    kind="fault",
    says="An exception in an environment or a policy raises WorkerError with worker, unit, original type and "
    "text, and the remote traceback; the call has not happened, and the sampler can be used again.",
    why="Whoever has to find the error in an environment that runs elsewhere needs all of these.",
    causes="the exception sent as it is (what cannot be pickled kills the channel, what unpickles badly the "
    "reader); SystemExit not caught; replies of the failed call taken for those of the next.",
)
def typed_errors(lab: Lab) -> None:
    """Try exceptions of every sort in units."""
    try_cells(lab, "D1.typed-errors")


@clause(
    "D1.every-kind",
    kind="fault",
    says="Whatever is raised, wherever in a unit, is a WorkerError that says what it was: also what cannot "
    "be pickled, what unpickles badly, what is no Exception, StopIteration, and texts larger than a pipe.",
    why="It is the odd exceptions, of C extensions and simulators, that one meets at night.",
    causes="`except Exception`, which lets SystemExit and asyncio's CancelledError through; generators that "
    "make a RuntimeError of a StopIteration; exceptions sent as they are.",
)
def every_kind(lab: Lab) -> None:
    """Raise everything everywhere, in one sampler; in exact episodes, too."""
    kinds = [kind for kind in RAISES if kind != "KeyboardInterrupt"]
    cells = _cells("D1.every-kind", ("step", "reset", "get_action"), kinds)
    if lab.exact:
        cells += _cells("D1.every-kind", ("step",), kinds, exact=True)
    try_in_turn(lab, cells)


def _cells(promise: str, sites: Iterable[str], kinds: Iterable[str], *, exact: bool = False) -> list[Cell]:
    return [Cell(promise, site, kind, IN_UPDATES[0], exact) for site in sites for kind in kinds]


@clause(
    "D6.shutdown",
    kind="fault",
    says="A shutdown from another thread ends a running call with SamplerClosed, soon, also in a long unit.",
    why="A server, or a notebook's widget, has no other way to stop a run.",
    causes="the shutdown waits for the call; the flag is looked at between units only.",
)
def shutdown_meanwhile(lab: Lab) -> None:
    """Shut down in the middle of a long unit."""
    try_cells(lab, "D6.shutdown")


@clause(
    "C5.atomic",
    kind="fault",
    says="A call that raises while workers are updated, or under the update, has not happened: state, "
    "counts, agents and environments are as before, for every worker.",
    why="Half an update leaves workers that disagree, and batches of two policies that say one version.",
    causes="updates applied as they are sent; versions counted at the beginning; workers that had succeeded "
    "not rolled back.",
)
def atomic(lab: Lab) -> None:
    """Try exceptions of every sort in updates, of all workers and of the last one."""
    try_cells(lab, "C5.atomic")
    if lab.exact:
        try_in_turn(lab, _cells("C5.atomic", _UPDATED, ("error",), exact=True))


@clause(
    "D2.no-trace",
    kind="fault",
    needs={"restartable"},
    says="A worker process that dies is replaced and its units run again; the batch is the same.",
    why="A crash must cost time, never change the data or skip the units of the process that died.",
    causes="units of the dead process lost, or admitted twice; the new one built from the construction's "
    "policy instead of the latest weights.",
)
def deaths_leave_no_trace(lab: Lab) -> None:
    """Kill the process once."""
    try_cells(lab, "D2.no-trace")


@dataclass(frozen=True)
class _DiesAtFirst:
    """Constructs environments; the first construction outside of the caller's process ends that process."""

    marker: str
    home: int = field(default_factory=os.getpid)

    def __call__(self) -> TattooEnv:
        away = os.getpid() != self.home
        fault = Fault("construct", Kill(home=self.home), once=self.marker) if away else None
        return TattooEnv(lengths=(3,), fault=fault)


@clause(
    "D2.at-start",
    needs={"restartable"},
    says="A worker process that dies before it is up is started again, as one that dies later is: where the "
    "sampler is made, and in the first call of a copy that was unpickled.",
    why="Machines are taken away while a program starts, too; a thousand processes do not all come up.",
    causes="replies waited for at the start by code of its own, which takes any death for the last.",
)
def deaths_at_the_start(lab: Lab) -> None:
    """Kill the first process that constructs an environment, twice."""
    arguments: dict[str, Any] = {"n_workers": 2, "seed": 1, "max_episode_length": 8}
    local = Lab(lab.local, lab.profile, lab.note)
    with local.sampler(ProbePolicy(1), partial(TattooEnv, lengths=(3,)), **arguments) as reference:
        wanted = reference.obtain_samples(0, 9)
    with tempfile.TemporaryDirectory() as folder:
        marker = Path(folder) / "died"
        with lab.sampler(ProbePolicy(1), _DiesAtFirst(str(marker)), **arguments) as sampler:
            require(marker.exists(), "no environment was constructed outside of the caller's process")
            copy = pickle.loads(pickle.dumps(sampler))
            marker.unlink()
            outcome = attempt("a call", lambda: sampler.obtain_samples(0, 9))
            when = "a call, a process died at the start"
            require_same_units(when, returned(outcome, when), wanted)
        with copy:
            outcome = attempt("a call", lambda: copy.obtain_samples(0, 9))
            when = "the first call of a copy, in which a process dies at the start"
            require_same_units(when, returned(outcome, when), wanted)


@clause(
    "D2.worker-died",
    kind="fault",
    needs={"restartable"},
    says="A unit that kills its process every time raises WorkerDied after max_restarts, with the exit code "
    "or signal, the worker and the unit; the call has not happened.",
    why="A crash in native code or the lack of memory shows in nothing but the exit code.",
    causes="restarting for ever; the death not noticed; the exit status asked before the process was waited "
    "for; exit code 0 taken for a good end.",
)
def worker_died(lab: Lab) -> None:
    """Kill the process every time."""
    try_cells(lab, "D2.worker-died")


@clause(
    "D3.hang",
    kind="fault",
    needs={"unit_timeout", "restartable"},
    says="With unit_timeout set, a worker that hangs is killed and counts as dead.",
    why="One simulator that hangs at night must not stop a run until the morning.",
    causes="the time-out measured between messages, so that it never expires, or from the call's start.",
)
def hang(lab: Lab) -> None:
    """Let units hang, once and always."""
    try_cells(lab, "D3.hang")


@clause(
    "E1.constructor",
    kind="fault",
    says="If a worker cannot start, those already started are stopped and the constructor raises the error.",
    why="A constructor that raises leaves no object to call shutdown_worker() on: what it leaks stays.",
    causes="the error of a later worker raised without stopping the earlier; starting at the first call.",
)
def constructor(lab: Lab) -> None:
    """Let factories, constructors and policies fail at the start."""
    try_cells(lab, "E1.constructor")


@clause(
    "E2.shutdown-whatever-comes",
    kind="fault",
    says="shutdown_worker() ends within 5 s and leaves nothing, whatever environments do when they are "
    "closed.",
    why="What does not end at shutdown fills a cluster with orphans.",
    causes="waiting for a worker without a limit; the first error in close() ends the loop over the others.",
)
def shutdown_whatever_comes(lab: Lab) -> None:
    """Let close() fail."""
    try_cells(lab, "E2.shutdown-whatever-comes")


@clause(
    "D0.slow-or-large",
    kind="fault",
    says="Payloads larger than any pipe, and workers that are slow, give the same batch.",
    why="Images and large networks are the normal case; pipes hold 64 KiB.",
    causes="both ends writing to full pipes and neither reading; a time-out that a slow update runs into.",
)
def slow_or_large(lab: Lab) -> None:
    """Send megabytes, and take one's time."""
    try_cells(lab, "D0.slow-or-large")


@clause(
    "D4.interrupt",
    kind="fault",
    says="Ctrl-C ends the call at once with KeyboardInterrupt, in whatever it is; no process is orphaned and "
    "the next call is not poisoned.",
    why="It is the one way to stop a run by hand, and the run is often in a notebook that goes on.",
    causes="workers that get the signal too, and die or print; replies of the call that was interrupted "
    "taken for those of the next; waiting for a unit that hangs; a handler of one's own.",
)
def interrupt(lab: Lab) -> None:
    """Send SIGINT while units, updates and constructors hang or are slow."""
    try_cells(lab, "D4.interrupt")


@clause(
    "D2.latest",
    needs={"restartable"},
    says="A process that was started again has the latest policy and environment.",
    why="It would bring units of a policy from days ago into the batches, few enough not to be noticed.",
    causes="starting it with what the constructor was given; sending updates to those that are there only.",
)
def latest(lab: Lab) -> None:
    """Kill a process after updates, and let all processes take part in the next call."""
    with tempfile.TemporaryDirectory() as folder:
        fault = Fault("step", Kill(), once=f"{folder}/once")
        env = partial(TattooEnv, tag=6, lengths=(2,), delays=(0.01,), fault=fault)
        with lab.sampler(ProbePolicy(1), NewEnvUpdate(TaggedEnv(1)), n_workers=2) as sampler:
            weights = ProbePolicy(5).get_param_values()
            for call, steps in enumerate((2, 60)):
                update = (weights, NewEnvUpdate(env)) if call == 0 else (None, None)
                batch = sampler.obtain_samples(call, steps, *update)
                when = f"call {call}, a process died in call 0"
                require_origin(batch, version=5, tag=6, when=when)
                time.sleep(_TO_COME_UP)
