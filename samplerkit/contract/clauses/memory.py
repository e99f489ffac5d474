"""Clause A11: environments and workers that remember earlier units."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import Any

import numpy as np

from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import Fault, RememberingEnv, RememberingPolicy, crash
from samplerkit.contract.reference import unit_seeds
from samplerkit.contract.script import Op
from samplerkit.episodes import EpisodeBatch, StepType
from samplerkit.errors import WorkerDied
from samplerkit.interfaces import Sampler

_N_WORKERS, _SEED = 2, 6


def _collected(lab: Lab, **arguments: Any) -> tuple[list[EpisodeBatch], bool]:
    """Return the batches of some calls, two with an update, and whether they are said to be reproducible."""
    with lab.sampler(
        RememberingPolicy(), RememberingEnv, episodes_of=1, n_workers=_N_WORKERS, seed=_SEED, **arguments
    ) as sampler:
        calls: tuple[tuple[int, Any], ...] = ((1, None), (1, {}), (9, None), (2, None), (5, {}), (8, None))
        batches = [sampler.obtain_samples(0, count, update) for count, update in calls]
        if lab.subject.fragments:
            batches = [_in_order(EpisodeBatch.concatenate(*batches).stitch())]
        if lab.exact:
            updates: tuple[Any, ...] = (None, {})
            for told in updates:
                first = sum(len(batch.lengths) for batch in batches)
                batches.append(_by_units(sampler.obtain_exact_episodes(2, told), first))
        return batches, sampler.supports("reproducible")


def _by_units(exact: EpisodeBatch, first: int) -> EpisodeBatch:
    """Return exact episodes in the order of their units, of which this is the first."""
    units = range(first, first + len(exact.lengths))
    places = {unit: place for place, unit in enumerate(sorted(units, key=lambda it: (it % _N_WORKERS, it)))}
    episodes = exact.split()
    return EpisodeBatch.concatenate(*(episodes[places[unit]] for unit in units))


def _in_order(stitched: EpisodeBatch) -> EpisodeBatch:
    """Return the episodes that have their end, by their units, up to the first that has none."""
    assert stitched.provenance is not None, "fragments are stitched by it"
    units = stitched.provenance.units.tolist()
    by_unit = dict(zip(units, stitched.split(), strict=True))
    whole: list[EpisodeBatch] = []
    while (it := by_unit.get(len(whole))) is not None and it.step_types[-1] >= StepType.TERMINAL:
        whole.append(it)
    return EpisodeBatch.concatenate(*whole)


def _stateful(lab: Lab) -> tuple[list[EpisodeBatch], bool]:
    return lab.once("A11", lambda: _collected(lab, stateful=True))


def _rows(batches: list[EpisodeBatch], name: str, key: str = "") -> list[tuple[str, int, np.ndarray]]:
    """Return place, unit and rows of each episode; units are counted, whatever provenance says."""
    found, unit = [], 0
    for call, batch in enumerate(batches):
        column: Any = getattr(batch, name)
        column = column[key] if key else column
        stops = np.cumsum(batch.lengths).tolist()
        for episode, (start, stop) in enumerate(zip([0, *stops[:-1]], stops, strict=True)):
            where = f"call {call}, episode {episode} (worker {unit % _N_WORKERS}, unit {unit})"
            found.append((where, unit, column[start:stop]))
            unit += 1
    return found


@clause(
    "A11.in-order",
    needs={"stateful"},
    says="With stateful environments a worker's units run in order, in one place, and nothing runs ahead.",
    why="What such an environment returns depends on all that it went through.",
    causes="any idle process runs any unit; units that ran ahead and were dropped; rebuilding at an update.",
)
def in_order(lab: Lab) -> None:
    """Look at how many episodes each environment had before."""
    batches, _ = _stateful(lab)
    for where, unit, observations in _rows(batches, "observations"):
        got, wanted = int(observations[0, 0]), unit // _N_WORKERS
        require(
            got == wanted,
            f"{where}: expected an environment with {wanted} episodes before this one, got {got}",
        )


@clause(
    "A11.own-copies",
    needs={"stateful"},
    says="Every worker has a policy of its own.",
    why="Workers in one process that share a policy would give other data than workers in several.",
    causes="one object handed to all workers of a process.",
)
def own_copies(lab: Lab) -> None:
    """Look at how often each policy has acted before."""
    batches, _ = _stateful(lab)
    for where, unit, lifetimes in _rows(batches, "agent_infos", "lifetime"):
        before = unit // _N_WORKERS
        first = sum(RememberingEnv.length_of(episode) for episode in range(before))
        wanted = list(range(first, first + RememberingEnv.length_of(before)))
        require(
            lifetimes.tolist() == wanted,
            f"{where}: expected a policy of the worker's own (agent_infos['lifetime'] {wanted}), "
            f"got {lifetimes.tolist()}",
        )


@clause(
    "A11.seeded-once",
    needs={"stateful"},
    says="With reseed=False an environment is seeded by its first unit, and never again.",
    why="Environments exist in which a seed restarts a simulation that takes minutes.",
    causes="passing the seed at every reset; at none; the same one to all workers.",
)
def seeded_once(lab: Lab) -> None:
    """Look at the seed of each reset."""
    batches, _ = _collected(lab, reseed=False)
    for where, unit, observations in _rows(batches, "observations"):
        wanted = unit_seeds(_SEED, unit)[0] if unit < _N_WORKERS else -1
        got = int(observations[0, 2])
        require(got == wanted, f"{where}: expected reset(seed={wanted}), -1 for None, got {got}")


@clause(
    "A11.honest",
    needs={"stateful"},
    says="Where memory was lost the batch says reproducible=False, and supports() says so as well.",
    why="Data that cannot be had again must not be taken for such.",
    causes="a constant; rebuilding workers after an error without a word.",
)
def honest(lab: Lab) -> None:
    """Let a call fail, which loses what workers remembered."""
    batches, supported = _stateful(lab)
    for call, batch in enumerate(batches):
        said = batch.provenance is not None and batch.provenance.reproducible
        require(said, f"call {call}, nothing was lost: expected provenance.reproducible True, got False")
    require(supported, "nothing was lost: expected supports('reproducible') True, got False")
    for exact in (False, True)[: 1 + lab.exact]:
        with lab.sampler(RememberingPolicy(), RememberingEnv, stateful=True, n_workers=1) as sampler:
            require(not sampler.supports("restartable"), "expected supports('restartable') False, got True")
            _lose(sampler, Op(1, exact=exact))


def _lose(sampler: Sampler, failing: Op) -> None:
    before = len(sampler.obtain_samples(0, 6).lengths)
    try:
        failing.ask(sampler, 0, None, partial(RememberingEnv, fault=Fault("step")))
    except Exception:
        batch = sampler.obtain_samples(0, 1)
    else:
        return  # D1 says so
    kept = int(np.asarray(batch.observations)[0, 0]) == before
    said = batch.provenance is not None and batch.provenance.reproducible
    require(
        kept or not said,
        "after a call that failed, and the loss of what the environment remembered: expected "
        "provenance.reproducible False, got True",
    )
    require(
        sampler.supports("reproducible") == said,
        f"expected supports('reproducible') {said}, as provenance says, got {not said}",
    )


@clause(
    "A11.death",
    needs={"stateful", "restartable"},
    says="The death of a worker that remembers raises WorkerDied: what it remembered died with it.",
    why="A new worker in its place would go on from a beginning that never was.",
    causes="restarting every worker alike; running its lost units again.",
)
def death(lab: Lab) -> None:
    """Let a process die in a worker's second episode."""
    with tempfile.TemporaryDirectory() as folder:
        fault = Fault("step", crash, key=1, step=1, once=f"{folder}/once")
        envs = partial(RememberingEnv, fault=fault)
        with lab.sampler(RememberingPolicy(), envs, episodes_of=1, stateful=True, n_workers=1) as sampler:
            try:
                batch = sampler.obtain_samples(0, 12)
            except WorkerDied:
                return
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                raise Violation(f"a stateful worker died: expected WorkerDied, got {what}") from error
    episodes = np.asarray(batch.observations)[np.cumsum(batch.lengths) - 1, 0].tolist()
    # One that could be saved and set again is as good as one that lives.
    require(
        episodes == list(range(len(episodes))),
        "a stateful worker died in its second episode: expected WorkerDied, got a batch of environments "
        f"with {episodes} episodes before each",
    )
