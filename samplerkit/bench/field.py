"""Who takes part: bare loops, and every installed backend and kind of worker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from samplerkit.bench.contestant import Contestant
from samplerkit.bench.hosted import Hosted, Together
from samplerkit.bench.workload import Workload
from samplerkit.errors import BackendError
from samplerkit.interfaces import ContinuingWorker
from samplerkit.plugins import backends, get_backend
from samplerkit.plugins.discovery import Backend, State
from samplerkit.plugins.making import options_of_kinds, parts_of
from samplerkit.plugins.worker_options import refuse_options_of_workers, split_options, worker_options
from samplerkit.workers import DefaultWorker

_COUNTS = ("n_processes", "n_actors", "n_carriers")
"""Options that say over how many processes a backend spreads its workers."""

_STEPS = "timesteps_per_call"
"""The option that says how long a call of a worker is whose episodes go on from call to call."""

_CALL_BYTES = 1 << 25
"""What such a call brings at most: while it is copied into the batch the next one should run."""


@dataclass(frozen=True)
class Candidate:
    """A backend, a kind of worker on it, or the reason why it does not take part.

    Args:
        label: how it is called in tables.
        backend: a name for `make_sampler`.
        options: further arguments of `make_sampler`.
        reason: why it cannot run; empty where it can.
    """

    label: str
    backend: str
    options: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def installed(found: Iterable[Backend] | None = None) -> list[Candidate]:
    """Return every sampler, alone and with every kind of worker; and what is installed but does not work.

    Args:
        found: what is installed; None asks the registry.
    """
    known = list(backends() if found is None else found)
    works = [backend for backend in known if backend.state is State.OK and backend.spec is not None]
    samplers = sorted(
        (one.name for one in works if one.spec and not one.spec.is_worker),
        key=lambda name: (name != "local", name),
    )
    kinds = [one.name for one in works if one.spec and one.spec.is_worker]
    names = [name for sampler in samplers for name in (sampler, *(f"{sampler}+{kind}" for kind in kinds))]
    broken = [one for one in known if one.state is not State.OK]
    return [
        *(Candidate(name, name) for name in names),
        *(Candidate(one.name, one.name, reason=f"{one.state}: {one.reason}") for one in broken),
    ]


def chosen(label: str, name: str, given: Mapping[str, Any]) -> Candidate:
    """Return a candidate by its name.

    Args:
        label: how it is called in tables.
        name: a backend, a kind of worker, or both.
        given: options of the backend; what is none of these is an argument of the worker.

    Raises:
        BackendError: if there is no such backend, or it cannot be used.
    """
    first, *kinds = name.split("+")
    known = getattr(get_backend(first), "options", {})
    for kind in kinds:
        get_backend(kind)
    options: dict[str, Any] = {key: value for key, value in given.items() if key in known}
    worker_args = {key: value for key, value in given.items() if key not in known}
    return Candidate(label, name, {**options, "worker_args": worker_args} if worker_args else options)


def filled(candidate: Candidate, num_samples: int, n_workers: int, step_bytes: int) -> Candidate:
    """Where calls are of a fixed number of steps, let one of each worker fill a batch, or several large ones.

    By default they are of one: a batch of thousands would consist of as many fragments, which is nobody's
    use of them, and would be measured instead. What was chosen stands.

    Args:
        candidate: of any kind.
        num_samples: steps of the batch.
        n_workers: among whom they are divided.
        step_bytes: what a step takes, as `EnvSpec.step_bytes`.

    Returns:
        The candidate with this option, and a label that says so as `chosen` takes it.
    """
    worker_args = candidate.options.get("worker_args", {})
    worker = None if candidate.reason else _kind_of_worker(candidate.backend)
    if worker is None or _STEPS in worker_args or _STEPS not in worker_options(worker):
        return candidate
    n_calls = n_workers * max(1, -(-num_samples * step_bytes // (n_workers * _CALL_BYTES)))
    n_steps = -(-num_samples // (n_calls * worker.call_shape(**worker_args).n_slots))
    mark = "," if ":" in candidate.label else ":"
    return replace(
        candidate,
        label=f"{candidate.label}{mark}{_STEPS}={n_steps}",
        options={**candidate.options, "worker_args": {**worker_args, _STEPS: n_steps}},
    )


def _kind_of_worker(backend: str) -> type[ContinuingWorker] | None:
    """Return the class of a composed backend's workers, if their calls are of a fixed number of steps."""
    with contextlib.suppress(BackendError):  # its own process will say what is wrong with it
        kind = parts_of(backend)[1]
        worker = None if kind is None else get_backend(kind)
        if worker is not None and issubclass(worker, ContinuingWorker):
            return worker
    return None


def check_options(name: str, given: Mapping[str, Any]) -> None:
    """Refuse options that neither a backend nor its kind of worker has.

    Raises:
        TypeError: for the first of these; it names those that there are.
        ValueError: if the name is composed of something else than these two.
        BackendError: if there is no such backend, or it cannot be used.
    """
    backend, kind = parts_of(name)
    sampler, worker = get_backend(backend), None if kind is None else get_backend(kind)
    if worker is None:
        refuse_options_of_workers(name, sampler, given, options_of_kinds)
    rest, _ = split_options(name, sampler, worker or DefaultWorker, given)
    for key in rest:
        if key not in getattr(sampler, "options", rest):
            raise TypeError(
                f"{name!r} takes no {key!r} here: give options of the backend or of its kind of worker; what "
                "all have in common is an option of the command"
            )


def bare_loops(workload: Workload, n_processes: int, path: Sequence[str] = ()) -> Together:
    """Return the bare loop in n processes; together their arrays are as large as a batch."""
    rows = -(-workload.num_samples // n_processes)
    members = [
        Hosted(
            f"bare loop {index}",
            "samplerkit.bench.bare_loop:BareLoop",
            {"workload": workload.as_dict(), "n_rows": rows, "first_unit": index, "stride": n_processes},
            path=path,
        )
        for index in range(n_processes)
    ]
    return Together(bare_name(n_processes), members)


def bare_name(n_processes: int) -> str:
    """Return what the bare loop in n processes is called."""
    return f"bare loop, {n_processes} process{'es' if n_processes > 1 else ''}"


def contestant(
    candidate: Candidate, workload: Workload, n_processes: int, path: Sequence[str] = ()
) -> Contestant:
    """Return a candidate's contestant, with a logical worker for each process."""
    arguments = {
        "workload": workload.as_dict(),
        "backend": candidate.backend,
        "n_workers": n_processes,
        "options": {**spread(candidate.backend, n_processes), **candidate.options},
    }
    return Hosted(
        candidate.label, "samplerkit.bench.sampler_contestant:SamplerContestant", arguments, path=path
    )


def spread(backend: str, n_processes: int) -> dict[str, Any]:
    """Return the options with which a backend spreads over n processes; none where it has no such option."""
    known = getattr(get_backend(backend.partition("+")[0]), "options", {})
    return {name: n_processes for name in _COUNTS if name in known}
