"""The Ray backend of samplerkit: logical workers carried by Ray actors, on one machine or many."""

from samplerkit.plugins import IN_CARRIERS, YES, BackendSpec, no
from samplerkit_ray.errors import ActorsNotPlaced, NodeDiffers, RayLost

__all__ = ["CAPABILITIES", "SPEC", "ActorsNotPlaced", "NodeDiffers", "RayLost"]

CAPABILITIES = {
    **IN_CARRIERS,
    "exit_status": no("Ray does not say how the process of an actor ended"),
    "remote": YES,
}

SPEC = BackendSpec(
    name="ray",
    api=(1, 0),
    factory="samplerkit_ray.sampler:RaySampler",
    requires=("ray",),
    install='pip install "samplerkit[ray]"',
    summary="workers in Ray actors, on this machine or on a cluster; survives their deaths, and nodes'",
    capabilities=CAPABILITIES,
)
