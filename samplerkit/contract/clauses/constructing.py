"""Clauses D5 and D6: what a sampler is made of, what follows where nothing was given, where it is made."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from samplerkit.contract.attempts import PATIENCE, Outcome, attempt, returned, within
from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import ProbePolicy, TattooEnv, limited, mark_of, read_ledger
from samplerkit.contract.reference import unit_seeds
from samplerkit.contract.subject import Pace
from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import Sampler
from samplerkit.workers import WorkerFactory

_LIMITS = (1_100, 5)
"""Steps that environments themselves allow: once more than the 1000 that many a library takes for granted."""


@contextmanager
def _made(lab: Lab, what: str, agents: Any, limit: int, **given: Any) -> Iterator[Sampler]:
    """Make a sampler of nothing but what is given, and an environment with a limit of its own."""
    made = attempt(what, lambda: lab.subject.make(agents, partial(limited, limit), **given))
    sampler = returned(made, what, "a sampler")
    try:
        yield sampler
    finally:
        with within(PATIENCE, "shutdown_worker()"):
            sampler.shutdown_worker()


# -- defaults ----------------------------------------------------------------------------------------


@clause(
    "D5.defaults",
    says="Without a seed each sampler draws one of its own; without n_workers, a list has one item for each "
    "worker; without max_episode_length, the environment's own limit counts. What was given counts, integers "
    "of numpy and a worker_factory too, and sampler.seed and sampler.n_workers say what became of it.",
    why="Defaults are what most experiments run with: ten runs that share a seed are one run.",
    causes="a default seed of 0; a default limit; worker_factory dropped with other arguments; isinstance(…, "
    "int), which numpy's integers are not.",
)
def defaults(lab: Lab) -> None:
    """Make samplers with nothing given, with numbers of numpy, and with a factory."""
    listed = bool(lab.subject.capabilities.get("per_worker_agents"))
    agents: Any = [ProbePolicy(1)] * 3 if listed else ProbePolicy(1)
    what, given = ("made of 3 agents only", {}) if listed else ("made of n_workers=3", {"n_workers": 3})
    drawn: list[int] = []
    for limit in _LIMITS:
        with _made(lab, what, agents, limit, pace=Pace(1, limit), **given) as sampler:
            _require_numbers(sampler, what, n_workers=3)
            batch = sampler.obtain_samples(0, 1)
            _require_lengths(batch, limit, f"an environment whose own limit is {limit}, and no other")
            drawn.append(_seed_used(sampler, batch, "seed=None"))
    require(
        drawn[0] != drawn[1], f"two samplers made with seed=None: expected two seeds, both have {drawn[0]}"
    )
    numbers = {"seed": np.int64(3), "n_workers": np.int16(2), "max_episode_length": np.uint8(4)}
    what = f"made of {', '.join(f'{name}={number!r}' for name, number in numbers.items())}"
    with _made(lab, what, ProbePolicy(1), limit, pace=Pace(1, 4), **numbers) as sampler:
        _require_numbers(sampler, what, n_workers=2, seed=3)
        batch = sampler.obtain_samples(0, 4 * 4)
        _require_lengths(batch, 4, what)
        _seed_used(sampler, batch, what)
    _check_factory(lab)


def _check_factory(lab: Lab) -> None:
    subject, steps = lab.subject, 2
    pace = Pace(1, steps)._asdict() if subject.fragments else {}
    of_worker: dict[str, Any] = (
        {"worker_class": subject.worker, "worker_args": {**subject.worker_args, **pace}}
        if subject.worker
        else {}
    )
    factory = WorkerFactory(seed=5, n_workers=3, max_episode_length=steps, **of_worker)
    what = f"made of a worker_factory with seed 5, n_workers 3 and max_episode_length {steps}"
    made = attempt(
        what,
        lambda: subject.sampler(
            ProbePolicy(1), partial(limited, 5), **subject.options, worker_factory=factory
        ),
    )
    with returned(made, what, "a sampler") as sampler:
        _require_numbers(sampler, what, n_workers=3, seed=5)
        batch = sampler.obtain_samples(0, 4 * steps)
        _require_lengths(batch, steps, what)
        _seed_used(sampler, batch, what)


def _require_numbers(sampler: Sampler, where: str, **wanted: int) -> None:
    for name, number in wanted.items():
        got = getattr(sampler, name)
        require(got == number, f"{where}: expected sampler.{name} {number}, got {got!r}")


def _require_lengths(batch: EpisodeBatch, wanted: int, where: str) -> None:
    lengths = np.unique(batch.lengths).tolist()
    require(lengths == [wanted], f"{where}: expected episodes of {wanted} steps, got {lengths}")


def _seed_used(sampler: Sampler, batch: EpisodeBatch, given: str) -> int:
    """Return the seed that a sampler says it has, if unit 0 was seeded by it."""
    got, wanted = int(mark_of(batch.observations)[0, 1]), unit_seeds(sampler.seed, 0)[0]
    require(
        got == wanted,
        f"{given}: sampler.seed says {sampler.seed}, of which unit 0 has the env_seed {wanted}; it was run "
        f"with {got}",
    )
    return sampler.seed


# -- agents and environments -------------------------------------------------------------------------


class _ListOfWeights(ProbePolicy):
    """Returns what a sampler would take for one update for each worker."""

    def get_param_values(self) -> Any:
        return [np.zeros(2)]


class _Original(ProbePolicy):
    """Has a twin, which samples in its place."""

    def for_sampling(self) -> ProbePolicy:
        return ProbePolicy(77)


@clause(
    "D5.agents",
    says="At construction, too, a list of another length than n_workers is a ValueError that names both. A "
    "policy whose weights are a list is refused. Of one with for_sampling(), workers get what that returns.",
    why="A list that is cut or filled up trains on tasks that nobody asked for; weights that are a list are "
    "taken apart with the first update.",
    causes="zip; checks in the calls only; the policy pickled as it was given.",
)
def agents_at_first(lab: Lab) -> None:
    """Make samplers that must be refused, and one of a policy that has a twin."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        env = partial(TattooEnv, lengths=(3,), infos="none", ledger=ledger)
        for name, plural in (("per_worker_agents", "agents"), ("per_worker_envs", "envs")):
            if lab.subject.capabilities.get(name):
                items: Mapping[str, Any] = {plural: [{"agents": ProbePolicy(1), "envs": env}[plural]] * 3}
                what = f"3 {plural} for 2 workers"
                _refuses(lab, what, (ValueError,), ("2", "3"), **{"envs": env, **items})
        _refuses(
            lab,
            "a policy whose weights are a list",
            (TypeError, ValueError),
            ("list",),
            agents=_ListOfWeights(1),
            envs=env,
        )
        require(not read_ledger(ledger), "arguments were refused after an environment was constructed")
    with lab.sampler(_Original(1), partial(TattooEnv, lengths=(3,)), episodes_of=3) as sampler:
        batch = sampler.obtain_samples(0, 6)
    got = sorted(set(np.asarray(batch.agent_infos["version"]).tolist()))
    require(
        got == [77],
        f"a policy of version 1 whose for_sampling() is of 77: expected agent_infos['version'] 77, got {got}",
    )


def _refuses(
    lab: Lab, what: str, kinds: tuple[type[Exception], ...], words: tuple[str, ...], **given: Any
) -> None:
    arguments = {"agents": ProbePolicy(1), "n_workers": 2, "seed": 1, "max_episode_length": 8, **given}
    outcome = attempt(what, lambda: lab.subject.make(**arguments).shutdown_worker())
    names = " or ".join(kind.__name__ for kind in kinds)
    if not isinstance(outcome.error, kinds):
        raise Violation(f"{what}: expected {names} from the constructor, {outcome}") from outcome.error
    missing = [word for word in words if word not in str(outcome.error)]
    require(not missing, f"{what}: expected an error that names {' and '.join(words)}, {outcome}")


# -- where it is made --------------------------------------------------------------------------------


@clause(
    "D6.anywhere",
    says="A sampler can be made in one thread and used in another, also inside a running event loop; nobody "
    "looks at itr.",
    why="Notebooks run an event loop, servers make samplers in threads, and algorithms count as they like.",
    causes="signal handlers that only the main thread may set; asyncio.run() in a call; itr as an index.",
)
def anywhere(lab: Lab) -> None:
    """Make one in a thread, and call it in an event loop, with odd iterations."""
    made = _in_a_thread(
        lambda: lab.subject.make(
            ProbePolicy(1), partial(TattooEnv, infos="none"), n_workers=2, seed=1, max_episode_length=8
        )
    )
    with returned(made, "made in another thread", "a sampler") as sampler:
        for itr in (-1, None):
            what = f"itr={itr!r}"
            returned(attempt(what, partial(sampler.obtain_samples, itr, 3)), what)

        async def call() -> None:
            sampler.obtain_samples(2, 3)

        what = "a call in a running event loop"
        returned(attempt(what, lambda: asyncio.run(call())), what)


def _in_a_thread(call: Callable[[], Any]) -> Outcome:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(attempt("the constructor", call)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not outcomes:
        raise Violation(f"the constructor, in a thread, did not return within {PATIENCE:g} s")
    return outcomes[0]
