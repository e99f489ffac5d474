"""The Ray sampler: a pool whose carriers are actors. Ray itself is imported when one is made."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from samplerkit.interfaces import Capabilities
from samplerkit.sampling import Option, Options, PoolSampler, check_count
from samplerkit.sampling.options import check_seconds
from samplerkit_ray import CAPABILITIES
from samplerkit_ray import options as check
from samplerkit_ray.background_thread import BackgroundThread

if TYPE_CHECKING:
    from samplerkit_ray.transport import RayTransport


class RaySampler(PoolSampler[Any]):
    """Runs units in Ray actors, on this machine or on a cluster.

    A Ray that the program has initialised is used, and left running. Otherwise the first sampler connects to
    the cluster at `address`, or starts a Ray of its own on this machine, without a dashboard; the last
    sampler that uses it stops it.

    Options:
        n_actors: how many; None means the cluster's CPUs by `num_cpus`, whoever else uses these: say how many
            where the cluster is shared, or inside a task. Never seen in a batch.
        address: of a running cluster, as for `ray.init`: ``"auto"``, or ``"host:port"``; ``"local"`` starts
            one in spite of the variable ``RAY_ADDRESS``, which counts where nothing is given.
        namespace: of the connection, where this sampler makes it.
        runtime_env: of the actors, as for `ray.remote`.
        num_cpus: that each actor reserves; None means 1, or none in a Ray that samplers started themselves.
        num_gpus: that each actor reserves; they are the actor's own (``CUDA_VISIBLE_DEVICES``).
        resources: custom ones that each actor reserves, by name.
        placement: ``spread`` over nodes, or ``pack`` onto few; None leaves it to Ray.
        start_timeout: seconds for which nothing may go on because actors are not up, for lack of room or
            because their `runtime_env` is being made (default 60).
        max_restarts, unit_timeout: see `PoolSampler`.
    """

    capabilities: ClassVar[Capabilities] = CAPABILITIES

    options: ClassVar[Options] = {
        **PoolSampler.options,
        "n_actors": Option(None, check_count),
        "address": Option(None, check.check_address),
        "namespace": Option(None, check.check_text),
        "runtime_env": Option(None, check.check_runtime_env),
        "num_cpus": Option(None, check.check_amount),
        "num_gpus": Option(None, check.check_gpus),
        "resources": Option(None, check.check_resources),
        "placement": Option(None, check.check_placement),
        "start_timeout": Option(60.0, check_seconds),
    }

    layouts: ClassVar[tuple[Mapping[str, Any], ...]] = ({"n_actors": 2}, {"n_actors": 1}, {"n_actors": 3})

    @classmethod
    @contextmanager
    def standing_runtime(cls) -> Iterator[Callable[[Any], bool]]:
        """See `BaseSampler.standing_runtime`: Ray, its idle processes, and actors that have done their work.

        What an actor has imported, and what environments have left in its modules, is there for the next one.
        """
        _import_ray()
        from samplerkit_ray.runtime import Lease, is_own, warm_up
        from samplerkit_ray.spare_actors import keeping

        lease = Lease(None, None)
        try:
            warm_up()
            with keeping():
                yield is_own
        finally:
            lease.end()

    def make_transport(self) -> RayTransport:
        """Connect to Ray, or start it, and return the transport."""
        _import_ray()
        from samplerkit_ray.runtime import Lease
        from samplerkit_ray.transport import Demand, RayTransport

        lease = Lease(self.option("address"), self.option("namespace"))
        try:
            own = {name: self.option(name) for name in ("num_gpus", "resources", "runtime_env", "placement")}
            num_cpus = self.option("num_cpus")
            demand = Demand(num_cpus=lease.default_num_cpus if num_cpus is None else num_cpus, **own)
            n_actors = self.option("n_actors") or lease.n_actors(demand.num_cpus)
            return RayTransport(lease, n_actors, demand, self.option("start_timeout"), self.needs)
        except BaseException:
            lease.end()
            raise


def _import_ray() -> None:
    """Import Ray and what needs it; half an import, which Ctrl-C would leave, cannot be mended."""
    hook = sys.excepthook
    thread = BackgroundThread()

    def work() -> None:
        thread.dismiss()
        importlib.import_module("samplerkit_ray.transport")

    thread.do(work)
    sys.excepthook = hook
