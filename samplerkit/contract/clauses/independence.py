"""Clauses A6 and A9: what a batch does not depend on, and what a call does not touch."""

from __future__ import annotations

import pickle
import random
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import numpy as np

from samplerkit.contract.attempts import attempt, returned
from samplerkit.contract.clause import NotApplicable, clause, require
from samplerkit.contract.differences import difference_or_origin
from samplerkit.contract.global_states import global_states, moved
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import GlobalDrawEnv, GlobalDrawPolicy
from samplerkit.contract.programs import run
from samplerkit.contract.reference import unit_seeds
from samplerkit.contract.script import Op, Script
from samplerkit.contract.views import column_violation, in_words
from samplerkit.episodes import EpisodeBatch
from samplerkit.global_random import GlobalRandomState
from samplerkit.interfaces import Sampler

_BASE = Script(
    ops=(Op(25), Op(9, agent="weights"), Op(1, env="new"), Op(12, agent="policy", env="task")),
    n_workers=2,
    ends="mixed",
    infos="plain",
)


@clause(
    "A6.n-workers",
    unless={"fragments"},
    says="With equal agents and environments and a stateless worker, n_workers plays no part in the data.",
    why="A run on a larger machine must be the same run.",
    causes="seeds or shares of the work given to workers rather than units; rounds of n_workers units.",
)
def n_workers(lab: Lab) -> None:
    """Compare one, two and five workers."""
    _require_stateless(lab)
    one = replace(_BASE, n_workers=1)
    for number in (2, 5):
        _same_data(lab, one, replace(_BASE, n_workers=number), f"n_workers={number}", "n_workers=1")


@clause(
    "A6.layout",
    says="The physical layout (how many processes, threads or actors there are) plays no part.",
    why="The usable processors differ from host to host, and data must not.",
    causes="units bound to processes; several units handed to a process at once and taken as one.",
)
def layout(lab: Lab) -> None:
    """Compare the layouts that the backend declares."""
    if len(lab.subject.layouts) < 2:
        raise NotApplicable(f"{lab.subject.name} declares one layout only")
    for index in range(1, min(3, len(lab.subject.layouts))):
        other = f"the layout {dict(lab.subject.layouts[index])}"
        _same_data(
            lab, _BASE, replace(_BASE, layout=index), other, f"the layout {dict(lab.subject.layouts[0])}"
        )


@clause(
    "A6.timing",
    says="How long units take plays no part.",
    why="Otherwise no failure can be reproduced, and a busy machine learns something else.",
    causes="taking results in the order of arrival; counting what runs rather than what is admitted.",
)
def timing(lab: Lab) -> None:
    """Compare resets that take no time with resets of which some take 3 ms."""
    _same_data(lab, _BASE, replace(_BASE, delays=True), "slow resets", "quick ones")


@clause(
    "A6.side-by-side",
    says="Samplers that are open at the same time know nothing of each other: each returns its own batches, "
    "and goes on when another is shut down.",
    why="One collects for training, another evaluates; a search has ten of them in one program.",
    causes="what belongs to a sampler kept in a module, or by a name that is not the sampler's alone; a "
    "shutdown that ends whatever there is.",
)
def side_by_side(lab: Lab) -> None:
    """Call three in turn, two alike and one that differs in everything; shut them down one by one."""
    ours = replace(_BASE, ops=(Op(9), Op(6, agent="weights"), Op(9, env="new")))
    theirs = replace(_BASE, ops=(Op(5, agent="policy", env="task"), Op(9)), seed=77, limit=5, infos="rich")
    with ExitStack() as stack:
        samplers = [_Open(lab, it, stack.enter_context(lab.made(it))) for it in (ours, theirs, ours)]
        for index in range(3):
            for place, it in enumerate(samplers):
                it.require_call(index, f"sampler {place} of {len(samplers)} that are open")
            if index:
                # First the one between two others, then the older one.
                samplers.pop(2 - index).sampler.shutdown_worker()
        samplers[0].sampler.obtain_samples(0, 1)


class _Open:
    """A sampler that is open beside others, and what its calls return."""

    def __init__(self, lab: Lab, script: Script, sampler: Sampler) -> None:
        self.script, self.sampler = script, sampler
        self._wanted = lab.expected(script)

    def require_call(self, index: int, where: str) -> None:
        """Make a call and compare its batch."""
        updates = self.script.agent_update(index)[0], self.script.env_update(index)[0]
        outcome = attempt(where, lambda: self.script.ops[index].ask(self.sampler, index, *updates))
        batch = returned(outcome, f"{where}, call {index}")
        difference = difference_or_origin(self._wanted[index].batch, batch)
        require(difference is None, f"{where}, call {index}: {difference}")


@clause(
    "A6.hash-order",
    says="A program with another PYTHONHASHSEED gets the same data.",
    why="Hashes of text differ from process to process, and so does the order of a set.",
    causes="seeds made of hash(); loops over sets of keys.",
)
def hash_order(lab: Lab) -> None:
    """Run a script in a Python of its own, which has another hash seed."""
    trace = lab.trace(_BASE)
    trace.all_returned()
    ended = run(lab.subject, _PROGRAM.format(script=_BASE.short()))
    require(
        ended.status == 0, f"the program that runs the script ended with status {ended.status}: {ended.err}"
    )
    for index, (copy, got) in enumerate(zip(trace.copies, ended.out.split(), strict=True)):
        require(
            copy.digest() == got,
            f"call {index}: expected in another process the digest {copy.digest()[:12]}, got {got[:12]}",
        )


_PROGRAM = """
from samplerkit.contract.lab import Lab
from samplerkit.contract.script import Op, Script

trace = Lab(subject).trace({script})
trace.all_returned()
print(*(copy.digest() for copy in trace.copies))
"""


def _require_stateless(lab: Lab) -> None:
    worker = lab.subject.worker
    if worker is not None and worker.stateful:
        raise NotApplicable(f"{worker.__name__} says that it is stateful")


def _same_data(lab: Lab, script: Script, other: Script, this: str, that: str) -> None:
    one, two = lab.trace(script), lab.trace(other)
    one.all_returned()
    two.all_returned()
    for index, (wanted, got) in enumerate(zip(one.copies, two.copies, strict=True)):
        difference = wanted.difference(got)
        require(
            difference is None,
            f"call {index}: expected with {this} the data of {that}: {in_words(difference)}",
        )


@clause(
    "A9.globals-kept",
    kind="script",
    says="The caller's global random state (random, numpy.random) is the same after a call as before it.",
    why="A program that seeds its own draws must not find them moved by a sampler in its process.",
    causes="np.random.seed for the workers' sake; an environment that draws from the globals in process.",
)
def globals_kept(lab: Lab, script: Script) -> None:
    """Look at the generators around every call."""
    names = lab.trace(script).globals_moved
    require(not names, f"expected the global generators as before, got another state: {', '.join(names)}")


@clause(
    "A9.globals-in-use",
    says="That holds where policies and environments draw from the globals, too, and at start and shutdown.",
    why="Many an environment draws from numpy.random, and the caller does too.",
    causes="putting the state back after units, but not after construction, updates, errors or shutdown.",
)
def globals_in_use(lab: Lab) -> None:
    """Look at the generators around all that a sampler does."""
    before = global_states()

    def check(after: str) -> None:
        names = moved(before, global_states())
        require(not names, f"after {after}: expected {' and '.join(names)} as before, got another state")

    with lab.sampler(GlobalDrawPolicy(), GlobalDrawEnv) as sampler:
        check("construction")
        sampler.obtain_samples(0, 3, None, partial(GlobalDrawEnv, 1))
        check("a call with an environment update")
        try:
            sampler.obtain_samples(0, 3, None, partial(GlobalDrawEnv, fails=True))
        except Exception:
            check("a call that raised")
        if lab.exact:
            sampler.obtain_exact_episodes(1, None, partial(GlobalDrawEnv, 2))
            check("exact episodes with an environment update")
        state = sampler.get_state()
        check("get_state")
        pickle.loads(pickle.dumps(sampler))
        check("pickling it")
        sampler.set_state(state)
        check("set_state")
        sampler.obtain_samples(0, 3)
        check("the call after set_state")
    check("shutdown")


@clause(
    "A9.globals-served",
    unless={"fragments"},
    says="Policies and environments that draw from the global generators find them set for each unit.",
    why="Most environments were written before seeds were passed around, and they must reproduce too.",
    causes="forked processes that share a parent's state; seeding once at the start.",
)
def globals_served(lab: Lab) -> None:
    """Compare with units whose globals were set by hand."""
    worker = lab.subject.worker
    if worker is not None and worker.overlap(**lab.subject.worker_args) > 1:
        raise NotApplicable(f"{worker.__name__} runs several units at once, and may set them once per call")
    for number, caller in ((2, 11), (1, 12)):
        with GlobalRandomState():
            random.seed(caller)
            np.random.seed(caller)
            with lab.sampler(GlobalDrawPolicy(), GlobalDrawEnv, n_workers=number, seed=3) as sampler:
                _require_drawn(sampler.obtain_samples(0, 12), range(4), f"n_workers={number}")
                if lab.exact:
                    units = range(4, 4 + number)
                    _require_drawn(sampler.obtain_exact_episodes(1), units, f"exact, n_workers={number}")


def _require_drawn(batch: EpisodeBatch, units: range, where: str) -> None:
    for episode, unit in enumerate(units):
        with GlobalRandomState():
            observations, draws = _by_hand(3, unit)
        rows = slice(3 * episode, 3 * episode + 3)
        _require_rows(f"{where}, episode {episode} (unit {unit})", observations, batch, "observations", rows)
        _require_rows(f"{where}, episode {episode} (unit {unit})", draws, batch, "agent_infos", rows)


def _by_hand(seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the observations and the policy's draws of a unit of which the worker_seed is all there is."""
    env_seed, _, worker_seed = unit_seeds(seed, number)
    env, policy = GlobalDrawEnv(), GlobalDrawPolicy()
    random.seed(worker_seed)
    np.random.seed(worker_seed & 0xFFFF_FFFF)
    observation, _ = env.reset(seed=env_seed)
    observations, draws, over = [], [], False
    while not over:
        observations.append(observation)
        action, info = policy.get_action(observation)
        draws.append(info["draw"])
        observation, _, over, _, _ = env.step(action)
    return np.array(observations), np.array(draws)


def _require_rows(where: str, wanted: np.ndarray, batch: EpisodeBatch, name: str, rows: slice) -> None:
    column = getattr(batch, name)
    if isinstance(column, dict) and "draw" not in column:
        return  # B4.agent-infos says so
    got = column["draw"] if isinstance(column, dict) else column
    what = column_violation(wanted, got[rows], name)
    require(what is None, f"{where}, {what}, drawn from the global generators")
