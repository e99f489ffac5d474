"""Plugins: how backends describe themselves and are found, samplers by name, and who is told of them."""

from samplerkit.interfaces.capabilities import IN_CARRIERS, IN_PROCESS, YES, Support, no
from samplerkit.plugins.discovery import Backend, State
from samplerkit.plugins.hook_registry import HookPlugin
from samplerkit.plugins.hooks import hook_plugins, register_hooks, unregister_hooks
from samplerkit.plugins.making import backends, get_backend, make_sampler, register_backend
from samplerkit.plugins.spec import BackendSpec

__all__ = [
    "IN_CARRIERS",
    "IN_PROCESS",
    "YES",
    "Backend",
    "BackendSpec",
    "HookPlugin",
    "State",
    "Support",
    "backends",
    "get_backend",
    "hook_plugins",
    "make_sampler",
    "no",
    "register_backend",
    "register_hooks",
    "unregister_hooks",
]
