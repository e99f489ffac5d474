"""Every failure is bounded, typed, atomic and clean."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import threading
import time
import types
from multiprocessing import forkserver

import cloudpickle
import pytest
from fault_probes import FaultyEnv

import samplerkit
from samplerkit.policies import RandomPolicy, from_callable
from samplerkit_multiprocessing.transport import ProcessTransport


def sampler(envs, name: str = "multiprocessing", **arguments):
    arguments = {"seed": 5, "n_workers": 3, "max_episode_length": 20, **arguments}
    if name == "multiprocessing":
        arguments.setdefault("n_processes", 2)
    policy = arguments.pop("agents", RandomPolicy(FaultyEnv.action_space))
    return samplerkit.make_sampler(name, agents=policy, envs=envs, **arguments)


@pytest.fixture(scope="module")
def expected():
    with sampler(FaultyEnv, "local") as healthy:
        return healthy.obtain_samples(0, 100)


@contextlib.contextmanager
def deadline(seconds: float):
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds, f"it took more than {seconds} s"


KINDS = {
    "key error": "KeyError",
    "odd error": "fault_probes.OddError",
    "unpicklable error": "RuntimeError",
    "system exit": "SystemExit",
}


@pytest.mark.parametrize("name", ["local", "multiprocessing"])
@pytest.mark.parametrize("site", ["step", "reset"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_in_the_environment_is_a_worker_error_and_has_not_happened(name, site, kind, expected):
    with sampler(lambda: FaultyEnv(kind, site=site), name) as s:
        before = s.get_state()
        with deadline(3), pytest.raises(samplerkit.WorkerError) as caught:
            s.obtain_samples(0, 100)
        error = caught.value
        assert error.error_type == KINDS[kind]
        assert error.unit == (1 if site == "step" else 0), "the lowest unit that fails is the one reported"
        assert error.worker == error.unit % 3
        assert f"in {site}" in error.remote_traceback, "the traceback does not show where it was raised"
        assert s.get_state() == before
        assert s.total_env_steps == 0
        # The sampler can be used again, and a healthy environment gives what it always gave.
        assert s.obtain_samples(0, 100, env_update=FaultyEnv).equals(expected)


def test_the_original_exception_is_the_cause_where_it_can_travel():
    with sampler(lambda: FaultyEnv("key error")) as s, pytest.raises(samplerkit.WorkerError) as caught:
        s.obtain_samples(0, 100)
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_exception_in_the_policy_is_a_worker_error():
    def act(observation):
        raise ZeroDivisionError("no action")

    with sampler(FaultyEnv, agents=from_callable(act)) as s:
        with pytest.raises(samplerkit.WorkerError, match="no action") as caught:
            s.obtain_samples(0, 10)
        assert caught.value.error_type == "ZeroDivisionError"


@pytest.mark.parametrize("name", ["local", "multiprocessing"])
def test_an_environment_that_cannot_be_constructed_fails_the_constructor_and_leaves_nothing(name):
    with deadline(5), pytest.raises(samplerkit.WorkerError) as caught:
        sampler(lambda: FaultyEnv("key error", site="constructor"), name)
    assert caught.value.unit is None


def test_a_worker_that_cannot_be_constructed_fails_the_constructor():
    class Bad(samplerkit.DefaultWorker):
        def __init__(self, **arguments):
            raise RuntimeError("no worker today")

    with pytest.raises(samplerkit.WorkerError, match="no worker today"):
        sampler(FaultyEnv, worker_class=Bad)


def test_a_worker_class_that_no_process_can_import_fails_the_constructor_and_says_so(capfd, monkeypatch):
    made_here = types.ModuleType("made_here")
    monkeypatch.setitem(sys.modules, "made_here", made_here)
    made_here.Own = type("Own", (samplerkit.DefaultWorker,), {"__module__": "made_here"})
    with pytest.raises(samplerkit.WorkerError, match="made_here") as caught:
        sampler(FaultyEnv, worker_class=made_here.Own)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert capfd.readouterr().err == ""


class OnlyInWorkers:
    """An info that can be read in worker processes only."""

    def __init__(self, parent):
        self.parent = parent

    def __reduce__(self):
        return _read, (self.parent,)


def _read(parent):
    if os.getpid() == parent:
        raise RuntimeError("this can be read in workers only")
    return OnlyInWorkers(parent)


def test_an_info_that_the_parent_cannot_read_is_its_unit_s_failure(expected):
    parent = os.getpid()

    class Shows(FaultyEnv):
        def step(self, action):
            *others, info = super().step(action)
            return *others, {**info, "it": OnlyInWorkers(parent)}

    with sampler(FaultyEnv) as s:
        with pytest.raises(samplerkit.WorkerError, match="in workers only") as caught:
            s.obtain_samples(0, 100, env_update=Shows)
        assert caught.value.unit == 0
        assert s.obtain_samples(0, 100).equals(expected)


def test_a_process_that_dies_at_the_start_fails_the_constructor():
    with deadline(5), pytest.raises(samplerkit.WorkerDied, match="SIGKILL"):
        sampler(lambda: FaultyEnv("kill", site="constructor"))


def test_a_process_that_dies_once_at_the_start_is_started_again(tmp_path, expected):
    """A sampler that was unpickled starts its processes in its first call."""
    envs = lambda: FaultyEnv("kill", site="constructor", once=tmp_path / "died")  # noqa: E731
    with sampler(envs) as s, deadline(5):
        assert s.statistics().restarts == 1
        copy = pickle.loads(pickle.dumps(s))
        assert s.obtain_samples(0, 100).equals(expected)
    (tmp_path / "died").unlink()
    with copy, deadline(5):
        assert copy.obtain_samples(0, 100).equals(expected)
        assert copy.statistics().restarts == 1


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="no fork server")
def test_a_fork_server_that_is_killed_while_it_starts_a_process_is_replaced(expected):
    sampler(FaultyEnv, start_method="forkserver").shutdown_worker()  # the server runs
    server = forkserver._forkserver._forkserver_pid
    os.kill(server, signal.SIGSTOP)  # it takes the order, and never answers
    threading.Timer(0.3, os.kill, (server, signal.SIGKILL)).start()
    with sampler(FaultyEnv, start_method="forkserver") as s, deadline(5):
        assert s.obtain_samples(0, 100).equals(expected)
    assert forkserver._forkserver._forkserver_pid != server


def test_processes_that_can_never_be_started_are_an_error_that_says_so(monkeypatch):
    def refuse(*_):
        raise EOFError("unexpected EOF")

    monkeypatch.setattr("samplerkit_multiprocessing.launch.start", refuse)
    monkeypatch.setattr("samplerkit_multiprocessing.transport._PAUSES", (0.0, 0.0))
    with pytest.raises(RuntimeError, match=r"start_method='\w+'\) ends at once; is there"):
        sampler(FaultyEnv)


@pytest.mark.parametrize("spare", [4, 40])
def test_too_many_open_files_are_an_error_that_says_what_to_do(spare, expected):
    """A sampler that is there keeps working."""
    sampler(FaultyEnv).shutdown_worker()  # everything is imported, and the helpers of all samplers run
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with sampler(FaultyEnv) as s:
        os.close(lowest := os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, before[1]))
        try:
            with pytest.raises(RuntimeError, match=r"files open as it may.*ulimit -n.*n_processes"):
                sampler(FaultyEnv, n_processes=20)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert s.obtain_samples(0, 100).equals(expected)


def test_a_process_that_the_operating_system_refuses_is_an_error_that_says_what_to_do(monkeypatch):
    def refuse(*_):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("samplerkit_multiprocessing.launch.start", refuse)
    with pytest.raises(
        RuntimeError, match=r"as the user or the container may have: .*ulimit -u.*n_processes"
    ):
        sampler(FaultyEnv)


def test_a_working_directory_that_was_deleted_is_an_error_that_says_so(tmp_path, monkeypatch, expected):
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(RuntimeError, match=r"working directory has been deleted; go to another one"):
        sampler(FaultyEnv)
    os.chdir(tmp_path)
    with sampler(FaultyEnv) as s:
        assert s.obtain_samples(0, 100).equals(expected)


@pytest.mark.parametrize("name", ["local", "multiprocessing"])
def test_a_bad_update_of_one_worker_changes_none(name, expected):
    with sampler(FaultyEnv, name) as s:
        bad = [FaultyEnv, lambda: FaultyEnv("key error", site="constructor"), FaultyEnv]
        with pytest.raises(samplerkit.WorkerError) as caught:
            s.obtain_samples(0, 100, env_update=bad)
        assert (caught.value.worker, caught.value.unit) == (1, None)
        assert s.obtain_samples(0, 100).equals(expected)


@pytest.mark.parametrize("name", ["local", "vectorized", "multiprocessing"])
def test_a_bad_update_after_a_failed_unit_is_no_unit_s_failure(name, tmp_path, expected):
    bad = lambda: FaultyEnv("key error", site="constructor")  # noqa: E731
    with sampler(lambda: FaultyEnv("key error", once=tmp_path / "failed"), name) as s:
        with pytest.raises(samplerkit.WorkerError, match="bad step"):
            s.obtain_samples(0, 100)
        with pytest.raises(samplerkit.WorkerError) as caught:
            s.obtain_samples(0, 100, env_update=bad)
        assert caught.value.unit is None
        assert s.obtain_samples(0, 100).equals(expected)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "status"), [("kill", -signal.SIGKILL), ("exit 0", 0)])
def test_a_unit_that_always_kills_its_process_raises_worker_died(kind, status, expected):
    with sampler(lambda: FaultyEnv(kind), max_restarts=2) as s:
        with deadline(10), pytest.raises(samplerkit.WorkerDied) as caught:
            s.obtain_samples(0, 100)
        assert (caught.value.unit, caught.value.worker) == (1, 1)
        assert (caught.value.exitcode, caught.value.deaths) == (status, 3)
        assert s.obtain_samples(0, 100, env_update=FaultyEnv).equals(expected)


def test_with_no_restarts_the_first_death_is_the_last():
    with sampler(lambda: FaultyEnv("kill"), max_restarts=0) as s:
        with pytest.raises(samplerkit.WorkerDied) as caught:
            s.obtain_samples(0, 100)
        assert caught.value.deaths == 1


class Forks(FaultyEnv):
    """Has a helper that lives longer than the process, and has all that this had open."""

    def __init__(self, pids):
        super().__init__("kill")
        pid = os.fork()
        if pid == 0:
            time.sleep(30)
            os._exit(0)
        (pids / str(pid)).touch()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this operating system has no such thing")
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_the_death_of_a_process_is_heard_of_though_its_environment_has_forked_another_one(
    start_method, tmp_path
):
    envs = lambda: Forks(tmp_path)  # noqa: E731
    try:
        with deadline(10), sampler(envs, max_restarts=0, start_method=start_method) as s:
            with pytest.raises(samplerkit.WorkerDied) as caught:
                s.obtain_samples(0, 100)
            assert caught.value.exitcode == -signal.SIGKILL
    finally:
        for pid in os.listdir(tmp_path):
            os.kill(int(pid), signal.SIGKILL)


def test_a_deadly_unit_that_is_not_needed_does_no_harm(expected):
    with sampler(FaultyEnv, "local") as healthy:
        first = healthy.obtain_samples(0, 1)
    with sampler(lambda: FaultyEnv("kill", at=4), max_restarts=0) as s:
        assert len(first.rewards) < 4, "the first unit is to be harmless"
        assert s.obtain_samples(0, 1).equals(first)


@pytest.mark.slow
def test_a_unit_that_hangs_is_killed_after_unit_timeout():
    with sampler(lambda: FaultyEnv("hang"), unit_timeout=0.3, max_restarts=1) as s:
        with deadline(5), pytest.raises(samplerkit.WorkerDied, match="unit_timeout"):
            s.obtain_samples(0, 100)


@pytest.mark.parametrize("seconds", [30 * 24 * 3600, float("inf")])
def test_a_unit_may_have_a_month_or_for_ever(seconds, expected):
    with sampler(FaultyEnv, unit_timeout=seconds) as s:
        assert s.obtain_samples(0, 100).equals(expected)


def test_a_unit_that_hangs_once_gives_the_same_batch(tmp_path, expected):
    with sampler(lambda: FaultyEnv("hang", once=tmp_path / "hung"), unit_timeout=0.3) as s, deadline(5):
        assert s.obtain_samples(0, 100).equals(expected)
        assert s.statistics().restarts == 1


def test_ctrl_c_ends_a_hanging_call_and_does_not_poison_the_next(expected):
    with sampler(lambda: FaultyEnv("hang")) as s:
        before = s.get_state()
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with deadline(2), pytest.raises(KeyboardInterrupt):
            s.obtain_samples(0, 100)
        assert s.get_state() == before
        with deadline(3):
            assert s.obtain_samples(0, 100, env_update=FaultyEnv).equals(expected)


@contextlib.contextmanager
def ended_after(seconds: float, s):
    """Shut a sampler down if the block takes longer: a call that hangs ends, and so does the test."""
    timer = threading.Timer(seconds, s.shutdown_worker)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@pytest.mark.slow
def test_ctrl_c_pressed_twice_in_a_hanging_call_does_not_poison_the_next(expected):
    with sampler(lambda: FaultyEnv("hang")) as s:
        before = s.get_state()
        for seconds in (0.3, 0.6):
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            try:
                s.obtain_samples(0, 100)
            finally:
                time.sleep(1)  # the second comes here if the call has ended by then
        assert s.get_state() == before
        with ended_after(5, s):
            assert s.obtain_samples(0, 100, env_update=FaultyEnv).equals(expected)


@pytest.mark.slow
def test_an_exception_of_a_signal_s_handler_ends_a_hanging_call_and_does_not_poison_the_next(expected):
    def ring(number, frame):
        raise TimeoutError("the caller's own")

    handler = signal.signal(signal.SIGALRM, ring)
    try:
        with sampler(lambda: FaultyEnv("hang")) as s:
            before = s.get_state()
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with deadline(2), pytest.raises(TimeoutError, match="the caller's own"):
                s.obtain_samples(0, 100)
            assert s.get_state() == before
            with ended_after(5, s):
                assert s.obtain_samples(0, 100, env_update=FaultyEnv).equals(expected)
    finally:
        signal.signal(signal.SIGALRM, handler)


class Ponderous(FaultyEnv):
    """Takes long for a step, but not for ever."""

    def step(self, action):
        time.sleep(0.7)
        return super().step(action)


@pytest.mark.slow
def test_ctrl_c_does_not_end_processes_whose_step_takes_long(expected):
    with sampler(Ponderous) as s:
        processes = {p.pid for p in multiprocessing.active_children()}
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            s.obtain_samples(0, 100)
        assert {p.pid for p in multiprocessing.active_children()} == processes
        assert s.obtain_samples(0, 100, env_update=FaultyEnv).equals(expected)


@pytest.mark.slow
def test_a_shutdown_from_another_thread_ends_a_hanging_call():
    s = sampler(lambda: FaultyEnv("hang"))
    timer = threading.Timer(0.3, s.shutdown_worker)
    timer.start()
    with deadline(2), pytest.raises(samplerkit.SamplerClosed):
        s.obtain_samples(0, 100)
    with deadline(5):
        timer.join()
    with pytest.raises(samplerkit.SamplerClosed):
        s.obtain_samples(0, 100)


@pytest.mark.slow
@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("exits", [False, True])
def test_a_shutdown_in_a_signal_s_handler_ends_the_call_that_it_interrupts(stateful, exits):
    s = sampler(Ponderous, stateful=stateful)

    def end(number, frame):
        s.shutdown_worker()
        if exits:
            raise SystemExit(3)

    handler = signal.signal(signal.SIGALRM, end)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with deadline(2), pytest.raises(SystemExit if exits else samplerkit.SamplerClosed):
            s.obtain_samples(0, 100)
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert not [p for p in multiprocessing.active_children() if p.name.startswith("samplerkit-")]


@pytest.mark.slow
def test_a_shutdown_from_another_thread_ends_a_call_that_brings_workers_up(tmp_path):
    slow = tmp_path / "slow"

    class SlowToBuild(FaultyEnv):
        def __init__(self):
            super().__init__()
            if slow.exists():
                time.sleep(30)

    with sampler(SlowToBuild) as s:
        copy = pickle.loads(cloudpickle.dumps(s))
    slow.touch()
    timer = threading.Timer(0.5, copy.shutdown_worker)
    timer.start()
    with deadline(3), pytest.raises(samplerkit.SamplerClosed):
        copy.obtain_samples(0, 100)
    timer.join()
    assert not [p for p in multiprocessing.active_children() if p.name.startswith("samplerkit-")]


@pytest.mark.slow
def test_a_second_call_while_one_runs_is_refused(expected):
    with sampler(lambda: FaultyEnv("hang")) as s:
        caught = []

        def call():
            try:
                s.obtain_samples(0, 100)
            except samplerkit.SamplerError as error:
                caught.append(type(error))

        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.2)
        with pytest.raises(samplerkit.SamplerBusy):
            s.obtain_samples(0, 1)
        s.shutdown_worker()
        thread.join(5)
        assert caught == [samplerkit.SamplerClosed]


@pytest.mark.slow
def test_a_hanging_environment_does_not_hold_up_shutdown():
    s = sampler(lambda: FaultyEnv("hang"))
    thread = threading.Thread(target=_swallow, args=(s,))
    thread.start()
    time.sleep(0.2)
    with deadline(5):
        s.shutdown_worker()
    thread.join(5)
    assert not thread.is_alive()


def _swallow(s) -> None:
    with contextlib.suppress(samplerkit.SamplerClosed):
        s.obtain_samples(0, 100)


def test_an_endless_unit_that_ran_ahead_is_cancelled_by_an_update():
    class Endless(FaultyEnv):
        """Unit 0 is short; whichever unit has an odd key never ends."""

        def step(self, action):
            observation, reward, done, truncated, info = super().step(action)
            return observation, reward, done and self.length < 5, truncated, info

    with sampler(Endless, max_episode_length=float("inf")) as s, deadline(10):
        first = s.obtain_samples(0, 1)
        assert len(first.lengths) == 1
        again = s.obtain_samples(0, 1, env_update=FaultyEnv)
        assert again.provenance.units.tolist() == [1]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"n_processes": 0}, ValueError, "n_processes"),
        ({"n_processes": 1.5}, TypeError, "n_processes"),
        ({"n_processes": True}, TypeError, "n_processes"),
        ({"start_method": "fork"}, ValueError, "forked children"),
        ({"start_method": "spwan"}, ValueError, "must be 'forkserver' or 'spawn', not 'spwan'$"),
        ({"max_restarts": -1}, ValueError, "max_restarts"),
        ({"max_restarts": 1.0}, TypeError, "max_restarts"),
        ({"unit_timeout": 0}, ValueError, "unit_timeout"),
        ({"unit_timeout": "1"}, TypeError, "unit_timeout"),
        ({"n_proceses": 2}, TypeError, "n_proceses"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(arguments, error, says):
    with pytest.raises(error, match=says):
        sampler(FaultyEnv, **arguments)


@pytest.mark.parametrize("moment", ["before stop", "after stop", "after start"])
def test_ctrl_c_while_a_dead_process_is_replaced_leaves_a_sampler_that_works(moment, expected, monkeypatch):
    when, name = moment.split()
    method, interrupted = getattr(ProcessTransport, name), []

    def once_interrupted(self, *arguments):
        if not interrupted and when == "before":
            interrupted.append(True)
            raise KeyboardInterrupt
        result = method(self, *arguments)
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return result

    with sampler(FaultyEnv) as s:
        victim = next(p for p in multiprocessing.active_children() if p.name == "samplerkit-1")
        os.kill(victim.pid, signal.SIGKILL)
        victim.join(5)
        monkeypatch.setattr(ProcessTransport, name, once_interrupted)
        with deadline(3), pytest.raises(KeyboardInterrupt):
            s.obtain_samples(0, 100)
        assert s.obtain_samples(0, 100).difference(expected) is None
    names = [p.name for p in multiprocessing.active_children() if p.name.startswith("samplerkit-")]
    assert not names
