"""Nothing is left behind, and scripts need no main guard."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import gymnasium
import numpy as np
import psutil
import pytest
from fault_probes import FaultyEnv

import samplerkit
from samplerkit.policies import RandomPolicy


def sampler(**arguments):
    arguments = {"seed": 5, "n_workers": 3, "n_processes": 2, "max_episode_length": 20, **arguments}
    envs = arguments.pop("envs", FaultyEnv)
    return samplerkit.make_sampler(
        "multiprocessing", agents=RandomPolicy(FaultyEnv.action_space), envs=envs, **arguments
    )


def running(pid: int) -> bool:
    """Whether a process is there and not just waiting to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def census() -> tuple[int, int, int, set[str]]:
    gc.collect()
    children = sum(running(p.pid) for p in psutil.Process().children(recursive=True))
    files = len(os.listdir("/proc/self/fd"))
    # Semaphores there are those of other programs: samplerkit makes none.
    shared = {name for name in os.listdir("/dev/shm") if not name.startswith("sem.")}
    return children, threading.active_count(), files, shared


def assert_settles(before: tuple[int, int, int, set[str]], within: float = 10.0) -> None:
    """Shared memory is the whole machine's: what others put there goes away again, a leak does not."""
    until = time.monotonic() + within
    while (now := census()) != before and time.monotonic() < until:
        time.sleep(0.1)
    assert now == before


@pytest.mark.slow
def test_repeated_creation_and_shutdown_leaves_and_grows_nothing():
    with sampler() as warm_up:  # starts the fork server and the resource tracker, once per program
        warm_up.obtain_samples(0, 10)
    before = census()
    for _ in range(100):
        with sampler() as s:
            s.obtain_samples(0, 10)
    assert_settles(before)


def test_shutdown_may_be_called_any_number_of_times():
    s = sampler()
    s.shutdown_worker()
    s.shutdown_worker()
    with pytest.raises(samplerkit.SamplerClosed, match="shut down"):
        s.obtain_samples(0, 1)


@pytest.mark.slow
def test_a_dropped_sampler_warns_and_leaves_nothing():
    with sampler():
        pass
    before = census()
    s = sampler()
    s.obtain_samples(0, 10)
    with pytest.warns(ResourceWarning, match="shutdown_worker"):
        del s
        gc.collect()
    assert_settles(before)


def test_environments_are_closed_once_each_by_shutdown(tmp_path: Path):
    ledger = tmp_path / "closed"

    class Closing(FaultyEnv):
        def close(self):
            with ledger.open("a") as file:
                file.write("closed\n")

    with sampler(envs=Closing, n_processes=2) as s:
        s.obtain_samples(0, 10)
    assert ledger.read_text().count("closed") == 2, "one live copy in each of two processes"


def test_a_pickled_sampler_goes_on_where_the_original_stood():
    with sampler() as s:
        s.obtain_samples(0, 50)
        copy = pickle.loads(pickle.dumps(s))
        with copy:
            assert copy.obtain_samples(1, 50).equals(s.obtain_samples(1, 50))


def test_several_samplers_live_side_by_side():
    with sampler() as a, sampler() as b, sampler(seed=6) as c:
        assert a.obtain_samples(0, 50).equals(b.obtain_samples(0, 50))
        assert not a.obtain_samples(0, 50).equals(c.obtain_samples(0, 50))


def test_samplers_work_in_threads():
    batches = []

    def work():
        with sampler() as s:
            batches.append(s.obtain_samples(0, 200))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(batches) == 3
    assert batches[0].equals(batches[1])
    assert batches[0].equals(batches[2])


SCRIPT = """
import sys
import gymnasium, numpy, samplerkit

print("main module runs")

class Still(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (1,), numpy.float32)
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 9))
        return numpy.zeros(1, numpy.float32), {}
    def step(self, action):
        self.left -= 1
        return numpy.zeros(1, numpy.float32), float(action), self.left == 0, False, {}

def act(observation, rng):
    return int(rng.integers(2))

from samplerkit.policies import from_callable
make = lambda name, **options: samplerkit.make_sampler(
    name, agents=from_callable(act), envs=Still, max_episode_length=20, seed=1, n_workers=2, **options)
"""


def run_script(tmp_path: Path, body: str, argv: Sequence[str] = (), **arguments) -> subprocess.Popen[str]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT + textwrap.dedent(body))
    return subprocess.Popen(
        [sys.executable, str(path), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        **arguments,
    )


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_a_script_without_a_main_guard_works_and_its_main_module_runs_once(tmp_path, start_method):
    script = run_script(
        tmp_path,
        f"""
        with make("multiprocessing", n_processes=2, start_method={start_method!r}) as s, make("local") as t:
            print(s.obtain_samples(0, 100).equals(t.obtain_samples(0, 100)))
        """,
    )
    out, err = script.communicate(timeout=60)
    assert out.splitlines() == ["main module runs", "True"], err
    assert err == "", "the library printed something of its own accord"


@pytest.mark.slow
def test_a_forked_process_that_ends_leaves_its_parent_s_workers_alone(tmp_path):
    script = run_script(
        tmp_path,
        """
        import os, time
        s = make("multiprocessing", n_processes=2, stateful=True)
        s.obtain_samples(0, 100)
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        time.sleep(0.3)
        s.obtain_samples(0, 100)
        s.shutdown_worker()
        print("both calls")
        """,
    )
    out, err = script.communicate(timeout=30)
    assert out.splitlines()[-1] == "both calls", err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this operating system has no fork")
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_a_forked_process_samples_by_itself_and_ends_silently(tmp_path, start_method):
    """It has neither its parent's fork server nor its parent's workers to wait for."""
    script = run_script(
        tmp_path,
        f"""
        import os
        how = {{"n_processes": 2, "start_method": {start_method!r}}}
        with make("multiprocessing", **how) as s:
            wanted = s.obtain_samples(0, 100)
            child = os.fork()
            if child == 0:
                forgotten = make("multiprocessing", **how)
                print(forgotten.obtain_samples(0, 100).equals(wanted), flush=True)
                sys.exit(0)
            print(os.waitpid(child, 0)[1])
            s.obtain_samples(1, 100)
        """,
    )
    out, err = script.communicate(timeout=30)
    assert (out.splitlines()[1:], err) == (["True", "0"], "")


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="this operating system has no such signal")
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
@pytest.mark.parametrize("reaper", ["signal.SIG_IGN", "handler"])
def test_a_program_that_takes_the_status_of_every_child_may_shut_down(tmp_path, reaper, start_method):
    script = run_script(
        tmp_path,
        f"""
        import contextlib, os, signal
        def handler(*_):
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        signal.signal(signal.SIGCHLD, {reaper})
        for _ in range(2):
            with make("multiprocessing", n_processes=2, start_method={start_method!r}) as s:
                batch = s.obtain_samples(0, 100)
        with make("local") as t:
            print(batch.equals(t.obtain_samples(0, 100)))
        """,
    )
    out, err = script.communicate(timeout=30)
    assert (out.splitlines()[1:], err) == (["True"], "")


@pytest.mark.slow
def test_a_program_that_forgets_to_shut_down_ends_and_leaves_nothing(tmp_path):
    script = run_script(
        tmp_path,
        """
        s = make("multiprocessing", n_processes=2)
        s.obtain_samples(0, 100)
        import psutil
        print(*[p.pid for p in psutil.Process().children(recursive=True)])
        """,
    )
    out, err = script.communicate(timeout=30)
    assert script.returncode == 0, err
    assert_gone(out.splitlines()[-1].split(), within=2)


IN_A_CHILD = """
import multiprocessing
forgotten = []

class Own(samplerkit.DefaultWorker):
    pass

def sample():
    with make("local") as t:
        wanted = t.obtain_samples(0, 100)
    forgotten.append(make("multiprocessing", n_processes=2, worker_class=Own))
    print(forgotten[0].obtain_samples(0, 100).equals(wanted))
    import psutil
    print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True)

if __name__ == "__main__":
    child = multiprocessing.get_context(sys.argv[1]).Process(target=sample, daemon="daemon" in sys.argv)
    child.start()
    child.join(15)
    print(child.exitcode)
    child.kill()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["daemon", "no_daemon"])
@pytest.mark.parametrize("start_method", ["fork", "forkserver", "spawn"])
def test_a_child_of_multiprocessing_samples_and_ends_though_it_forgets_to_shut_down(
    tmp_path, start_method, kind
):
    script = run_script(tmp_path, IN_A_CHILD, argv=[start_method, kind])
    out, err = script.communicate(timeout=30)
    equal, pids, status = out.splitlines()[-3:]
    assert (equal, status) == ("True", "0"), err
    assert_gone(pids.split(), within=2)


@pytest.mark.slow
def test_ctrl_c_in_a_program_leaves_nothing(tmp_path):
    script = run_script(
        tmp_path,
        """
        s = make("multiprocessing", n_processes=2)
        import psutil
        print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True)
        s.obtain_samples(0, 10**9)
        """,
        start_new_session=True,
    )
    assert script.stdout is not None
    script.stdout.readline()
    pids = script.stdout.readline().split()
    time.sleep(0.5)
    os.killpg(script.pid, signal.SIGINT)  # as a terminal does: to the parent and to the workers
    _, err = script.communicate(timeout=10)
    assert err.rstrip().endswith("KeyboardInterrupt"), err
    assert err.count("Traceback") == 1, "a worker printed a traceback of its own"
    assert_gone(pids, within=2)


class NeverClosing(FaultyEnv):
    def close(self):
        time.sleep(1000)


@pytest.mark.slow
def test_ctrl_c_during_the_shutdown_ends_processes_that_do_not_close_their_environments():
    with sampler():
        pass
    before = census()
    s = sampler(envs=NeverClosing)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        s.shutdown_worker()
    assert time.monotonic() - started < 1.5, "whoever pressed Ctrl-C is waiting"
    assert_settles(before)


@pytest.mark.slow
def test_shutdown_waits_for_no_batch_that_nobody_takes(tmp_path):
    script = run_script(
        tmp_path,
        """
        import os, time

        class Large(Still):
            observation_space = gymnasium.spaces.Box(0, 1, (500_000,), numpy.float32)
            def reset(self, *, seed=None, options=None):
                super().reset(seed=seed)
                return numpy.zeros(500_000, numpy.float32), {}
            def step(self, action):
                return numpy.zeros(500_000, numpy.float32), 0.0, True, False, {}
            def close(self):
                open(f"closed-{os.getpid()}", "x").close()

        Still = Large
        s = make("multiprocessing", n_processes=2)
        s.obtain_samples(0, 1)
        time.sleep(0.3)  # the next batches are on their way, and fill the pipes
        started = time.monotonic()
        s.shutdown_worker()
        print(time.monotonic() - started)
        """,
    )
    out, err = script.communicate(timeout=20)
    assert float(out.splitlines()[-1]) < 1.5, err
    assert len(list(tmp_path.glob("closed-*"))) == 2, "an environment was not closed"


@pytest.mark.slow
def test_a_parent_killed_by_sigkill_leaves_no_worker(tmp_path):
    script = run_script(
        tmp_path,
        """
        s = make("multiprocessing", n_processes=2)
        import psutil
        print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True)
        s.obtain_samples(0, 10**9)
        """,
    )
    assert script.stdout is not None
    script.stdout.readline()
    pids = script.stdout.readline().split()
    assert len(pids) >= 2
    time.sleep(0.3)
    script.kill()
    script.communicate()
    assert_gone(pids, within=2)


@pytest.mark.slow
def test_a_parent_killed_while_it_shuts_down_a_worker_that_hangs_leaves_no_worker(tmp_path):
    script = run_script(
        tmp_path,
        """
        import os, threading, time, psutil

        def hang(self, action):
            time.sleep(1000)

        Still.step = hang
        s = make("multiprocessing", n_processes=1)
        print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True)
        threading.Timer(0.3, s.shutdown_worker).start()
        threading.Timer(1.0, os.kill, args=(os.getpid(), 9)).start()
        s.obtain_samples(0, 1)
        """,
    )
    out, _ = script.communicate(timeout=10)
    assert script.returncode == -signal.SIGKILL
    assert_gone(out.splitlines()[1].split(), within=2)


def assert_gone(pids, within: float) -> None:
    pids = [int(pid) for pid in pids]
    assert pids, "there is nobody to wait for"
    until = time.monotonic() + within
    while left := [pid for pid in pids if running(pid)]:
        assert time.monotonic() < until, f"still there: {[psutil.Process(pid).cmdline() for pid in left]}"
        time.sleep(0.05)


class SchedulingEnv(gymnasium.Env):
    """Tells how the threads of its process come to a CPU: the one that steps, and all others."""

    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        mine = threading.get_native_id()
        readers = [it.native_id for it in threading.enumerate() if it.name == "samplerkit-inbox"]
        return np.zeros(1, np.float32), {
            "steps": os.sched_getscheduler(mine),
            "reads": os.sched_getscheduler(readers[0]),
        }

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, {}


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this operating system has no such policy")
def test_who_runs_units_takes_nobody_s_cpu_when_woken_and_who_reads_messages_may():
    policy = RandomPolicy(SchedulingEnv.action_space)
    arguments = {"envs": SchedulingEnv, "max_episode_length": 5, "seed": 1, "n_processes": 1}
    with samplerkit.make_sampler("multiprocessing", agents=policy, **arguments) as s:
        infos = s.obtain_samples(0, 3).episode_infos_by_episode
    assert set(infos["steps"].tolist()) == {os.SCHED_BATCH}
    assert set(infos["reads"].tolist()) == {os.SCHED_OTHER}
