"""Clause B2 once more: nothing follows an end, and a unit that nobody wants ends between two steps."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import EndlessEnv, ProbePolicy, TattooEnv, read_ledger
from samplerkit.contract.reference import unit_seeds
from samplerkit.contract.script import Script
from samplerkit.interfaces import Env, Sampler

_PATIENCE = 7.0
"""Seconds for what the contract allows five."""


@clause(
    "B2.no-step-after-end",
    kind="script",
    says="No step is taken after the end of an episode.",
    why="Most environments do not check: they go on from a state that does not exist.",
    causes="vectorized slots that wait for the others; reading the last observation by a further step.",
)
def no_step_after_end(lab: Lab, script: Script) -> None:
    """Look for the complaint of the probe."""
    trace = lab.trace(script)
    require(
        "a step after the end" not in str(trace.error),
        f"call {len(trace.batches)}: expected no step after the end of an episode, got one",
    )


@clause(
    "B2.cancel",
    says="A running unit can be cancelled between steps.",
    why="With max_episode_length=inf, a unit that ran ahead may never end by itself.",
    causes="a worker that looks at nothing while an episode runs; waiting for it before an update.",
)
def cancel(lab: Lab) -> None:
    """Shut down, and update, while an episode runs that does not end."""
    with tempfile.TemporaryDirectory() as folder:
        stop, ledger = Path(folder) / "stop", str(Path(folder) / "ledger")
        endless = partial(EndlessEnv, str(stop), ledger)
        try:
            _shut_down_in_a_unit(lab, endless, ledger)
            _update_in_a_unit(lab, stop)
        finally:
            stop.touch()


def _shut_down_in_a_unit(lab: Lab, endless: Callable[[], Env], ledger: str) -> None:
    with lab.sampler(ProbePolicy(1), endless, max_episode_length=float("inf"), n_workers=1) as sampler:
        call = threading.Thread(target=_ignoring_errors, args=(sampler,), daemon=True)
        call.start()
        _wait_for_a_reset(ledger)
        sampler.shutdown_worker()
        call.join(_PATIENCE)
        alive = call.is_alive()
    require(not alive, "shutdown in an episode without end: expected the running call to end, it goes on")
    for event, held in (("close", True), ("closed-in-step", False)):
        require(
            bool(read_ledger(ledger, event)) == held,
            "shutdown in an episode without end: expected the unit cancelled between two steps, and then its "
            f"environment closed, got {'one closed in a step' if held is False else 'it left open'}",
        )


def _ignoring_errors(sampler: Sampler) -> None:
    try:
        sampler.obtain_samples(0, 10**6)
    except Exception:
        return


def _wait_for_a_reset(ledger: str) -> None:
    for _ in range(1000):
        if read_ledger(ledger, "reset"):
            return
        threading.Event().wait(0.01)
    raise Violation("expected an episode to begin within 10 s of obtain_samples, got no reset")


def _update_in_a_unit(lab: Lab, stop: Path) -> None:
    first, second = threading.Event(), threading.Event()
    seed = next(seed for seed in range(1000) if _ends(seed, 0) and not _ends(seed, 1) and not _ends(seed, 2))
    envs = partial(EndlessEnv, str(stop), odd_keys_end=True)
    with lab.sampler(ProbePolicy(1), envs, seed=seed, max_episode_length=float("inf")) as sampler:

        def calls() -> None:
            with contextlib.suppress(Exception):
                sampler.obtain_samples(0, 1)
                first.set()
                sampler.obtain_samples(0, 1, None, partial(TattooEnv, lengths=(1,)))
                second.set()

        threading.Thread(target=calls, daemon=True).start()
        # Where units that run ahead are waited for, which is odd but allowed, there is nothing to cancel.
        ran_ahead = first.wait(_PATIENCE)
        returned = ran_ahead and second.wait(_PATIENCE)
        stop.touch()
    require(
        returned or not ran_ahead,
        "an update while units without end run ahead: expected them cancelled and the call to return "
        f"within {_PATIENCE:g} s, got nothing",
    )


def _ends(seed: int, number: int) -> bool:
    return unit_seeds(seed, number)[0] % 2 == 1
