"""The subject: the backend, or kind of worker, that is under test."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from samplerkit.contract.preflight import check_declarations, check_kind, check_options, refusing
from samplerkit.interfaces import Capabilities, Sampler, Worker
from samplerkit.local import LocalSampler
from samplerkit.plugins.making import registry
from samplerkit.plugins.worker_options import split_options
from samplerkit.version import API


class Pace(NamedTuple):
    """How a worker that gathers fragments is made: its environments, and the steps of each a call."""

    n_envs: int
    timesteps_per_call: int


@dataclass(frozen=True, kw_only=True)
class Subject:
    """How to make samplers of the backend under test.

    Attributes:
        name: as its author calls it.
        sampler: the class of the sampler, or anything that is called like one.
        worker: a kind of worker, where that is what is under test.
        worker_args: further arguments of the worker.
        capabilities: what it declares.
        options: given to every sampler.
        layouts: sets of options that change the physical layout only (processes, threads), never a batch.
        distribution: where it comes from.
        api: the version that it was written for.
    """

    name: str
    sampler: Any
    worker: type[Worker] | None = None
    worker_args: Mapping[str, Any] = field(default_factory=dict)
    capabilities: Capabilities
    options: Mapping[str, Any] = field(default_factory=dict)
    layouts: tuple[Mapping[str, Any], ...] = ({},)
    distribution: str = ""
    api: tuple[int, int] = API

    @property
    def fragments(self) -> bool:
        """Whether batches hold fragments of episodes."""
        return bool(self.capabilities.get("fragments"))

    @property
    def given(self) -> Mapping[str, Any]:
        """The options by which it is found again: of the sampler, and of the kind of worker."""
        return {**self.options, **self.worker_args}

    def make(
        self, agents: Any, envs: Any, *, layout: int = 0, pace: Pace | None = None, **arguments: Any
    ) -> Sampler:
        """Make a sampler.

        Args:
            agents: as for any sampler.
            envs: as for any sampler.
            layout: index of a set of layout options, modulo their number.
            pace: how far a call goes, for workers that gather fragments; None leaves it to them.
            arguments: of the sampler.
        """
        if pace is not None and self.fragments:
            given = arguments.get("worker_args", self.worker_args)
            arguments["worker_args"] = {**given, **pace._asdict()}
        if self.worker is not None:
            arguments.setdefault("worker_class", self.worker)
            if self.worker_args:
                arguments.setdefault("worker_args", dict(self.worker_args))
        chosen = self.layouts[layout % len(self.layouts)]
        made: Sampler = self.sampler(agents, envs, **{**self.options, **chosen, **arguments})
        return made


def find_subject(name: str, options: Mapping[str, Any] | None = None) -> Subject:
    """Return the subject that a name stands for.

    Args:
        name: an installed backend, a kind of worker, a composite of both, or ``module:Class`` of either.
        options: given to every sampler, or, those that a kind of worker has, to every worker.

    Raises:
        BackendError, ValueError, ImportError: if it cannot be found or loaded.
        CannotBeChecked: if it makes no samplers, or has no such options.
    """
    if ":" in name:
        module, _, attribute = name.partition(":")
        return subject_of(getattr(importlib.import_module(module), attribute), name=name, options=options)
    from samplerkit.plugins import get_backend

    sampler_name, _, kind = name.partition("+")
    if registry.spec(sampler_name).is_worker:
        if kind:
            raise ValueError(f"{name!r}: a composite is a sampler, '+', and a kind of worker")
        sampler_name, kind = "local", sampler_name
    backend = registry.find(sampler_name)
    worker = get_backend(kind) if kind else None
    tested = registry.find(kind) if kind else backend
    capabilities = {**backend.capabilities, **(tested.capabilities if kind else {})}
    cls, options, own = get_backend(sampler_name), dict(options or {}), dict[str, Any]()
    with refusing(name):
        check_declarations(cls)
    if worker is not None:
        with refusing(name):
            options, own = split_options(name, cls, worker, options)
    subject = Subject(
        name=name,
        sampler=cls,
        worker=worker,
        worker_args=own,
        capabilities=capabilities,
        options=options,
        layouts=tuple(getattr(cls, "layouts", ({},))),
        distribution=tested.distribution,
        api=tested.api or API,
    )
    with refusing(name):
        check_options(subject)
    return subject


def subject_of(cls: Any, *, name: str = "", options: Mapping[str, Any] | None = None) -> Subject:
    """Return the subject that a class is: a sampler, or a kind of worker on the local sampler.

    A function that makes samplers will do. One is made first, to see that it does, and what it can do.

    Raises:
        CannotBeChecked: if it makes neither, or has no such options.
    """
    module = getattr(cls, "__module__", "") or ""
    name = name or f"{module}:{getattr(cls, '__qualname__', repr(cls))}"
    with refusing(name):
        check_kind(cls)
        check_declarations(cls)
    worker = cls if isinstance(cls, type) and issubclass(cls, Worker) else None
    sampler = cls if worker is None else LocalSampler
    given, own = dict(options or {}), dict[str, Any]()
    if worker is not None:
        with refusing(name):
            given, own = split_options(name, sampler, worker, given)
    subject = Subject(
        name=name,
        sampler=sampler,
        worker=worker,
        worker_args=own,
        capabilities={**getattr(sampler, "capabilities", {}), **getattr(worker, "capabilities", {})},
        options=given,
        layouts=tuple(getattr(sampler, "layouts", ({},))),
        distribution=_distribution(module.partition(".")[0]),
    )
    with refusing(name):
        made = check_options(subject)
    return subject if made is None else replace(subject, capabilities=dict(getattr(made, "capabilities", {})))


def _distribution(package: str) -> str:
    """Return the distribution that a package came with; its own name, where it came with none."""
    return next(iter(importlib.metadata.packages_distributions().get(package, ())), package)
