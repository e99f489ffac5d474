"""The host: live workers in one place, and the units that they run."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import pickle
import random
import threading
import time
from typing import ClassVar

import cloudpickle
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.wrappers import TransformReward

from samplerkit import DefaultWorker, EpisodeBatch, SetTaskUpdate, WorkerFactory
from samplerkit.contract.probes import Fault, ProbePolicy, TattooEnv, mark_of, read_ledger, unclosed, unit_key
from samplerkit.contract.probes.oracle import unit_seeds
from samplerkit.episodes import EpisodeSlice, whole
from samplerkit.global_random import GlobalRandomState
from samplerkit.interfaces.unit_feeds import InGroups
from samplerkit.policies import RandomPolicy, from_callable
from samplerkit.sampling import boundary
from samplerkit.sampling import host as module
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.host import WorkerHost
from samplerkit.sampling.recipes import Recipe
from samplerkit.sampling.seating import HostSetup, seating

SEED = 4


class Overlapping(DefaultWorker):
    """Takes units two by two, and ends the second of each pair first."""

    def rollouts(self, units):
        units = iter(units)
        while pair := list(itertools.islice(units, 2)):
            for unit in pair:
                self.unit = unit
                if unit.number in self.bad:
                    self.bad.remove(unit.number)
                    raise ValueError(f"unit {unit.number}")
            for unit in reversed(pair):
                self.unit = unit
                yield unit, self.rollout()

    bad: set[int] = set()  # noqa: RUF012


@pytest.fixture(autouse=True)
def quiet_globals():
    with GlobalRandomState():
        yield


def recipe(env=TattooEnv, policy=None):
    agent = boundary.agent_change(policy or ProbePolicy())
    return Recipe(agent.packed, None, (boundary.env_change(env, 3),))


def host(worker_class=DefaultWorker, n_workers=2, limit=8, catch_interrupts=False, reseed=True):
    factory = WorkerFactory(
        max_episode_length=limit, seed=SEED, n_workers=n_workers, worker_class=worker_class
    )
    return WorkerHost(HostSetup.of(factory, n_workers, reseed), catch_interrupts=catch_interrupts)


def started(env=TattooEnv, seats=(0, 0), **arguments):
    it = host(n_workers=len(seats), **arguments)
    wanted = recipe(env)
    assert it.configure(SEED, dict.fromkeys(seats, wanted)) == []
    return it


def keys(batch):
    return set(mark_of(batch.observations)[:, 1].tolist())


def viewed(result):
    """Return the batch of a unit, or its failure."""
    return result.view() if isinstance(result, EpisodeSlice) else result


def run(it, numbers, seats=(0, 0)):
    return {number: viewed(result) for number, result in it.run(numbers, seats)}


def env_with(fault, **arguments):
    return lambda: TattooEnv(fault=fault, **arguments)


# -- plans ---------------------------------------------------------------------------------------


def test_a_plan_builds_what_is_not_there():
    wanted = recipe()
    assert seating({}, {0: wanted, 3: wanted}) == {0: wanted, 3: wanted}


def test_a_plan_keeps_what_is_right():
    wanted = recipe()
    assert seating({0: wanted.key}, {0: wanted}) == {0: wanted.key}


def test_a_plan_changes_what_is_one_change_behind():
    before = recipe()
    after = before.changed(boundary.agent_change({"version": np.array([1])}), None)
    assert seating({0: before.key}, {0: after}) == {0: after.change}


def test_a_plan_builds_what_is_two_changes_behind():
    before = recipe()
    weights = boundary.agent_change({"version": np.array([1])})
    after = before.changed(weights, None).changed(weights, None)
    assert seating({0: before.key}, {0: after}) == {0: after}


# -- configuring ---------------------------------------------------------------------------------


def test_seats_that_are_not_named_are_closed(tmp_path):
    it = started(lambda: TattooEnv(ledger=tmp_path / "l"), seats=(0, 1))
    it.configure(SEED, {1: it._seats[1].recipe.key})
    assert len(read_ledger(tmp_path / "l", "close")) == 1
    it.close()
    assert unclosed(tmp_path / "l") == {}


def test_a_kept_worker_is_the_same_object():
    it = started()
    worker = it._seats[0].worker
    it.configure(SEED, {0: it._seats[0].recipe.key})
    assert it._seats[0].worker is worker


def test_a_change_reaches_the_live_worker_once(tmp_path):
    it = started(lambda: TattooEnv(ledger=tmp_path / "l", lengths=(2,)))
    before = it._seats[0].recipe
    change = boundary.env_change(SetTaskUpdate(TattooEnv, 9), 3)
    weights = boundary.agent_change({"version": np.array([5])})
    after = before.changed(weights, change)
    it.configure(SEED, seating({0: before.key}, {0: after}))
    batch = run(it, [0])[0]
    assert set(mark_of(batch.observations)[:, 0]) == {9}
    assert set(batch.agent_infos["version"]) == {5}
    assert len(read_ledger(tmp_path / "l", "open")) == 1, "the environment was to be changed, not made anew"


def test_a_worker_that_was_changed_is_rebuilt_as_changed():
    fault = Fault("step", key=unit_key(SEED, 1))
    it = started(env_with(fault))
    before = it._seats[0].recipe
    after = before.changed(
        boundary.agent_change({"version": np.array([5])}),
        boundary.env_change(lambda: TattooEnv(tag=9, fault=fault), 0),
    )
    it.configure(SEED, seating({0: before.key}, {0: after}))
    results = run(it, [0, 1, 2])
    assert isinstance(results[1], Failure)
    assert set(results[2].agent_infos["version"]) == {5}
    assert set(mark_of(results[2].observations)[:, 0]) == {9}


@pytest.mark.parametrize("travel", [lambda plan: plan, lambda plan: pickle.loads(cloudpickle.dumps(plan))])
def test_an_environment_that_is_sent_is_opened_once_and_closed_once(travel, tmp_path):
    mine = [TattooEnv(tag=tag, ledger=tmp_path / "l") for tag in range(3)]
    it = host()
    present = recipe(mine[0])
    it.configure(SEED, travel({0: present}))
    for update in (mine[1], SetTaskUpdate(TattooEnv, 3), mine[2]):
        after = present.changed(None, boundary.env_change(update, 3))
        it.configure(SEED, travel(seating({0: present.key}, {0: after})))
        present = after
    it.close()
    for env in mine:
        env.close()
    assert unclosed(tmp_path / "l") == {}


def test_one_seat_that_fails_does_not_harm_another():
    it = host()
    bad = recipe(env_with(Fault("construct")))
    failures = it.configure(SEED, {0: bad, 1: recipe()})
    assert [(failure.worker, failure.unit, failure.error_type) for failure in failures] == [
        (0, None, "ValueError")
    ]
    assert set(run(it, [1, 3], seats=(0, 1))) == {1, 3}


class Told(DefaultWorker):
    """Gets something to keep."""

    def __init__(self, *, thing, **arguments):
        super().__init__(**arguments)
        self.thing = thing


class OnlyHere:
    """Can be sent, and not read where it arrives."""

    def __reduce__(self):
        return _read, ()


def _read():
    raise asyncio.CancelledError("not here")


def told(thing):
    factory = WorkerFactory(worker_class=Told, worker_args={"thing": thing}, max_episode_length=8)
    return HostSetup.of(factory, 2, True)


def test_a_factory_that_cannot_be_read_where_workers_are_built_is_a_failure_of_every_seat():
    it = WorkerHost(told(OnlyHere()), catch_interrupts=False)
    failures = it.configure(SEED, {0: recipe(), 1: recipe()})
    assert [(failure.worker, failure.message) for failure in failures] == [(0, "not here"), (1, "not here")]


def test_changing_a_worker_s_argument_later_changes_nothing():
    thing = ["before"]
    it = WorkerHost(told(thing), catch_interrupts=False)
    thing[0] = "after"
    assert it.configure(SEED, {0: recipe()}) == []
    assert it._seats[0].worker.thing == ["before"]


def test_a_worker_that_fails_to_build_leaves_nothing_open(tmp_path):
    it = host()
    good = lambda: TattooEnv(ledger=tmp_path / "l")  # noqa: E731
    bad = recipe(good).changed(None, boundary.env_change(env_with(Fault("construct")), 0))
    two = Recipe(bad.agent, None, (recipe(good).envs[0], *bad.envs))
    assert len(it.configure(SEED, {0: two})) == 1
    assert unclosed(tmp_path / "l") == {}


class Dicing(CartPoleEnv):
    """Rewards that are drawn from the global generator."""

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, random.random(), *rest


def test_a_subclass_of_what_draws_from_its_own_generators_is_served_by_the_global_ones():
    policy = RandomPolicy(spaces.Discrete(2))

    def rewards(numbers):
        it = host(n_workers=1)
        assert it.configure(SEED, {0: recipe(Dicing, policy)}) == []
        return {number: batch.rewards.tolist() for number, batch in run(it, numbers, (0,)).items()}

    together = rewards([0, 1, 2])
    assert {number: rewards([number])[number] for number in (2, 1, 0)} == together
    assert together[0][:3] != together[1][:3]


class Other(DefaultWorker):
    """Who knows what it does."""


def wrapped():
    return TransformReward(CartPoleEnv(), lambda reward: reward)


@pytest.mark.parametrize(
    ("env", "policy", "worker", "n_set"),
    [
        (CartPoleEnv, RandomPolicy(spaces.Discrete(2)), DefaultWorker, 0),
        (CartPoleEnv, from_callable(lambda observation: 0), DefaultWorker, 3),
        (CartPoleEnv, RandomPolicy(spaces.Discrete(2)), Other, 3),
        (wrapped, RandomPolicy(spaces.Discrete(2)), DefaultWorker, 3),
        (Dicing, RandomPolicy(spaces.Discrete(2)), DefaultWorker, 3),
    ],
)
def test_the_global_generators_are_set_only_where_something_may_draw_from_them(
    env, policy, worker, n_set, monkeypatch
):
    it = host(worker, n_workers=1)
    assert it.configure(SEED, {0: recipe(env, policy)}) == []
    seeds = []
    monkeypatch.setattr(module, "seed_globals", seeds.append)
    run(it, [0, 1, 2], (0,))
    assert len(seeds) == n_set


def test_a_constructor_that_draws_from_the_globals_is_seeded():
    class Drawn(TattooEnv):
        def __init__(self):
            super().__init__(tag=int(np.random.randint(2**20)))

    tags = []
    for caller in (1, 2):
        np.random.seed(caller)
        tags.append(mark_of(run(started(Drawn), [0])[0].observations)[0, 0])
    assert tags[0] == tags[1]


# -- running -------------------------------------------------------------------------------------


def test_units_run_with_their_seeds():
    results = run(started(), range(5))
    for number, batch in results.items():
        assert keys(batch) == {unit_key(SEED, number)}
        assert set(batch.agent_infos["seed"].tolist()) == {unit_seeds(SEED, number)[1]}


def test_units_run_on_their_seats():
    it = host()
    it.configure(SEED, {0: recipe(lambda: TattooEnv(tag=10)), 1: recipe(lambda: TattooEnv(tag=11))})
    results = run(it, range(6), seats=(0, 1))
    assert [mark_of(results[number].observations)[0, 0] for number in range(6)] == [10, 11] * 3


def test_units_are_taken_when_the_worker_is_ready_for_them():
    taken = []
    numbers = (taken.append(number) or number for number in range(9))
    next(started().run(numbers, (0, 0)))
    assert taken == [0]


def test_the_globals_are_set_for_each_unit():
    class Draws(TattooEnv):
        def reset(self, **arguments):
            observation, info = super().reset(**arguments)
            return observation, {**info, "draw": np.random.random()}

    np.random.seed(1)
    forward = run(started(Draws), range(4))
    np.random.seed(2)
    backward = run(started(Draws), [3, 1, 2, 0])
    drawn = [forward[number].episode_infos_by_episode["draw"][0] for number in range(4)]
    assert drawn == [backward[number].episode_infos_by_episode["draw"][0] for number in range(4)]
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("site", ["reset", "step"])
def test_a_failed_unit_is_a_result_and_the_others_run(site):
    results = run(started(env_with(Fault(site, key=unit_key(SEED, 1)))), range(4))
    failure = results.pop(1)
    assert isinstance(failure, Failure)
    assert (failure.worker, failure.unit, failure.error_type) == (1, 1, "ValueError")
    assert site in failure.remote_traceback
    for number, batch in results.items():
        assert batch.equals(run(started(), [number])[number])


def test_a_failed_unit_rebuilds_its_worker(tmp_path):
    fault = Fault("step", key=unit_key(SEED, 1))
    it = started(env_with(fault, ledger=tmp_path / "l"))
    worker = it._seats[0].worker
    run(it, range(3))
    assert it._seats[0].worker is not worker
    assert len(read_ledger(tmp_path / "l", "open")) == 2
    it.close()
    assert unclosed(tmp_path / "l") == {}


def test_a_rebuild_that_fails_is_the_next_unit_s_failure(tmp_path):
    class Second(TattooEnv):
        """Can be constructed once."""

        def __init__(self):
            super().__init__(fault=Fault("step", key=unit_key(SEED, 0)))
            marker = tmp_path / "made"
            if marker.exists():
                raise OSError("no second one")
            marker.touch()

    results = run(started(Second), range(3))
    assert [results[number].error_type for number in range(3)] == ["ValueError", "OSError", "OSError"]


@pytest.mark.parametrize("kind", [OSError, asyncio.CancelledError])
def test_a_close_that_fails_does_not_mask_the_unit_s_outcome(kind, caplog):
    class Sticky(TattooEnv):
        def close(self):
            raise kind("will not close")

    it = started(lambda: Sticky(fault=Fault("step", key=unit_key(SEED, 1))))
    results = run(it, range(3))
    assert results[1].error_type == "ValueError"
    assert isinstance(results[2], EpisodeBatch)
    it.close()
    assert "shut down" in caplog.text


class Rude(BaseException):
    """No `Exception`."""


class Own(DefaultWorker):
    """Runs units in a way of its own."""

    def rollout(self):
        return super().rollout()


ODD = SystemExit, asyncio.CancelledError, GeneratorExit, Rude, StopIteration


@pytest.mark.parametrize("worker_class", [DefaultWorker, Own])
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("site", ["reset", "step"])
def test_whatever_an_environment_raises_is_its_unit_s_failure(site, kind, worker_class):
    def leave():
        raise kind("no more")

    fault = Fault(site, leave, key=unit_key(SEED, 1))
    results = run(started(env_with(fault), worker_class=worker_class), range(3))
    failure = results.pop(1)
    assert failure.error_type.endswith(kind.__name__)
    assert (failure.message, failure.unit) == ("no more", 1)
    assert "in strike" in failure.remote_traceback
    assert all(isinstance(result, EpisodeBatch) for result in results.values())


@pytest.mark.parametrize("kind", ODD)
def test_whatever_a_constructor_raises_is_its_seat_s_failure(kind):
    def leave():
        raise kind("no more")

    [failure] = host().configure(SEED, {0: recipe(env_with(Fault("construct", leave))), 1: recipe()})
    assert failure.error_type.endswith(kind.__name__)
    assert failure.message == "no more"


def test_the_runtime_error_of_a_generator_of_the_environment_s_own_stays_one():
    class Recorded(TattooEnv):
        def step(self, action):
            return next(self.rows())

        def rows(self):
            yield next(iter(()))

    [failure] = run(started(Recorded), [0]).values()
    assert failure.error_type == "RuntimeError"


def test_whoever_wants_no_more_units_leaves_the_worker_as_it_is():
    it = started()
    worker = it._seats[0].worker
    running = it.run(itertools.count(), (0, 0))
    next(running)
    running.close()
    assert it._seats[0].worker is worker


@pytest.mark.parametrize("own", [True, False])
def test_whose_interrupt_it_is(own):
    def interrupt():
        raise KeyboardInterrupt

    fault = Fault("step", interrupt, key=unit_key(SEED, 0))
    it = started(env_with(fault), catch_interrupts=own)
    if own:
        assert run(it, range(2))[0].error_type == "KeyboardInterrupt"
    else:
        with pytest.raises(KeyboardInterrupt):
            run(it, range(2))
        assert isinstance(run(it, [1])[1], EpisodeBatch), "it can be used again"


# -- workers that overlap units ------------------------------------------------------------------


def test_overlapping_units_come_as_they_end():
    it = started(worker_class=Overlapping)
    assert [number for number, _ in it.run(range(4), (0, 0))] == [1, 0, 3, 2]


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_of_overlapping_units_only_the_guilty_one_fails(bad):
    Overlapping.bad = {bad}
    it = started(worker_class=Overlapping)
    results = run(it, range(5))
    assert set(results) == set(range(5)), "every unit has a result"
    assert [number for number, result in results.items() if isinstance(result, Failure)] == [bad]
    assert results.pop(bad).unit == bad
    for number, batch in results.items():
        assert batch.equals(run(started(), [number])[number])


@pytest.mark.parametrize(
    ("numbers", "came"),
    [([0, 0, 1], [1, 0]), ([0, 1, 1, 0], [1, 0, 0, 1]), ([3, 3, 3, 4, 5, 5], [4, 3, 5])],
)
def test_a_unit_that_is_dealt_again_while_it_runs_does_not_run_beside_itself(numbers, came):
    results = list(started(worker_class=Overlapping).run(numbers, (0, 0)))
    assert [number for number, _ in results] == came
    for number, result in results:
        assert keys(result.view()) == keys(viewed(run(started(), [number])[number]))


def test_one_that_is_dealt_again_after_it_ended_runs_again():
    it = started(worker_class=Overlapping)
    results = list(it.run([0, 1, 0, 1], (0, 0)))
    assert [number for number, _ in results] == [1, 0, 1, 0]


# -- workers that misbehave ----------------------------------------------------------------------


class ReturnsNone(DefaultWorker):
    def rollout(self):
        return None


class ReturnsAnother(DefaultWorker):
    def rollouts(self, units):
        for unit in units:
            self.unit = unit
            yield unit._replace(number=unit.number + 1), self.rollout()


class DropsUnits(DefaultWorker):
    def rollouts(self, units):
        for unit in units:
            self.unit = unit
            if unit.number % 2:
                yield unit, self.rollout()
            else:
                return


class TakesNone(DefaultWorker):
    def rollouts(self, units):
        return iter(())


class Pairs(DefaultWorker):
    """Takes two units at a time, and yields what it makes of them together."""

    said = staticmethod(lambda units: units)

    @classmethod
    def overlap(cls, **worker_args):
        return 2

    def rollouts(self, units):
        while pair := units.take(2):
            batches = []
            for unit in pair:
                self.unit = unit
                batches.append(self.rollout())
            yield self.said(pair), whole(EpisodeBatch.concatenate(*batches))


class PairsOfOthers(Pairs):
    said = staticmethod(lambda units: [unit._replace(number=unit.number + 100) for unit in units])


def test_units_that_end_together_are_yielded_together():
    it = started(worker_class=Pairs)
    results = list(it.run([3, 4, 9], (0, 0)))
    assert [done for done, _ in results] == [[3, 4], [9]]
    alone = dict(run(started(), [3, 4, 9]))
    assert keys(results[0][1].view()) == keys(viewed(alone[3])) | keys(viewed(alone[4]))


def one_by_one_in_groups(numbers, asked, told=lambda: None):
    """Hand out numbers to whoever asks for several, one at a time all the same."""
    left = list(numbers)

    def some(most):
        asked.append(most)
        told()
        return [left.pop(0)] if left else []

    return InGroups(some)


@pytest.mark.parametrize(
    ("numbers", "came"), [([0, 0, 1], [[0], [1]]), ([7, 7], [[7]]), ([3, 4, 4, 4, 5], [[3, 4], [4], [5]])]
)
def test_nor_does_one_that_comes_with_others(numbers, came):
    results = started(worker_class=Pairs).run(one_by_one_in_groups(numbers, []), (0, 0))
    assert [done for done, _ in results] == came


def test_numbers_are_asked_for_together_until_there_are_as_many_as_the_worker_takes():
    asked = []
    it = started(worker_class=Pairs)
    feed = one_by_one_in_groups([3, 4, 9], asked)
    assert [done for done, _ in it.run(feed, (0, 0))] == [[3, 4], [9]]
    assert asked == [1, 1, 2, 1, 2, 1]  # the first tells the seat, and the last whether there is another


class NotesPairs(Pairs):
    taken: list[int] = []  # noqa: RUF012

    def rollouts(self, units):
        while pair := units.take(2):
            self.taken.extend(unit.number for unit in pair)
            yield pair, whole(EpisodeBatch.concatenate(*(self.rollout() for _ in pair)))


def test_no_group_is_handed_out_after_a_cancel():
    NotesPairs.taken = []
    it = started(worker_class=NotesPairs)
    feed = one_by_one_in_groups([3, 4, 9], [], told=it.cancel)
    assert list(it.run(feed, (0, 0))) == []
    assert NotesPairs.taken == []


def test_units_of_another_seat_come_later_where_a_worker_takes_several():
    it = started(worker_class=Pairs, seats=(0, 1))
    assert [done for done, _ in it.run([0, 1, 2, 3], (0, 1))] == [[0, 2], [1, 3]]


def test_units_that_were_not_under_way_are_refused_where_several_come_together():
    [(number, failure)] = started(worker_class=PairsOfOthers).run([3], (0, 0))
    assert number == 3
    assert "yielded unit 103, which was not under way" in failure.message


@pytest.mark.parametrize("worker_class", [ReturnsNone, ReturnsAnother, DropsUnits, TakesNone])
def test_a_worker_that_breaks_the_rules_fails_its_unit_and_does_not_hang(worker_class):
    it = started(worker_class=worker_class)
    number, first = next(it.run(itertools.count(), (0, 0)))
    assert number == 0
    assert isinstance(first, Failure)
    assert worker_class.__name__ in first.message


# -- cancelling ----------------------------------------------------------------------------------


class Endless(TattooEnv):
    def __init__(self, delay=0.001):
        super().__init__(lengths=(10**6,), infos="none")
        self.delay = delay

    def step(self, action):
        time.sleep(self.delay)
        return super().step(action)


def cancelled_run(it, seats=(0, 0)):
    """Cancel from another thread after a moment; return results and how long the rest took."""
    moment = []

    def cancel():
        moment.append(time.monotonic())
        it.cancel()

    timer = threading.Timer(0.05, cancel)
    timer.start()
    results = run(it, itertools.count(), seats)
    timer.join()
    return results, time.monotonic() - moment[0]


def test_a_running_unit_is_cancelled_between_steps():
    results, late = cancelled_run(started(Endless, limit=10**6))
    assert results == {}
    assert late < 0.5


def test_one_step_episodes_are_cancelled_too():
    results, late = cancelled_run(started(lambda: TattooEnv(lengths=(1,))))
    assert results, "some units ended before"
    assert late < 0.5


class OwnRollout(DefaultWorker):
    """Never looks whether it was cancelled."""

    def rollout(self):
        self.start_episode()
        while not self.step_episode():
            pass
        return self.collect_episode()


def test_a_worker_that_does_not_look_is_cancelled_between_units():
    _, late = cancelled_run(started(worker_class=OwnRollout))
    assert late < 0.5


def test_after_a_cancel_nothing_runs_until_it_is_withdrawn():
    it = started()
    it.cancel()
    assert run(it, range(3)) == {}
    it.resume()
    assert set(run(it, range(3))) == {0, 1, 2}


class Writing(ProbePolicy):
    """Says whether it may write to the weights that it got last."""

    writable: ClassVar[list[bool]] = []
    reads_params_in_place = False

    def set_param_values(self, params):
        self.writable.append(params["a"].flags.writeable)


class Reading(Writing):
    reads_params_in_place = True


def test_weights_are_read_in_place_only_by_a_policy_that_says_so_and_never_by_the_next_one():
    Writing.writable.clear()
    weights = boundary.agent_change({"a": np.zeros(50_000)})
    with contextlib.closing(host(n_workers=1)) as h:
        present = recipe(policy=Reading())
        assert h.configure(SEED, {0: present}) == []
        for update in (weights, boundary.agent_change(Writing()), weights, boundary.agent_change(Reading())):
            present = present.changed(update, None)
            assert h.configure(SEED, {0: present.change}) == []
        present = present.changed(weights, None)
        h.configure(SEED, {})
        assert h.configure(SEED, {0: present}) == []  # built again, from the policy and its weights
    assert Writing.writable == [False, True, False]
