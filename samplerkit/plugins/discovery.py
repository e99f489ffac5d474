"""Finding backends by entry points, one by one, so that a bad plugin never harms another."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from samplerkit.errors import (
    AmbiguousBackend,
    BackendBroken,
    BackendError,
    BackendIncompatible,
    BackendUnavailable,
    UnknownBackend,
)
from samplerkit.interfaces.capabilities import Capabilities
from samplerkit.plugins.spec import BackendSpec
from samplerkit.spelling import did_you_mean
from samplerkit.version import API

GROUP = "samplerkit.backends"


class State(StrEnum):
    """What became of an installed backend."""

    OK = "ok"
    UNAVAILABLE = "unavailable"
    INCOMPATIBLE = "incompatible"
    BROKEN = "broken"
    AMBIGUOUS = "ambiguous"


_ERRORS: dict[State, type[BackendError]] = {
    State.UNAVAILABLE: BackendUnavailable,
    State.INCOMPATIBLE: BackendIncompatible,
    State.BROKEN: BackendBroken,
    State.AMBIGUOUS: AmbiguousBackend,
}


@dataclass(frozen=True)
class Backend:
    """An installed backend, in one of five states, with the reason."""

    name: str
    state: State
    reason: str = ""
    summary: str = ""
    distribution: str = ""
    api: tuple[int, int] | None = None
    capabilities: Capabilities = field(default_factory=dict)
    spec: BackendSpec | None = field(default=None, repr=False)
    error: BaseException | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Candidate:
    """Something that may turn out to be a backend: an entry point, or a spec given by hand."""

    name: str
    load: Callable[[], Any]
    distribution: str


class Registry:
    """Backends by name: the built-in ones, those registered by hand, those of entry points.

    Args:
        built_in: descriptions that need no entry point.
        entry_points: finds entry points of the group; a parameter for tests.
    """

    def __init__(
        self,
        built_in: tuple[BackendSpec, ...] = (),
        entry_points: Callable[..., Any] = importlib.metadata.entry_points,
    ) -> None:
        self._by_hand = {spec.name: _given(spec, "samplerkit") for spec in built_in}
        self._entry_points = entry_points
        self._loaded: dict[str, Backend] = {}

    def register(self, spec: BackendSpec) -> None:
        """Add a backend for this process, for notebooks and tests.

        Raises:
            TypeError: if it is not a `BackendSpec`.
            ValueError: if the name is taken by another description.
        """
        if not isinstance(spec, BackendSpec):
            raise TypeError(f"register_backend takes a BackendSpec, not {type(spec).__name__}")
        present = self._by_hand.get(spec.name)
        offered = self._entry_points(group=GROUP, name=spec.name)
        if offered or (present is not None and present.load() != spec):
            raise ValueError(f"there is already a backend {spec.name!r}: choose another name")
        self._by_hand[spec.name] = _given(spec, "registered by hand")
        self._loaded.pop(spec.name, None)

    def names(self) -> list[str]:
        """Return every name, whatever its state."""
        return sorted({*self._by_hand, *(point.name for point in self._entry_points(group=GROUP))})

    def backends(self) -> list[Backend]:
        """Return every installed backend; their descriptions are loaded one by one, under isolation."""
        return [self.find(name) for name in self.names()]

    def find(self, name: str) -> Backend:
        """Return the backend of this name, in whatever state; no other plugin is loaded.

        Raises:
            UnknownBackend: if there is none.
        """
        if name not in self._loaded:
            self._loaded[name] = self._examine(name)
        return self._loaded[name]

    def spec(self, name: str) -> BackendSpec:
        """Return the description of a backend that can be used.

        Raises:
            BackendError: the one that fits its state.
        """
        backend = self.find(name)
        if backend.state is State.OK and backend.spec is not None:
            return backend.spec
        error = _ERRORS[backend.state](f"backend {name!r} is {backend.state}: {backend.reason}")
        raise error from backend.error

    def _examine(self, name: str) -> Backend:
        candidates = self._candidates(name)
        if not candidates:
            raise UnknownBackend(self._unknown(name))
        if len(candidates) > 1:
            offers = " and ".join(sorted(candidate.distribution for candidate in candidates))
            return Backend(name, State.AMBIGUOUS, f"{offers} both offer it; uninstall one of them")
        return _examine(candidates[0])

    def _candidates(self, name: str) -> list[_Candidate]:
        found = [self._by_hand[name]] if name in self._by_hand else []
        for point in self._entry_points(group=GROUP, name=name):
            distribution = getattr(point.dist, "name", None) or "an unknown distribution"
            found.append(_Candidate(name, point.load, distribution))
        return found

    def _unknown(self, name: str) -> str:
        names = self.names()
        return f"there is no backend {name!r}.{did_you_mean(name, names)} Installed: {', '.join(names)}."


def _given(spec: BackendSpec, distribution: str) -> _Candidate:
    return _Candidate(spec.name, lambda: spec, distribution)


def _examine(candidate: _Candidate) -> Backend:
    try:
        return _judged(candidate, candidate.load())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        reason = f"its description raised {type(error).__name__}: {error}"
        return Backend(candidate.name, State.BROKEN, reason, "", candidate.distribution, error=error)


def _judged(candidate: _Candidate, spec: Any) -> Backend:
    def verdict(state: State, reason: str, spec: Any = None) -> Backend:
        if not isinstance(spec, BackendSpec):
            return Backend(candidate.name, state, reason, "", candidate.distribution)
        return Backend(
            candidate.name,
            state,
            reason,
            spec.summary,
            candidate.distribution,
            spec.api,
            spec.capabilities,
            spec,
        )

    if not isinstance(spec, BackendSpec):
        return verdict(State.BROKEN, f"its entry point is a {type(spec).__name__}, not a BackendSpec")
    if spec.name != candidate.name:
        return verdict(
            State.BROKEN, f"its entry point is called {candidate.name!r}, its spec {spec.name!r}", spec
        )
    if spec.api[0] != API[0] or spec.api[1] > API[1]:
        return verdict(State.INCOMPATIBLE, _version_gap(spec.api), spec)
    missing = [module for module in spec.requires if not _installed(module)]
    if missing:
        install = spec.install or f"pip install {' '.join(missing)}"
        return verdict(State.UNAVAILABLE, f"{', '.join(missing)} is not installed: {install}", spec)
    path = spec.factory or spec.worker or ""
    absent = _absent(path.partition(":")[0])
    if absent is not None:
        return verdict(State.BROKEN, f"its description names {path}, and there is no module {absent}", spec)
    return verdict(State.OK, "", spec)


def _version_gap(api: tuple[int, int]) -> str:
    wanted, provided = (".".join(map(str, version)) for version in (api, API))
    advice = "update the plugin" if api < API else "update samplerkit"
    return f"it was written for sampler API {wanted}, and this samplerkit provides {provided}: {advice}"


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except KeyboardInterrupt:
        raise
    except BaseException:  # of a parent package, which `find_spec` imports
        return False


def _absent(module: str) -> str | None:
    """Return the module, or package of it, that does not exist, as far as that is known without an import."""
    parts = module.split(".")
    names = (".".join(parts[: n + 1]) for n in range(len(parts)))
    next_to_import = next((name for name in names if name not in sys.modules), None)
    return None if next_to_import is None or _installed(next_to_import) else next_to_import


def import_path(path: str, backend: str) -> Any:
    """Import what ``"module:Class"`` names.

    Raises:
        BackendBroken: if it cannot be imported.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        raise BackendBroken(
            f"backend {backend!r} is broken: importing {path} raised {type(error).__name__}: {error}"
        ) from error
