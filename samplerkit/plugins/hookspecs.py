"""The hooks: what plugins of entry-point group ``samplerkit.hooks`` may implement.

A plugin is a module, or an object, whose functions are marked and named after a hook::

    from samplerkit.plugins.hookspecs import hookimpl


    @hookimpl
    def samplerkit_batch_collected(batch, seconds):
        print(f"{batch.lengths.sum() / seconds:.0f} steps per second")

It takes those of a hook's arguments that it needs, by name, in any order. The same marker can be had as
``pluggy.HookimplMarker("samplerkit")``, by a plugin that does not want to import samplerkit.

What holds for all hooks:

- Arguments are added in a minor version of the sampler API, never renamed or removed; hooks likewise.
- A hook of a newer minor version is implemented with ``@hookimpl(optionalhook=True)``, and is then left
  alone by an older samplerkit.
- They are called in the caller's process, at most a few times a call of the sampler and never once a step.
- What one raises is logged and harms neither the sampler nor the other plugins. Hooks observe: they may read
  the sampler and the batch, not change them, nor call the sampler's ``obtain_…`` from inside a hook.
- What one draws from the global random generators is put back, so that no plugin changes an experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from samplerkit.episodes import EpisodeBatch
    from samplerkit.interfaces import Sampler
    from samplerkit.plugins.spec import BackendSpec

PROJECT = "samplerkit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's function as the implementation of a hook."""


@hookspec
def samplerkit_sampler_created(sampler: Sampler, spec: BackendSpec) -> None:
    """`make_sampler` is about to return this sampler; its workers are up.

    Samplers that are constructed by their class, unpickled or copied are not reported, here or below.

    Args:
        sampler: the sampler.
        spec: the description of its backend; of ``multiprocessing`` for ``multiprocessing+fragment``.
    """


@hookspec
def samplerkit_updated(sampler: Sampler, agent_version: int, env_version: int) -> None:
    """A call brought an update of agents, of environments or of both, and succeeded.

    Called just before `samplerkit_batch_collected`.

    Args:
        sampler: the sampler.
        agent_version: how many updates of agents there were so far.
        env_version: how many updates of environments.
    """


@hookspec
def samplerkit_batch_collected(sampler: Sampler, batch: EpisodeBatch, seconds: float) -> None:
    """A call is about to return this batch; the sampler's counts include it.

    Args:
        sampler: the sampler.
        batch: the very batch that the caller gets.
        seconds: how long the call took, updates included.
    """


@hookspec
def samplerkit_carrier_restarted(sampler: Sampler, index: int, exitcode: int | None) -> None:
    """A carrier of workers (a process, an actor) died and was replaced; its units run again.

    Args:
        sampler: the sampler.
        index: which of its carriers.
        exitcode: the status of the dead one; minus the number of a signal that ended it; None if unknown.
    """


@hookspec
def samplerkit_error(sampler: Sampler, error: BaseException) -> None:
    """A call failed, and has not happened; or workers could not be brought up again.

    Bad arguments, refused before anything was sent, are not reported; neither is a sampler that could not
    be made.

    Args:
        sampler: the sampler; it can be used again, unless it was shut down.
        error: what the caller gets: a `WorkerError`, a `WorkerDied`, a KeyboardInterrupt.
    """


@hookspec
def samplerkit_sampler_shutdown(sampler: Sampler) -> None:
    """The workers of a sampler are down; called once, and the last call for this sampler.

    Args:
        sampler: the sampler; its `statistics` may still be read.
    """


@hookspec
def samplerkit_contract_clauses() -> Sequence[Any]:  # type: ignore[empty-body]
    """Return further clauses of the contract; asked by the contract suite only.

    Returns:
        A list of clauses.
    """
