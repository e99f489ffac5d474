"""A description that imports what it requires: whoever asks for its name waits for it."""

import samplerkit_heavy_cargo

from samplerkit.plugins import IN_PROCESS, BackendSpec

SPEC = BackendSpec(
    name="heavy",
    api=(1, 0),
    factory="samplerkit.local:LocalSampler",
    requires=("samplerkit_heavy_cargo",),
    summary=f"carries {samplerkit_heavy_cargo.CARGO}",
    capabilities=IN_PROCESS,
)
