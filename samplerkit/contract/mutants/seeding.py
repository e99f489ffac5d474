"""Wrong seeds: shared, repeated, forgotten, or drawn from the caller's generators."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from samplerkit.contract.mutants.anything import AnySampler
from samplerkit.contract.mutants.bases import EVERYWHERE, LOCAL, PROCESSES, STATEFUL
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import Unit
from samplerkit.sampling import host
from samplerkit.sampling.admission import Goal
from samplerkit.sampling.numbering import UnitSeeds
from samplerkit.workers import DefaultWorker


class SeedDefect(DefaultWorker):
    """Runs every unit with other seeds."""

    def reseeded(self, unit: Unit) -> Unit:
        raise NotImplementedError

    def rollouts(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, EpisodeBatch]]:
        for unit in units:
            self.unit = self.reseeded(unit)._replace(number=unit.number)
            yield unit, self.rollout()

    @property
    def given_seed(self) -> int:
        """The sampler's seed."""
        return self._seed or 0


@mutant("seed-plus-worker", "A2.env-seed", "A2", "A0", bases=EVERYWHERE)
class SeedPlusWorker(SeedDefect):
    """Worker w of seed s draws what worker 0 of seed s + w draws."""

    def reseeded(self, unit: Unit) -> Unit:
        return UnitSeeds(self.given_seed + self.worker_number).unit(unit.number)


@mutant("seed-plus-unit", "A2", "A0")
class SeedPlusUnit(SeedDefect):
    """Unit u of seed s is unit 0 of seed s + u."""

    def reseeded(self, unit: Unit) -> Unit:
        return UnitSeeds(self.given_seed + unit.number).unit(0)


@mutant("same-seed-each-episode", "A2", "A0", bases=EVERYWHERE)
class SameSeedEachEpisode(SeedDefect):
    """Every episode has the first one's seeds."""

    def reseeded(self, unit: Unit) -> Unit:
        return UnitSeeds(self.given_seed).unit(0)


@mutant("same-seed-all-workers", "A2", "A0", bases=(LOCAL,))
class SameSeedAllWorkers(SeedDefect):
    """Units of one round have the same seeds on all workers."""

    def reseeded(self, unit: Unit) -> Unit:
        return UnitSeeds(self.given_seed).unit(unit.number // 2)


@mutant("seeds-repeat", "A2.later-units", "A2", "A0")
class SeedsRepeat(SeedDefect):
    """Seeds begin again after 256 units."""

    def reseeded(self, unit: Unit) -> Unit:
        return UnitSeeds(self.given_seed).unit(unit.number % 256)


@mutant("shared-stream", "A2.later-units", "A2", "A0")
class SharedStream(SeedDefect):
    """Environment and policy draw from the same seed."""

    def reseeded(self, unit: Unit) -> Unit:
        return unit._replace(policy_seed=unit.env_seed)


@mutant("wide-seeds", "A2", "A0", bases=(LOCAL,))
class WideSeeds(SeedDefect):
    """The environment's seed has 32 bits."""

    def reseeded(self, unit: Unit) -> Unit:
        return unit._replace(env_seed=2 * unit.env_seed + 1)


@mutant("hash-order", "A2.later-units", "A2", "A0", bases=(LOCAL, PROCESSES))
class HashOrder(SeedDefect):
    """Seeds depend on the hash of a string, which differs from process to process."""

    def reseeded(self, unit: Unit) -> Unit:
        return unit._replace(policy_seed=unit.policy_seed ^ (hash("policy") & 0xFFFF))


@mutant("seed-of-process", "A6", "A0", "A2", bases=(PROCESSES,))
class SeedOfProcess(SeedDefect):
    """Seeds depend on the process that runs the unit."""

    def reseeded(self, unit: Unit) -> Unit:
        return unit._replace(policy_seed=unit.policy_seed ^ os.getpid())


@mutant("seed-of-time", "A2.later-units", "A2", "A0", bases=(LOCAL, STATEFUL))
class SeedOfTime(SeedDefect):
    """The policy is seeded by the operating system."""

    def reseeded(self, unit: Unit) -> Unit:
        return unit._replace(policy_seed=int.from_bytes(os.urandom(8)))


@mutant("seed-of-n-workers", "A6", "A0", "A2", bases=(LOCAL,))
class SeedOfNWorkers(AnySampler):
    """Seeds depend on the number of workers."""

    def __init__(self, agents: Any, envs: Any, *, seed: int | None = None, **arguments: Any) -> None:
        n = arguments.get("n_workers") or 1
        super().__init__(agents, envs, seed=None if seed is None else seed + int(n) - 1, **arguments)


@mutant("seed-ignored", "A2", "A0", bases=(LOCAL, PROCESSES))
class SeedIgnored(AnySampler):
    """The seed is drawn, whatever the caller gave."""

    def __init__(self, agents: Any, envs: Any, *, seed: int | None = None, **arguments: Any) -> None:
        super().__init__(agents, envs, seed=None if seed is None else random.getrandbits(40), **arguments)


@mutant("policy-unseeded", "A2.later-units", "A2", "A0")
class PolicyUnseeded(DefaultWorker):
    """The policy is reset, but never seeded."""

    def reset_agent(self) -> None:
        self.agent.reset()


@mutant("seeded-before-reset", "A2.later-units", "A2", "A0", bases=(LOCAL,))
class SeededBeforeReset(DefaultWorker):
    """The policy is seeded before its reset, which wipes the seed."""

    def reset_agent(self) -> None:
        super().reset_agent()
        self.agent.reset()


@mutant("policy-not-reset", "A2.fresh-start", "A2", "A0", bases=EVERYWHERE)
class PolicyNotReset(DefaultWorker):
    """The policy is reset for the first episode only: hidden state goes from one to the next."""

    _was_reset = False

    def reset_agent(self) -> None:
        if not self._was_reset:
            super().reset_agent()
        self._was_reset = True


@mutant("env-unseeded", "A2", "A0")
class EnvUnseeded(DefaultWorker):
    """The environment is reset without a seed."""

    def env_seed(self) -> int | None:
        return None


@mutant("env-seeded-once", "A2", "A0")
class EnvSeededOnce(DefaultWorker):
    """The environment is seeded for its first episode only."""

    _seeded = False

    def env_seed(self) -> int | None:
        seed, self._seeded = (None if self._seeded else super().env_seed()), True
        return seed


@mutant("reseeds-always", "A11", "A", bases=(LOCAL, STATEFUL))
class ReseedsAlways(DefaultWorker):
    """The environment is seeded for every episode although reseed=False was asked for."""

    def env_seed(self) -> int | None:
        return None if self.unit is None else self.unit.env_seed


@mutant("seeds-globals", "A9", bases=EVERYWHERE)
class SeedsGlobals(AnySampler):
    """A call sets the caller's numpy generator."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        batch = super()._obtain(goal, agent_update, env_update)
        np.random.seed(self.seed % 2**32)
        return batch


@mutant("consumes-random", "A9")
class ConsumesRandom(AnySampler):
    """A call draws from the caller's `random`."""

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        random.random()
        return super()._obtain(goal, agent_update, env_update)


@mutant("consumes-numpy", "A9", bases=(LOCAL,))
class ConsumesNumpy(AnySampler):
    """Constructing a sampler draws from the caller's numpy generator."""

    def _start(self, record: Any) -> None:
        super()._start(record)
        np.random.random()


@mutant("globals-moved-on-error", "A9", "C5", bases=(LOCAL,))
class GlobalsMovedOnError(AnySampler):
    """A call that raises leaves the caller's generators moved."""

    def _forget(self) -> None:
        np.random.random()
        super()._forget()


@mutant("globals-unseeded", "A9.globals-served", "A9", bases=EVERYWHERE)
class GlobalsUnseeded(DefaultWorker):
    """What draws from the global generators differs from run to run."""

    def start_episode(self) -> None:
        random.seed()
        np.random.seed()
        super().start_episode()


@mutant("globals-denied-by-others", "A9.globals-served", "A9", bases=(LOCAL,))
class GlobalsDeniedByOthers(AnySampler):
    """A class that denies its draws from the global generators is believed for its subclasses, too."""

    def _run(self, record: Any, goal: Any) -> Any:
        def may_draw(part: Any) -> bool:
            return getattr(part, "draws_from_global_random", True)

        with mock.patch.object(host, "may_draw_from_globals", may_draw):
            return super()._run(record, goal)


@mutant("globals-seeded-once", "A9.globals-served", "A9")
class GlobalsSeededOnce(DefaultWorker):
    """The global generators are not set for each unit: what a unit draws depends on those before it."""

    _state: Any = None

    def rollout(self) -> EpisodeBatch:
        if self._state is not None:
            random.setstate(self._state[0])
            np.random.set_state(self._state[1])
        batch = super().rollout()
        self._state = random.getstate(), np.random.get_state()
        return batch


@mutant("seeds-repeat-late", "A2.far-units", bases=(LOCAL, PROCESSES))
class SeedsRepeatLate(SeedDefect):
    """Unit 1024 has the seeds of unit 0."""

    def reseeded(self, unit: Unit) -> Unit:
        return UnitSeeds(self.given_seed).unit(unit.number % 1024)
