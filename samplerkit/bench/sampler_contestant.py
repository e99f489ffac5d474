"""A sampler as a contestant: what a learner gets from one, with an update of the weights for each call."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

from samplerkit.bench.contestant import Contestant, Measurement, Skipped
from samplerkit.bench.workload import Workload, weights_in_turn
from samplerkit.errors import BackendUnavailable, UnsupportedFeature
from samplerkit.plugins import make_sampler


class SamplerContestant(Contestant):
    """Calls ``obtain_samples`` again and again, and drops each batch before the next call.

    Args:
        workload: as `Workload.as_dict` gives it.
        backend: a name for `make_sampler`.
        n_workers: logical workers.
        options: further arguments of `make_sampler`.
        update: whether each call brings new weights, where the policy has any.
    """

    distributions = ("samplerkit", "numpy", "gymnasium")

    def __init__(
        self,
        workload: dict[str, Any],
        backend: str,
        *,
        n_workers: int,
        options: dict[str, Any] | None = None,
        update: bool = True,
    ) -> None:
        super().__init__(backend)
        self._workload = Workload(**workload)
        self._n_workers = n_workers
        self._options = dict(options or {})
        self._update = update
        self._sampler: Any = None

    def start(self) -> float:
        """Make the sampler, and take one batch without an update."""
        began = time.perf_counter()
        workload = self._workload
        env = workload.make_env()
        policy = workload.make_policy(env)
        env.close()
        try:
            self._sampler = make_sampler(
                self.name,
                agents=policy,
                envs=workload.env_source(),
                seed=workload.seed,
                n_workers=self._n_workers,
                max_episode_length=workload.max_episode_length,
                **self._options,
            )
        except (UnsupportedFeature, BackendUnavailable) as error:
            raise Skipped(str(error)) from error
        self._sampler.obtain_samples(0, workload.num_samples)
        self._updates = self._endless_updates(policy)
        return time.perf_counter() - began

    def measure(self, seconds: float) -> Measurement:
        """Take whole batches."""
        sampler, num_samples, updates = self._sampler, self._workload.num_samples, self._updates
        clock = time.perf_counter
        began = clock()
        steps = 0
        while True:
            steps += int(sampler.obtain_samples(0, num_samples, next(updates)).lengths.sum())
            passed = clock() - began
            if passed >= seconds:
                return Measurement(steps, passed)

    def _endless_updates(self, policy: Any) -> Iterator[Any]:
        weights = weights_in_turn(policy) if self._update else None
        return itertools.repeat(None) if weights is None else itertools.cycle(weights[::-1])

    def stop(self) -> None:
        """Shut the sampler down."""
        sampler, self._sampler = self._sampler, None
        if sampler is not None:
            sampler.shutdown_worker()
