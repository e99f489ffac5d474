"""The multiprocessing backend of samplerkit: logical workers carried by real processes."""

from samplerkit.plugins import IN_CARRIERS, BackendSpec

SPEC = BackendSpec(
    name="multiprocessing",
    api=(1, 0),
    factory="samplerkit_multiprocessing.sampler:MultiprocessingSampler",
    summary="workers in processes of this machine; survives their deaths",
    capabilities=IN_CARRIERS,
)
