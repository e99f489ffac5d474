"""A call that raises has not happened; bad arguments are refused; calls do not overlap."""

from __future__ import annotations

import math
import pickle
import signal
import threading
import time

import cloudpickle
import gymnasium
import numpy as np
import pytest

from samplerkit import (
    DefaultWorker,
    EnvUpdate,
    LocalSampler,
    SamplerBusy,
    SamplerClosed,
    SetTaskUpdate,
    UnsupportedFeature,
    WorkerError,
    WorkerFactory,
    make_sampler,
)
from samplerkit.contract.probes import (
    Fault,
    ProbePolicy,
    TattooEnv,
    UnpicklableError,
    assert_whole,
    raise_odd,
    raise_unpicklable,
    unclosed,
    unit_key,
)
from samplerkit.interfaces import Observer

SEED = 1
GOOD = {"agent_update": {"version": np.array([3])}, "env_update": SetTaskUpdate(TattooEnv, 9)}


class Refuses(EnvUpdate):
    def __call__(self, old_env=None):
        raise ValueError("the probe raised this")


class Broken(DefaultWorker):
    """Cannot be built by worker 1."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        if self.worker_number == 1:
            raise ValueError("the probe raised this")


def env_that(site, number=3, **arguments):
    return lambda: TattooEnv(fault=Fault(site, key=unit_key(SEED, number)), **arguments)


# Each of these makes a call of 6 units fail, one way or another.
FAULTS = {
    "reset": {"env_update": env_that("reset")},
    "step": {"env_update": env_that("step")},
    "construct": {"env_update": lambda: TattooEnv(fault=Fault("construct"))},
    "set_task": {"env_update": Refuses()},
    "update of one worker": {"env_update": [SetTaskUpdate(TattooEnv, 4), Refuses()]},
    "update that returns nothing": {"env_update": lambda: None},
    "get_action": {"agent_update": ProbePolicy(4, Fault("get_action", key=unit_key(SEED, 3)))},
    "reset of the policy": {"agent_update": ProbePolicy(4, Fault("reset_policy"))},
    "weights": {"agent_update": "no weights"},
    "weights of one worker": {"agent_update": [{"version": np.array([4])}, 5]},
    "late, after good updates": {**GOOD, "agent_update": ProbePolicy(4, Fault("get_action", step=0))},
    "a space that cannot be recorded": {"env_update": lambda: Texts()},
}


class Texts(TattooEnv):
    def __init__(self):
        super().__init__()
        self.observation_space = gymnasium.spaces.Text(3)


def obtain(sampler, exact, **updates):
    if exact:
        return sampler.obtain_exact_episodes(3, **updates)
    return sampler.obtain_samples(0, 30, **updates)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("n_workers", [2])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_that_raises_has_not_happened(make, fault, n_workers, exact):
    untouched, sampler = make(n_workers=n_workers), make(n_workers=n_workers)
    for it in (untouched, sampler):
        it.obtain_samples(
            0, 1, agent_update={"version": np.array([2])}, env_update=SetTaskUpdate(TattooEnv, 7)
        )
    state, statistics = sampler.get_state(), sampler.statistics()
    for _ in range(2):
        with pytest.raises(WorkerError) as caught:
            obtain(sampler, exact, **FAULTS[fault])
        assert caught.value.__cause__ is not None
        assert sampler.get_state() == state
        assert sampler.statistics() == statistics
    batch, expected = sampler.obtain_samples(0, 20), untouched.obtain_samples(0, 20)
    assert batch.difference(expected) is None
    assert batch.provenance.units.tolist() == expected.provenance.units.tolist()
    assert batch.provenance.agent_versions.tolist() == expected.provenance.agent_versions.tolist()
    assert batch.provenance.env_versions.tolist() == expected.provenance.env_versions.tolist()


@pytest.mark.parametrize("fault", FAULTS)
def test_good_updates_work_after_a_call_that_raised(make, fault):
    untouched, sampler = make(), make()
    with pytest.raises(WorkerError):
        sampler.obtain_exact_episodes(3, **FAULTS[fault])
    assert sampler.obtain_samples(0, 20, **GOOD).equals(untouched.obtain_samples(0, 20, **GOOD))


def test_an_interrupt_ends_the_call_and_changes_nothing(make):
    def interrupt():
        raise KeyboardInterrupt

    fault = Fault("step", interrupt, key=unit_key(SEED, 2))
    untouched, sampler = make(), make()
    with pytest.raises(KeyboardInterrupt):
        sampler.obtain_exact_episodes(3, env_update=lambda: TattooEnv(fault=fault))
    assert sampler.obtain_samples(0, 20).equals(untouched.obtain_samples(0, 20))


class ChangesAndInterrupts(EnvUpdate):
    def __call__(self, old_env=None):
        old_env.set_task(77)
        raise KeyboardInterrupt


def test_an_interrupt_in_an_update_changes_nothing(make):
    untouched, sampler = make(), make()
    with pytest.raises(KeyboardInterrupt):
        sampler.obtain_samples(0, 5, env_update=ChangesAndInterrupts())
    assert sampler.obtain_samples(0, 20).equals(untouched.obtain_samples(0, 20))


def test_a_worker_that_cannot_be_built_again_at_once_is_built_later(make, tmp_path):
    class Moody(TattooEnv):
        def __init__(self):
            super().__init__(fault=Fault("construct") if (tmp_path / "moody").exists() else None)

    sampler = make(envs=Moody)
    with pytest.raises(WorkerError):
        sampler.obtain_samples(0, 5, agent_update="no weights")
    (tmp_path / "moody").touch()
    with pytest.raises(WorkerError, match="while it was built or updated"):
        sampler.obtain_samples(0, 5)
    (tmp_path / "moody").unlink()
    assert sampler.obtain_samples(0, 20).equals(make().obtain_samples(0, 20))


def test_an_environment_that_will_not_close_does_not_lose_the_call(make):
    class Sticky(TattooEnv):
        def close(self):
            raise OSError("will not close")

    sampler = make(envs=Sticky)
    state = sampler.get_state()
    with pytest.raises(WorkerError, match="will not close"):
        sampler.obtain_samples(0, 10, env_update=TattooEnv)
    assert sampler.get_state() == state
    assert_whole(sampler.obtain_samples(0, 1), TattooEnv(), ProbePolicy(), SEED, [0], 6)
    sampler.shutdown_worker()


def test_episodes_that_do_not_fit_together_are_an_error_and_change_nothing(make):
    class Shapes(TattooEnv):
        """The shape of an info depends on the episode."""

        def reset(self, **arguments):
            observation, _ = super().reset(**arguments)
            return observation, {"ragged": np.zeros(self.key % 7)}

    untouched, sampler = make(), make()
    with pytest.raises(ValueError, match="ragged"):
        sampler.obtain_exact_episodes(5, env_update=Shapes)
    assert sampler.get_state()["cursor"] == 0
    assert sampler.obtain_samples(0, 20).equals(untouched.obtain_samples(0, 20))


def test_no_environment_is_lost_by_errors(make, tmp_path):
    ledger = tmp_path / "l"
    sampler = make(envs=lambda: TattooEnv(ledger=ledger))
    for site in ("construct", "reset", "step"):
        with pytest.raises(WorkerError):
            sampler.obtain_samples(0, 30, env_update=lambda: TattooEnv(ledger=ledger, fault=Fault(site)))  # noqa: B023
    sampler.obtain_samples(0, 30)
    sampler.shutdown_worker()
    assert unclosed(ledger) == {}


def test_the_error_says_which_worker_and_unit(make):
    sampler = make(n_workers=2, envs=env_that("step", number=3))
    with pytest.raises(WorkerError, match="worker 1 raised ValueError in unit 3") as caught:
        sampler.obtain_exact_episodes(4)
    assert isinstance(caught.value.__cause__, ValueError)
    assert "in step" in caught.value.remote_traceback


@pytest.mark.parametrize("action", [raise_unpicklable, raise_odd])
def test_exceptions_that_cannot_travel(make, action):
    sampler = make(envs=lambda: TattooEnv(fault=Fault("step", action)))
    with pytest.raises(WorkerError, match=r"UnpicklableError|OddError"):
        sampler.obtain_samples(0, 1)
    assert UnpicklableError.__name__


def test_an_error_beyond_the_batch_does_not_matter(make):
    sampler = make(envs=env_that("reset", number=3), n_workers=3)
    assert sampler.obtain_exact_episodes(1).provenance.units.tolist() == [0, 1, 2]
    with pytest.raises(WorkerError, match="unit 3"):
        sampler.obtain_samples(0, 1)


class Spaceless(gymnasium.Env):
    action_space = gymnasium.spaces.Discrete(2)


@pytest.mark.parametrize("name", ["local", "vectorized"])
def test_an_environment_without_a_space_is_told_which(name):
    with pytest.raises(
        WorkerError, match=r"Spaceless has no observation_space: set self\.observation_space in"
    ):
        make_sampler(name, agents=ProbePolicy(), envs=Spaceless, max_episode_length=5)


# -- construction --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"envs": lambda: TattooEnv(fault=Fault("construct"))},
        {"worker_class": Broken, "envs": [TattooEnv, lambda: TattooEnv()]},
        {"envs": [TattooEnv(), lambda: TattooEnv(fault=Fault("construct"))]},
    ],
)
def test_a_sampler_whose_worker_cannot_start_is_not_made(make, arguments):
    with pytest.raises(WorkerError, match="while it was built or updated"):
        make(**arguments)


def test_a_sampler_that_was_not_made_leaves_no_environment_open(make, tmp_path):
    good = lambda: TattooEnv(ledger=tmp_path / "l")  # noqa: E731
    bad = lambda: TattooEnv(fault=Fault("construct"))  # noqa: E731
    with pytest.raises(WorkerError, match="worker 2"):
        make(envs=[good, good, bad], n_workers=3)
    assert unclosed(tmp_path / "l") == {}


BAD_CONSTRUCTIONS = [
    ({"agents": 3}, TypeError, "agents must be policies"),
    ({"agents": {"version": np.array([1])}}, TypeError, "not weights"),
    ({"agents": [ProbePolicy()] * 3}, ValueError, "3 items for 2 workers"),
    ({"agents": [ProbePolicy(), None]}, TypeError, "required"),
    ({"agents": []}, ValueError, "0 items for 2 workers"),
    ({"envs": None}, TypeError, "required"),
    ({"envs": 3}, TypeError, "a gymnasium id"),
    ({"envs": (TattooEnv, TattooEnv)}, TypeError, "not tuple"),
    ({"envs": "NoSuchEnv-v0"}, ValueError, "NoSuchEnv-v0"),
    ({"envs": [TattooEnv]}, ValueError, "1 items for 2 workers"),
    ({"n_workers": 0}, ValueError, "n_workers"),
    ({"n_workers": 2.0}, TypeError, "n_workers"),
    ({"n_workers": True}, TypeError, "n_workers"),
    ({"seed": -1}, ValueError, "seed"),
    ({"seed": 1.0}, TypeError, "seed"),
    ({"max_episode_length": 0}, ValueError, "max_episode_length"),
    ({"max_episode_length": 3.5}, TypeError, "max_episode_length"),
    ({"worker_class": TattooEnv}, TypeError, "worker_class"),
    ({"worker_args": 3}, TypeError, "worker_args"),
    ({"worker_args": {"it": threading.Lock()}}, TypeError, "worker_args .* cannot be pickled, so no worker"),
    ({"n_processes": 2}, TypeError, "no option 'n_processes'"),
    ({"nworkers": 2}, TypeError, "no option 'nworkers'"),
    ({"n_worker": 2}, TypeError, r"'n_worker'\. Did you mean 'n_workers'\? Its options: none\. Arguments"),
    ({"sead": 1}, TypeError, "Did you mean 'seed'"),
    ({"max_episode_lenght": 5}, TypeError, "Did you mean 'max_episode_length'"),
    ({"env": TattooEnv}, TypeError, "Did you mean 'envs'"),
    ({"staeful": True}, TypeError, "Did you mean 'stateful'"),
    ({"stateful": "no"}, TypeError, "stateful must be True or False, not 'no'"),
    ({"reseed": "no"}, TypeError, "reseed must be True or False, not 'no'"),
    ({"is_tf_worker": ""}, TypeError, "is_tf_worker must be True or False, not ''"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_CONSTRUCTIONS)
def test_bad_constructions_are_refused(make, arguments, error, message):
    with pytest.raises(error, match=message):
        make(**arguments)


def test_an_unknown_worker_argument_is_the_worker_s_error(make):
    with pytest.raises(WorkerError, match="no_such_argument"):
        make(worker_args={"no_such_argument": 1})


FACTORY = WorkerFactory(max_episode_length=5, n_workers=1, seed=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1),
        ("seed", 0),
        ("n_workers", 1),
        ("max_episode_length", 5),
        ("worker_class", DefaultWorker),
        ("worker_args", {}),
        ("is_tf_worker", True),
    ],
)
def test_a_factory_excludes_the_arguments_that_make_one(make, name, value):
    with pytest.raises(TypeError, match=f"{name} cannot be given beside worker_factory"):
        make(worker_factory=FACTORY, **{name: value})


def test_a_factory_is_a_worker_factory(make):
    with pytest.raises(TypeError, match="worker_factory must be a WorkerFactory"):
        make(worker_factory=lambda number: None)


# -- arguments of calls --------------------------------------------------------------------------


BAD_COUNTS = [0, -1, 1.0, True, math.nan, "3", None, np.float64(3), np.bool_(True), [3]]
BAD_UPDATES = [
    ({"agent_update": [1, 2, 3]}, ValueError),
    ({"agent_update": []}, ValueError),
    ({"env_update": [TattooEnv]}, ValueError),
    ({"env_update": (TattooEnv, TattooEnv)}, TypeError),
    ({"env_update": 0}, TypeError),
    ({"env_update": {}}, TypeError),
    ({"env_update": "NoSuchEnv-v0"}, ValueError),
    ({"env_update": [TattooEnv, 3]}, TypeError),
    ({"agent_update": threading.Lock()}, TypeError),
    ({"agent_update": type("Half", (), {"get_action": lambda self, o: 0})()}, TypeError),
    ({**GOOD, "env_update": 7}, TypeError),
]


@pytest.mark.parametrize("count", BAD_COUNTS, ids=repr)
def test_bad_counts_are_refused_and_change_nothing(make, count):
    sampler = make()
    state = sampler.get_state()
    expected = ValueError if type(count) is int else TypeError
    with pytest.raises(expected, match="num_samples"):
        sampler.obtain_samples(0, count, **GOOD)
    with pytest.raises(expected, match="n_eps_per_worker"):
        sampler.obtain_exact_episodes(count, **GOOD)
    assert sampler.get_state() == state
    assert sampler.obtain_samples(0, 9).equals(make().obtain_samples(0, 9))


@pytest.mark.parametrize(("updates", "error"), BAD_UPDATES, ids=map(str, range(len(BAD_UPDATES))))
def test_bad_updates_are_refused_and_change_nothing(make, updates, error):
    sampler = make()
    state = sampler.get_state()
    with pytest.raises(error):
        sampler.obtain_samples(0, 5, **updates)
    with pytest.raises(error):
        sampler.obtain_exact_episodes(1, **updates)
    assert sampler.get_state() == state
    assert sampler.obtain_samples(0, 9).equals(make().obtain_samples(0, 9))


def test_a_list_of_another_length_names_both_numbers(make):
    with pytest.raises(ValueError, match="5 items for 2 workers"):
        make().obtain_samples(0, 5, agent_update=[{}] * 5)


def test_an_unknown_argument_is_refused(make):
    with pytest.raises(TypeError):
        make().obtain_samples(0, 5, no_such=1)


def test_an_unknown_capability_is_refused(make):
    with pytest.raises(ValueError, match="no capability"):
        make().supports("teleport")


def test_a_feature_that_a_class_does_not_declare_is_refused_by_name():
    from samplerkit import LocalSampler
    from samplerkit.interfaces import no

    class Poor(LocalSampler):
        capabilities = {  # noqa: RUF012
            "exact_episodes": no("it cannot count"),
            "per_worker_agents": no("one brain"),
            "per_worker_envs": no("one world"),
        }

    arguments = {"n_workers": 2, "max_episode_length": 3, "seed": 1}
    with Poor(ProbePolicy(), TattooEnv, **arguments) as sampler:
        assert not sampler.supports("exact_episodes")
        sampler.obtain_samples(0, 1)
        with pytest.raises(UnsupportedFeature, match="it cannot count"):
            sampler.obtain_exact_episodes(1)
        with pytest.raises(UnsupportedFeature, match="one brain"):
            sampler.obtain_samples(0, 1, agent_update=[{}, {}])
        with pytest.raises(UnsupportedFeature, match="one world"):
            sampler.obtain_samples(0, 1, env_update=[TattooEnv, TattooEnv])
    with pytest.raises(UnsupportedFeature, match="stateful"):
        Poor(ProbePolicy(), TattooEnv, stateful=True, **arguments)


# -- busy and closed -----------------------------------------------------------------------------


class Slow(TattooEnv):
    def __init__(self, lengths=(10**6,), ledger=None):
        super().__init__(lengths=lengths, infos="none", ledger=ledger)

    def step(self, action):
        time.sleep(0.001)
        return super().step(action)


class Background:
    """A call in another thread."""

    def __init__(self, call, *arguments, **more):
        self.error = self.value = None

        def target():
            try:
                self.value = call(*arguments, **more)
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=target)
        self.thread.start()
        time.sleep(0.05)

    def join(self):
        self.thread.join(5)
        assert not self.thread.is_alive(), "the call did not end"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_ctrl_c_while_a_call_is_committed_takes_all_of_it_back(make, monkeypatch, moment):
    sampler, count = make(), LocalSampler._count
    sampler.obtain_samples(0, 10)
    before, statistics = sampler.get_state(), sampler.statistics()

    def interrupted(self, **more):
        if moment == "after":
            count(self, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LocalSampler, "_count", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sampler.obtain_samples(0, 10, agent_update={"version": np.array([1])})
    assert sampler.get_state() == before
    assert sampler.statistics() == statistics


def test_a_second_call_is_refused_while_one_is_running(make):
    sampler = make(envs=lambda: Slow((100,)), max_episode_length=100)
    state = sampler.get_state()
    running = Background(sampler.obtain_samples, 0, 100)
    for call in (
        lambda: sampler.obtain_samples(0, 1),
        lambda: sampler.obtain_exact_episodes(1),
        lambda: sampler.set_state(state),
    ):
        with pytest.raises(SamplerBusy):
            call()
    running.join()
    assert running.error is None
    assert running.value.lengths.tolist() == [100]
    assert sampler.obtain_samples(0, 1).provenance.units.tolist() == [1], "the refused calls took nothing"


@pytest.mark.parametrize("lengths", [(10**6,), (1,)], ids=["long episodes", "one-step episodes"])
def test_a_shutdown_ends_a_running_call(make, lengths):
    sampler = make(envs=lambda: Slow(lengths), max_episode_length=10**6)
    running = Background(sampler.obtain_samples, 0, 10**6)
    start = time.monotonic()
    sampler.shutdown_worker()
    running.join()
    assert time.monotonic() - start < 1
    assert isinstance(running.error, SamplerClosed)


@pytest.mark.parametrize(
    "call",
    [
        lambda sampler: sampler.obtain_samples(0, 1),
        lambda sampler: sampler.obtain_exact_episodes(1),
        lambda sampler: sampler.set_state(sampler.get_state()),
    ],
)
def test_after_shutdown_a_sampler_is_closed(make, call):
    sampler = make()
    sampler.shutdown_worker()
    with pytest.raises(SamplerClosed):
        call(sampler)


def test_a_call_that_meets_a_shutdown_is_told_so(make):
    # The call has seen an open sampler; the shutdown is over before it gets any further.
    sampler = make()
    lock = sampler._lock

    class Slipping:
        def acquire(self, *arguments, **more):
            if not lock.locked() and sampler._closed is None:
                sampler.shutdown_worker()
            return lock.acquire(*arguments, **more)

        def release(self):
            lock.release()

    sampler._lock = Slipping()
    with pytest.raises(SamplerClosed):
        sampler.obtain_samples(0, 1)


@pytest.fixture
def alarm():
    """Have a signal's handler called after some seconds."""
    before = signal.getsignal(signal.SIGALRM)

    def set_alarm(seconds, handler):
        signal.signal(signal.SIGALRM, lambda number, frame: handler())
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield set_alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_shutdown_in_a_signal_s_handler_ends_the_call_that_it_interrupts(make, alarm, tmp_path):
    sampler = make(envs=lambda: Slow((10**6,), ledger=tmp_path / "l"), max_episode_length=10**6)
    alarm(0.1, sampler.shutdown_worker)
    start = time.monotonic()
    with pytest.raises(SamplerClosed):
        sampler.obtain_samples(0, 10**6)
    assert time.monotonic() - start < 1
    assert unclosed(tmp_path / "l") == {}


class EndsIt(Observer):
    def batch_collected(self, sampler, batch, seconds):
        sampler.shutdown_worker()


def test_a_shutdown_in_an_observer_stops_the_workers_when_the_call_has_ended(make, tmp_path):
    sampler = make(envs=lambda: TattooEnv(ledger=tmp_path / "l"))
    sampler.observers = (EndsIt(),)
    start = time.monotonic()
    assert len(sampler.obtain_samples(0, 5).rewards) >= 5
    assert time.monotonic() - start < 1
    assert unclosed(tmp_path / "l") == {}
    with pytest.raises(SamplerClosed):
        sampler.obtain_samples(0, 5)


class ClosedUnderIt(TattooEnv):
    """Its step hangs until somebody closes it."""

    def __init__(self):
        super().__init__()
        self.closing = threading.Event()

    def step(self, action):
        self.closing.wait(10)
        raise OSError("the simulator is gone")

    def close(self):
        self.closing.set()


@pytest.mark.slow
def test_what_a_shutdown_by_force_brings_about_is_no_error_of_the_worker(make):
    sampler = make(envs=ClosedUnderIt)
    running = Background(sampler.obtain_samples, 0, 1)
    sampler.shutdown_worker()
    running.join()
    assert isinstance(running.error, SamplerClosed)
    assert "the simulator is gone" in str(running.error.__cause__)


@pytest.mark.slow
def test_environments_that_are_built_during_a_shutdown_are_closed(make, tmp_path):
    slow = tmp_path / "slow"

    def build():
        if slow.exists():
            time.sleep(3.5)  # longer than a shutdown waits
        return TattooEnv(ledger=tmp_path / "l")

    sampler = make(envs=[lambda: build(), lambda: TattooEnv(ledger=tmp_path / "l")])
    copy = pickle.loads(cloudpickle.dumps(sampler))
    sampler.shutdown_worker()
    slow.touch()
    running = Background(copy.obtain_samples, 0, 1)
    copy.shutdown_worker()
    running.join()
    assert isinstance(running.error, SamplerClosed)
    assert unclosed(tmp_path / "l") == {}
