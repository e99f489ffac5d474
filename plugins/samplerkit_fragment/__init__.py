"""A kind of worker for samplerkit: a fixed number of steps a call, of episodes that go on in the next."""

from samplerkit.interfaces import ContinuingWorker
from samplerkit.plugins import BackendSpec

SPEC = BackendSpec(
    name="fragment",
    api=(1, 0),
    worker="samplerkit_fragment.worker:FragmentWorker",
    summary="a worker that cuts episodes after so many steps and goes on with them in its next call",
    capabilities=ContinuingWorker.capabilities,
)
