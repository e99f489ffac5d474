"""What can go wrong with Ray itself."""

from __future__ import annotations

from samplerkit.errors import SamplerError


class ActorsNotPlaced(SamplerError):
    """The cluster had no room for actors within ``start_timeout``.

    Attributes:
        waiting: how many actors found no place.
        demand: what each of them asks for.
    """

    def __init__(self, waiting: int, demand: str, room: str, seconds: float) -> None:
        self.waiting = waiting
        self.demand = demand
        self.room = room
        self.seconds = seconds
        which = "an actor" if waiting == 1 else f"{waiting} actors"
        super().__init__(
            f"Ray found no place for {which} within start_timeout={seconds:g} s: each asks for {demand}, "
            f"and {room}. Ask for less (n_actors, num_cpus, num_gpus, resources), add nodes, or raise "
            "start_timeout where an autoscaler is about to add them."
        )

    def __reduce__(self) -> tuple[type[ActorsNotPlaced], tuple[int, str, str, float]]:
        return type(self), (self.waiting, self.demand, self.room, self.seconds)


class NodeDiffers(SamplerError):
    """A node has other versions than the program, so that the same seed might give another batch."""


class RayLost(SamplerError):
    """The connection to Ray is gone: somebody called ``ray.shutdown()``, or the cluster ended."""
