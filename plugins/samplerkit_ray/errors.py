"""What can go wrong with Ray itself."""

from __future__ import annotations

from samplerkit.errors import SamplerError


class ActorsNotPlaced(SamplerError):
    """Actors were not up within ``start_timeout``: there was no room, or their runtime_env took longer.

    Attributes:
        waiting: how many actors were not up.
        demand: what each of them asks for.
    """

    def __init__(self, waiting: int, demand: str, room: str, seconds: float) -> None:
        self.waiting = waiting
        self.demand = demand
        self.room = room
        self.seconds = seconds
        which = "an actor was" if waiting == 1 else f"{waiting} actors were"
        super().__init__(
            f"{which} not up within start_timeout={seconds:g} s: each asks for {demand}, and {room}. Where "
            "that is too little, ask for less (n_actors, num_cpus, num_gpus, resources) or add nodes; raise "
            "start_timeout where an autoscaler is about to add them, or a runtime_env takes longer."
        )

    def __reduce__(self) -> tuple[type[ActorsNotPlaced], tuple[int, str, str, float]]:
        return type(self), (self.waiting, self.demand, self.room, self.seconds)


class NodeDiffers(SamplerError):
    """A node has other versions than the program, so that the same seed might give another batch."""


class RayLost(SamplerError):
    """The connection to Ray is gone: somebody called ``ray.shutdown()``, or Ray died on this machine."""
