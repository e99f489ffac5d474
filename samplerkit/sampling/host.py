"""The host: live workers in one place (this process, another, an actor), and the units they run."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeSlice, Place, whole
from samplerkit.global_random import may_draw_from_globals, seed_globals
from samplerkit.interfaces import (
    ContinuingWorker,
    Resumption,
    StreamingWorker,
    Unit,
    UnitCancelled,
    Units,
    Worker,
    is_policy,
    layers_of,
)
from samplerkit.interfaces.unit_feeds import InGroups
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.numbering import UnitSeeds, agent_seed
from samplerkit.sampling.packing import Packed
from samplerkit.sampling.recipes import Change, EnvChange, Recipe
from samplerkit.sampling.seating import HostSetup, Seating
from samplerkit.sampling.unit_queue import UnitQueue
from samplerkit.workers import DefaultWorker, WorkerFactory
from samplerkit.workers.slot_worker import SlotWorker

log = logging.getLogger(__name__)

_GROUPS = list, Units
"""How workers yield several units that ended together."""


class _Seat:
    """A live worker and the recipe that it follows."""

    def __init__(self, worker: Worker | None, recipe: Recipe) -> None:
        self.worker = worker
        self.recipe = recipe
        self.in_place = False
        """Whether its policy reads weights where they lie."""


class WorkerHost:
    """Carries live workers. A seat is named after the lowest logical worker whose units it may run.

    Args:
        setup: factory and options.
        catch_interrupts: whether a KeyboardInterrupt in a worker is the worker's own (as in a process
            that ignores SIGINT) rather than the caller's.
    """

    place: Callable[[int, EnvSpec], Place | None] | None = None
    """Given the number of a unit that begins and its spaces, returns where its observations go; None for
    memory of the worker's own. May be set between calls of `run`."""

    def __init__(self, setup: HostSetup, *, catch_interrupts: bool) -> None:
        self._setup = setup
        self._seats: dict[int, _Seat] = {}
        self._seeds = UnitSeeds(0)
        self._running: Worker | None = None
        self._cancelled = False
        self._resumptions: Mapping[int, Resumption] = {}
        self._streams_from: int | None = None
        self.given_up: dict[int, tuple[int, ...]] = {}
        """Slots whose open episodes the last `configure` could not bring back, for each seat."""
        self.continues = setup.continues
        """Whether episodes go on from call to call."""
        self._interrupts = () if catch_interrupts else SlotWorker.interrupts

    @functools.cached_property
    def _factory(self) -> WorkerFactory:
        factory: WorkerFactory = self._setup.factory.load()
        return factory

    # -- bringing workers to their recipes -------------------------------------------------------

    def configure(
        self,
        seed: int,
        plan: Seating,
        resumptions: Mapping[int, Resumption] | None = None,
        streams_from: int | None = None,
    ) -> list[Failure]:
        """Build, change, keep and close workers.

        Args:
            seed: of the sampler.
            plan: for each seat.
            resumptions: for each seat that is built, where its worker is to stand, if its episodes go on
                from call to call.
            streams_from: the cursor, where workers begin a stream with this call; see `StreamingWorker`.

        Returns:
            What went wrong, at most one failure for each seat. A seat that failed is empty.
        """
        if self._seeds.seed != seed:
            self._seeds = UnitSeeds(seed)
        self._resumptions, self.given_up = resumptions or {}, {}
        self._streams_from = streams_from
        for seat in self._seats.keys() - plan.keys():
            self._vacate(seat)
        failures = []
        for seat, wanted in plan.items():
            try:
                self._bring(seat, wanted)
                if streams_from is not None:
                    self._begin_stream(seat, streams_from)
            except self._interrupts:
                raise
            except BaseException as error:
                failures.append(Failure.of(error, seat, None))
                self._vacate(seat)
        return failures

    def _bring(self, seat: int, wanted: Recipe | Change | int) -> None:
        if isinstance(wanted, int):
            return
        if isinstance(wanted, Recipe):
            self._vacate(seat)
            self._seats[seat] = _Seat(None, wanted)
            self._seats[seat].worker = self._build(seat, wanted)
            return
        live = self._seats[seat]
        live.recipe = live.recipe.after(wanted)
        if live.worker is None:  # it failed: built now, so that an update that fails is no unit's failure
            live.worker = self._build(seat, live.recipe)
            return
        if wanted.agent is not None:
            self._update_agent(live, live.worker, wanted.agent.packed)
        if wanted.env is not None:
            _update_env(live.worker, wanted.env)

    def _build(self, seat: int, recipe: Recipe) -> Worker:
        factory = self._factory
        seed_globals(agent_seed(self._seeds.seed, 0))
        worker = factory(seat)
        worker.reseed = self._setup.reseed
        worker.n_workers = self._setup.n_workers
        worker.one_at_a_time = self._setup.one_at_a_time
        try:
            live = self._seats[seat]
            self._update_agent(live, worker, recipe.agent)
            if recipe.params is not None:
                self._update_agent(live, worker, recipe.params)
            for env in recipe.envs:
                _update_env(worker, env)
            if isinstance(worker, ContinuingWorker):
                self._bring_back(seat, worker)
            if self._seats.get(seat) is not live:
                raise RuntimeError("the worker's place was closed while it was built")
        except BaseException:
            self._shut(worker)
            raise
        return worker

    def _bring_back(self, seat: int, worker: ContinuingWorker) -> None:
        seeds, n_workers = self._seeds, self._setup.n_workers
        worker.own_unit = lambda number: seeds.unit(number * n_workers + seat)
        if seat not in self._resumptions:
            raise RuntimeError(
                f"this sampler does not say where a {type(worker).__name__} is to go on, which it must where "
                "episodes go on from call to call"
            )
        lost = worker.go_on(self._resumptions[seat])
        if lost:
            self.given_up[seat] = lost

    def _begin_stream(self, seat: int, cursor: int) -> None:
        live = self._seats[seat]
        if live.worker is None:
            live.worker = self._build(seat, live.recipe)
        assert isinstance(live.worker, StreamingWorker), "samplers begin streams of such workers only"
        live.worker.begin_stream(self._seeds.unit(cursor + (seat - cursor) % self._setup.n_workers))

    def hidden_state(self, seat: int, number: int) -> bytes | Failure | None:
        """Return the hidden state of a policy whose episodes go on; None for all others.

        Args:
            seat: of the worker.
            number: of its last unit, which has failed if the state cannot be had.
        """
        worker = self._seats[seat].worker
        if not isinstance(worker, ContinuingWorker):
            return None
        try:
            return worker.hidden_state()
        except self._interrupts:
            raise
        except BaseException as error:
            return Failure.of(error, number % self._setup.n_workers, number)

    def _update_agent(self, live: _Seat, worker: Worker, update: Packed) -> None:
        # Whatever it draws from the global generators is the same everywhere, and when it is built again.
        seed_globals(agent_seed(self._seeds.seed, update.checksum))
        loaded = update.load(in_place=live.in_place)
        if is_policy(loaded):
            live.in_place = bool(getattr(loaded, "reads_params_in_place", False))
        worker.update_agent(loaded)

    def _vacate(self, seat: int) -> None:
        live = self._seats.pop(seat, None)
        if live is not None and live.worker is not None:
            self._shut(live.worker)

    def _shut(self, worker: Worker) -> None:
        try:
            worker.shutdown()
        except self._interrupts:
            raise
        except BaseException:
            # The unit's own outcome counts; a close() that fails must not replace it.
            log.warning("worker %d raised while it was shut down", worker.worker_number, exc_info=True)

    # -- running units ---------------------------------------------------------------------------

    def run(
        self, numbers: Iterable[int], seats: tuple[int, ...]
    ) -> Iterator[tuple[int | list[int], EpisodeSlice | Failure]]:
        """Run units, and yield each with its episodes or with what went wrong in it.

        Several that a worker ended together come as a list, with a slice that has an episode for each.

        Args:
            numbers: units to run; taken when a worker is ready for them, and several at once (`InGroups`)
                where it is ready for several. There may be more after it ended: a worker that has others
                under way asks again.
            seats: for each logical worker the seat that runs its units.
        """
        queue = UnitQueue(numbers)
        while (number := queue.peek()) is not None:
            seat = seats[number % self._setup.n_workers]
            yield from self._run_on(seat, queue, seats)

    def _run_on(
        self, seat: int, queue: UnitQueue, seats: tuple[int, ...]
    ) -> Iterator[tuple[int | list[int], EpisodeSlice | Failure]]:
        open_units: dict[int, None] = {}
        worker: Worker | None = None
        try:
            worker = self._worker(seat)
            self._running = worker
            if isinstance(worker, DefaultWorker):
                worker.place = self.place
            elif isinstance(worker, SlotWorker):
                worker.interrupts = self._interrupts
            worker.resume()
            if self._cancelled:
                raise UnitCancelled
            done = None
            unit: Any  # or several that ended together
            for unit, result in worker.rollouts(self._feed(seat, queue, seats, open_units)):
                if type(unit) in _GROUPS and type(result) is EpisodeSlice:
                    numbers = [*unit.numbers] if type(unit) is Units else [each.number for each in unit]
                    done = numbers[-1]
                    _take_off(worker, open_units, numbers)
                    yield numbers, result
                    continue
                done = unit.number
                if type(result) is EpisodeSlice and done in open_units:
                    del open_units[done]
                    yield done, result
                else:
                    yield done, _checked_result(worker, open_units, done, result)
            if open_units or done is None:
                raise RuntimeError(f"{type(worker).__name__}.rollouts ended before its units were done")
        except UnitCancelled:
            queue.clear()
        except self._interrupts:
            self._rebuild_later(seat)
            raise
        except BaseException as error:
            if _is_close(error):
                raise
            failed = _failed_unit(worker, open_units)
            if failed is None:
                failed = queue.take()
            open_units.pop(failed, None)
            # Others that were under way in a vectorized worker are not to blame, and run again.
            queue.put_back(open_units)
            self._rebuild_later(seat)
            yield failed, Failure.of(error, failed % self._setup.n_workers, failed)
        finally:
            self._running = None
            if isinstance(worker, DefaultWorker):
                worker.place = None  # which may hold the memory of a whole batch

    def _worker(self, seat: int) -> Worker:
        live = self._seats[seat]
        if live.worker is None:
            if self.continues or self._streams_from is not None:
                raise RuntimeError("an earlier call of this worker failed")
            live.worker = self._build(seat, live.recipe)
        return live.worker

    def _rebuild_later(self, seat: int) -> None:
        live = self._seats.get(seat)
        if live is not None and live.worker is not None:
            worker, live.worker = live.worker, None
            self._shut(worker)

    def _feed(
        self, seat: int, queue: UnitQueue, seats: tuple[int, ...], open_units: dict[int, None]
    ) -> Iterator[Unit]:
        if self._setup.overlapping and self._streams_from is None:
            n_workers = self._setup.n_workers
            # Units of other seats come later, all together, so that this one can overlap its own.
            every = seats.count(seat) == len(seats)
            wanted = None if every else lambda number: seats[number % n_workers] == seat
            serves_globals = _may_draw_from_globals(self._worker(seat))
            return InGroups(functools.partial(self._next_units, queue, wanted, open_units, serves_globals))
        return self._one_by_one(seat, queue, seats, open_units)

    def _one_by_one(
        self, seat: int, queue: UnitQueue, seats: tuple[int, ...], open_units: dict[int, None]
    ) -> Iterator[Unit]:
        """Yield units of a seat as long as there are any and no other seat's is next."""
        n_workers, seeds = self._setup.n_workers, self._seeds
        # Setting them takes about as long as a step of CartPole.
        serves_globals = _may_draw_from_globals(self._worker(seat))
        while (number := queue.take_if_any()) is not None:
            if seats[number % n_workers] != seat:
                queue.put_back((number,))
                return
            if self._cancelled:
                raise UnitCancelled
            if number in open_units:
                continue  # see `_next_units`
            open_units[number] = None
            unit = seeds.unit(number)
            if serves_globals:
                seed_globals(unit.worker_seed)
            yield unit

    def _next_units(
        self,
        queue: UnitQueue,
        wanted: Callable[[int], bool] | None,
        open_units: dict[int, None],
        serves_globals: bool,
        most: int,
    ) -> Sequence[Unit]:
        """Return up to `most` next units for a worker that overlaps them, as many as there are."""
        fresh: dict[int, None] = {}
        while not fresh:
            if wanted is None:
                numbers = queue.take_several(most)
            else:
                numbers = [*itertools.islice(iter(lambda: queue.take_wanted(wanted), None), most)]
            if not numbers:
                return []
            fresh = dict.fromkeys(numbers)
            if len(fresh) < len(numbers) or not open_units.keys().isdisjoint(fresh):
                # After a death units are dealt again of which nobody knew where they are: here.
                numbers = [number for number in fresh if number not in open_units]
                fresh = dict.fromkeys(numbers)
        if self._cancelled:
            raise UnitCancelled
        units = self._seeds.units(numbers)
        if serves_globals and not open_units:
            seed_globals(units[0].worker_seed)
        open_units.update(fresh)
        return units

    # -- ending ----------------------------------------------------------------------------------

    def cancel(self) -> None:
        """End the running unit between two steps. May be called from any thread."""
        self._cancelled = True
        worker = self._running
        if worker is not None:
            worker.cancel()

    def resume(self) -> None:
        """Withdraw a `cancel`."""
        self._cancelled = False

    def close(self) -> None:
        """Shut every worker down."""
        for seat in list(self._seats):
            self._vacate(seat)


def _may_draw_from_globals(worker: Worker) -> bool:
    """Whether a worker, or anything in it, may draw from the global generators."""
    if may_draw_from_globals(worker) or not isinstance(worker, (DefaultWorker, SlotWorker)):
        return True
    envs = worker.present_envs if isinstance(worker, SlotWorker) else [worker.env]
    layers = [layer for env in envs for layer in layers_of(env)]
    return any(map(may_draw_from_globals, [worker.agent, *layers]))


def _is_close(error: BaseException) -> bool:
    """Whether whoever takes results wants no more; a GeneratorExit of a unit comes from further down."""
    trace = error.__traceback__
    return isinstance(error, GeneratorExit) and (trace is None or trace.tb_next is None)


def _failed_unit(worker: Worker | None, open_units: dict[int, None]) -> int | None:
    """Say which of the units under way an exception belongs to; None if none was."""
    if worker is not None and worker.unit is not None and worker.unit.number in open_units:
        return worker.unit.number
    return next(iter(open_units), None)


def _take_off(worker: Worker, open_units: dict[int, None], numbers: list[int]) -> None:
    """Take units that were under way off the list.

    Raises:
        ValueError: if one of them was not.
    """
    if numbers == [*open_units]:
        open_units.clear()  # in a tenth of the time
        return
    for number in numbers:
        try:
            del open_units[number]
        except KeyError:
            raise ValueError(
                f"{type(worker).__name__}.rollouts yielded unit {number}, which was not under way"
            ) from None


def _checked_result(
    worker: Worker, open_units: dict[int, None], number: int, result: EpisodeBatch | EpisodeSlice
) -> EpisodeSlice:
    """Take a unit that was under way off the list and return its episodes.

    Raises:
        TypeError, ValueError: if the worker yielded something else.
    """
    if not isinstance(result, EpisodeSlice):
        if not isinstance(result, EpisodeBatch):
            raise TypeError(
                f"{type(worker).__name__} returned {type(result).__name__}; a unit's result must be an "
                "EpisodeBatch"
            )
        result = whole(result)
    _take_off(worker, open_units, [number])
    return result


def _update_env(worker: Worker, change: EnvChange) -> None:
    # A constructor that draws from the global generators makes the same environment everywhere.
    seed_globals(change.seed)
    worker.update_env(change.packed.load())
