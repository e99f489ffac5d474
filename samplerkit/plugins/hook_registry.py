"""Plugins of hooks: loaded one by one, told what happens, and never trusted.

pluggy's own loader is eager and lets one bad plugin spoil all; so the loading is done here, and pluggy
decides what fits a hook and in which order plugins are called. See `samplerkit.plugins.hookspecs`.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samplerkit.plugins.discovery import State

if TYPE_CHECKING:
    from samplerkit.plugins.hook_manager import HookManager

GROUP = "samplerkit.hooks"

NO_PLUGINS = "SAMPLERKIT_NO_PLUGINS"
"""Set to anything but 0, this environment variable leaves every hook plugin of an entry point out."""

BY_HAND = "registered by hand"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HookPlugin:
    """A plugin of hooks, and what became of it: ok, broken, or unavailable where plugins are switched off."""

    name: str
    state: State
    reason: str = ""
    distribution: str = ""
    hooks: tuple[str, ...] = ()
    plugin: Any = field(default=None, repr=False)
    error: BaseException | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Answer:
    """What one plugin returned, or raised, when it was asked something."""

    plugin: HookPlugin
    value: Any = None
    error: BaseException | None = None


class HookPlugins:
    """The plugins of this process: those of entry points and those registered by hand.

    Args:
        entry_points: finds entry points of the group; a parameter for tests.
    """

    def __init__(self, entry_points: Callable[..., Any] = importlib.metadata.entry_points) -> None:
        self._entry_points = entry_points
        self._pending: list[Any] | None = None
        self._plugins: dict[str, HookPlugin] = {}
        self._manager: HookManager | None = None
        self._loading = threading.RLock()
        self._lock = threading.Lock()  # another one, never held while somebody's module is imported

    def load(self) -> None:
        """Load the plugins of entry points, each under isolation; the first time only."""
        with self._loading:
            if self._pending is None:
                self._pending = sorted(self._entry_points(group=GROUP), key=_key)
            while self._pending:
                # Taken away first: a plugin may make a sampler while it is loaded, and comes here again.
                point = self._pending.pop(0)
                try:
                    self._load(point)
                except BaseException:  # Ctrl-C: it is tried again next time
                    self._pending.insert(0, point)
                    raise

    def plugins(self) -> list[HookPlugin]:
        """Return every plugin with its state."""
        self.load()
        return list(self._plugins.values())

    def register(self, plugin: Any) -> None:
        """Add a plugin for this process.

        Raises:
            TypeError, ValueError: if it does not fit the hooks, or is registered already.
        """
        name = getattr(plugin, "__name__", type(plugin).__qualname__)
        examined = self._examine(plugin, name, BY_HAND)
        if examined.state is not State.OK:
            kind = TypeError if isinstance(examined.error, TypeError) else ValueError
            raise kind(f"{name!r} cannot be a plugin of hooks: {examined.reason}") from examined.error

    def unregister(self, plugin: Any) -> None:
        """Take a plugin out, wherever it came from.

        Raises:
            ValueError: if it is not registered.
        """
        with self._lock:
            for title, known in list(self._plugins.items()):
                if known.plugin is plugin and plugin is not None:
                    assert self._manager is not None, "made for the first plugin"
                    self._manager.remove(title, known.hooks)
                    del self._plugins[title]
                    return
        raise ValueError(f"{plugin!r} is not registered as a plugin of hooks")

    def tell(self, hook: str, **arguments: Any) -> None:
        """Call a hook of every plugin, one after another, whatever the others raise."""
        if self._manager is not None:
            self._manager.tell(hook, arguments)

    def ask(self, hook: str, **arguments: Any) -> list[Answer]:
        """Call a hook of every plugin and return what each answered, or raised."""
        answers = []
        for title, call in [] if self._manager is None else self._manager.calls(hook, arguments):
            try:
                answers.append(Answer(self._plugins[title], call()))
            except (Exception, SystemExit) as error:
                answers.append(Answer(self._plugins[title], error=error))
        return answers

    def _load(self, point: Any) -> None:
        loaded = self._loaded(point)
        if loaded.state is State.OK:
            return
        with self._lock:
            self._plugins[self._free_title(loaded.name, loaded.distribution)] = loaded
        if loaded.state is State.BROKEN:
            log.warning(
                "hook plugin %r of %s was left out: %s", loaded.name, loaded.distribution, loaded.reason
            )

    def _loaded(self, point: Any) -> HookPlugin:
        distribution, name = _key(point)
        if os.environ.get(NO_PLUGINS, "0") not in ("", "0"):
            return HookPlugin(name, State.UNAVAILABLE, f"{NO_PLUGINS} is set", distribution)
        try:
            plugin = point.load()
        except (Exception, SystemExit) as error:
            reason = f"importing it raised {type(error).__name__}: {error}"
            return HookPlugin(name, State.BROKEN, reason, distribution, error=error)
        return self._examine(plugin, name, distribution)

    def _examine(self, plugin: Any, name: str, distribution: str) -> HookPlugin:
        """Register a plugin and remember it, if it fits the hooks; otherwise do neither."""
        from samplerkit.plugins.hook_manager import HookManager

        with self._lock:
            if self._manager is None:
                self._manager = HookManager()
            title = self._free_title(name, distribution)
            try:
                hooks = self._manager.add(plugin, title)
            except Exception as error:
                return HookPlugin(name, State.BROKEN, str(error), distribution, error=error)
            self._plugins[title] = HookPlugin(name, State.OK, "", distribution, hooks, plugin)
            return self._plugins[title]

    def _free_title(self, name: str, distribution: str) -> str:
        title = f"{name} ({distribution})"
        while title in self._plugins:
            title += "'"
        return title


def _key(point: Any) -> tuple[str, str]:
    """Return the distribution and the name of an entry point."""
    return point.dist.name if point.dist is not None else "an unknown distribution", point.name
