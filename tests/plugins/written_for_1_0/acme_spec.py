"""What somebody wrote for sampler API 1.0. Never edit these files while the major version is 1.

They stand for plugins that nobody maintains any more: when one stops working, the API was broken.
"""

from samplerkit.plugins import YES, BackendSpec, no

SAMPLER = BackendSpec(
    name="acme-threads",
    api=(1, 0),
    factory="acme_threads:AcmeSampler",
    summary="workers in threads",
    capabilities={
        "exact_episodes": YES,
        "per_worker_agents": YES,
        "per_worker_envs": YES,
        "reproducible": YES,
        "stateful": YES,
        "unit_timeout": no("threads cannot be killed"),
    },
)

WORKER = BackendSpec(name="acme-echo", api=(1, 0), worker="acme_worker:EchoWorker")
