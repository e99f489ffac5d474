"""A kind of worker for samplerkit: many environments, one policy call a step for all of them."""

from samplerkit.plugins import BackendSpec

SPEC = BackendSpec(
    name="vectorized",
    api=(1, 0),
    worker="samplerkit_vectorized.worker:VecWorker",
    summary="a worker with several environments, and one policy call a step for all of them",
)
