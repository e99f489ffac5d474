"""Options of a kind of worker, among those that are given by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from samplerkit.interfaces.worker import Worker

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
    table = getattr(sampler, "options", None)
    theirs = {key: value for key, value in options.items() if key in own}
    rest = {key: value for key, value in options.items() if key not in own}
    if table is not None:
        known = {*table, *getattr(sampler, "capabilities", {}), "is_tf_worker", "stateful", "reseed"}
        for key in rest.keys() - known:
            close = difflib.get_close_matches(key, [*own, *table], n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise TypeError(
                f"{name!r} has no option {key!r}.{hint} Options of the worker: "
                f"{', '.join(own) or 'none'}; of the sampler: {', '.join(table) or 'none'}."
            )
    return rest, theirs
