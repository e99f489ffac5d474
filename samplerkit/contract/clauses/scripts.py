"""Section E, as scripts: silence, no main guard, no shutdown, a parent that is killed."""

from __future__ import annotations

import time

from samplerkit.contract.census import alive
from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.programs import Ended, program, run

_GONE = 2.0
"""Seconds after which nothing of a program may be left."""

_SLACK = 1.5
"""Seconds more, for a machine that is busy."""

_ORDINARY = """
print("main module runs", flush=True)

import pickle

from samplerkit import DefaultWorker, WorkerError
from samplerkit.contract.census import descendants
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.contract.settings import changed, settings

class Mine(TattooEnv):
    def step(self, action):
        if self.tag == 13:
            raise ValueError("on purpose")
        return super().step(action)

class MyWorker(subject.worker or DefaultWorker):
    pass

def make(which, **more):
    arguments = {"worker_class": MyWorker, "n_workers": 2, "seed": 5, "max_episode_length": 8, **more}
    return which.make(ProbePolicy(1), lambda: Mine(tag=1, infos="none"), **arguments)

def collected(which):
    with make(which) as sampler:
        batches = [sampler.obtain_samples(0, 20)]
        try:
            sampler.obtain_samples(1, 1, env_update=lambda: Mine(tag=13))
        except WorkerError:
            pass
        batches.append(sampler.obtain_samples(2, 20, ProbePolicy(2), lambda: Mine(tag=2, infos="none")))
        sampler.set_state(pickle.loads(pickle.dumps(sampler.get_state())))
        pickle.dumps(sampler)
        if sampler.supports("exact_episodes"):
            batches.append(sampler.obtain_exact_episodes(1))
        return batches

before = settings()
ours = collected(subject)
print("settings:", ", ".join(changed(before)))
pairs = zip(ours, collected(local))
differences = [difference for mine, other in pairs if (difference := mine.difference(other))]
print("differences:", *differences)

forgotten = make(subject)
forgotten.obtain_samples(0, 20)
print("processes:", *descendants(), flush=True)
"""

_KILLED = """
from samplerkit.contract.census import descendants
from samplerkit.contract.faults import sleep_a_little
from samplerkit.contract.probes import Fault, ProbePolicy, TattooEnv
from samplerkit.contract.standing import keep_runtime

keep_runtime(subject)
slow = Fault("step", sleep_a_little)
sampler = subject.make(
    ProbePolicy(1), lambda: TattooEnv(fault=slow), n_workers=2, seed=5, max_episode_length=8
)
print("processes:", *descendants(), flush=True)
sampler.obtain_samples(0, 10**9)
"""

_INTERRUPTED = """
from samplerkit.contract.attempts import attempt_interrupted
from samplerkit.contract.faults import dawdle
from samplerkit.contract.probes import Fault, ProbePolicy, TattooEnv

slow = Fault("step", dawdle)

def use():
    with subject.make(
        ProbePolicy(1), lambda: TattooEnv(fault=slow), n_workers=3, seed=5, max_episode_length=8
    ) as sampler:
        sampler.obtain_samples(0, 10**9)

for after in (0.05, 0.12, 0.25, 0.5):
    error = attempt_interrupted("a sampler", use, after=after).error
    print("outcome:", type(error).__name__, str(error)[:200].splitlines()[:1], flush=True)
"""


def _ordinary(lab: Lab) -> Ended:
    """Run an ordinary script, once for all clauses."""
    return lab.once("an ordinary script", lambda: run(lab.subject, _ORDINARY))


def _line(ended: Ended, name: str) -> str:
    for line in ended.out.splitlines():
        if line.startswith(name + ":"):
            return line.partition(":")[2].strip()
    raise Violation(f"a script failed: {_last_line(ended)}", code=_ORDINARY)


def _last_line(ended: Ended) -> str:
    return (ended.err.strip().splitlines() or [f"it ended with status {ended.status}"])[-1]


@clause(
    "E6.silent",
    says="The library prints nothing of its own accord, neither to stdout nor to stderr.",
    why="Output belongs to the program: what a library prints breaks whoever reads it.",
    causes="progress bars; print() in a worker; tracebacks of workers that are ended; a runtime's banner.",
)
def silent(lab: Lab) -> None:
    """Read what a script printed that samples, updates, meets an error and shuts down."""
    ended = _ordinary(lab)
    _line(ended, "processes")
    expected = ("main module runs", "settings:", "differences:", "processes:")
    said = [line for line in ended.out.splitlines() if not line.startswith(expected)]
    said += ended.err.splitlines()
    require(not said, f"{len(said)} lines were printed that the script did not print, such as {said[:1]}")


@clause(
    "D4.whole-group",
    says="Ctrl-C reaches every process of a terminal's group, also while it starts: no worker says a word.",
    why="Twenty tracebacks of workers that were starting hide the one line that matters.",
    causes="SIGINT ignored by the worker's first statement, when Python and numpy have long been imported.",
)
def whole_group(lab: Lab) -> None:
    """Press Ctrl-C early and late in the life of samplers, in a program of their own."""
    ended = run(lab.subject, _INTERRUPTED)
    outcomes = [line.partition(" ")[2] for line in ended.out.splitlines() if line.startswith("outcome:")]
    if ended.status or not outcomes:
        raise Violation(f"a script that is interrupted failed: {_last_line(ended)}", code=_INTERRUPTED)
    wrong = [it for it in outcomes if not it.startswith("KeyboardInterrupt ")]
    require(not wrong, f"Ctrl-C: expected KeyboardInterrupt, got {wrong[:1]}", code=_INTERRUPTED)
    said = ended.err.splitlines()
    require(
        not said,
        f"Ctrl-C: expected that workers say nothing, got {len(said)} lines, the last {said[-1:]}",
        code=_INTERRUPTED,
    )


@clause(
    "E4.settings",
    says="The settings of the program (environment variables, signal handlers, logging, working directory, "
    "threads of BLAS, …) are after the shutdown as they were before the sampler.",
    why="They belong to the whole program: whoever changes them changes what others do, far away.",
    causes="os.environ[…] = … for the workers' sake; logging.basicConfig(); a handler that is not put back; "
    "a runtime's initialisation.",
)
def settings_are_left(lab: Lab) -> None:
    """Compare them in a program of their own, before its first sampler and after its shutdown."""
    names = _line(_ordinary(lab), "settings")
    require(not names, f"after the shutdown: expected as before, got changed: {names}")


@clause(
    "E7.no-main-guard",
    says="A script without a main guard works: its main module runs once, what it defines reaches workers.",
    why="Scripts and notebooks are written top to bottom; a guard that is missed starts workers without end.",
    causes="spawn as it is, which imports the main module again in each process.",
)
def no_main_guard(lab: Lab) -> None:
    """Run a script that defines its environment and its worker and samples, without a guard."""
    ended = _ordinary(lab)
    differences = _line(ended, "differences")
    runs = ended.out.splitlines().count("main module runs")
    require(runs == 1, f"the script's main module ran {runs} times")
    require(not differences, f"a script's own environment and worker, compared with local: {differences}")


@clause(
    "E3.forgotten",
    says="A program that forgets the shutdown ends, with status 0, and leaves nothing.",
    why="It should not take more than the end of the program to clean up after it.",
    causes="threads that are no daemons; exit handlers that wait for workers which wait for work.",
)
def forgotten(lab: Lab) -> None:
    """Look for processes of a script that has ended."""
    ended = _ordinary(lab)
    pids = [int(pid) for pid in _line(ended, "processes").split()]
    require(ended.status == 0, f"a program that forgot the shutdown ended with status {ended.status}")
    _check_gone(pids, "a program that forgot the shutdown")


@clause(
    "E3.parent-killed",
    says="A parent that is killed by SIGKILL leaves no worker after 2 s.",
    why="The out-of-memory killer and batch systems send SIGKILL; orphans then hold the machine.",
    causes="workers that wait for messages and never notice that nobody can send any.",
)
def parent_killed(lab: Lab) -> None:
    """Kill a script in the middle of a call."""
    with program(lab.subject, _KILLED) as script:
        assert script.stdout is not None, "a pipe"
        line = script.stdout.readline()
        if not line.startswith("processes:"):
            _, err = script.communicate(timeout=10)
            raise Violation(
                f"a script failed: {_last_line(Ended(line, err, script.returncode))}", code=_KILLED
            )
        time.sleep(0.3)
        script.kill()
    _check_gone([int(pid) for pid in line.split()[1:]], "a program that was killed")


def _check_gone(pids: list[int], whose: str) -> None:
    until = time.monotonic() + _GONE + _SLACK
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    require(not left, f"{whose} left {len(left)} of its {len(pids)} processes")
