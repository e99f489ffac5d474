"""Ray actors as carriers of workers, and how to reach them."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray.exceptions import ActorDiedError

from samplerkit.sampling import CarrierGone, Transport
from samplerkit_ray import spare_actors
from samplerkit_ray.actor import LARGE, Carrier, Facts, Said, versions
from samplerkit_ray.background_thread import BackgroundThread
from samplerkit_ray.errors import ActorsNotPlaced, NodeDiffers, RayLost
from samplerkit_ray.runtime import Lease, free_resources, total_resources

log = logging.getLogger(__name__)

_STORED = b"\x00ray"
"""First bytes of what stands for a message in the object store. No other message begins with a zero."""

_STRATEGIES = {"spread": "SPREAD", "pack": "DEFAULT"}

_TO_DIE = 10.0
"""Seconds that Ray has to end an actor."""

_TO_LOOK = 0.5
"""Seconds between two looks at the clock, and at Ray, which does not say that it was shut down."""


@dataclass(frozen=True)
class Demand:
    """What each actor asks Ray for."""

    num_cpus: float
    num_gpus: float | None = None
    resources: dict[str, float] | None = None
    runtime_env: dict[str, Any] | None = None
    placement: str | None = None

    def options(self) -> dict[str, Any]:
        """Return it as Ray wants it."""
        given = {
            "num_cpus": self.num_cpus,
            "num_gpus": self.num_gpus,
            "resources": self.resources,
            "runtime_env": self.runtime_env,
            "scheduling_strategy": _STRATEGIES.get(self.placement or ""),
        }
        return {name: value for name, value in given.items() if value is not None}

    def bundle(self) -> dict[str, float]:
        """Return the resources by Ray's names."""
        every = {"CPU": self.num_cpus, "GPU": self.num_gpus or 0, **(self.resources or {})}
        return {name: amount for name, amount in every.items() if amount}

    def __str__(self) -> str:
        return ", ".join(f"{amount:g} {name}" for name, amount in self.bundle().items()) or "no resources"


class ActorCarrier:
    """An actor, and what is known of it."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.handle: Any = None
        self.began = time.monotonic()
        self.facts: Facts | None = None
        self.outgoing: list[list[Any]] = []
        """What is to be sent, by calls."""
        self.is_open = False
        """Whether the last of them has room for more messages."""
        self.wants = 0
        """How many calls are to be there, as it said last."""
        self.pending: dict[Future[Any], Callable[..., None]] = {}
        """Calls that have not come back, and who takes what they return."""
        self.n_heard = 0
        """How many times messages were taken from it."""
        self.n_answered = 0
        """The same up to its last answer that said how many calls it wants."""
        self.early: dict[int, list[Any]] = {}
        """Messages that came before others which it said first."""
        self.failed: BaseException | None = None
        self.used_before = False
        """Whether another sampler had it, and it may have died since."""
        self.ended = False
        self.over = False
        """Whether it has said all."""
        self.stopping = False
        self.stopped = False


class RayTransport(Transport[ActorCarrier]):
    """Starts actors and talks to them.

    Args:
        lease: the connection to Ray, which ends with this.
        n_actors: how many.
        demand: of each.
        start_timeout: seconds that Ray has to place an actor.
        needs: see `PoolSampler.needs`.
    """

    def __init__(
        self, lease: Lease, n_actors: int, demand: Demand, start_timeout: float, needs: tuple[str, ...]
    ) -> None:
        self._lease = lease
        self._n_actors = n_actors
        self._demand = demand
        self._start_timeout = start_timeout
        self._needs = needs
        remote: Any = ray.remote  # whose types lack what actors have
        groups = {"in": 1, "out": 1}
        self._actor = remote(concurrency_groups=groups, max_restarts=0, **demand.options())(Carrier)
        self._events: deque[tuple[ActorCarrier, Future[Any]]] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._heard: list[tuple[ActorCarrier, Any]] = []
        self._all_well = True
        self._stored: dict[bytes, Any] = {}
        self._setup: tuple[bytes, Any] = (b"", b"")
        # Actors may long have been absent, and not been missed.
        self._stands_since: float | None = None
        self._nothing_goes_on = False

    lingers = 0.25

    @property
    def _kind(self) -> tuple[Demand, tuple[str, ...]]:
        return self._demand, self._needs

    @property
    def n_carriers(self) -> int:
        """The number of actors."""
        return self._n_actors

    def start(self, index: int, setup: bytes) -> ActorCarrier:
        """Ask Ray for an actor.

        Raises:
            RayLost: if the connection is gone.
        """
        self._check_lease()
        if self._setup[0] is not setup:
            self._setup = (setup, ray.put(setup) if len(setup) >= LARGE else setup)
        carrier = ActorCarrier(index)
        self._ask_for(carrier)
        return carrier

    def _ask_for(self, carrier: ActorCarrier) -> None:
        path = [os.path.abspath(entry) for entry in sys.path]
        kept = spare_actors.take(self._kind)
        carrier.handle = self._created(path) if kept is None else kept
        carrier.used_before = kept is not None
        carrier.failed, carrier.wants = None, 0
        with self._whole(carrier):
            if carrier.used_before:
                carrier.handle.again.remote(path)
            self._expect(carrier, self._met, carrier.handle.hello.remote())
            self._expect(carrier, self._began, carrier.handle.begin.remote(self._setup[1], self._needs))

    def _created(self, path: list[str]) -> Any:
        """Return a new actor. One that Ctrl-C kept from being returned would have no handle to end it by."""
        made: list[Any] = []
        thread = BackgroundThread()

        def create() -> None:
            thread.dismiss()
            made.append(self._actor.remote(path))

        thread.do(create, lambda: ray.kill(made[0], no_restart=True))
        return made[0]

    def announce(self, carriers: Sequence[ActorCarrier], parts: Sequence[Any]) -> bytes:
        """Put a large message into the object store, once for all actors."""
        message = b"".join(parts)
        if len(message) < LARGE:
            return message
        self._check_lease()
        ref = ray.put(np.frombuffer(message, np.uint8))
        token = _STORED + ref.binary()
        self._stored = {token: ref}
        return token

    def send(self, carrier: ActorCarrier, message: bytes) -> None:
        """Leave a message to go with others at the next `receive` or `stop`."""
        if carrier.ended or carrier.failed is not None or carrier.stopped:
            raise CarrierGone
        if not carrier.is_open:
            carrier.outgoing.append([])
            carrier.is_open = True
        carrier.outgoing[-1].append(self._stored.get(message, message))

    def give(self, carrier: ActorCarrier, message: bytes) -> None:
        """Leave units to go; they get a call of their own, which is answered when they have ended."""
        self.send(carrier, message)
        carrier.is_open = False

    def hurry(self, carrier: ActorCarrier, message: bytes) -> None:
        """Send a message past those that wait. An actor that stands still need not be told: it is not called
        for what it has, until there is something else for it.
        """
        if carrier.failed is not None or not self._lease.holds:
            return
        if carrier.outgoing or self._n_working(carrier):
            with self._whole(carrier):
                carrier.handle.hurry.remote(message)
        else:
            carrier.wants = 0

    def receive(
        self, carriers: Sequence[ActorCarrier], timeout: float | None
    ) -> list[tuple[ActorCarrier, bytes | memoryview | None]]:
        """Sleep until an actor has something to say, but not for long.

        Raises:
            RayLost: if the connection is gone.
        """
        self._check_lease()
        if not self._nothing_goes_on:
            self._stands_since = None
        self._nothing_goes_on = False
        for carrier in carriers:
            self._deliver(carrier)
        self._stored = {}
        if not self._heard:
            self._listen(_TO_LOOK if timeout is None else min(timeout, _TO_LOOK))
        heard, self._heard = self._heard, []
        return [(carrier, message) for carrier, message in heard if carrier in carriers]

    def _listen(self, timeout: float | None) -> None:
        """Wait until something happens, and take all that has."""
        with contextlib.suppress(queue.Empty):
            self._bell.get(timeout=timeout)
            while True:
                self._bell.get_nowait()
        while self._events:
            self._take(*self._events[0])
            self._events.popleft()

    def _take(self, carrier: ActorCarrier, future: Future[Any]) -> None:
        """Take what came of a call; where Ctrl-C comes in the middle, once more, as messages that were lost
        would hold up those after them.
        """
        take, error = carrier.pending.get(future), future.exception()
        if take is not None and error is None:
            try:
                take(carrier, future.result())
            except NodeDiffers:
                del carrier.pending[future]
                raise
        elif take is not None and carrier.failed is None:
            carrier.failed = error
            log.debug("actor %d: %s", carrier.index, error)
            self.kill(carrier)
        carrier.pending.pop(future, None)
        if carrier.pending or carrier.ended or not (carrier.over or carrier.failed is not None):
            return
        if self._never_began(carrier):
            self._ask_for(carrier)
            return
        carrier.ended = True
        self._heard.append((carrier, None))

    def _never_began(self, carrier: ActorCarrier) -> bool:
        """Whether it had died already when it was asked: alone, or with its node, which Ray takes a while to
        notice.
        """
        late = time.monotonic() - carrier.began > self._start_timeout
        if carrier.facts is not None or carrier.stopping or late or not self._lease.holds:
            return False
        if carrier.used_before and carrier.failed is not None:
            return True
        return isinstance(carrier.failed, ActorDiedError) and "node has died" in str(carrier.failed)

    # -- what comes back of an actor's methods ---------------------------------------------------

    def _expect(self, carrier: ActorCarrier, take: Callable[..., None], ref: Any) -> None:
        events, bell = self._events, self._bell
        future: Future[Any] = ref.future()
        carrier.pending[future] = take

        def ring(future: Future[Any]) -> None:
            events.append((carrier, future))
            bell.put(None)

        future.add_done_callback(ring)

    def _met(self, carrier: ActorCarrier, facts: Facts) -> None:
        here = versions()
        differ = [name for name, version in here.items() if facts.versions[name] != version]
        if not differ:
            carrier.facts = facts
            self._stands_since = None
        else:
            self.kill(carrier)
            there = ", ".join(f"{name} {facts.versions[name]}" for name in differ)
            mine = ", ".join(f"{name} {here[name]}" for name in differ)
            raise NodeDiffers(
                f"node {facts.node} has {there}, and this program {mine}: install the same versions, or "
                "pass a runtime_env that does"
            )

    def _began(self, carrier: ActorCarrier, nothing: None) -> None:
        """Nothing: it says what there is to say when it works."""

    def _worked(self, carrier: ActorCarrier, answer: tuple[int | None, Said]) -> None:
        wants, said = answer
        # What it said before that comes late, as a large answer may, is of a time when it had less to do.
        if said[0] >= carrier.n_answered:
            carrier.n_answered = said[0] + 1
            carrier.over, carrier.wants = wants is None, wants or 0
        self._told(carrier, said)

    def _told(self, carrier: ActorCarrier, said: Said) -> None:
        number, messages = said
        if number >= carrier.n_heard:
            carrier.early[number] = messages
        while carrier.n_heard in carrier.early:
            messages = carrier.early.pop(carrier.n_heard)
            carrier.n_heard += 1
            self._heard += [
                (carrier, message if isinstance(message, bytes) else message.data) for message in messages
            ]

    # -- sending ---------------------------------------------------------------------------------

    def _n_working(self, carrier: ActorCarrier) -> int:
        return sum(take == self._worked for take in carrier.pending.values())

    def _deliver(self, carrier: ActorCarrier) -> None:
        """Send what is to be sent, and see to it that an actor which has something to do is called."""
        if carrier.stopped or carrier.failed is not None or carrier.facts is None or carrier.over:
            return
        with self._whole(carrier):
            if self._told not in carrier.pending.values():
                self._expect(carrier, self._told, carrier.handle.listen.remote())
            calls, carrier.outgoing, carrier.is_open = carrier.outgoing, [], False
            calls += [[]] * (carrier.wants - self._n_working(carrier) - len(calls))
            for messages in calls:
                self._expect(carrier, self._worked, carrier.handle.work.remote(*messages))

    @contextlib.contextmanager
    def _whole(self, carrier: ActorCarrier) -> Iterator[None]:
        """After Ctrl-C in the middle of a call nobody knows whether it was made."""
        try:
            yield
        except KeyboardInterrupt:
            self.kill(carrier)
            raise

    # -- the end of actors -----------------------------------------------------------------------

    def exit_status(self, carrier: ActorCarrier) -> int | None:
        """Return None: Ray does not say."""
        del carrier
        return None

    def obituary(self, carrier: ActorCarrier) -> str:
        """Return what Ray says."""
        return "" if carrier.failed is None else str(carrier.failed)

    def is_up(self, carrier: ActorCarrier) -> bool:
        """Whether it has found a place."""
        return carrier.facts is not None

    def lacking(self, carriers: Sequence[ActorCarrier]) -> None:
        """See whether Ray has had time enough since nothing goes on.

        Raises:
            ActorsNotPlaced: if it has.
            RayLost: if the connection is gone.
        """
        self._check_lease()
        self._nothing_goes_on = True
        now = time.monotonic()
        if self._stands_since is None:
            self._stands_since = now
        if now - self._stands_since > self._start_timeout:
            raise ActorsNotPlaced(len(carriers), str(self._demand), _room(), self._start_timeout)

    def kill(self, carrier: ActorCarrier) -> None:
        """Let Ray end it by force."""
        self._all_well = False
        if self._lease.holds:
            ray.kill(carrier.handle, no_restart=True)

    def stop(self, carrier: ActorCarrier, timeout: float) -> None:
        """Wait, then let Ray end it."""
        if carrier.stopped:
            return
        if not self._lease.holds:
            carrier.stopped, carrier.handle = True, None
            return
        carrier.stopping = True
        if timeout > 0 and carrier.facts is not None:
            self._listen_until_it_ends(carrier, timeout)
        if not self._keeps(carrier):
            self.kill(carrier)
            self._listen_until_it_ends(carrier, _TO_DIE)
        carrier.stopped = True
        carrier.handle = None

    def _keeps(self, carrier: ActorCarrier) -> bool:
        """Whether it is kept for another sampler; after any trouble nobody is."""
        if not (self._all_well and carrier.ended) or carrier.failed is not None or carrier.facts is None:
            return False
        return spare_actors.give(self._lease, self._kind, carrier.handle, carrier.facts.pid)

    def _listen_until_it_ends(self, carrier: ActorCarrier, timeout: float) -> None:
        until = time.monotonic() + timeout
        while not carrier.ended and self._lease.holds and (left := until - time.monotonic()) > 0:
            self._deliver(carrier)
            if not carrier.pending:
                return  # nothing that could say so
            with contextlib.suppress(NodeDiffers):  # another one is on such a node: it ends, too
                self._listen(min(left, _TO_LOOK))

    def wake(self) -> None:
        """Leave a note where `receive` looks."""
        self._bell.put(None)

    def close(self) -> None:
        """Leave Ray."""
        self._stored = {}
        self._setup = (b"", b"")
        self._heard = []
        self._events.clear()
        self._lease.end()

    # -- the cluster -----------------------------------------------------------------------------

    def _check_lease(self) -> None:
        if not self._lease.holds:
            raise RayLost("Ray was shut down, or died, while a sampler used it: make a new sampler")


def _room() -> str:
    """Say what the cluster has, in all and to spare."""
    every, free = total_resources(), free_resources()
    names = [name for name in every if ":" not in name and "memory" not in name]
    found = ", ".join(f"{free.get(name, 0):g} of {every[name]:g} {name}" for name in sorted(names))
    return f"the cluster has free: {found or 'nothing'}"
