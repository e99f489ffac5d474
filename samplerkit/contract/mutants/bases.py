"""What defects are brought into: right backends of each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, cast

from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import Capabilities, Worker, no
from samplerkit.local import LocalSampler
from samplerkit.sampling.base_sampler import BaseSampler
from samplerkit.sampling.packing import pack
from samplerkit.sampling.seating import HostSetup
from samplerkit.workers import DefaultWorker

LOCAL, PROCESSES, STATEFUL, STATEFUL_PROCESSES = "local", "processes", "stateful", "stateful-processes"
VECTORIZED, FRAGMENT = "vectorized", "fragment"
FRAGMENT_LOCAL, FRAGMENT_PROCESSES = "fragment-local", "fragment-processes"
EVERYWHERE = (LOCAL, PROCESSES, STATEFUL)


class StatefulWorker(DefaultWorker):
    """Says that it remembers (it does not): its units run in order, in one place, and nothing runs ahead."""

    stateful: ClassVar[bool] = True


class _WithStatefulWorker(BaseSampler):
    """Uses a stateful worker where none was asked for."""

    def __init__(self, agents: Any, envs: Any, **arguments: Any) -> None:
        if arguments.get("worker_factory") is None and arguments.get("worker_class") is None:
            arguments["worker_class"] = StatefulWorker
        super().__init__(agents, envs, **arguments)


def _processes() -> type[BaseSampler]:
    from samplerkit.plugins import get_backend

    return cast(type[BaseSampler], get_backend("multiprocessing"))


def _stateful(base: type[BaseSampler]) -> type[BaseSampler]:
    capabilities: Capabilities = {
        **base.capabilities,
        "restartable": no("what stateful workers remember dies with them"),
    }
    return type(
        f"Stateful{base.__name__}",
        (_WithStatefulWorker, base),
        {"capabilities": capabilities, "__module__": __name__},
    )


class _WithFragmentWorker(BaseSampler):
    """Uses a fragment worker where none was asked for."""

    def __init__(self, agents: Any, envs: Any, **arguments: Any) -> None:
        if arguments.get("worker_factory") is None and arguments.get("worker_class") is None:
            arguments["worker_class"] = _kind("fragment")
        super().__init__(agents, envs, **arguments)


def _fragments(base: type[BaseSampler]) -> type[BaseSampler]:
    capabilities: Capabilities = {**base.capabilities, **_kind("fragment").capabilities}
    namespace = {"capabilities": capabilities, "__module__": __name__}
    return type(f"Fragment{base.__name__}", (_WithFragmentWorker, base), namespace)


def _kind(name: str) -> type[Worker]:
    from samplerkit.plugins import get_backend

    return cast(type[Worker], get_backend(name))


BASES: Mapping[str, Callable[[], type[BaseSampler] | type[Worker]]] = {
    LOCAL: lambda: LocalSampler,
    PROCESSES: _processes,
    STATEFUL: lambda: _stateful(LocalSampler),
    STATEFUL_PROCESSES: lambda: _stateful(_processes()),
    VECTORIZED: lambda: _kind("vectorized"),
    FRAGMENT: lambda: _kind("fragment"),
    FRAGMENT_LOCAL: lambda: _fragments(LocalSampler),
    FRAGMENT_PROCESSES: lambda: _fragments(_processes()),
}
"""The right backends and kinds of worker, by name. Those of plugins are looked up when they are asked for."""


class _InWorker(BaseSampler):
    """Brings a defect of a worker to wherever workers are built."""

    worker_defect: ClassVar[type[DefaultWorker]]

    @property
    def _setup(self) -> HostSetup:
        setup, factory = super()._setup, self.worker_factory
        broken = broken_worker(self.worker_defect, factory.worker_class)
        return replace(setup, factory=pack(factory.completed(worker_class=broken), "a broken worker"))


def broken_worker(defect: type[DefaultWorker], worker_class: type[Worker]) -> type[Worker]:
    """Return a worker class with a defect; one that steps episodes in its own way stays as it is."""
    if not issubclass(worker_class, DefaultWorker):
        return worker_class
    return type(f"{defect.__name__}{worker_class.__name__}", (defect, worker_class), {"__module__": __name__})


def injected(defect: type[Any], base: type[BaseSampler] | type[Worker]) -> type[Any]:
    """Return a class of samplers, or a kind of worker: the base with the defect."""
    namespace: dict[str, Any] = {"__doc__": defect.__doc__, "__module__": __name__}
    if issubclass(base, Worker):
        return type(defect.__name__, (defect, base), namespace)
    if issubclass(defect, DefaultWorker):
        namespace["worker_defect"] = defect
        return type(defect.__name__, (_InWorker, base), namespace)
    return type(defect.__name__, (defect, base), namespace)


def altered(batch: EpisodeBatch, **changes: Any) -> EpisodeBatch:
    """Return a batch with some columns changed, and nothing checked."""
    fields = {**batch.__dict__, "last_observations": batch.last_observations}
    fields.pop("finals", None)
    fields["episode_infos"] = fields.pop("episode_infos_by_episode")
    return EpisodeBatch.unchecked(**{**fields, **changes})
