"""Workers with environments that can only be seeded as a whole: their episodes are a stream."""

from __future__ import annotations

import abc
from typing import Any

from samplerkit.interfaces.unit import Unit
from samplerkit.interfaces.worker import Worker


class StreamingWorker(Worker):
    """A worker that takes environments whose episodes cannot be seeded one by one.

    With such an environment it has no units that could be run alone. Its episodes are a stream: all slots
    are reset at the beginning of a call, with one seed, and what follows is numbered by (tick of the first
    step, slot). A sampler then hands *pieces* to `rollouts` instead of units: each is the stream's next
    `piece_size` episodes, and they come in order, without a gap, from the first one.

    So a batch is a function of seed, cursor, policy and environment, though no unit is one.
    """

    @classmethod
    @abc.abstractmethod
    def streams(cls, env: Any) -> bool:
        """Whether an environment is one that can only be seeded as a whole."""

    @classmethod
    @abc.abstractmethod
    def piece_size(cls, **worker_args: Any) -> int:
        """Return how many episodes a piece has, of a worker with these arguments.

        Raises:
            TypeError, ValueError: for arguments that make no sense.
        """

    @abc.abstractmethod
    def begin_stream(self, first: Unit) -> None:
        """Let a stream begin with the next piece.

        Args:
            first: the worker's first unit in this call. The slots are reset with its `env_seed`; the policy's
                seeds are drawn for one episode after the other, as they begin, by ``random_raw()`` of
                ``numpy.random.PCG64(first.policy_seed)``.

        Raises:
            TypeError: if the present environment gives units, which must not be sampled as a stream.
        """
