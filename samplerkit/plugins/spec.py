"""The description of a backend: light, frozen, importable without what the backend requires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from samplerkit.interfaces.capabilities import CAPABILITIES, Support


@dataclass(frozen=True, kw_only=True)
class BackendSpec:
    """Describes a sampler backend, or a kind of worker that composes with any sampler.

    An entry point of group ``samplerkit.backends`` names one of these, in a module that imports nothing
    heavy. Exactly one of `factory` and `worker` is given.

    Args:
        name: lower-case letters, digits, ``_`` and ``-``; a letter first.
        api: (major, minor) of the sampler API that the plugin was written for; see `samplerkit.API`.
        factory: ``"module:Class"`` of a `Sampler`; imported at first use.
        worker: ``"module:Class"`` of a `Worker`, for a kind of worker.
        requires: modules that must be installed; looked for, never imported here.
        install: what to type where one of these is missing, such as ``pip install samplerkit[ray]``.
        capabilities: `Support` for each name in `CAPABILITIES`; what is not named is not supported. A
            kind of worker names only those that it changes.
        summary: one line.
        url: where to read more.

    Raises:
        TypeError, ValueError: if a field makes no sense.
    """

    name: str
    api: tuple[int, int]
    factory: str | None = None
    worker: str | None = None
    requires: tuple[str, ...] = ()
    install: str = ""
    capabilities: Mapping[str, Support] = field(default_factory=dict, hash=False)
    summary: str = ""
    url: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_api(self.api)
        if (self.factory is None) == (self.worker is None):
            raise ValueError(f"backend {self.name!r} must give either factory or worker, as 'module:Class'")
        for path in (self.factory, self.worker):
            if path is not None and not _is_path(path):
                raise ValueError(
                    f"backend {self.name!r} names {path!r}, which is not of the form 'module:Class'"
                )
        if not _are_names(self.requires):
            raise TypeError(
                f"backend {self.name!r}: requires is a tuple of module names, not {self.requires!r}"
            )
        object.__setattr__(self, "requires", tuple(self.requires))
        for text in ("install", "summary", "url"):
            if not isinstance(getattr(self, text), str):
                raise TypeError(f"backend {self.name!r}: {text} is a string, not {getattr(self, text)!r}")
        unknown = [name for name in self.capabilities if name not in CAPABILITIES]
        if unknown:
            raise ValueError(
                f"backend {self.name!r} declares {', '.join(unknown)}; "
                f"capabilities are {', '.join(CAPABILITIES)}"
            )
        for name, support in self.capabilities.items():
            if not isinstance(support, Support):
                raise TypeError(f"capability {name!r} of backend {self.name!r} must be YES or no('why')")
        object.__setattr__(self, "capabilities", MappingProxyType(dict(self.capabilities)))

    @property
    def is_worker(self) -> bool:
        """Whether this is a kind of worker rather than a sampler."""
        return self.worker is not None


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"a backend's name must be a string, not {name!r}")
    letters = name.replace("_", "").replace("-", "")
    if not (letters.isascii() and letters.isalnum() and name[0].isalpha() and name == name.lower()):
        raise ValueError(f"{name!r} cannot name a backend: use lower-case letters, digits, '_' and '-'")


def _check_api(api: object) -> None:
    whole = isinstance(api, tuple) and len(api) == 2 and all(type(part) is int for part in api)
    if not whole:
        raise TypeError(f"api must be two integers such as (1, 0), not {api!r}")


def _are_names(names: object) -> bool:
    return isinstance(names, (tuple, list)) and all(isinstance(name, str) and name for name in names)


def _is_path(path: str) -> bool:
    module, colon, name = path.partition(":")
    return bool(colon) and all(part.isidentifier() for part in module.split(".")) and name.isidentifier()
