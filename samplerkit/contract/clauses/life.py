"""Section E, in one program: starting, closing, leaving nothing, pickling."""

from __future__ import annotations

import copy
import gc
import pickle
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from samplerkit.contract.attempts import attempt, fails_with, returned, within
from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.differences import first_difference
from samplerkit.contract.faults import Kill
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import Fault, ProbePolicy, TattooEnv, read_ledger, unclosed
from samplerkit.contract.script import Op, Script
from samplerkit.contract.subject import Pace
from samplerkit.errors import SamplerClosed, WorkerDied
from samplerkit.interfaces import Sampler

_CYCLES = 5

_SCRIPT = Script(
    ops=(
        Op(9),
        Op(6, agent="weights"),
        Op(6, env="new"),
        Op(6, agent="policy each", env="task each"),
        Op(6, env="existing"),
        Op(6, env="environment"),
    ),
    n_workers=2,
    seed=5,
    lengths=(3,),
)


@contextmanager
def _sampler(lab: Lab, ledger: Path | None = None) -> Iterator[Sampler]:
    given = None if ledger is None else str(ledger)
    pace = Pace(*_SCRIPT.pace)
    with lab.sampler(_SCRIPT.agents(), _SCRIPT.envs(ledger=given), n_workers=2, seed=5, pace=pace) as sampler:
        yield sampler


def _call(sampler: Sampler, index: int) -> Any:
    agent, _ = _SCRIPT.agent_update(index)
    env, _ = _SCRIPT.env_update(index)
    return sampler.obtain_samples(index, _SCRIPT.ops[index].count, agent, env)


# -- the beginning and the end -----------------------------------------------------------------------


@clause(
    "E1.up",
    says="Workers are up when the constructor returns.",
    why="What cannot start should be heard of where the sampler is made, not in the first epoch.",
    causes="starting at the first call; not waiting for the workers.",
)
def up(lab: Lab) -> None:
    """Look for environments before the first call."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        with _sampler(lab, ledger):
            opened = len(read_ledger(ledger, "open")) - len(read_ledger(ledger, "close"))
            require(opened > 0, "the constructor returned, and no worker has an environment")


@clause(
    "E2.again-and-again",
    says="shutdown_worker() may be called any number of times, also after a with block.",
    why="A finally block, a with block and a notebook's cell may all want to be sure.",
    causes="joining what was joined before; a queue that is closed.",
)
def again_and_again(lab: Lab) -> None:
    """Shut down three times, and see that environments are closed by the first only."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        with _sampler(lab, ledger) as sampler:
            _call(sampler, 0)
            for turn in ("first", "second", "third"):
                outcome = attempt(f"the {turn} shutdown", sampler.shutdown_worker)
                require(outcome.error is None, f"the {turn} shutdown should do no harm, {outcome}")
                wrong = unclosed(ledger)
                require(not wrong, f"the {turn} shutdown: opens minus closes of environments: {wrong}, not 0")


@clause(
    "E2.context",
    says="A sampler is a context manager: the end of the block shuts it down, and lets exceptions through.",
    why="It is how a script makes sure that nothing is left, whatever happens in between.",
    causes="__exit__ that returns something true; one that does nothing.",
)
def context(lab: Lab) -> None:
    """Leave a with block by an exception."""
    with _sampler(lab) as sampler:

        def leave() -> None:
            with sampler as entered:
                require(entered is sampler, "__enter__ returned something else than the sampler")
                raise ZeroDivisionError("of the caller")

        outcome = attempt("a with block", leave)
        error = outcome.error
        require(isinstance(error, ZeroDivisionError), f"an exception left a with block: {outcome}")
        outcome = attempt("obtain_samples", lambda: sampler.obtain_samples(0, 1))
        closed = isinstance(outcome.error, SamplerClosed)
        require(closed, f"after a with block: expected SamplerClosed, {outcome}")


@clause(
    "E2.closed-once",
    says="Every environment is closed exactly once, those that were replaced and those at the shutdown.",
    why="A simulator holds windows, ports, licences; a second close() often raises, or closes another's.",
    causes="replaced environments forgotten; shared ones closed by each worker; not waiting for the end.",
)
def closed_once(lab: Lab) -> None:
    """Keep a ledger of all environments over updates of every sort."""
    own: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        with _sampler(lab, ledger) as sampler:
            for index, op in enumerate(_SCRIPT.ops):
                update, _ = _SCRIPT.env_update(index, ledger=str(ledger))
                if op.env == "task each" and not sampler.supports("per_worker_envs"):
                    continue
                sampler.obtain_samples(index, op.count, None, update)
                own.append(
                    {"environment": update, "existing": getattr(update, "_env", None)}.get(str(op.env))
                )
        for env in filter(None, own):
            env.close()  # the caller's own: samplers copy what they are given
        balance = unclosed(ledger)
        opened = len(read_ledger(ledger, "open"))
    left, twice = [n for n in balance.values() if n > 0], [n for n in balance.values() if n < 0]
    require(not left, f"of {opened} environments {len(left)} were not closed when shutdown_worker() returned")
    require(not twice, f"of {opened} environments {len(twice)} were closed more than once")


# -- what is left ------------------------------------------------------------------------------------


@clause(
    "E3.nothing-left",
    says="After the shutdown no process, thread, file descriptor, shared memory or temporary file is left, "
    "but for one fork server and one resource tracker; making and shutting down repeatedly does not grow.",
    why="A search over hyperparameters makes hundreds of samplers in one program.",
    causes="processes not joined; sentinels and pipes not closed; threads that wait for ever.",
)
def nothing_left(lab: Lab) -> None:
    """Count before and after some lives of samplers, in which everything is called once."""
    before = lab.census()
    for _ in range(_CYCLES):
        with _sampler(lab) as sampler:
            _call(sampler, 0)
            sampler.set_state(sampler.get_state())
            _call(sampler, 1)
            if lab.exact:
                sampler.obtain_exact_episodes(1)
            pickle.loads(pickle.dumps(sampler))
    left = lab.left_over(before)
    require(left is None, f"after {_CYCLES} samplers: {left}")
    processes = lab.census().processes.keys() - lab.at_first.processes.keys()
    names = ", ".join(lab.census().processes.get(pid, str(pid)) for pid in processes)
    require(not processes, f"processes are left of samplers that were shut down: {names}")


@clause(
    "E3.dropped",
    says="A sampler that is dropped without a shutdown warns (ResourceWarning) and still leaves nothing.",
    why="In a notebook the same name is assigned again and again.",
    causes="reference cycles; threads that hold the sampler; no __del__.",
)
def dropped(lab: Lab) -> None:
    """Drop one."""
    before = lab.census()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sampler = lab.subject.make(
            _SCRIPT.agents(), _SCRIPT.envs(), n_workers=2, seed=5, max_episode_length=8
        )
        _call(sampler, 0)
        with within(8, "dropping a sampler"):
            del sampler
            gc.collect()
    warned = [it for it in caught if issubclass(it.category, ResourceWarning)]
    left = lab.left_over(before)
    require(left is None, f"a sampler was dropped: {left}")
    require(bool(warned), "a sampler was dropped without a shutdown, and there was no ResourceWarning")


# -- pickling ----------------------------------------------------------------------------------------


@clause(
    "E5.pickles",
    says="A sampler pickles as its state: the copy goes on where the original stands, starts its workers at "
    "its first call, and shares none with the original.",
    why="Checkpoints of an experiment hold its sampler.",
    causes="pipes and locks that cannot be pickled; a copy that talks to the original's workers.",
)
def pickles(lab: Lab) -> None:
    """Copy one by pickle and by deepcopy, and let all of them go on."""
    wanted = lab.expected(_SCRIPT)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        with _sampler(lab, ledger) as sampler:
            for index in range(2):
                _call(sampler, index)
            settled, lives = lab.census(), len(read_ledger(ledger))
            copies = {
                "pickle": attempt("pickle", lambda: pickle.loads(pickle.dumps(sampler))),
                "deepcopy": attempt("deepcopy", lambda: copy.deepcopy(sampler)),
            }
            for name, made in copies.items():
                if made.error is not None:
                    raise Violation(f"{name}: {made}") from made.error
            more = lab.left_over(settled)
            require(more is None, f"copies start something before their first call: {more}")
            opened = len(read_ledger(ledger)) - lives
            require(not opened, f"copies touch environments before their first call: {opened} times")
            batches = {"the original": attempt("the original", lambda: _call(sampler, 2))}
        for name, made in copies.items():
            with made.value as copied:
                batches[name] = attempt(name, lambda c=copied: _call(c, 2))  # type: ignore[misc]
    for name, outcome in batches.items():
        difference = first_difference(wanted[2].batch, returned(outcome, name))
        require(difference is None, f"{name}, call 2: {difference}")


@clause(
    "E5.options",
    needs={"restartable"},
    says="A copy has the options of the original.",
    why="A checkpoint that comes back with the defaults runs on other processes, or waits for ever.",
    causes="only what is in the state is pickled.",
)
def copied_options(lab: Lab) -> None:
    """Copy a sampler that allows no restarts, and let the copy's workers die."""
    envs = partial(TattooEnv, fault=Fault("step", Kill()))
    with lab.sampler(ProbePolicy(1), envs, max_restarts=0) as sampler:
        copied = pickle.loads(pickle.dumps(sampler))
    with copied:
        outcome = attempt("a call of the copy", lambda: copied.obtain_samples(0, 1))
    fails_with(outcome, WorkerDied, "a copy, whose workers die")
    deaths = getattr(outcome.error, "deaths", None)
    require(
        deaths == 1, f"a copy of a sampler with max_restarts=0: expected WorkerDied.deaths 1, got {deaths}"
    )
