"""A backend by the name of somebody else's."""

from samplerkit.plugins import IN_PROCESS, BackendSpec

SPEC = BackendSpec(
    name="pipes",
    api=(1, 0),
    factory="samplerkit.local:LocalSampler",
    summary="not the pipes that you are looking for",
    capabilities=IN_PROCESS,
)
