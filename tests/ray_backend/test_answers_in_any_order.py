"""Actors whose answers come in any order, and who die at any time, played through without Ray.

Nothing is lost, and no call waits for ever.
"""

from __future__ import annotations

import random
from concurrent.futures import Future

import pytest
from fault_probes import FaultyEnv
from held_lease import Held
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.exceptions import ActorDiedError

import samplerkit
from samplerkit import LocalSampler
from samplerkit.policies import RandomPolicy
from samplerkit_ray.actor import Carrier, Facts, versions
from samplerkit_ray.sampler import RaySampler
from samplerkit_ray.transport import Demand, RayTransport

LISTENS, DIED = object(), object()


class Method:
    """A method of an actor: it runs at once, and what it returns is on its way."""

    def __init__(self, actor: Actor, name: str) -> None:
        self.actor, self.name = actor, name

    def remote(self, *arguments):
        if self.actor.is_dead:
            return Answer(self.actor, DIED)
        return Answer(self.actor, getattr(self.actor.carrier, self.name)(*arguments))


class Listening:
    """`listen`, which would wait: it is answered once there is something to say late."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def remote(self):
        return Answer(self.actor, LISTENS)


class Answer:
    def __init__(self, actor: Actor, value) -> None:
        self.actor, self.value = actor, value

    def future(self) -> Future:
        future: Future = Future()
        self.actor.on_its_way.append((future, self.value))
        return future


class Actor:
    """A carrier in this process, in the guise of an actor's handle."""

    def __init__(self) -> None:
        self.carrier = Carrier.__new__(Carrier)  # whose process it does not change
        self.carrier._begin()
        self.carrier.hello = lambda: Facts(versions(), "here", 1)
        self.on_its_way: list[tuple[Future, object]] = []
        self.begin, self.work, self.hurry = (Method(self, name) for name in ("begin", "work", "hurry"))
        self.hello, self.listen = Method(self, "hello"), Listening(self)
        self.is_dead = False

    def let_one_arrive(self, chance: random.Random) -> bool:
        """Let any of the answers arrive that are on their way; False where there is none."""
        has_news = self.carrier._is_late or self.carrier._over or self.is_dead
        able = [it for it in self.on_its_way if it[1] is not LISTENS or has_news]
        if not able:
            return False
        it = chance.choice(able)
        self.on_its_way.remove(it)
        future, value = it
        if self.is_dead and (value in (LISTENS, DIED) or chance.random() < 0.5):
            future.set_exception(ActorDiedError())
        else:
            future.set_result(self.carrier.listen() if value is LISTENS else value)
        return True


class Played(RayTransport):
    """Answers arrive one at a time, when the driver has nothing else to do."""

    lingers = 1e-9  # each unit is told of by itself, as large ones are

    def __init__(self, seed: int, deaths: float) -> None:
        super().__init__(Held(), 2, Demand(0), 60.0, ())
        self.chance = random.Random(seed)
        self.deaths = deaths
        self.actors: list[Actor] = []
        self.idle = 0

    def _created(self, path):
        self.actors.append(Actor())
        return self.actors[-1]

    def _listen(self, timeout):
        if self.chance.random() < self.deaths:
            self.chance.choice(self.actors).is_dead = True
        actors = self.chance.sample(self.actors, len(self.actors))
        arrived = any(actor.let_one_arrive(self.chance) for actor in actors)
        self.idle = 0 if arrived else self.idle + 1
        assert self.idle < 50, "the driver waits, and no actor has anything to do"
        super()._listen(0.01 if not arrived else 0.0)

    def kill(self, carrier):
        assert carrier.stopping or carrier.failed is not None, "who is well is not ended"
        carrier.handle.is_dead = True


def played(seed: int, deaths: float) -> type[RaySampler]:
    class PlayedSampler(RaySampler):
        def make_transport(self):
            return Played(seed, deaths)

    return PlayedSampler


KINDS = {"": {}, "vectorized": {"n_envs": 3}, "fragment": {"n_envs": 2, "timesteps_per_call": 4}}


def batches(sampler_class, kind: str, **options):
    """Four calls, every other one with new environments."""
    worker_class = samplerkit.get_backend(kind) if kind else None
    with sampler_class(
        RandomPolicy(FaultyEnv.action_space),
        FaultyEnv,
        seed=5,
        n_workers=3,
        max_episode_length=20,
        worker_class=worker_class,
        worker_args=KINDS[kind],
        **options,
    ) as s:
        for index in range(4):
            yield s.obtain_samples(index, 120, env_update=FaultyEnv if index % 2 else None)


@pytest.mark.parametrize("deaths", [0.0, 0.05])
@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=15)
@given(order=st.integers(0, 1 << 30))
def test_batches_are_those_of_the_local_sampler_in_whatever_order_answers_come(kind, deaths, order):
    found, wanted = batches(played(order, deaths), kind, max_restarts=1_000), batches(LocalSampler, kind)
    for batch, other in zip(found, wanted, strict=True):
        assert batch.difference(other) is None
