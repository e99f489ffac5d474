"""A backend for a sampler API of the future."""

from samplerkit.plugins import IN_CARRIERS, BackendSpec

SPEC = BackendSpec(
    name="from-the-future",
    api=(9, 0),
    factory="samplerkit_broken_api_version:NoSuchSampler",
    summary="needs what this samplerkit does not have",
    capabilities=IN_CARRIERS,
)
