"""What all samplers share; for authors of backends.

A backend whose workers live elsewhere is a `Transport` and a `PoolSampler` that makes it; `serve` is the far
end. `BaseSampler` is what that and the local sampler are made of.
"""

from samplerkit.sampling.base_sampler import BaseSampler
from samplerkit.sampling.boundary import check_count
from samplerkit.sampling.carrier import Service, serve
from samplerkit.sampling.options import Option, Options, check_flag
from samplerkit.sampling.pool_sampler import PoolSampler
from samplerkit.sampling.shared_work import Claim, Need, Running, SharedWork
from samplerkit.sampling.transport import CarrierGone, Transport

__all__ = [
    "BaseSampler",
    "CarrierGone",
    "Claim",
    "Need",
    "Option",
    "Options",
    "PoolSampler",
    "Running",
    "Service",
    "SharedWork",
    "Transport",
    "check_count",
    "check_flag",
    "serve",
]
