"""What a sampler's constructor works out before anything is started."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from samplerkit.global_random import GlobalRandomState
from samplerkit.interfaces import StreamingWorker
from samplerkit.sampling import boundary
from samplerkit.sampling.recipes import AgentChange, EnvChange, Recipe, Record
from samplerkit.workers import WorkerFactory

log = logging.getLogger(__name__)


def complete_factory(
    factory: WorkerFactory | None, fields: dict[str, Any], agents: Any, envs: Any
) -> tuple[WorkerFactory, int]:
    """Return a factory that knows its seed and its number of workers, and the seed.

    Args:
        factory: the caller's, if there is one.
        fields: what the caller gave instead; None stands for nothing.
        agents: as given; a list tells the number of workers where nothing else does.
        envs: likewise.

    Raises:
        TypeError: if there is both a factory and one of its fields, or it is no factory.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    if factory is None:
        factory = WorkerFactory(**given)
    elif not isinstance(factory, WorkerFactory):
        raise TypeError(f"worker_factory must be a WorkerFactory, not {type(factory).__name__}")
    elif given:
        raise TypeError(
            f"{', '.join(given)} cannot be given beside worker_factory, which has fields of these names: "
            "pass one or the other"
        )
    seed = factory.seed
    if seed is None:
        seed = secrets.randbits(63)
        log.info("drew seed %d", seed)
    return factory.completed(seed=seed, n_workers=factory.n_workers or _n_workers(agents, envs)), seed


def _n_workers(agents: Any, envs: Any) -> int:
    for value in (agents, envs):
        if isinstance(value, list) and value:
            return len(value)
    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1


def own_facts(factory: WorkerFactory, changes: Sequence[EnvChange]) -> tuple[WorkerFactory, bool]:
    """Ask the environments what the caller has left to them.

    Returns:
        The factory with an episode limit: the longest, where the environments bring different ones along. And
        whether the workers have streams; see `StreamingWorker`.

    Raises:
        ValueError: if there is no limit; if some workers would have streams, and some units.
    """
    cls, limit = factory.worker_class, factory.max_episode_length
    may_stream = issubclass(cls, StreamingWorker)
    if limit is not None and not may_stream:
        return factory, False
    streams = cls.streams if issubclass(cls, StreamingWorker) else _never
    distinct = {id(change): change for change in changes}
    with GlobalRandomState():
        answers = [_asked(change.packed.load(), streams, limit) for change in distinct.values()]
    if len({it.streams for it in answers}) > 1:
        raise ValueError(
            "the environments of some workers can only be seeded as a whole, and those of others one by one: "
            "give these workers a sampler of their own"
        )
    limits = [it.limit for it in answers]
    if limit is None and None in limits:
        raise ValueError(
            "the environment has no episode limit of its own: pass max_episode_length (math.inf is legal)"
        )
    if limit is None:
        factory = factory.completed(max_episode_length=max(filter(None, limits)))
    return factory, answers[0].streams


def _asked(update: Any, streams: Callable[[Any], bool], limit: float | None) -> boundary.Facts:
    try:
        return boundary.facts(update, streams)
    except KeyboardInterrupt:
        raise
    except BaseException:
        if limit is None:
            raise
        # The worker meets the same error when it starts, and says whose it is.
        return boundary.Facts(None, False)


def _never(env: Any) -> bool:
    del env
    return False


def first_record(agents: Sequence[AgentChange], envs: Sequence[EnvChange]) -> Record:
    """Return the record that a sampler starts from; workers that got the same share a recipe.

    Raises:
        TypeError: if an agent is no policy.
    """
    made: dict[tuple[int, int], Recipe] = {}
    for agent, env in zip(agents, envs, strict=True):
        if not agent.is_policy:
            raise TypeError(
                "agents must be policies (objects with get_action), not weights: see samplerkit.Policy"
            )
        made.setdefault((id(agent), id(env)), Recipe(agent.packed, None, (env,)))
    return Record(tuple(made[id(agent), id(env)] for agent, env in zip(agents, envs, strict=True)))


def each_given(changes: Sequence[Any] | None, what: str) -> list[Any]:
    """Return what every worker gets at construction.

    Raises:
        TypeError: if a worker would get nothing.
    """
    if changes is None or any(change is None for change in changes):
        raise TypeError(f"{what} are required: None means no update, and there is nothing yet")
    return list(changes)
