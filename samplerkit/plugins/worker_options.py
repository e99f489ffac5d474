"""Options of a kind of worker, among those that are given by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from samplerkit.interfaces.worker import Worker
from samplerkit.spelling import did_you_mean

_OF_EVERY_WORKER = frozenset({"self", "seed", "max_episode_length", "worker_number"})


def worker_options(worker: type[Worker]) -> tuple[str, ...]:
    """Return the names of the arguments that a kind of worker has of its own, such as ``n_envs``."""
    parameters = inspect.signature(worker.__init__).parameters.values()
    return tuple(
        it.name
        for it in parameters
        if it.kind in (it.KEYWORD_ONLY, it.POSITIONAL_OR_KEYWORD) and it.name not in _OF_EVERY_WORKER
    )


def split_options(
    name: str, sampler: Any, worker: type[Worker], options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide options between a sampler and a kind of worker.

    Returns:
        Those of the sampler, and those of the worker.

    Raises:
        TypeError: for one that neither has; it names what both have.
    """
    own = worker_options(worker)
    theirs = {key: value for key, value in options.items() if key in own}
    rest = {key: value for key, value in options.items() if key not in own}
    for key in _unknown(sampler, rest):
        table, arguments = sampler.options, _arguments(sampler)
        hint = did_you_mean(key, [*own, *table, *arguments])
        raise TypeError(
            f"{name!r} has no option {key!r}.{hint} Options of the worker: "
            f"{', '.join(own) or 'none'}; of the sampler: {', '.join(table) or 'none'}. "
            f"Arguments of every sampler: {', '.join(arguments)}."
        )
    return rest, theirs


def refuse_options_of_workers(
    name: str,
    sampler: Any,
    options: Mapping[str, Any],
    kinds: Callable[[], Mapping[str, Sequence[str]]],
) -> None:
    """Refuse options that only kinds of worker have, where a sampler is asked for without one.

    Args:
        name: of the sampler.
        sampler: its class, which itself refuses what nobody has.
        options: as given.
        kinds: returns the options of each kind of worker; called only where an option is not the sampler's.

    Raises:
        TypeError: for such an option, or one that is nearest to such; it names the kinds of worker.
    """
    for key in _unknown(sampler, options):
        theirs = kinds()
        known = [*sampler.options, *_arguments(sampler), *(one for own in theirs.values() for one in own)]
        meant = next(iter(difflib.get_close_matches(key, known, n=1)), None)
        having = [kind for kind, own in theirs.items() if meant in own]
        if having:
            hint = "" if meant == key else f" Did you mean {meant!r}?"
            raise TypeError(
                f"{name!r} has no option {key!r}.{hint} {meant} is an option of the kind of worker "
                f"{' or '.join(having)}: make {' or '.join(repr(f'{name}+{kind}') for kind in having)}."
            )


def _arguments(sampler: Any) -> Sequence[str]:
    """Return the names of what a sampler takes beside options."""
    names: Sequence[str] = getattr(sampler, "arguments", ("is_tf_worker", "stateful", "reseed"))
    return names


def _unknown(sampler: Any, options: Mapping[str, Any]) -> list[str]:
    """Return the options that a sampler does not have, as far as it says which it has."""
    table = getattr(sampler, "options", None)
    if table is None:
        return []
    known = {*table, *getattr(sampler, "capabilities", {}), *_arguments(sampler)}
    return [key for key in options if key not in known]
