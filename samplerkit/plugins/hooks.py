"""How samplers reach the plugins of group ``samplerkit.hooks``, and how these are added and looked at."""

from __future__ import annotations

from typing import Any, TypeVar

from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import Observer, Sampler
from samplerkit.plugins.hook_registry import Answer, HookPlugin, HookPlugins
from samplerkit.plugins.spec import BackendSpec

P = TypeVar("P")

installed = HookPlugins()


def register_hooks(plugin: P) -> P:
    """Add a plugin of hooks for this process only, for notebooks and tests.

    Samplers that were made by name already are observed from now on, too.

    Args:
        plugin: a module or an object with functions marked by `samplerkit.plugins.hookspecs.hookimpl`.

    Returns:
        The plugin.

    Raises:
        TypeError, ValueError: if it does not fit the hooks, or is registered already.
    """
    installed.register(plugin)
    return plugin


def unregister_hooks(plugin: Any) -> None:
    """Take a plugin of hooks out again.

    Raises:
        ValueError: if it is not registered.
    """
    installed.unregister(plugin)


def hook_plugins() -> list[HookPlugin]:
    """Return every plugin of hooks, each with its state and the reason for it; loads them if need be."""
    return installed.plugins()


def contract_clauses() -> list[Answer]:
    """Ask every plugin for further clauses of the contract; for the contract suite.

    Returns:
        For each plugin that offers some, its list in `Answer.value`, or what it raised in `Answer.error`.
    """
    installed.load()
    return installed.ask("samplerkit_contract_clauses")


class HookObserver(Observer):
    """Passes on to plugins what happens to a sampler.

    Args:
        plugins: who is told; also those that are registered later.
    """

    def __init__(self, plugins: HookPlugins) -> None:
        self._tell = plugins.tell

    def created(self, sampler: Sampler, spec: BackendSpec) -> None:
        """Take up a new sampler, and pass it on."""
        sampler.observers = (*sampler.observers, self)
        try:
            self._tell("samplerkit_sampler_created", sampler=sampler, spec=spec)
        except BaseException:  # Ctrl-C: nobody else will shut it down
            sampler.shutdown_worker()
            raise

    def updated(self, sampler: Sampler, agent_version: int, env_version: int) -> None:
        """Pass it on."""
        self._tell(
            "samplerkit_updated", sampler=sampler, agent_version=agent_version, env_version=env_version
        )

    def batch_collected(self, sampler: Sampler, batch: EpisodeBatch, seconds: float) -> None:
        """Pass it on."""
        self._tell("samplerkit_batch_collected", sampler=sampler, batch=batch, seconds=seconds)

    def carrier_restarted(self, sampler: Sampler, index: int, exitcode: int | None) -> None:
        """Pass it on."""
        self._tell("samplerkit_carrier_restarted", sampler=sampler, index=index, exitcode=exitcode)

    def error(self, sampler: Sampler, error: BaseException) -> None:
        """Pass it on."""
        self._tell("samplerkit_error", sampler=sampler, error=error)

    def shut_down(self, sampler: Sampler) -> None:
        """Pass it on."""
        self._tell("samplerkit_sampler_shutdown", sampler=sampler)
