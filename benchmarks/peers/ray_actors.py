"""Ray actors written by hand, two chunks in flight for each: a limit rather than a peer."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.peers.chunks import ChunkLoop
from benchmarks.peers.common import PeerContestant
from samplerkit.bench.workload import Workload


class Actors(PeerContestant):
    """Actors that return columns; the next chunk is asked for before the last is taken.

    Args:
        chunks: of a batch, for each actor.
    """

    distributions: ClassVar[tuple[str, ...]] = ("ray", "numpy", "gymnasium")

    def __init__(self, *, chunks: int, **common: Any) -> None:
        super().__init__(**common)
        self._n_chunks = chunks * self.n_processes
        self._ray: Any = None

    def begin(self) -> None:
        """Start Ray and the actors."""
        import ray

        self._ray = ray
        start_ray(ray, self.n_processes)
        workload = Workload(self.env, self.policy, self.num_samples)
        env = workload.make_env()
        self._weights = workload.make_policy(env).get_param_values() or None
        env.close()
        n_steps, n = -(-self.num_samples // self._n_chunks), self.n_processes
        actor = ray.remote(num_cpus=1)(ChunkLoop)
        self._actors = [actor.remote(self.env, self.policy, n_steps, index, n) for index in range(n)]

    def batch(self) -> int:
        """Put the weights once; keep two chunks of each actor in flight."""
        weights = self._ray.put(self._weights)
        left = self._n_chunks
        owners: dict[Any, Any] = {}
        for actor in self._actors * 2:
            if left:
                left -= 1
                owners[actor.chunk.remote(weights)] = actor
        taken: list[Any] = []
        while owners:
            (done,), _ = self._ray.wait(list(owners), num_returns=1)
            actor = owners.pop(done)
            if left:
                left -= 1
                owners[actor.chunk.remote(weights)] = actor
            taken.append(self._ray.get(done))
        self._latest = taken
        return sum(len(columns["rewards"]) for columns in taken)

    def end(self) -> None:
        """Stop Ray."""
        if self._ray is not None:
            self._ray.shutdown()


def start_ray(ray: Any, n_processes: int) -> None:
    """Start a Ray of our own: no dashboard, nothing reported anywhere."""
    ray.init(
        num_cpus=n_processes,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        _system_config={"metrics_report_interval_ms": 3_600_000},
    )
