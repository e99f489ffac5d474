"""The sampler: its options, and the transport that is made of them."""

import sys
from typing import Any, ClassVar

from samplerkit.sampling import Option, Options, PoolSampler, check_count
from samplerkit_pipes.transport import Child, PipeTransport


def check_command(name: str, value: Any) -> tuple[str, ...]:
    """Return a command as a tuple of strings."""
    if isinstance(value, str) or not all(isinstance(word, str) for word in value):
        raise TypeError(f"{name} must be a sequence of strings such as ('nice', 'python'), not {value!r}")
    return tuple(value)


class PipeSampler(PoolSampler[Child]):
    """Runs units in child processes.

    Options:
        n_processes: how many. Never seen in a batch.
        command: what starts a Python interpreter that has samplerkit and this package.
        max_restarts, unit_timeout: see `PoolSampler`.
    """

    options: ClassVar[Options] = {
        **PoolSampler.options,
        "n_processes": Option(2, check_count),
        "command": Option((sys.executable,), check_command),
    }

    layouts: ClassVar = ({"n_processes": 2}, {"n_processes": 1}, {"n_processes": 3})

    def make_transport(self) -> PipeTransport:
        return PipeTransport(self.option("n_processes"), self.option("command"))
