"""Workers in child processes, reached over their standard input and output."""

from samplerkit.plugins import IN_CARRIERS, BackendSpec

SPEC = BackendSpec(
    name="pipes",
    api=(1, 0),
    factory="samplerkit_pipes.sampler:PipeSampler",
    summary="workers at the other end of a command's standard input and output",
    capabilities=IN_CARRIERS,
)
