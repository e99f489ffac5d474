"""A kind of worker for samplerkit: a fixed number of steps a call, of episodes that go on in the next."""

from samplerkit.plugins import YES, BackendSpec, no

SPEC = BackendSpec(
    name="fragment",
    api=(1, 0),
    worker="samplerkit_fragment.worker:FragmentWorker",
    summary="a worker that cuts episodes after so many steps and goes on with them in its next call",
    capabilities={
        "exact_episodes": no(
            "a fragment worker's calls end after a number of steps, not of episodes: ask for samples"
        ),
        "fragments": YES,
    },
)
