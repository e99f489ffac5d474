"""The multiprocessing backend of samplerkit: logical workers carried by real processes."""

from samplerkit.plugins import YES, BackendSpec, no

SPEC = BackendSpec(
    name="multiprocessing",
    api=(1, 0),
    factory="samplerkit_multiprocessing.sampler:MultiprocessingSampler",
    summary="workers in processes of this machine; survives their deaths",
    capabilities={
        "exact_episodes": YES,
        "fragments": no("a fragment worker provides them"),
        "per_worker_agents": YES,
        "per_worker_envs": YES,
        "reproducible": YES,
        "restartable": YES,
        "stateful": YES,
        "unit_timeout": YES,
        "remote": no("workers live on this machine"),
    },
)
