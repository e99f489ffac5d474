"""How each worker's agent and environment came to be: enough to build any worker again, anywhere.

The record is what a sampler commits at the end of a call. Workers are brought to it, built again from
it after an error or a crash, and it is what `get_state` saves.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from samplerkit.interfaces import EnvUpdate, ExistingEnvUpdate
from samplerkit.sampling.packing import Packed

_keys = itertools.count()


@dataclass(frozen=True, eq=False)
class AgentChange:
    """One agent update for one worker: a new policy or new weights."""

    packed: Packed
    is_policy: bool


@dataclass(frozen=True, eq=False)
class EnvChange:
    """One environment update for one worker: an `EnvUpdate`, or a list of them for a vectorized worker."""

    packed: Packed
    seed: int
    """Of the global generators while it is applied: constructors may draw from them."""
    update: Any = field(default=None, repr=False)

    def __reduce__(self) -> tuple[type[EnvChange], tuple[Packed, int]]:
        return type(self), (self.packed, self.seed)

    def value(self) -> Any:
        """Return the update, for questions only: never call it."""
        if self.update is None:
            loaded = self.packed.load()
            _close_carried(loaded)
            object.__setattr__(self, "update", loaded)
        return self.update


@dataclass(frozen=True, eq=False)
class Change:
    """What turns a worker of recipe `base` into one of the recipe that carries this change."""

    base: int
    agent: AgentChange | None
    env: EnvChange | None
    kept: int
    """How many of the base's environment changes still count. Worked out once, by the sampler: to ask an
    update that was sent, one would have to unpickle its environment."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What to tell a new worker so that it becomes the present one.

    Recipes are compared by identity: workers that share one are interchangeable.
    """

    agent: Packed
    params: Packed | None
    envs: tuple[EnvChange, ...]
    change: Change | None = None
    key: int = field(default_factory=lambda: next(_keys))

    def changed(self, agent: AgentChange | None, env: EnvChange | None) -> Recipe:
        """Return the recipe of a worker that got these updates."""
        if agent is None and env is None:
            return self
        kept = len(self.envs) if env is None else _kept(self.envs, env)
        return self.after(Change(self.key, agent, env, kept))

    def after(self, change: Change) -> Recipe:
        """Return the recipe of a worker that got this change."""
        policy, params, envs = self.agent, self.params, self.envs[: change.kept]
        if change.agent is not None:
            packed = change.agent.packed
            policy, params = (packed, None) if change.agent.is_policy else (policy, packed)
        if change.env is not None:
            envs = (*envs, change.env)
        return Recipe(policy, params, envs, change)

    def __reduce__(self) -> tuple[Any, ...]:
        return Recipe, (self.agent, self.params, self.envs, None, self.key)


class _Anything(EnvUpdate):
    """Stands for an update of which nothing is known: only one that ignores its predecessor supersedes it."""

    def __call__(self, old_env: Any = None) -> NoReturn:
        raise NotImplementedError("this update only stands for others")


def _kept(envs: tuple[EnvChange, ...], new: EnvChange) -> int:
    """Say how many of these are not superseded by a new one."""
    updates = new.value() if isinstance(new.value(), list) else [new.value()]
    if all(update.supersedes(_Anything()) for update in updates):
        return 0
    kept = len(envs)
    # The first one constructed the environment, whatever else it did: its traces stay.
    while kept > 1 and _supersedes(new.value(), envs[kept - 1].value()):
        kept -= 1
    return kept


def _supersedes(new: Any, old: Any) -> bool:
    if isinstance(new, EnvUpdate):
        return isinstance(old, EnvUpdate) and new.supersedes(old)
    # A list, spread over the slots of a vectorized worker.
    if not isinstance(old, list) or len(old) != len(new):
        return False
    return all(n.supersedes(o) for n, o in zip(new, old, strict=True))


def _close_carried(update: Any) -> None:
    """Close environments that were unpickled with an update that nobody will call."""
    for item in update if isinstance(update, list) else [update]:
        if isinstance(item, ExistingEnvUpdate):
            with contextlib.suppress(Exception):
                item(None).close()


@dataclass(frozen=True)
class Record:
    """One recipe for each logical worker, and how many updates were applied so far."""

    recipes: tuple[Recipe, ...]
    agent_version: int = 0
    env_version: int = 0

    def changed(
        self, agents: Sequence[AgentChange | None] | None, envs: Sequence[EnvChange | None] | None
    ) -> Record:
        """Return the record after a call's updates; itself where the call brought no update (both None)."""
        if agents is None and envs is None:
            return self
        n = len(self.recipes)
        new: dict[tuple[int, int, int], Recipe] = {}
        recipes = []
        for recipe, agent, env in zip(self.recipes, agents or [None] * n, envs or [None] * n, strict=True):
            # Equal workers that get equal updates stay interchangeable.
            kind = (id(recipe), id(agent), id(env))
            if kind not in new:
                new[kind] = recipe.changed(agent, env)
            recipes.append(new[kind])
        return Record(
            tuple(recipes),
            self.agent_version + (agents is not None),
            self.env_version + (envs is not None),
        )

    def seats(self, stateful: bool) -> tuple[int, ...]:
        """Say for each worker which worker's live copy may run its units.

        Stateless workers with one recipe share a seat, named after the lowest of them.
        """
        if stateful:
            return tuple(range(len(self.recipes)))
        lowest: dict[int, int] = {}
        return tuple(lowest.setdefault(recipe.key, number) for number, recipe in enumerate(self.recipes))
