"""Results on their way from a carrier to the pool: many short units travel in one message."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from samplerkit.episodes import EpisodeBatch, EpisodeSlice, RecycledMemory, merged
from samplerkit.episodes.info_types import agree, in_agreement
from samplerkit.episodes.joining import as_few
from samplerkit.episodes.recording import is_placed
from samplerkit.episodes.slices import EpisodeStore, whole
from samplerkit.episodes.tick_recording import TickRecording, one_by_one
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.framing import joined
from samplerkit.sampling.messages import Configured, Finished, Started, bundled, encode, encode_parts
from samplerkit.sampling.shared_work import SharedWork

_BYTES = 1 << 22
"""No message waits for more to come; places in memory that are used again soon stay in the caches."""

_MOST_JOINED = 1 << 20
"""Bytes from which on joining with what stands elsewhere costs more than a message."""

_LATEST = 0.1
"""Seconds after which a result does not wait for the unit that runs, which may be an endless one, if nobody
says otherwise; at most twice as many.
"""


HiddenState: TypeAlias = Callable[[], bytes | Failure | None]


class Outbox:
    """Collects results of units and sends them. All messages of a carrier go through it, one at a time.

    Args:
        send: takes a message.
        work: has better ways for messages, perhaps; see `SharedWork`.
        patience: seconds that a result may wait for others; 0 sends each at once.
        memory: where a large message is put together; None for a `send` that takes nothing but bytes.
        latest: seconds that a result may wait for the unit that runs, where that is longer than usual.
    """

    def __init__(
        self,
        send: Callable[[Any], None],
        work: SharedWork | None,
        patience: float,
        memory: RecycledMemory | None = None,
        *,
        latest: float = 0.0,
    ) -> None:
        self._send = send
        self._work = work
        self._patience = patience
        self._latest = max(_LATEST, latest)
        self._memory = memory
        self._epoch = -1
        # Units with their episodes: one unit with all of these, or several with one each.
        self._results: list[tuple[Sequence[int], EpisodeSlice]] = []
        self._failures: dict[int, Failure] = {}
        self._hidden: dict[int, bytes] = {}
        # For each worker the last of its units here, and how to ask for the hidden state after it.
        self._ask: dict[int, tuple[int, HiddenState]] = {}
        self._bytes = 0
        # Whether the observations of all of them are in places that were given.
        self._placed = False
        self._sent = 0.0
        self._n_workers = 1
        self._owed: Configured | None = None
        self._running: tuple[int, float] | None = None
        # Whether something was left for the pool since it was last woken.
        self._unheard = False
        self._lock = threading.Lock()
        self._filled = threading.Event()
        self._closed = threading.Event()

    def send(self, message: bytes) -> None:
        """Send another message."""
        with self._lock:
            self._send(message)

    def owe(self, message: Configured) -> None:
        """Send a message by which the pool hears of this epoch, unless results get there first."""
        with self._lock:
            self._owed = message
            self._filled.set()

    def run(self, number: int) -> None:
        """Note that a unit begins; the pool hears of it if it takes long."""
        self._running = number, time.monotonic()
        self._filled.set()

    def begin(self, epoch: int, n_workers: int) -> None:
        """Drop what is left of earlier epochs; results are of this one from now on."""
        with self._lock:
            self._owed = self._running = None
            self._epoch = epoch
            self._n_workers = n_workers
            self._results.clear()
            self._failures.clear()
            self._hidden.clear()
            self._ask.clear()
            self._bytes = 0
            self._sent = time.monotonic()

    def put(self, number: int, result: EpisodeSlice | Failure, hidden: HiddenState | None = None) -> None:
        """Take the result of a unit, and send what has waited long enough; a failure ends every waiting.

        Args:
            number: of the unit.
            result: its result.
            hidden: where episodes go on from call to call, returns the policy's hidden state, or how this
                unit has failed after all; asked when this is sent as the last result of its worker, in the
                thread that put it here.
        """
        with self._lock:
            if isinstance(result, Failure):
                self._failures[number] = result
                self._ask.clear()  # whatever it is now, it is not what it was after the last call
                self._flush()
                return
            if hidden is not None:
                self._ask[number % self._n_workers] = number, hidden
            self._take((number,), result)

    def put_together(self, numbers: Sequence[int], result: EpisodeSlice) -> None:
        """Take the results of several units, an episode each, which were recorded together."""
        with self._lock:
            self._take(numbers, result)

    def _take(self, numbers: Sequence[int], result: EpisodeSlice) -> None:
        placed = is_placed(result)
        if placed is not self._placed:
            if self._results:
                self._flush()
            self._placed = placed
        self._results.append((numbers, result))
        # Of what is in its place only final observations travel.
        rows = result.n_episodes if placed else result.stop_row - result.first_row
        self._bytes += rows * result.store.env_spec.step_bytes
        full = self._bytes >= _MOST_JOINED and (self._bytes >= _BYTES or _is_full(result.store))
        if full or time.monotonic() - self._sent >= self._patience:
            self._flush()
        elif len(self._results) == 1:
            self._filled.set()

    def flush(self, *, quietly: bool = False) -> None:
        """Send what there is.

        Args:
            quietly: whether the pool need not wake for it. It will in a while, or when it is sent something
                that it has to hear of.
        """
        with self._lock:
            self._flush(quietly)

    def hasten(self) -> None:
        """Send what there is with the next result, and do not wait for others beside that."""
        with self._lock:
            if self._results:
                self._sent = -math.inf

    def watch(self) -> None:
        """Send what waits while a unit takes long, until `close`. Runs in a thread of its own."""
        while self._filled.wait() and not self._closed.wait(self._latest):
            if time.monotonic() - self._sent < self._latest:
                continue  # what is here came later
            self._filled.clear()
            if self._closed.is_set():  # since it was looked at: what `close` filled has just been cleared
                return
            with self._lock:
                if not self._ask:  # a policy that is at work cannot be asked: the end of the call sends this
                    self._flush()
            self._tell_what_runs()

    def _tell_what_runs(self) -> None:
        with self._lock:
            running, self._running = self._running, None
            if running is not None:
                number, since = running
                self._send(encode(Started(self._epoch, number, time.monotonic() - since)))

    def close(self) -> None:
        """End `watch`."""
        self._closed.set()
        self._filled.set()

    def _flush(self, quietly: bool = False) -> None:
        for number, hidden in self._ask.values():
            state = hidden()
            if isinstance(state, Failure):
                self._failures[number] = state
                self._results = [result for result in self._results if number not in result[0]]
            elif state is not None:
                self._hidden[number] = state
        self._ask.clear()
        if self._results or self._failures:
            results, self._results = self._results, []
            failures, self._failures = self._failures, {}
            self._bytes = 0
            self._owed = None
            # In one piece: no call may come without the policy's state after it.
            self._pass(bundled(self._messages(results, failures)), quietly)
            self._hidden.clear()
        elif self._owed is not None:
            message, self._owed = self._owed, None
            self._pass([encode(message)], quietly)
        elif self._unheard and not quietly:
            assert self._work is not None, "something was left there"
            self._work.ring()
            self._unheard = False
        self._sent = time.monotonic()

    def _pass(self, message: list[Any], quietly: bool) -> None:
        work = self._work
        self._unheard = quietly and work is not None and work.leave(message)
        if self._unheard:
            self._filled.set()
        elif work is None or not work.post(message):
            self._send(joined(message, self._memory))

    def _messages(
        self, results: Sequence[tuple[Sequence[int], EpisodeSlice]], failures: dict[int, Failure]
    ) -> list[list[Any]]:
        """Return the parts of as few messages as can carry these results."""
        try:
            return [self._message(results, failures)]
        except BaseException as error:
            units = _one_by_one(results)
            if len(units) > 1:
                runs = in_agreement([piece for _, piece in units])
                sizes = map(len, runs) if len(runs) > 1 else [1] * len(units)
                rest = iter(units)
                found = [it for size in sizes for it in self._messages([*itertools.islice(rest, size)], {})]
                return [*found, self._message([], failures)] if failures else found
            # An info, say, that no pickler can carry: the unit failed, the carrier did not.
            [((number,), _)] = units
            failed = Failure.of(error, number % self._n_workers, number)
            return [self._message([], {**failures, number: failed})]

    def _message(
        self, results: Sequence[tuple[Sequence[int], EpisodeSlice]], failures: dict[int, Failure]
    ) -> list[Any]:
        numbers = tuple([number for some, _ in results for number in some])
        n_episodes: list[int] = []
        for some, piece in results:
            n_episodes += [1] * len(some) if len(some) > 1 else [piece[2] - piece[1]]
        hidden = {number: self._hidden[number] for number in numbers if number in self._hidden}
        batch = _together(results) if results else None
        return encode_parts(
            Finished(self._epoch, numbers, tuple(n_episodes), batch, failures, hidden, self._placed)
        )


def _together(results: Sequence[tuple[Sequence[int], EpisodeSlice]]) -> EpisodeBatch:
    """Return the episodes of all units.

    Raises:
        ValueError: where infos of one would not be the same without those of the others: which units travel
            together is a matter of time.
    """
    pieces = as_few([piece for _, piece in results])
    batch = merged(pieces)
    # Integers may be too large for the type that is theirs otherwise: that shows in what came out.
    if (len(results) > 1 or len(results[0][0]) > 1) and not agree([*pieces, whole(batch)]):
        raise ValueError("infos of units have different types")
    return batch


def _one_by_one(
    results: Sequence[tuple[Sequence[int], EpisodeSlice]],
) -> list[tuple[Sequence[int], EpisodeSlice]]:
    return [
        ((number,), episode)
        for numbers, piece in results
        for number, episode in zip(
            numbers, one_by_one(piece).slices() if len(numbers) > 1 else (piece,), strict=True
        )
    ]


def _is_full(store: EpisodeStore) -> bool:
    """Whether the next results stand elsewhere: what stands together is sent as it stands."""
    return isinstance(store, TickRecording) and store.is_full
