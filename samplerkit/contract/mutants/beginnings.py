"""Constructors that assume, cut and drop things; observers told too little or too much; odd ends."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import Any
from unittest import mock

import numpy as np

from samplerkit.contract.mutants.anything import AnySampler
from samplerkit.contract.mutants.bases import LOCAL, PROCESSES, WORKER
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import EpisodeBatch
from samplerkit.sampling import boundary
from samplerkit.sampling.admission import Goal
from samplerkit.workers import DefaultWorker


class ConstructorDefect(AnySampler):
    """Makes something else of what it is made of."""

    def given(self, arguments: dict[str, Any]) -> None:
        raise NotImplementedError

    def __init__(self, agents: Any, envs: Any, **arguments: Any) -> None:
        arguments |= {"agents": agents, "envs": envs}
        self.given(arguments)
        super().__init__(arguments.pop("agents"), arguments.pop("envs"), **arguments)


@mutant("no-seed-is-zero", "D5.defaults")
class NoSeedIsZero(ConstructorDefect):
    """Samplers that were given no seed all have seed 0."""

    def given(self, arguments: dict[str, Any]) -> None:
        if arguments.get("seed") is None and arguments.get("worker_factory") is None:
            arguments["seed"] = 0


@mutant("says-another-seed", "D5.defaults")
class SaysAnotherSeed(AnySampler):
    """A seed that was drawn is not the one that the sampler names."""

    @property
    def seed(self) -> int:
        return super().seed if super().seed < 1 << 16 else 0


@mutant("says-one-worker", "D5.defaults", bases=(LOCAL,))
class SaysOneWorker(AnySampler):
    """sampler.n_workers is 1, whatever there is."""

    @property
    def n_workers(self) -> int:
        # The template asks as well, inside of calls and before: it needs the number that there are.
        return 1 if self._started and self._caller is None else super().n_workers


@mutant("limit-assumed", "D5.defaults", bases=(LOCAL, PROCESSES))
class LimitAssumed(ConstructorDefect):
    """Without max_episode_length, episodes are cut at 1000 steps."""

    def given(self, arguments: dict[str, Any]) -> None:
        if arguments.get("max_episode_length") is None and arguments.get("worker_factory") is None:
            arguments["max_episode_length"] = 1000


@mutant("list-not-counted", "D5.defaults", bases=(LOCAL,))
class ListNotCounted(ConstructorDefect):
    """Without n_workers there is one, also for a list of agents."""

    def given(self, arguments: dict[str, Any]) -> None:
        if arguments.get("n_workers") is None and arguments.get("worker_factory") is None:
            arguments["n_workers"] = 1


@mutant("factory-dropped", "D5.defaults")
class FactoryDropped(ConstructorDefect):
    """A worker_factory is taken, and not used."""

    def given(self, arguments: dict[str, Any]) -> None:
        arguments.pop("worker_factory", None)


@mutant("numpy-seed-refused", "D5.defaults", bases=(LOCAL,))
class NumpySeedRefused(ConstructorDefect):
    """numpy's integers are refused by the constructor."""

    def given(self, arguments: dict[str, Any]) -> None:
        for name in ("seed", "n_workers", "max_episode_length"):
            if isinstance(arguments.get(name), np.integer):
                raise TypeError(f"{name} must be an int, not {arguments[name]!r}")


@mutant("list-cut", "D5.agents")
class ListCut(ConstructorDefect):
    """Lists that are too long for n_workers are cut at construction, and those too short filled up."""

    def given(self, arguments: dict[str, Any]) -> None:
        n_workers = arguments.get("n_workers")
        if type(n_workers) is not int or n_workers < 1:
            return
        for name in ("agents", "envs"):
            if isinstance(arguments[name], list) and arguments[name]:
                arguments[name] = (arguments[name] * n_workers)[:n_workers]


class PolicyDefect(AnySampler):
    """Asks policies for less, where agents are packed."""

    def policy(self, policy: Any) -> Any:
        raise NotImplementedError

    def _agent_changes(self, update: Any) -> Any:
        with mock.patch.object(boundary, "sampling_policy", self.policy):
            return super()._agent_changes(update)


@mutant("list-of-weights-taken", "D5.agents", bases=(LOCAL,))
class ListOfWeightsTaken(PolicyDefect):
    """A policy is taken although its weights are a list."""

    def policy(self, policy: Any) -> Any:
        return policy.for_sampling() if hasattr(policy, "for_sampling") else policy


@mutant("twin-not-asked-for", "D5.agents", bases=(LOCAL, PROCESSES))
class TwinNotAskedFor(PolicyDefect):
    """for_sampling() of a policy is not called: workers get the policy itself."""

    def policy(self, policy: Any) -> Any:
        if isinstance(policy.get_param_values(), list):
            raise TypeError("get_param_values() returned a list: return an array, a tuple or a dict")
        return policy


@mutant("main-thread-only", "D6.anywhere", bases=(LOCAL,))
class MainThreadOnly(ConstructorDefect):
    """It can be made in the main thread only."""

    def given(self, arguments: dict[str, Any]) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("signal only works in main thread of the main interpreter")


async def _nothing() -> None:
    return


@mutant("loop-of-its-own", "D6.anywhere", bases=(LOCAL,))
class LoopOfItsOwn(AnySampler):
    """Each call runs an event loop, which cannot be done inside another one."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        pending = _nothing()
        try:
            asyncio.run(pending)
        finally:
            pending.close()
        return super()._obtain(goal, agent_update, env_update)


@mutant("itr-is-an-index", "D6.anywhere", bases=(LOCAL,))
class ItrIsAnIndex(AnySampler):
    """itr must be an integer of at least 0."""

    def obtain_samples(
        self, itr: int, num_samples: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        if not isinstance(itr, int) or itr < 0:
            raise TypeError(f"itr must be an integer of at least 0, not {itr!r}")
        return super().obtain_samples(itr, num_samples, agent_update, env_update)


# -- observers ---------------------------------------------------------------------------------------


@mutant("observers-not-told", "F5.observers")
class ObserversNotTold(AnySampler):
    """Observers hear of nothing."""

    def _tell_observers(self, event: str, *arguments: Any) -> None:
        return


@mutant("observers-told-twice", "F5.observers")
class ObserversToldTwice(AnySampler):
    """Observers hear of everything twice."""

    def _tell_observers(self, event: str, *arguments: Any) -> None:
        super()._tell_observers(event, *arguments)
        super()._tell_observers(event, *arguments)


@mutant("observers-get-a-copy", "F5.observers", bases=(LOCAL,))
class ObserversGetACopy(AnySampler):
    """Observers get a copy of the batch."""

    def _tell_observers(self, event: str, *arguments: Any) -> None:
        copies = [
            EpisodeBatch.concatenate(given) if isinstance(given, EpisodeBatch) else given
            for given in arguments
        ]
        super()._tell_observers(event, *copies)


@mutant("observer-ends-call", "F5.observers")
class ObserverEndsCall(AnySampler):
    """What an observer raises ends the call."""

    def _tell_observers(self, event: str, *arguments: Any) -> None:
        for observer in self.observers:
            getattr(observer, event)(self, *arguments)


@mutant("restarts-not-told", "F5.observers", bases=(PROCESSES,))
class RestartsNotTold(AnySampler):
    """Observers do not hear of carriers that died and were replaced."""

    def _tell_observers(self, event: str, *arguments: Any) -> None:
        if event != "carrier_restarted":
            super()._tell_observers(event, *arguments)


# -- ends --------------------------------------------------------------------------------------------


@mutant("handler-cannot-shut-down", "D6.signal")
class HandlerCannotShutDown(AnySampler):
    """A shutdown inside of a call, by a signal's handler, is refused."""

    def shutdown_worker(self) -> None:
        if self._caller == threading.get_ident():
            raise RuntimeError("a sampler cannot be shut down inside of its own call")
        super().shutdown_worker()


@mutant("handler-is-not-heard", "D6.signal", bases=(LOCAL,))
class HandlerIsNotHeard(AnySampler):
    """A shutdown inside of a call, by a signal's handler, waits for the call's end, which does not come."""

    def shutdown_worker(self) -> None:
        if self._caller != threading.get_ident():
            super().shutdown_worker()


@mutant("child-uses-it", "E3.forked")
class ChildUsesIt(AnySampler):
    """A process that is forked uses its parent's sampler, and shuts it down."""

    @property
    def _is_inherited(self) -> bool:
        return False


# -- kinds of worker ---------------------------------------------------------------------------------


@mutant("globals-begin-again", "A9.globals-served", bases=(WORKER,))
class GlobalsBeginAgain(DefaultWorker):
    """Every unit begins with the same state of the global generators."""

    def start_episode(self) -> None:
        random.seed(0)
        np.random.seed(0)
        super().start_episode()
