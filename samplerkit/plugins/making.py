"""Samplers by name: ``local``, ``multiprocessing``, ``ray+fragment``, a stranger's."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from samplerkit.errors import BackendBroken, BackendError
from samplerkit.interfaces.capabilities import IN_PROCESS
from samplerkit.interfaces.sampler import Sampler
from samplerkit.interfaces.worker import Worker
from samplerkit.plugins import hooks
from samplerkit.plugins.discovery import Backend, Registry, import_path
from samplerkit.plugins.spec import BackendSpec
from samplerkit.plugins.worker_options import refuse_options_of_workers, split_options, worker_options
from samplerkit.version import API

LOCAL = BackendSpec(
    name="local",
    api=API,
    factory="samplerkit.local:LocalSampler",
    summary="workers in this process; nothing to set up, easy to debug",
    capabilities=IN_PROCESS,
)

registry = Registry((LOCAL,))


def backends() -> list[Backend]:
    """Return every installed backend and kind of worker, each with its state and the reason for it.

    Each description is loaded under isolation: a plugin that is broken says so and harms nobody.
    """
    return registry.backends()


def register_backend(spec: BackendSpec) -> None:
    """Add a backend for this process only, for notebooks and tests.

    Raises:
        TypeError, ValueError: if it is not a `BackendSpec`, or the name is taken.
    """
    registry.register(spec)


def get_backend(name: str) -> type[Any]:
    """Return the class of a sampler, or of a kind of worker, by its single name.

    Raises:
        BackendError: if there is none, or it cannot be used; the message says what to do.
        ValueError: for a composite name.
    """
    if "+" in name:
        raise ValueError(f"{name!r} is a composite: get_backend takes one of {name.split('+')}")
    spec = registry.spec(name)
    cls = import_path(spec.worker or spec.factory or "", name)
    base = Worker if spec.is_worker else Sampler
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise BackendBroken(f"backend {name!r} is broken: {cls!r} is not a subclass of {base.__name__}")
    return cls


def make_sampler(
    name: str,
    *,
    agents: Any,
    envs: Any,
    max_episode_length: float | None = None,
    n_workers: int | None = None,
    seed: int | None = None,
    worker_class: type[Worker] | None = None,
    worker_args: Mapping[str, Any] | None = None,
    worker_factory: Any = None,
    **options: Any,
) -> Sampler:
    """Make a sampler on a backend chosen by name.

    Args:
        name: a backend (``"local"``), a kind of worker (``"vectorized"``: on the local sampler), or both
            (``"multiprocessing+vectorized"``).
        agents: a policy, or a list with one for each worker.
        envs: an environment, an `EnvUpdate`, a gymnasium id, a callable without arguments, or a list
            with one of these for each worker. Every worker gets a copy of its own.
        max_episode_length: most steps of an episode; None means the environment's own limit.
        n_workers: logical workers; None means the length of a given list, else the physical cores.
        seed: everything random follows from it; None draws one, logs it and keeps it in ``sampler.seed``.
        worker_class: a subclass of `Worker`; excludes a kind of worker in the name.
        worker_args: further arguments of the worker.
        worker_factory: a `WorkerFactory`, instead of the arguments that make one.
        **options: of the backend, such as ``n_processes``; and of the kind of worker, if the name has one,
            such as ``n_envs``.

    Returns:
        A sampler whose workers are up.

    Raises:
        BackendError: if the backend cannot be found or used.
        TypeError, ValueError: for a bad argument.
        WorkerError, WorkerDied: if a worker cannot start.
    """
    backend, kind = parts_of(name)
    if kind is None:
        refuse_options_of_workers(name, get_backend(backend), options, options_of_kinds)
    else:
        if worker_class is not None or worker_factory is not None:
            given = "worker_class" if worker_class is not None else "worker_factory"
            raise TypeError(f"{name!r} already names the kind of worker: leave {given} out")
        worker_class = get_backend(kind)
        options, own = split_options(name, get_backend(backend), worker_class, options)
        worker_args = _joined(worker_args, own) if own else worker_args
    hooks.installed.load()
    sampler: Sampler = get_backend(backend)(
        agents,
        envs,
        worker_factory=worker_factory,
        max_episode_length=max_episode_length,
        n_workers=n_workers,
        seed=seed,
        worker_class=worker_class,
        worker_args=worker_args,
        **options,
    )
    hooks.HookObserver(hooks.installed).created(sampler, registry.spec(backend))
    return sampler


def options_of_kinds() -> dict[str, tuple[str, ...]]:
    """Return the options of every kind of worker that can be used."""
    options = {}
    for backend in backends():
        if backend.spec is not None and backend.spec.is_worker:
            with contextlib.suppress(BackendError):
                options[backend.name] = worker_options(get_backend(backend.name))
    return options


def _joined(worker_args: Mapping[str, Any] | None, own: Mapping[str, Any]) -> dict[str, Any]:
    twice = sorted(own.keys() & (worker_args or {}).keys())
    if twice:
        raise TypeError(f"{', '.join(twice)} cannot be given both by name and in worker_args")
    return {**(worker_args or {}), **own}


def parts_of(name: str) -> tuple[str, str | None]:
    """Split a name into backend and kind of worker.

    Raises:
        ValueError: if it is composed of something else.
        BackendError: if there is no such backend.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a backend is a string such as 'local', not {name!r}")
    first, plus, second = name.partition("+")
    if not plus:
        return ("local", first) if registry.spec(first).is_worker else (first, None)
    if registry.spec(first).is_worker or not registry.spec(second).is_worker:
        raise ValueError(f"{name!r}: a composite is a sampler, '+', and a kind of worker")
    return first, second
