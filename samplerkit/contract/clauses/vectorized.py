"""Clause A7: workers that step several environments at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from samplerkit.contract.clause import NotApplicable, Violation, clause, require
from samplerkit.contract.clauses.environments import require_closed_once
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import ChorusEnv, Fault, ProbePolicy, TattooEnv, mark_of, read_ledger
from samplerkit.contract.probes.rows import RowWatcher
from samplerkit.contract.probes.tattoo import N_ACTIONS, mix
from samplerkit.contract.reference import unit_seeds
from samplerkit.contract.script import Op, Script
from samplerkit.contract.views import in_words, require_same_units
from samplerkit.episodes import EpisodeBatch
from samplerkit.errors import WorkerError
from samplerkit.interfaces import NewEnvUpdate, Sampler
from samplerkit.plugins.worker_options import worker_options

_WIDTHS = (1, 3, 8)

_SCRIPTS = (
    Script(
        ops=(
            Op(25),
            Op(3, exact=True, agent="weights"),
            Op(1, env="new"),
            Op(40, agent="policy", env="task"),
        ),
        n_workers=2,
        ends="mixed",
        infos="rich",
    ),
    Script(ops=(Op(60), Op(60)), n_workers=1, lengths=(1, 1, 17), limit=12, layout=1, infos="rich"),
    Script(ops=(Op(2, exact=True), Op(9)), n_workers=3, each=True),
)


def _with(lab: Lab, n_envs: int, *, fragments: bool = False) -> Lab:
    """Return a lab whose workers have so many environments.

    Raises:
        NotApplicable: where they cannot have several; for workers of fragments, unless these will do, too.
    """
    subject = lab.subject
    worker = subject.worker
    if worker is None or "n_envs" not in worker_options(worker) or (subject.fragments and not fragments):
        raise NotApplicable(f"{subject.name} has no workers with several environments")
    wider = replace(subject, worker_args={**subject.worker_args, "n_envs": n_envs})
    return Lab(wider, lab.profile, lab.note)


@contextmanager
def _local(lab: Lab, n_envs: int, agents: Any, envs: Any, **arguments: Any) -> Iterator[Sampler]:
    """Make a local sampler whose worker has so many environments: all calls of its policy are seen."""
    wide = _with(lab, n_envs)
    with Lab(wide.local, lab.profile, lab.note).sampler(agents, envs, **arguments) as sampler:
        yield sampler


@clause(
    "A7.n-envs",
    unless={"fragments"},
    says="How many environments a worker steps at once plays no part, for a policy that is exact row by row.",
    why="n_envs is a matter of speed, and is chosen anew for each machine.",
    causes="seeds, infos or rows of another slot; units numbered as they end; short episodes preferred.",
)
def n_envs(lab: Lab) -> None:
    """Compare 1, 3 and 8 environments with what must come."""
    for width in _WIDTHS:
        wide = _with(lab, width)
        for script in _SCRIPTS:
            trace = wide.trace(script)
            trace.all_returned()
            for index, (wanted, got) in enumerate(zip(trace.expected, trace.copies, strict=True)):
                difference = wanted.batch.difference(got)
                require(difference is None, f"n_envs={width}, call {index}: {in_words(difference)}")


@clause(
    "A7.rows",
    unless={"fragments"},
    says="get_actions always gets n_envs rows in slot order; a row is reset, by do_resets, where its episode "
    "begins.",
    why="What a policy remembers belongs to a row: rows that move, or are not reset, mix up its memories.",
    causes="only the rows of live slots given; slots packed together when one is idle; reset() of all rows.",
)
def rows(lab: Lab) -> None:
    """Let a policy watch over its rows, while there are more and fewer units than slots."""
    env = NewEnvUpdate(partial(TattooEnv, tag=1, lengths=(1, 2, 5, 8), infos="none"))
    for width in _WIDTHS[1:]:
        with _local(lab, width, RowWatcher(width), env, n_workers=1) as sampler:
            for call in (lambda s: s.obtain_exact_episodes(2), lambda s: s.obtain_samples(1, 70)):
                _watched(call, sampler, f"n_envs={width}")


def _watched(call: Any, sampler: Sampler, where: str) -> EpisodeBatch:
    try:
        batch: EpisodeBatch = call(sampler)
    except Exception as error:
        raise Violation(f"{where}: {str(error).splitlines()[0]}") from error
    return batch


@clause(
    "A7.own-arrays",
    unless={"fragments"},
    says="A policy may write to its observations, and use its arrays again: that is seen in no batch.",
    why="Policies normalize in place and keep buffers; a batch of what they scribbled cannot be trained on.",
    causes="a view of the buffer handed out or kept, where a copy must be.",
)
def own_arrays(lab: Lab) -> None:
    """Compare a policy that scribbles on its arrays with one that does not."""
    env = NewEnvUpdate(partial(TattooEnv, tag=1, infos="none"))
    batches = []
    for scribbles in (False, True):
        with _local(lab, 3, RowWatcher(3, scribbles=scribbles), env, n_workers=1) as sampler:
            batches.append(_watched(lambda s: s.obtain_samples(0, 60), sampler, f"scribbles={scribbles}"))
    for name in ("observations", "actions", "rewards", "last_observations"):
        one, other = (getattr(batch, name) for batch in batches)
        require(np.array_equal(one, other), f"{name}: a policy that uses its arrays again changed them")
    for batch in batches:
        wanted = np.concatenate([np.arange(length) for length in batch.lengths])
        counts = cast("Any", batch.agent_infos["count"])
        require(np.array_equal(counts, wanted), "agent_infos['count']: expected 0, 1, 2, … in each episode")


@clause(
    "A7.next-unit",
    unless={"fragments"},
    says="A slot whose episode ends takes the next unit at once, and one policy call serves all slots.",
    why="Waiting for the longest of n_envs episodes gives up most of what a vectorized worker gains.",
    causes="slots started together; get_action called for each; a feed that ends and is not asked again.",
)
def next_unit(lab: Lab) -> None:
    """Count the policy's calls for units of equal lengths, and for one long one among short ones."""
    lengths, width = (6,), 4
    ticks = _ticks(lab, width, lengths, 3 * width)
    require(ticks == 3 * 6, f"12 units of 6 steps, n_envs=4: expected 18 policy calls, got {ticks}")
    ticks = _ticks(lab, width, (1, 40), 24)
    env = TattooEnv(lengths=(1, 40))
    steps = [env.length_of(seed) for seed in _env_seeds(24)]
    env.close()
    most = _greedy(steps, width)
    require(ticks <= most, f"24 units of 1 or 40 steps, n_envs=4: expected {most} policy calls, got {ticks}")


def _ticks(lab: Lab, width: int, lengths: tuple[int, ...], n_units: int) -> int:
    env = NewEnvUpdate(partial(TattooEnv, tag=1, lengths=lengths, infos="none"))
    arguments = {"n_workers": 1, "seed": 1, "max_episode_length": 40}
    with _local(lab, width, RowWatcher(width), env, **arguments) as sampler:
        batch = _watched(lambda s: s.obtain_exact_episodes(n_units), sampler, f"n_envs={width}")
    return int(np.max(cast("Any", batch.agent_infos["tick"]))) + 1


def _env_seeds(n: int) -> list[int]:
    return [unit_seeds(1, number)[0] for number in range(n)]


def _greedy(steps: list[int], width: int) -> int:
    """Return how many ticks it takes where each unit goes to the first slot that is free."""
    free = [0] * width
    for length in steps:
        slot = free.index(min(free))
        free[slot] += length
    return max(free)


@clause(
    "A7.own-slots",
    unless={"fragments"},
    needs={"per_worker_envs"},
    says="A list of n_envs environments is spread over the slots: unit m of a worker runs in slot m mod "
    "n_envs.",
    why="Lists of tasks, one for each slot, are how meta-learning gathers a batch.",
    causes="the first one copied to all slots; units given to any slot that is free; wrong lengths accepted.",
)
def own_slots(lab: Lab) -> None:
    """Give two workers a list of three each, and look which environment ran which unit."""
    wide = _with(lab, 3)
    tags = [[10 * worker + slot for slot in range(3)] for worker in range(2)]
    envs = [
        [NewEnvUpdate(partial(TattooEnv, tag=tag, lengths=(1, 6, 7))) for tag in of_worker]
        for of_worker in tags
    ]
    with wide.sampler(ProbePolicy(1), envs, n_workers=2) as sampler:
        for index in range(3):
            batch = sampler.obtain_exact_episodes(5) if index != 1 else sampler.obtain_samples(index, 50)
            units = batch.provenance.units.tolist() if batch.provenance is not None else []
            wanted = [tags[unit % 2][unit // 2 % 3] for unit in units]
            got = cast("Any", batch.episode_infos_by_episode["tag"]).tolist()
            require(got == wanted, f"call {index}: expected the environments {wanted}, got {got}")
    try:
        with wide.sampler(ProbePolicy(1), [each[:2] for each in envs], n_workers=2):
            pass
    except Exception as error:
        named = "2" in str(error) and "3" in str(error)
        require(named, f"2 environments for n_envs=3: expected an error that names both, got {error}")
    else:
        raise Violation("2 environments for n_envs=3 were accepted")


_NATIVE_CASES = (
    ((5,), "none"),
    ((1, 2, 5, 9), "none"),
    ((1, 2, 5, 9), "rich"),
    ((2, 2, 2, 2, 2, 2, 2, 2, 2, 5), "late"),
    ((1, 2, 5, 9), "late"),
)
"""Lengths of episodes, and infos of their steps."""


@clause(
    "A7.native",
    says="The slots of a vector environment that seeds each of them give the batches of as many environments "
    "that are stepped one by one, whatever its autoreset mode.",
    why="Which of the two it is, is a matter of speed.",
    causes="an episode that the environment began by itself, with a seed of its own; the observation after a "
    "reset for the final one; a reset taken for a step; another order of slots that end together; a step "
    "lost where infos are recorded in another way from there on.",
)
def native(lab: Lab) -> None:
    """Compare both, for episodes that end together, and for others."""
    width, limit = 4, 7
    wide = _with(lab, width, fragments=True)
    worker = lab.subject.worker
    if worker is None or not worker.takes_vector_envs:
        raise NotApplicable(f"{lab.subject.name} takes no vector environments")
    for mode in AutoresetMode:
        for lengths, infos in _NATIVE_CASES if mode is AutoresetMode.NEXT_STEP else _NATIVE_CASES[:3]:
            envs = (
                partial(TattooEnv, tag=1, lengths=lengths, infos=infos),
                partial(ChorusEnv, width, mode.name, tag=1, lengths=lengths, infos=infos),
            )
            found = [_native_calls(wide, env, limit) for env in envs]
            for call, (wanted, got) in enumerate(zip(*found, strict=True)):
                where = f"{mode.name}, episodes of {lengths} steps, infos={infos!r}, call {call}"
                require_same_units(where, got, wanted)


class _OneMove(TattooEnv):
    """Allows one action only, which depends on the episode and the step."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        require(int(action) == _move(*self._mark()[:3]), "an action that is not allowed there")
        return super().step(action)


def _move(tag: int, key: int, t: int) -> int:
    return mix(tag, key, t) % N_ACTIONS


class _Mover(ProbePolicy):
    """Does what is allowed."""

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        return np.int64(_move(*mark_of(observation)[:3].tolist())), {}

    def get_actions(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        return np.array([_move(*mark[:3]) for mark in mark_of(observations).tolist()]), {}


@clause(
    "A7.native-idle",
    says="What a vector environment is told in slots that have no unit is allowed there.",
    why="It steps them all, and in games and with action masks an action that is legal here is an error "
    "there: an innocent unit would fail.",
    causes="the action of another slot; an action for what the slot showed before it was reset.",
)
def native_idle(lab: Lab) -> None:
    """Allow but one action in each state."""
    width = 4
    wide = _with(lab, width, fragments=True)
    worker = lab.subject.worker
    if worker is None or not worker.takes_vector_envs:
        raise NotApplicable(f"{lab.subject.name} takes no vector environments")
    env = partial(ChorusEnv, width, kind=_OneMove, tag=1, lengths=(1, 2, 5, 9), infos="none")
    with wide.sampler(_Mover(1), env, n_workers=2, seed=1, max_episode_length=7) as sampler:
        for call in range(4):
            got = len(sampler.obtain_samples(call, 20).rewards)
            require(got >= 20, f"call {call}: expected 20 steps, got {got}")


@clause(
    "C4.slots",
    says="Whatever comes of an update of the environments of a worker with several of them, each that was "
    "made is closed exactly once.",
    why="A worker of many environments that forgets them leaks as many simulators with each update.",
    causes="only the first slot's closed; those that were refused forgotten; those before closed, and kept; "
    "a close that raises.",
)
def slots_closed(lab: Lab) -> None:
    """Balance the ledger after updates that work out, and after such as do not."""
    width = 3
    wide = _with(lab, width, fragments=True)
    worker = lab.subject.worker
    assert worker is not None, "it has several environments"
    with tempfile.TemporaryDirectory() as folder:
        ledger, once = str(Path(folder) / "ledger"), str(Path(folder) / "once")
        plain = partial(TattooEnv, tag=1, lengths=(3,), infos="none", ledger=ledger)
        updates: list[tuple[str, Any, Any]] = [
            ("others", plain, plain),
            ("others whose spaces are refused", plain, partial(_OfWords, ledger=ledger)),
            (
                "others, when one before raises as it is closed",
                partial(plain, fault=Fault("close", once=once)),
                plain,
            ),
        ]
        if worker.takes_vector_envs:
            chorus = partial(ChorusEnv, num_envs=width, lengths=(3,), infos="none", ledger=ledger)
            updates += [
                ("a vector environment", plain, chorus),
                ("others, instead of a vector environment", chorus, plain),
                ("a vector environment of another size", chorus, partial(chorus, num_envs=width + 1)),
            ]
        for what, first, second in updates:
            with wide.sampler(ProbePolicy(1), NewEnvUpdate(first), n_workers=2) as sampler:
                sampler.obtain_samples(0, 9)
                with suppress(WorkerError):
                    sampler.obtain_samples(1, 9, env_update=NewEnvUpdate(second))
                sampler.obtain_samples(2, 9)
            require_closed_once(read_ledger(ledger), f"after an update to {what}")


class _OfWords(TattooEnv):
    """Observes what no column holds."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.observation_space = spaces.Text(5)


def _native_calls(lab: Lab, env: Any, limit: int) -> list[EpisodeBatch]:
    with lab.sampler(ProbePolicy(1), env, n_workers=2, seed=1, max_episode_length=limit) as sampler:
        return [
            sampler.obtain_samples(0, 60),
            sampler.obtain_samples(1, 1),
            sampler.obtain_samples(2, 40, agent_update=ProbePolicy(2).get_param_values()),
        ]
