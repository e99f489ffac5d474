"""Batches whose observations workers write to their places: equal to those that are copied, come what may."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import samplerkit
from samplerkit.local import LocalSampler
from samplerkit.policies import MLPPolicy

PICTURE = spaces.Box(0, 255, (64, 64, 8), np.uint8)


class Pictures(gymnasium.Env):
    """Large pictures of a few numbers that follow from the seed; episodes of given lengths."""

    observation_space: Any = PICTURE
    action_space = spaces.Discrete(3)
    lengths = (30, 31)

    def _observation(self) -> Any:
        return np.resize(self.np_random.integers(0, 256, 97, dtype=np.uint8), (64, 64, 8))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.length = self.left = int(self.np_random.integers(*self.lengths))
        return self._observation(), {}

    def step(self, action: int):
        self.left -= 1
        return self._observation(), float(action), self.left == 0, False, {"left": self.left}


class Uneven(Pictures):
    lengths = (20, 33)


class Rare(Uneven):
    """Infos that few steps have, or few episodes."""

    def step(self, action: int):
        *rest, info = super().step(action)
        few = {"few": self.left} if self.length % 5 == 0 else {}
        return *rest, {**info, **few, **({"once": 1.0} if self.left == 17 else {})}


class Growing(Pictures):
    """Episodes that get longer with the weights."""

    def step(self, action: int):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, self.left <= -10 * action, False, info


class Slow(Pictures):
    """Some episodes take long to begin; an action of 2 is an error."""

    def reset(self, **arguments: Any):
        observation, info = super().reset(**arguments)
        if self.np_random.random() < 0.3:
            time.sleep(0.1)
        return observation, info

    def step(self, action: int):
        if action == 2:
            raise RuntimeError("refused")
        return super().step(action)


class Turned(Pictures):
    """As many bytes, in another shape."""

    observation_space = spaces.Box(0, 255, (8, 64, 64), np.uint8)

    def _observation(self) -> Any:
        return np.moveaxis(super()._observation(), 2, 0)


class Nested(Uneven):
    observation_space = spaces.Dict(
        {"left": PICTURE, "right": spaces.Tuple([PICTURE]), "n": spaces.Box(0, 1, (1,), np.float32)}
    )

    def _observation(self) -> Any:
        return {
            "left": super()._observation(),
            "right": (super()._observation(),),
            "n": self.np_random.random(1, np.float32),
        }


class Steady:
    """Takes an action that is its only weight."""

    def __init__(self, action: int = 0) -> None:
        self.action = np.array([action])

    def get_action(self, _observation: Any):
        return int(self.action[0]), {}

    def get_actions(self, observations: Any):
        return np.repeat(self.action, len(observations)), {}

    def reset(self, do_resets: Any = None) -> None:
        pass

    def get_param_values(self) -> dict[str, Any]:
        return {"action": self.action}

    def set_param_values(self, values: dict[str, Any]) -> None:
        self.action = values["action"]


ARGUMENTS = {"agents": Steady(), "seed": 11, "n_workers": 2, "max_episode_length": 90}


def sampler(name: str, envs: Any, **arguments: Any):
    return samplerkit.make_sampler(name, envs=envs, **{**ARGUMENTS, **arguments})


class Unplaced(LocalSampler):
    """The local sampler as it is where observations are copied."""

    def _start(self, record: Any) -> None:
        super()._start(record)
        self._placing.place = lambda goal, first: None  # type: ignore[method-assign]


def unplaced(envs: Any) -> Unplaced:
    return Unplaced(envs=envs, **ARGUMENTS)


def placing(envs: Any, **options: Any) -> Any:
    return sampler("multiprocessing", envs, **options) if options else Watched(envs=envs, **ARGUMENTS)


some = pytest.mark.parametrize("options", [{"n_processes": 2}, {}], ids=str)


def weights(action: int) -> dict[str, Any]:
    return {"action": np.array([action])}


class Watched(LocalSampler):
    """Notes where it lays out memory, which it does not hold any more when a call is over."""

    def _start(self, record: Any) -> None:
        super()._start(record)
        place = self._placing.place

        def noted(goal: Any, first: int) -> Any:
            placed = place(goal, first)
            self.laid_out = None if placed is None else address(placed.buffer.column)
            return placed

        self._placing.place = noted  # type: ignore[method-assign]


def address(column: Any) -> int:
    return (column["left"] if isinstance(column, dict) else column).ctypes.data


def is_placed(sampler: Any, batch: Any) -> bool:
    """Whether the batch owns the memory that workers wrote its observations to."""
    if isinstance(sampler, Watched):
        laid_out = sampler.laid_out
    else:
        laid_out = None if sampler._placed is None else address(sampler._placed.buffer.column)
    return laid_out == address(batch.observations)


@pytest.mark.slow
@pytest.mark.parametrize("env", [Pictures, Uneven, Nested, Rare])
@pytest.mark.parametrize("options", [{"n_processes": 1}, {"n_processes": 3}, {}], ids=str)
def test_placed_batches_are_those_of_observations_that_are_copied_and_stay_what_they_are(env, options):
    with unplaced(env) as local, placing(env, **options) as remote:
        kept = []
        for call in range(4):
            batch = remote.obtain_samples(call, 400, weights(call % 3))
            expected = local.obtain_samples(call, 400, weights(call % 3))
            assert batch.difference(expected) is None
            assert is_placed(remote, batch) == (call > 0)
            kept.append((batch, expected.digest()))
    for batch, digest in kept:
        assert batch.digest() == digest


@pytest.mark.slow
@some
def test_calls_of_other_kinds_in_between_are_those_of_observations_that_are_copied(options):
    def calls(s):
        for call in range(3):
            yield s.obtain_samples(call, 400, weights(call))
            yield s.obtain_samples(call, 300)
            yield s.obtain_exact_episodes(3, weights(call))
            yield s.obtain_samples(call, 400, env_update=Uneven())
            yield s.obtain_samples(call, 1, weights(0))

    with unplaced(Pictures) as local, placing(Pictures, **options) as remote:
        for batch, expected in zip(calls(remote), calls(local), strict=True):
            assert batch.difference(expected) is None


@some
def test_episodes_that_become_longer_than_their_places_are_whole(options):
    with unplaced(Growing) as local, placing(Growing, **options) as remote:
        for call, action in enumerate([0, 0, 2, 2, 1]):
            batch = remote.obtain_samples(call, 400, weights(action))
            assert batch.difference(local.obtain_samples(call, 400, weights(action))) is None


@some
def test_an_environment_whose_observations_have_as_many_bytes_in_another_shape_finds_no_places(options):
    with unplaced(Pictures) as local, placing(Pictures, **options) as remote:
        for call, env in enumerate([None, None, Turned(), None, Pictures()]):
            batch = remote.obtain_samples(call, 400, weights(call % 2), env)
            assert batch.difference(local.obtain_samples(call, 400, weights(call % 2), env)) is None


@some
def test_the_memory_of_a_batch_that_was_dropped_is_used_by_the_next_one(options):
    places = set()
    with placing(Pictures, **options) as it:
        it.obtain_samples(0, 400, weights(0))
        for call in range(1, 5):
            batch = it.obtain_samples(call, 400, weights(call % 2))
            places.add(address(batch.observations))
            del batch
    assert len(places) == 1


@some
def test_a_batch_is_its_holders_to_write_to_while_the_next_ones_come(options):
    with unplaced(Pictures) as local, placing(Pictures, **options) as remote:
        for call in range(5):
            batch = remote.obtain_samples(call, 400, weights(0))
            batch.observations[...] = 7
            following = remote.obtain_samples(call, 200, None if call % 2 else weights(1))
            assert (batch.observations == 7).all()
            local.obtain_samples(call, 400, weights(0))
            expected = local.obtain_samples(call, 200, None if call % 2 else weights(1))
            assert following.difference(expected) is None


@pytest.mark.slow
def test_a_process_that_is_late_after_a_call_that_failed_writes_to_no_later_batch():
    """Batches are dropped, so that their memory is used again by the very next call."""

    def digests(s):
        for call in range(8):
            yield s.obtain_samples(call, 300, weights(0)).digest()
            with pytest.raises(samplerkit.WorkerError, match="refused"):
                s.obtain_samples(call, 300, weights(2))
            gc.collect()  # the error's traceback holds the memory
            yield s.obtain_samples(call, 300, weights(1)).digest()

    with unplaced(Slow) as local, placing(Slow, n_processes=3) as remote:
        assert list(digests(remote)) == list(digests(local))


@pytest.mark.slow
@pytest.mark.parametrize("env", [Pictures, Uneven])
def test_a_process_killed_while_it_writes_leaves_no_trace(env):
    with (
        unplaced(env) as local,
        sampler("multiprocessing", env, n_processes=2, max_restarts=50) as remote,
    ):
        died: list[int] = []
        for call in range(10):
            victims = [p.pid for p in multiprocessing.active_children() if p.name.startswith("samplerkit-")]
            timer = threading.Timer(0.004 * (call % 5), os.kill, (min(victims), signal.SIGKILL))
            timer.start()
            before = remote.statistics().restarts
            batch = remote.obtain_samples(call, 1200, weights(call % 3))
            timer.join()
            if remote.statistics().restarts > before:
                assert not is_placed(remote, batch), "units that run again write to memory of the caller's"
                died.append(call)
            digest = batch.digest()
            assert batch.difference(local.obtain_samples(call, 1200, weights(call % 3))) is None
            time.sleep(0.02)
            assert batch.digest() == digest
    assert died, "no process died in a call"


def test_small_rows_are_not_placed():
    with sampler("multiprocessing", "CartPole-v1", n_processes=1, agents=cartpole_policy()) as remote:
        for call in range(3):
            remote.obtain_samples(call, 400, remote_weights(call))
            assert remote._placed is None


def cartpole_policy():
    env = gymnasium.make("CartPole-v1")
    return MLPPolicy(env.observation_space, env.action_space)


def remote_weights(call: int):
    return {name: value + np.float32(call) for name, value in cartpole_policy().get_param_values().items()}
