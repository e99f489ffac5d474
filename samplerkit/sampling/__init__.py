"""What all samplers share; for authors of backends.

`PoolSampler` is the template of a backend whose workers live elsewhere, `serve` its far end;
`BaseSampler` is for one that runs units itself.
"""

from samplerkit.sampling.base_sampler import BaseSampler
from samplerkit.sampling.carrier import serve
from samplerkit.sampling.pool_sampler import CarrierGone, PoolSampler

__all__ = ["BaseSampler", "CarrierGone", "PoolSampler", "serve"]
