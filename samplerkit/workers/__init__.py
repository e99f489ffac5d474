"""The reference worker and the factory that builds workers."""

from samplerkit.workers.default_worker import DefaultWorker
from samplerkit.workers.seeded_when_made import SeededWhenMade
from samplerkit.workers.worker_factory import WorkerFactory

__all__ = ["DefaultWorker", "SeededWhenMade", "WorkerFactory"]
