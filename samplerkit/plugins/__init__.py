"""Backends as plugins: how one describes itself, how it is found, how a sampler is made by name."""

from samplerkit.interfaces.capabilities import IN_CARRIERS, IN_PROCESS, YES, Support, no
from samplerkit.plugins.discovery import Backend, State
from samplerkit.plugins.making import backends, get_backend, make_sampler, register_backend
from samplerkit.plugins.spec import BackendSpec

__all__ = [
    "IN_CARRIERS",
    "IN_PROCESS",
    "YES",
    "Backend",
    "BackendSpec",
    "State",
    "Support",
    "backends",
    "get_backend",
    "make_sampler",
    "no",
    "register_backend",
]
