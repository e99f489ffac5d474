"""Plugins of hooks under pluggy: checked one at a time, never half registered, called under isolation.

The only module, beside the specifications, that imports pluggy; it is imported when there is a plugin.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import pluggy

from samplerkit.global_random import GlobalRandomState
from samplerkit.plugins import hookspecs
from samplerkit.sampling.observing import Isolation
from samplerkit.version import API

HOOKS: Final = tuple(sorted(name for name in vars(hookspecs) if name.startswith("samplerkit_")))
"""The name of every hook."""


class HookManager(pluggy.PluginManager):
    """A plugin manager that looks before it touches, and takes a plugin wholly or not at all."""

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)
        self._isolation = Isolation()
        self._known: dict[str, Any] = {}

    def add(self, plugin: Any, name: str) -> tuple[str, ...]:
        """Register a plugin.

        Returns:
            The hooks that it implements.

        Raises:
            TypeError: if it is no plugin.
            ValueError: if it does not fit the hooks; nothing of it is registered.
        """
        if plugin is None or isinstance(plugin, type):
            raise TypeError(f"it is {plugin!r}: a plugin is a module or an object, not a class")
        if any(known is plugin for known in self._known.values()):
            raise ValueError("it is registered already")
        marked = self._marked(plugin)
        if not marked:
            raise ValueError(_nothing_marked(plugin))
        for attribute, options in marked.items():
            self._check(getattr(plugin, attribute), _hook(attribute, options), options)
        try:
            self.register(_Functions(plugin, marked), name)
        except BaseException as error:
            # Older versions of pluggy leave it half registered.
            if self.has_plugin(name):
                self.unregister(name=name)
            if isinstance(error, pluggy.PluginValidationError):
                raise ValueError(" ".join(str(error).split())) from error
            raise
        self._known[name] = plugin
        return tuple(sorted(_hook(attribute, options) for attribute, options in marked.items()))

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """See pluggy; lazy attributes of modules and properties of objects are not evaluated."""
        if isinstance(plugin, _Functions):
            return plugin.marked.get(name)
        found = inspect.getattr_static(plugin, name, None)
        if not (inspect.isfunction(found) or isinstance(found, (staticmethod, classmethod))):
            return None
        return super().parse_hookimpl_opts(plugin, name)

    def remove(self, name: str, hooks: Iterable[str]) -> None:
        """Take a plugin out, with what is remembered of its errors."""
        self.unregister(name=name)
        del self._known[name]
        for hook in hooks:
            self._isolation.forgive(_who(name, hook))

    def tell(self, hook: str, arguments: Mapping[str, Any]) -> None:
        """Call a hook of every plugin, whatever the others raise, and leave no trace in the generators."""
        calls = self.calls(hook, arguments)
        if not calls:
            return
        with GlobalRandomState():
            for name, call in calls:
                self._isolation.call(_who(name, hook), call)

    def calls(self, hook: str, arguments: Mapping[str, Any]) -> list[tuple[str, Callable[[], Any]]]:
        """Return the plugins that implement a hook, by name in pluggy's order, each with its call."""
        found = getattr(self.hook, hook).get_hookimpls()
        return [(one.plugin_name, partial(_call, one.function, arguments)) for one in reversed(found)]

    def _marked(self, plugin: Any) -> dict[str, Any]:
        """Return pluggy's options of each marked function, by the function's name."""
        found = {name: self.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
        return {name: options for name, options in found.items() if options is not None}

    def _check(self, function: Any, hook: str, options: Any) -> None:
        caller = getattr(self.hook, hook, None)
        if caller is None or not caller.has_spec():
            if options.get("optionalhook"):
                return
            raise ValueError(
                f"it implements {hook}, which sampler API {API[0]}.{API[1]} does not have{_close(hook)}: "
                "update samplerkit, or mark it @hookimpl(optionalhook=True)"
            )
        if options.get("wrapper") or options.get("hookwrapper") or _is_suspended(function):
            raise ValueError(
                f"its {hook} is a wrapper, a generator or a coroutine: hooks are plain functions"
            )
        unknown = [name for name in _required(function) if name not in caller.spec.argnames]
        if unknown:
            raise ValueError(
                f"its {hook} asks for {', '.join(unknown)}; the hook offers "
                f"{', '.join(caller.spec.argnames) or 'no argument'}, by name"
            )


class _Functions:
    """The marked functions of a plugin, which pluggy gets in its place.

    pluggy asks whether plugins are equal, and two instances of a dataclass may be, or may refuse to be
    compared because they hold arrays. These are equal to themselves only.
    """

    __slots__ = ("__dict__", "marked")

    def __init__(self, plugin: Any, marked: Mapping[str, Any]) -> None:
        self.marked = marked
        self.__dict__.update({attribute: getattr(plugin, attribute) for attribute in marked})


def _call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Call a function with those of a hook's arguments that it takes.

    Unlike pluggy, also with one that has a default: so a plugin can use an argument of a newer minor
    version and do without it on an older samplerkit.
    """
    takes = inspect.signature(function).parameters
    return function(**{name: value for name, value in arguments.items() if name in takes})


def _required(function: Callable[..., Any]) -> list[str]:
    """Return the arguments without which a function cannot be called by name."""
    parameters = inspect.signature(function).parameters.values()
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        f"{p.name} (by position only)" if p.kind is p.POSITIONAL_ONLY else p.name
        for p in parameters
        if p.kind not in open_ended and (p.default is p.empty or p.kind is p.POSITIONAL_ONLY)
    ]


def _who(name: str, hook: str) -> str:
    return f"hook plugin {name}: {hook}"


def _hook(attribute: str, options: Any) -> str:
    return options.get("specname") or attribute


def _is_suspended(function: Any) -> bool:
    kinds = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return any(is_kind(function) for is_kind in kinds)


def _nothing_marked(plugin: Any) -> str:
    unmarked = [name for name in HOOKS if name in dir(plugin)]
    if unmarked:
        return f"its {unmarked[0]} is not marked with samplerkit.plugins.hookspecs.hookimpl"
    return f"{plugin!r} implements no hook; there are {', '.join(HOOKS)}"


def _close(hook: str) -> str:
    close = difflib.get_close_matches(hook, HOOKS, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
