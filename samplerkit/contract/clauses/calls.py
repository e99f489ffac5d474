"""Section D, call by call: which error is raised, bad arguments, Ctrl-C at any moment, two calls at once."""

from __future__ import annotations

import math
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from samplerkit.contract.attempts import (
    Outcome,
    attempt,
    attempt_interrupted,
    fails_with,
    returned,
    sentence_of,
)
from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.differences import first_difference
from samplerkit.contract.faults import SLOW, Hang, Kill, raise_error
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import Fault, Faults, ProbePolicy, TattooEnv, read_ledger, unit_key
from samplerkit.contract.reference import expected
from samplerkit.contract.script import Op, Script
from samplerkit.contract.views import require_origin
from samplerkit.episodes.objects import encode
from samplerkit.errors import SamplerBusy, SamplerClosed, WorkerDied, WorkerError
from samplerkit.interfaces import NewEnvUpdate, Sampler

_SEED = 1
_PROMPT = 1.0
"""Seconds within which an error or a death is reported."""


@dataclass(frozen=True)
class Noting:
    """Writes down when it was done last, on the machine's own clock, and does something.

    Attributes:
        path: of the file.
        action: what it does.
    """

    path: Path
    action: Callable[[], Any]

    def __call__(self) -> None:
        """Write, and do it."""
        self.path.write_text(repr(time.monotonic()))
        self.action()

    @property
    def seconds_since(self) -> float:
        """How long ago it was."""
        return time.monotonic() - float(self.path.read_text())


@dataclass(frozen=True)
class RaiseAfter:
    """Raises as soon as something else has happened, and after a while in any case: it may wait for this.

    Attributes:
        path: of the file that says so.
    """

    path: Path

    def __call__(self) -> None:
        """Wait, and raise."""
        until = time.monotonic() + 4 * SLOW
        while not self.path.exists() and time.monotonic() < until:
            time.sleep(SLOW / 50)
        raise_error()


@dataclass(frozen=True)
class MakeEnv:
    """Constructs a probe environment where the worker is."""

    faults: Faults | None = None
    lengths: tuple[int, ...] = (3,)
    ledger: str | None = None
    tag: int = 1

    def __call__(self) -> TattooEnv:
        return TattooEnv(
            tag=self.tag,
            lengths=self.lengths,
            ends="terminated",
            infos="none",
            fault=self.faults,
            ledger=self.ledger,
        )


def _raise_late() -> None:
    time.sleep(4 * SLOW)
    raise_error()


def _sleep() -> None:
    time.sleep(SLOW)


def _in_unit(number: int, action: Callable[[], Any], *, once: str | None = None) -> Fault:
    return Fault("step", action, key=unit_key(_SEED, number), once=once)


# -- which error -------------------------------------------------------------------------------------


@clause(
    "D1.lowest-unit",
    says="Where several units fail, the error of the lowest is raised, whichever came first.",
    why="An error that depends on timing is not found again when one looks for it.",
    causes="no carrier came up at all (see what was printed); raising the first error that arrives.",
)
def lowest_unit(lab: Lab) -> None:
    """Let unit 0 fail late and unit 1 at once."""
    faults = Faults((_in_unit(0, _raise_late), _in_unit(1, raise_error), _in_unit(2, raise_error)))
    with lab.sampler(ProbePolicy(1), MakeEnv(faults), episodes_of=3, n_workers=3, seed=_SEED) as sampler:
        outcome = attempt("obtain_samples", lambda: sampler.obtain_samples(0, 9))
        fails_with(outcome, WorkerError, "a call in which three units fail")
        unit = getattr(outcome.error, "unit", None)
        require(unit == 0, f"units 0, 1 and 2 fail: expected the error of unit 0, got that of unit {unit}")


@clause(
    "D1.not-needed",
    says="An error in a unit that is not needed is dropped; it is raised by the call that reaches the unit.",
    why="What ran ahead depends on the layout and on timing: an error must not.",
    causes="raising errors as they arrive; forgetting the error of a unit that ran ahead.",
)
def not_needed(lab: Lab) -> None:
    """Let unit 1 fail at once, and ask for unit 0 only."""
    faults = Faults((_in_unit(0, _sleep), _in_unit(1, raise_error)))
    with lab.sampler(ProbePolicy(1), MakeEnv(faults), episodes_of=3, n_workers=2, seed=_SEED) as sampler:
        outcome = attempt("obtain_samples", lambda: sampler.obtain_samples(0, 1))
        if outcome.error is not None:
            raise Violation(f"unit 1 fails and only unit 0 is needed: {outcome}") from outcome.error
        outcome = attempt("obtain_samples", lambda: sampler.obtain_samples(1, 1))
        fails_with(outcome, WorkerError, "a call that reaches unit 1, which fails")


@clause(
    "D0.prompt",
    says="An error, and a death, is reported within a second of happening.",
    why="A run that waits for a worker that is gone wastes the night.",
    causes="polling; time-outs; joining other workers before the error is raised.",
)
def prompt(lab: Lab) -> None:
    """Measure, three times at most, because the machine may be busy.

    Where nobody can know which unit a carrier was running, it dies twice: the last time counts.
    """
    kinds: list[tuple[str, Callable[[], Any], dict[str, Any]]] = [("error", raise_error, {})]
    if lab.subject.capabilities.get("restartable"):
        kinds.append(("death", Kill(), {"max_restarts": 0}))
    for name, action, options in kinds:
        with tempfile.TemporaryDirectory() as folder:
            noting = Noting(Path(folder) / "when", action)
            envs = MakeEnv(Faults((_in_unit(0, noting),)))
            with lab.sampler(
                ProbePolicy(1), envs, episodes_of=3, n_workers=2, seed=_SEED, **options
            ) as sampler:
                times: list[float] = []
                while len(times) < 3 and (not times or min(times) > _PROMPT):
                    outcome = attempt("obtain_samples", lambda s=sampler: s.obtain_samples(0, 1))  # type: ignore[misc]
                    fails_with(
                        outcome,
                        (WorkerError, WorkerDied)[name == "death"],
                        f"a call in which the first unit meets its {name}",
                    )
                    times.append(noting.seconds_since)
            require(min(times) <= _PROMPT, f"the {name} was reported after {min(times):.1f} s")


@clause(
    "D3.from-unit-start",
    needs={"unit_timeout", "restartable"},
    says="unit_timeout counts from a unit's start: one that waits for its turn does not hang.",
    why="Otherwise the more units a call has, the more of them are killed.",
    causes="the clock started when a unit is sent, or when the call begins.",
)
def from_unit_start(lab: Lab) -> None:
    """Let a call take longer than unit_timeout, and no unit."""
    slow = Faults((Fault("reset", _sleep),))
    with lab.sampler(
        ProbePolicy(1), MakeEnv(slow), episodes_of=3, n_workers=2, unit_timeout=8 * SLOW, layout=1
    ) as sampler:
        outcome = attempt("obtain_samples", lambda: sampler.obtain_samples(0, 3 * 24))
        if outcome.error is not None:
            raise Violation(
                f"24 units of {SLOW} s each, unit_timeout={8 * SLOW}: {outcome}"
            ) from outcome.error
        restarts = sampler.statistics().restarts
        require(restarts == 0, f"{restarts} workers were killed for units that were waiting for their turn")


@clause(
    "D3.failed-call",
    needs={"unit_timeout", "restartable"},
    says="A worker that hangs in a unit of a call that has failed is killed too, and the next call gets its "
    "batch.",
    why="Two simulators that go wrong in one call are no rarer than one, and only the first is reported.",
    causes="the time-out looked at for units of the present call only; the hung worker forgotten with what "
    "it had to do, and waited for when it is to take the next update.",
)
def failed_call(lab: Lab) -> None:
    """Let the first unit hang that another carrier begins, and unit 0 fail meanwhile; call again."""
    script = Script(ops=(Op(6),), n_workers=2, seed=_SEED, lengths=(3,))
    with tempfile.TemporaryDirectory() as folder:
        raised, hung = f"{folder}/raised", f"{folder}/hung"
        # At once, before a carrier that tells the sampler which unit runs has told it.
        fails = _in_unit(0, RaiseAfter(Path(hung)), once=raised)
        hangs = [_in_unit(number, Hang(), once=hung) for number in range(1, 16)]
        faults = Faults((fails, *hangs))
        with lab.sampler(
            ProbePolicy(1), MakeEnv(faults), episodes_of=3, n_workers=2, seed=_SEED, unit_timeout=16 * SLOW
        ) as sampler:
            outcome = attempt("obtain_samples", lambda: sampler.obtain_samples(0, 6))
            fails_with(outcome, WorkerError, "a call in which unit 0 fails while another unit hangs")
            outcome = attempt("obtain_samples", lambda: sampler.obtain_samples(0, 6))
    batch = returned(outcome, "the call after it")
    difference = first_difference(expected(script)[0].batch, batch)
    require(difference is None, f"the call after it: {difference}")


# -- Ctrl-C ------------------------------------------------------------------------------------------


@clause(
    "D4.any-moment",
    says="Ctrl-C at any moment of a call leaves the state as it was, and the next call returns its batch.",
    why="Between sending and receiving there are many moments, and a user finds them all.",
    causes="a message half sent; a reply left in the pipe; counts written before the batch is whole.",
)
def any_moment(lab: Lab) -> None:
    """Interrupt a call again and again, a little later each time, and finish it; an exact one, too."""
    # With an update, so that none of its units is there already.
    exact = Op(6, exact=True, agent="weights")
    script = Script(ops=(Op(1), Op(3 * 12), exact), n_workers=2, seed=_SEED, lengths=(3,))
    script = script.within(lab.subject.capabilities)
    slow = Faults((Fault("reset", lambda: time.sleep(0.04)),))
    handler = signal.getsignal(signal.SIGINT)
    with lab.sampler(ProbePolicy(1), MakeEnv(slow), episodes_of=3, n_workers=2, seed=_SEED) as sampler:
        sampler.obtain_samples(0, 1)
        now = signal.getsignal(signal.SIGINT)
        require(now is handler, f"the handler of SIGINT: expected as it was, {handler}, got {now}")
        _interrupted_often(sampler, script, 1, (0.0, 0.001, 0.003, 0.01, 0.03, 0.09))
        if script.ops[2].exact:
            _interrupted_often(sampler, script, 2, (0.003, 0.03))


def _interrupted_often(sampler: Sampler, script: Script, index: int, delays: Iterable[float]) -> None:
    op, before = script.ops[index], _state(sampler)
    call = partial(op.ask, sampler, index, script.agent_update(index)[0])
    name = "obtain_exact_episodes" if op.exact else "obtain_samples"
    for delay in delays:
        what = f"{name}, Ctrl-C after {delay} s"
        outcome = attempt_interrupted(name, call, after=delay)
        if not isinstance(outcome.error, KeyboardInterrupt):
            raise Violation(f"{what}: expected KeyboardInterrupt, {outcome}") from outcome.error
        require(_state(sampler) == before, f"{what}: the state is not as it was")
    outcome = attempt(name, call)
    batch = returned(outcome, f"{name} after all")
    difference = first_difference(expected(script)[index].batch, batch)
    require(difference is None, f"{name} after all: {difference}")


def _state(sampler: Sampler) -> tuple[Any, ...]:
    counts = sampler.statistics()
    return encode(sampler.get_state()), counts.calls, counts.units, counts.env_steps, sampler.total_env_steps


# -- arguments ---------------------------------------------------------------------------------------

_COUNTS: list[tuple[Any, type[Exception]]] = [
    (0, ValueError),
    (-1, ValueError),
    (np.int64(0), ValueError),
    (True, TypeError),
    (1.0, TypeError),
    (2.5, TypeError),
    (math.nan, TypeError),
    (math.inf, TypeError),
    (np.float64(3), TypeError),
    ("3", TypeError),
    ([3], TypeError),
    (None, TypeError),
]


@clause(
    "D5.counts",
    says="num_samples and n_eps_per_worker are integers of at least 1 (numpy's are welcome, bools and "
    "floats a TypeError); what is refused is refused before anything is sent, with a sentence that says what "
    "to pass.",
    why="A count of 0 or 2.5 is a mistake in the caller's arithmetic, which should be heard of where it is.",
    causes="checked after updates were applied, or not at all: 0 gives one episode, a float an endless call.",
)
def counts(lab: Lab) -> None:
    """Try good and bad counts, the bad ones with updates that must not happen, to living workers neither."""
    updates = ProbePolicy(9), MakeEnv(tag=9)
    with lab.sampler(ProbePolicy(1), MakeEnv(), episodes_of=3, n_workers=2) as sampler:
        calls: dict[str, Callable[..., Any]] = {"num_samples": partial(sampler.obtain_samples, 0)}
        if sampler.supports("exact_episodes"):
            calls["n_eps_per_worker"] = sampler.obtain_exact_episodes
        before = _state(sampler)
        for name, call in calls.items():
            for value, kind in _COUNTS:
                what = f"{name}={value!r}"
                outcome = attempt(what, partial(call, value, *updates))
                fails_with(outcome, kind, what, naming=name)
                require(_state(sampler) == before, f"{what} was refused, but the state is not as it was")
        for name, call in calls.items():
            for good in (2, np.int64(2), np.uint8(2)):
                what = f"{name}={good!r}"
                batch = returned(attempt(what, partial(call, good)), what)
                require_origin(batch, version=1, tag=1, when=f"{what}, after updates were refused")


_ARGUMENTS: list[tuple[str, Any, type[Exception]]] = [
    ("n_workers", 0, ValueError),
    ("n_workers", -1, ValueError),
    ("n_workers", True, TypeError),
    ("n_workers", 1.5, TypeError),
    ("max_episode_length", 0, ValueError),
    ("max_episode_length", -3, ValueError),
    ("max_episode_length", 1.5, TypeError),
    ("max_episode_length", "8", TypeError),
    ("seed", -1, ValueError),
    ("seed", 0.5, TypeError),
    ("worker_class", int, TypeError),
    ("agents", None, TypeError),
    ("agents", 3, TypeError),
    ("envs", None, TypeError),
    ("envs", 3, TypeError),
    ("envs", "NoSuchEnvironment-v0", ValueError),
]


@clause(
    "D5.constructor",
    says="Bad arguments of the constructor are refused before anything is started, with a sentence that says "
    "what to pass.",
    why="An error that comes out of a worker an hour later does not lead to the argument that caused it.",
    causes="arguments handed on unchecked; workers started first.",
)
def constructor_arguments(lab: Lab) -> None:
    """Try bad arguments one by one."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        good = {
            "agents": ProbePolicy(1),
            "envs": MakeEnv(ledger=str(ledger)),
            "n_workers": 2,
            "max_episode_length": 8,
            "seed": _SEED,
        }
        for name, value, kind in _ARGUMENTS:
            if name == "worker_class" and lab.subject.worker is not None:
                continue
            what = f"{name}={value!r}"
            outcome = attempt(what, lambda n=name, v=value: _made(lab, {**good, n: v}))  # type: ignore[misc]
            fails_with(outcome, kind, what, naming="" if value == "NoSuchEnvironment-v0" else name)
            require(not read_ledger(ledger), f"{what} was refused after an environment was constructed")


def _made(lab: Lab, arguments: dict[str, Any]) -> None:
    """Make a sampler, and shut it down if there is one after all."""
    lab.subject.make(arguments.pop("agents"), arguments.pop("envs"), **arguments).shutdown_worker()


# -- two calls, and none -----------------------------------------------------------------------------


@clause(
    "D6.busy",
    says="A call, or set_state, while a call runs raises SamplerBusy at once, and does the other no harm.",
    why="Two calls that mix would share units and read each other's replies.",
    causes="no lock; a lock that waits, so that the order of the calls depends on timing.",
)
def busy(lab: Lab) -> None:
    """Call from two threads."""
    script = Script(ops=(Op(3 * 8),), n_workers=2, seed=_SEED, lengths=(3,))
    outcomes: list[Outcome] = []
    faults = Faults((Fault("step", _sleep),))
    with lab.sampler(ProbePolicy(1), MakeEnv(faults), episodes_of=3, seed=_SEED) as sampler:
        first = threading.Thread(
            target=lambda: outcomes.append(
                attempt("the first call", lambda: sampler.obtain_samples(0, 3 * 8))
            )
        )
        state = sampler.get_state()
        calls = _calls(sampler, lab.exact, state)
        first.start()
        time.sleep(2 * SLOW)
        others = {name: (attempt(name, call), first.is_alive()) for name, call in calls.items()}
        first.join(20)
        for name, (outcome, running) in others.items():
            fails_with(outcome, SamplerBusy, f"{name} while another call runs")
            require(running, f"{name} waited until the call that ran had ended")
    require(len(outcomes) == 1, "the first call did not end")
    batch = returned(outcomes[0], "the first call")
    difference = first_difference(expected(script)[0].batch, batch)
    require(difference is None, f"the first call: {difference}")


@clause(
    "D6.closed",
    says="After the shutdown every call raises SamplerClosed.",
    why="Whoever catches it knows what happened; any other error, or none, sends him looking elsewhere.",
    causes="an AttributeError of something that was torn down; workers started again; waiting for ever.",
)
def closed(lab: Lab) -> None:
    """Call everything after the shutdown."""
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TattooEnv), seed=_SEED) as sampler:
        sampler.obtain_samples(0, 1)
        calls = _calls(sampler, lab.exact, sampler.get_state())
    for name, call in calls.items():
        fails_with(attempt(name, call, seconds=5), SamplerClosed, f"{name} after the shutdown")


def _calls(sampler: Sampler, exact: bool, state: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return everything that has to have the sampler to itself."""
    calls: dict[str, Callable[[], Any]] = {
        "obtain_samples": partial(sampler.obtain_samples, 0, 1),
        "obtain_samples with an update": partial(sampler.obtain_samples, 0, 1, ProbePolicy(2)),
        "set_state": partial(sampler.set_state, state),
    }
    return {**calls, "obtain_exact_episodes": partial(sampler.obtain_exact_episodes, 1)} if exact else calls


@clause(
    "C5.lists",
    needs={"per_worker_agents", "per_worker_envs"},
    says="Where one item of a list of updates cannot be taken, none is, also where it is refused at once.",
    why="Half a list applied leaves workers that disagree, and nobody says so.",
    causes="items sent as they are checked.",
)
def lists(lab: Lab) -> None:
    """Send a good item and a bad one."""
    script = Script(ops=(Op(1), Op(9)), n_workers=2, seed=_SEED, lengths=(3,))
    bad: list[tuple[str, Any, Any]] = [
        ("an environment that is none", None, [MakeEnv(), 3]),
        ("a policy that cannot be pickled", [ProbePolicy(7), _Unpicklable(8)], None),
        ("an update that fails at the last worker", [ProbePolicy(7), ProbePolicy(8, _Fails.policy())], None),
        ("a good policy and a bad environment", ProbePolicy(7), [MakeEnv(), _Fails.env()]),
    ]
    with lab.sampler(ProbePolicy(1), MakeEnv(), episodes_of=3, n_workers=2, seed=_SEED) as sampler:
        sampler.obtain_samples(0, 1)
        before = _state(sampler)
        for what, agents, envs in bad:
            outcome = attempt(what, lambda a=agents, e=envs: sampler.obtain_samples(1, 9, a, e))  # type: ignore[misc]
            require(isinstance(outcome.error, Exception), f"{what}: expected an error, {outcome}")
            require(_state(sampler) == before, f"{what}: the state is not as it was")
        outcome = attempt("the call after them", lambda: sampler.obtain_samples(1, 9))
    if outcome.error is not None:
        raise Violation(f"the call after them raised {sentence_of(outcome.error)}") from outcome.error
    difference = first_difference(expected(script)[1].batch, outcome.value)
    require(difference is None, f"the call after them: {difference}")


class _Unpicklable(ProbePolicy):
    def __getstate__(self) -> Any:
        raise TypeError("this policy stays where it is")


class _Fails:
    @staticmethod
    def policy() -> Fault:
        return Fault("reset_policy", raise_error)

    @staticmethod
    def env() -> MakeEnv:
        return MakeEnv(Faults((Fault("construct", raise_error),)))
