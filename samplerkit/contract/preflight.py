"""Whether a subject can be checked at all: it makes samplers, and takes the options that it is given."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from samplerkit.contract.attempts import attempt, sentence_of
from samplerkit.contract.clause import Violation
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.errors import SamplerKitError, UnsupportedFeature
from samplerkit.interfaces import ContinuingWorker, NewEnvUpdate, Sampler, Support, Worker
from samplerkit.sampling.options import checked_options

if TYPE_CHECKING:
    from samplerkit.contract.subject import Subject

_PATIENCE = 60.0
"""Seconds for one sampler to come up. Whatever takes longer hangs in the clauses too, which say so."""


class CannotBeChecked(SamplerKitError, TypeError):
    """What was named makes no samplers, or has no such options: there is nothing to be held or broken."""


@contextlib.contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn what is raised for a bad argument into `CannotBeChecked`."""
    try:
        yield
    except (TypeError, ValueError, UnsupportedFeature) as error:
        raise CannotBeChecked(f"{name} cannot be checked: {error}") from error


def check_kind(it: Any) -> None:
    """Raise a `TypeError` for what is neither a class of samplers or of workers, nor a function."""
    if not callable(it):
        raise TypeError(f"it is a {type(it).__name__}, not a class of samplers or of workers")
    if isinstance(it, type) and not issubclass(it, (Sampler, Worker)):
        raise TypeError(f"{it.__name__} derives neither from Sampler nor from Worker")


def check_declarations(it: Any) -> None:
    """Raise a `TypeError` for `capabilities` or `layouts` that nobody could read."""
    name = getattr(it, "__name__", type(it).__name__)
    capabilities = getattr(it, "capabilities", {})
    if not isinstance(capabilities, Mapping):
        raise TypeError(f"{name}.capabilities must be a dict such as {{'remote': YES}}, not {capabilities!r}")
    for capability, support in capabilities.items():
        if not isinstance(support, Support):
            raise TypeError(
                f"{name}.capabilities[{capability!r}] is {support!r}: declare it with YES or no('the reason')"
            )
    layouts: Any = getattr(it, "layouts", ({},))
    whole = isinstance(layouts, (tuple, list)) and all(isinstance(each, Mapping) for each in layouts)
    if not whole or not layouts:
        raise TypeError(
            f"{name}.layouts must be a tuple of dicts of options, at least ({{}},), not {layouts!r}"
        )


def check_options(subject: Subject) -> Sampler | None:
    """Raise what making a sampler would raise for the subject's options; none is made of a class.

    Returns:
        What a function makes, shut down; None of a class, or where it does not come up.
    """
    if subject.worker is not None:
        subject.worker.overlap(**subject.worker_args)
        if issubclass(subject.worker, ContinuingWorker):
            subject.worker.call_shape(**subject.worker_args)
    if not isinstance(subject.sampler, type):
        return _made(subject)
    table = getattr(subject.sampler, "options", None)
    if isinstance(table, Mapping):
        named = _named_arguments(subject.sampler)
        given = {name: value for name, value in subject.options.items() if name not in named}
        checked_options(subject.sampler.__name__, table, getattr(subject.sampler, "capabilities", {}), given)
    return None


def _named_arguments(cls: type[Any]) -> set[str]:
    """Return the arguments of a constructor that have names, such as ``stateful``."""
    own = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    names = {name for each in own for name in inspect.signature(each).parameters}
    return names - {"self", "agents", "envs"}


def _made(subject: Subject) -> Sampler | None:
    """Make a sampler: nothing else tells what a function makes."""
    try:
        made = attempt(
            "a sampler",
            lambda: subject.make(
                ProbePolicy(1), NewEnvUpdate(TattooEnv), n_workers=1, seed=1, max_episode_length=8
            ),
            seconds=_PATIENCE,
        )
    except Violation:
        return None
    if isinstance(made.error, KeyboardInterrupt):
        raise made.error
    if isinstance(made.error, (TypeError, ValueError, UnsupportedFeature)):
        raise TypeError(
            f"called like a class of samplers, it raised {sentence_of(made.error)}"
        ) from made.error
    # All else that is raised may be a sampler's that does not come up, which is for the clauses to say.
    if made.error is not None:
        return None
    if not isinstance(made.value, Sampler):
        raise TypeError(f"called like a class of samplers, it made a {type(made.value).__name__}")
    attempt("shutdown_worker()", made.value.shutdown_worker)
    check_declarations(made.value)
    return made.value
