"""Clauses A1, A3, A4 and A5: units are numbered, and admitted by their numbers."""

from __future__ import annotations

from functools import partial

from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.contract.script import Op, Script
from samplerkit.contract.views import CallView, in_words
from samplerkit.episodes import EpisodeBatch

_MANY = 6000
"""Steps: more than anybody would think of as a limit."""


@clause(
    "A0.reference",
    kind="script",
    says="Every call returns the batch of the reference, bit for bit.",
    why="All else in the contract serves this: the same seed, policy and environment give the same data.",
    causes="Any defect may end here; a more specific clause that fails beside it says more.",
)
def reference(lab: Lab, script: Script) -> None:
    """Compare data with the oracle's."""
    trace = lab.trace(script)
    trace.all_returned()
    for index, (batch, wanted) in enumerate(zip(trace.copies, trace.expected, strict=True)):
        difference = wanted.batch.difference(batch)
        require(difference is None, f"call {index}: {in_words(difference)}")


@clause(
    "A1.numbering",
    kind="script",
    says="Units are numbered 0, 1, 2, … over the sampler's life; unit u belongs to worker u mod n_workers.",
    why="The number of a unit is all that its data depend on: it must mean the same on every backend.",
    causes="counting from anew in each call or each worker; handing worker w a run of its own units.",
)
def numbering(lab: Lab, script: Script) -> None:
    """Look at the units and workers that provenance names."""
    cursor = 0
    for call in lab.trace(script).calls:
        provenance = call.batch.provenance
        if provenance is None:  # B6.provenance says so
            return
        units = sorted(provenance.units.tolist())
        wanted = list(range(cursor, cursor + len(units)))
        require(
            units == wanted or call.fragments,  # A8.units says which
            f"call {call.index}: expected the units {wanted}, got {units}",
        )
        cursor += len(units)
        for unit, worker in zip(provenance.units.tolist(), provenance.workers.tolist(), strict=True):
            expected = unit % script.n_workers
            require(
                worker == expected,
                f"call {call.index}, unit {unit}: expected worker {expected} of {script.n_workers}, "
                f"got {worker}",
            )


@clause(
    "A3.shortest-run",
    kind="script",
    unless={"fragments"},
    says="obtain_samples admits the shortest run of consecutive units from the cursor with enough steps.",
    why="Whoever finishes first is short: a batch filled that way holds too many short episodes.",
    causes="results taken in the order of arrival; a unit too many or too few; the last episode trimmed.",
)
def shortest_run(lab: Lab, script: Script) -> None:
    """Look at the units that were admitted, by their data, and their number of steps."""
    for call in lab.trace(script).calls:
        if call.op.exact:
            continue
        least, lengths = call.op.count, call.batch.lengths.tolist()
        where = f"call {call.index}, obtain_samples(…, {least})"
        require(
            sum(lengths) >= least,
            f"{where}: expected at least {least} steps, got {sum(lengths)} in episodes of {lengths}",
        )
        require(
            sum(lengths[:-1]) < least,
            f"{where}: expected no more episodes than it takes, got lengths {lengths}: the last is too many",
        )
        numbers = [episode.unit for episode in call.episodes]
        if None not in numbers:  # A2.env-seed says so
            units = [number for number in numbers if number is not None]
            wanted = list(range(min(units), min(units) + len(units)))
            require(
                units == wanted,
                f"{where}: expected consecutive units, {wanted}, got the data of units {units}",
            )
        _require_whole(call, where)


def _require_whole(call: CallView, where: str) -> None:
    """Raise where the last episode alone was cut to give just as many steps as were asked for."""
    env = call.script.env(0)
    wanted = [min(env.length_of(episode.key), call.script.limit) for episode in call.episodes]
    got = call.batch.lengths.tolist()
    trimmed = got[:-1] == wanted[:-1] and got[-1] < wanted[-1] and sum(got) == call.op.count
    require(not trimmed, f"{where}: expected whole episodes, lengths {wanted}, got {got}: the last is cut")


@clause(
    "A3.many-steps",
    says="However many steps are asked for, so many come, in as many units as it takes.",
    why="Large batches are what steady gradients are made of; half of one is not noticed.",
    causes="a limit on what is sent, or kept, at a time, that ends the batch.",
)
def many_steps(lab: Lab) -> None:
    """Ask for six thousand steps, in episodes of three hundred."""
    envs = partial(TattooEnv, lengths=(300,), infos="none")
    with lab.sampler(ProbePolicy(1), envs, episodes_of=300, max_episode_length=300) as sampler:
        got = len(sampler.obtain_samples(0, _MANY).rewards)
    require(got == _MANY, f"obtain_samples(…, {_MANY}), episodes of 300: expected {_MANY} steps, got {got}")


@clause(
    "A4.exact-episodes",
    kind="script",
    needs={"exact_episodes"},
    says="obtain_exact_episodes(k) gives k units of each worker: worker 0's, then worker 1's, and so on.",
    why="Evaluation and meta-learning pair episodes with workers by their position in the batch.",
    causes="results in the order of arrival; k batches rather than k episodes; a fast worker that does more.",
)
def exact_episodes(lab: Lab, script: Script) -> None:
    """Look at the order of workers and units, by the data."""
    for call in lab.trace(script).calls:
        if not call.op.exact:
            continue
        k, n = call.op.count, script.n_workers
        where = f"call {call.index}, obtain_exact_episodes({k})"
        require(
            len(call.episodes) == k * n,
            f"{where}: expected {k * n} episodes, {k} of each of {n} workers, got {len(call.episodes)}",
        )
        units = [episode.unit for episode in call.episodes if episode.unit is not None]
        if len(units) < k * n:  # A2.env-seed says so
            continue
        workers = [unit % n for unit in units]
        wanted = [worker for worker in range(n) for _ in range(k)]
        require(workers == wanted, f"{where}: expected episodes of the workers {wanted}, got {workers}")
        run = range(min(units), min(units) + k * n)
        order = sorted(run, key=lambda unit: (unit % n, unit))
        require(units == order, f"{where}: expected the units {order}, got the data of units {units}")


@clause(
    "A5.cursor",
    kind="script",
    unless={"fragments"},
    says="The cursor moves by admitted units only: each call goes on where the admitted units ended.",
    why="Units that ran ahead and are forgotten would be missing from the data: the long ones, mostly.",
    causes="dropping what is under way at an update; counting units that ran rather than those admitted.",
)
def cursor(lab: Lab, script: Script) -> None:
    """Look for gaps and repetitions between calls, by the data."""
    first, trace = 0, lab.trace(script)
    for position, call in enumerate(trace.calls):
        if call.index != position:
            return
        numbers = [episode.unit for episode in call.episodes]
        units = sorted(number for number in numbers if number is not None)
        if not units:  # A2.seeds says so
            return
        before = f"{first} units were admitted before"
        require(
            units[0] == first,
            f"call {call.index}: expected unit {first} to come first ({before}), got unit {units[0]}",
        )
        missing = sorted(set(range(first, first + len(units))) - set(units))
        require(
            not missing,
            f"call {call.index}: expected consecutive units from {first}, got {units}: {missing} are missing",
        )
        first += len(numbers)
        if len(trace.cursors) > position:
            got = trace.cursors[position]
            require(got == first, f"call {call.index}: expected cursor {first} in get_state(), got {got}")


@clause(
    "A5.one-sequence",
    says="Any sequence of calls without updates admits consecutive units of one and the same sequence.",
    why="How an algorithm cuts its demand into calls must not decide what data it gets.",
    causes="restarting workers' random streams in each call; discarding and skipping what ran ahead.",
)
def one_sequence(lab: Lab) -> None:
    """Compare several calls with one."""
    parts = Script(n_workers=2, ops=(Op(7), Op(1), Op(12), Op(5)), delays=True)
    several = lab.trace(parts)
    several.all_returned()
    joined = EpisodeBatch.concatenate(*several.copies)
    whole = lab.trace(Script(n_workers=2, ops=(Op(len(joined.rewards)),)))
    whole.all_returned()
    difference = whole.copies[0].difference(joined)
    if difference is not None:
        counts = [op.count for op in parts.ops]
        raise Violation(
            f"expected obtain_samples of {counts} one after the other to equal one of {len(joined.rewards)}: "
            f"{in_words(difference)}"
        )
