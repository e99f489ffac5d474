"""Clause F5: observers hear of everything once, and are nobody's trouble."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import Any

from samplerkit.contract.attempts import attempt, fails_with, returned
from samplerkit.contract.clause import clause, require
from samplerkit.contract.faults import Kill
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import Fault, ProbePolicy, TattooEnv, raise_value
from samplerkit.episodes import EpisodeBatch
from samplerkit.errors import WorkerError
from samplerkit.interfaces import Observer, Sampler


class _Hearing(Observer):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def updated(self, sampler: Sampler, agent_version: int, env_version: int) -> None:
        self.heard.append(("updated", (agent_version, env_version)))

    def batch_collected(self, sampler: Sampler, batch: EpisodeBatch, seconds: float) -> None:
        self.heard.append(("batch_collected", batch))

    def carrier_restarted(self, sampler: Sampler, index: int, exitcode: int | None) -> None:
        self.heard.append(("carrier_restarted", index))

    def error(self, sampler: Sampler, error: BaseException) -> None:
        self.heard.append(("error", error))

    def shut_down(self, sampler: Sampler) -> None:
        self.heard.append(("shut_down", None))

    def take(self) -> list[tuple[str, Any]]:
        """Return what was heard since the last time."""
        heard, self.heard = self.heard, []
        return heard


class _Raising(Observer):
    """Raises whatever it hears."""

    def _raise(self, *told: Any, **more: Any) -> None:
        raise ZeroDivisionError("of an observer")

    updated = batch_collected = carrier_restarted = error = shut_down = _raise


@clause(
    "F5.observers",
    says="Those in sampler.observers are told of each update, batch, restart, failure of a call, and of the "
    "shutdown, once; a batch is the one that is returned. One that raises harms nobody.",
    why="Logs, counters and alarms hang on it: told twice is counted twice, and a full disk of the log is no "
    "reason to lose a batch.",
    causes="a Sampler written from scratch that tells nobody; told by two layers; no try around the call.",
)
def observers(lab: Lab) -> None:
    """Let one listen beside one that raises."""
    plain = partial(TattooEnv, lengths=(3,), infos="none")
    hearing = _Hearing()
    with (
        tempfile.TemporaryDirectory() as folder,
        lab.sampler(ProbePolicy(1), plain, episodes_of=3) as sampler,
    ):
        sampler.observers = (_Raising(), hearing)
        _call(sampler, hearing, "a call", [])
        weights = ProbePolicy(2).get_param_values()
        _call(sampler, hearing, "a call with new weights", [("updated", (1, 0))], weights)
        fails = partial(TattooEnv, fault=Fault("construct", raise_value))
        outcome = attempt("a call that fails", lambda: sampler.obtain_samples(2, 3, None, fails))
        fails_with(outcome, WorkerError, "a call whose new environment cannot be constructed")
        _require_told(hearing, "a call that fails", [("error", outcome.error)])
        if lab.subject.capabilities.get("restartable"):
            dies = Fault("step", Kill(), once=f"{folder}/died")
            update = partial(TattooEnv, lengths=(3,), infos="none", fault=dies)
            outcome = attempt("a call", lambda: sampler.obtain_samples(3, 3, None, update))
            returned(outcome, "a call in which a carrier dies")
            told = [name for name, _ in hearing.take()].count("carrier_restarted")
            counted = sampler.statistics().restarts
            require(
                told == counted,
                f"a call in which a carrier dies: statistics().restarts {counted}, and observers were told "
                f"of carrier_restarted {told} times",
            )
        sampler.shutdown_worker()
        sampler.shutdown_worker()
        _require_told(hearing, "two shutdowns", [("shut_down", None)])


def _call(
    sampler: Sampler, hearing: _Hearing, what: str, before: list[tuple[str, Any]], update: Any = None
) -> None:
    outcome = attempt(what, lambda: sampler.obtain_samples(0, 3, update))
    batch = returned(outcome, f"{what}, heard by an observer that raises")
    _require_told(hearing, what, [*before, ("batch_collected", batch)])


def _require_told(hearing: _Hearing, what: str, wanted: list[tuple[str, Any]]) -> None:
    heard = hearing.take()
    names, got = [name for name, _ in wanted], [name for name, _ in heard]
    require(got == names, f"{what}: expected that an observer is told {names}, it was told {got}")
    for (name, value), (_, other) in zip(wanted, heard, strict=True):
        if isinstance(value, (EpisodeBatch, BaseException)):
            require(
                value is other, f"{what}: expected that {name} is told of the very one that the caller gets"
            )
        else:
            require(value == other, f"{what}: expected {name} with {value}, got {other}")
