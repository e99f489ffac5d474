"""Clause A2: everything random in a unit comes from its three seeds, and nothing carries over."""

from __future__ import annotations

import numpy as np

from samplerkit.contract.clause import NotApplicable, clause, require
from samplerkit.contract.differences import difference_or_origin
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import ProbePolicy, TaggedEnv
from samplerkit.contract.reference import expected, unit_seeds
from samplerkit.contract.script import MANY_UNITS, Op, Script
from samplerkit.contract.views import EpisodeView
from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import Unit
from samplerkit.workers import DefaultWorker

_FAR = 2**40 - 2
"""A cursor from which two calls get over the edge of what 32 bits hold of blocks of seeds."""


@clause(
    "A2.env-seed",
    kind="script",
    says="In unit u the environment is reset with the env_seed of unit u, and no two units share one.",
    why="Workers with equal seeds give the same episode many times; `seed + worker` repeats other runs.",
    causes="one seed for all workers, or for all calls; seed + worker; no seed after the first reset.",
)
def env_seed(lab: Lab, script: Script) -> None:
    """Compare the seeds that environments were reset with."""
    seen: dict[int, str] = {}
    for call in lab.trace(script).calls:
        for episode in call.episodes:
            place, claimed = episode.place(), episode.claimed_unit
            goes_on = call.fragments and seen.get(episode.key, "").endswith(f"unit {claimed})")
            require(
                episode.key not in seen or goes_on,
                f"{place}: expected a seed of its own, got {episode.key}, that of {seen.get(episode.key)}",
            )
            seen[episode.key] = place
            if claimed is None:
                require(
                    episode.unit is not None,
                    f"{place}: expected the env_seed of a unit, got the environment's seed {episode.key}",
                )
                continue
            wanted = unit_seeds(script.seed, claimed)[0]
            require(
                episode.key == wanted,
                f"{place}: expected the environment's seed {wanted}, of unit {claimed} as in provenance, "
                f"got {episode.key}",
            )


@clause(
    "A2.policy-seed",
    kind="script",
    says="In unit u the policy is reset, and then seeded with the policy_seed of unit u.",
    why="A policy that goes on with its own stream makes data depend on who ran what before.",
    causes="seeding once only; the environment's seed given to the policy; reset after seed.",
)
def policy_seed(lab: Lab, script: Script) -> None:
    """Compare the seeds that the policy reports."""
    for call in lab.trace(script).calls:
        for episode in call.episodes:
            seeds = _info(episode, "seed")
            if seeds is None or episode.unit is None:
                continue
            wanted = np.uint64(unit_seeds(script.seed, episode.unit)[1])
            wrong = np.flatnonzero(seeds != wanted)
            require(
                not len(wrong),
                f"{episode.place(_first(wrong))}: expected agent_infos['seed'] {wanted}, "
                f"the unit's policy_seed, got {seeds[_first(wrong)]}",
            )


@clause(
    "A2.fresh-start",
    kind="script",
    says="Nothing carries over from unit to unit: every episode begins with a policy that was just reset.",
    why="A recurrent policy that keeps its state acts on the episode before.",
    causes="no policy.reset() between episodes; a policy object shared by workers that take turns.",
)
def fresh_start(lab: Lab, script: Script) -> None:
    """Look at how often the policy says that it acted since its reset."""
    for call in lab.trace(script).calls:
        for episode in call.episodes:
            counts = _info(episode, "count")
            if counts is None:
                continue
            wrong = np.flatnonzero(counts != episode.begins + np.arange(len(counts)))
            step = _first(wrong)
            require(
                not len(wrong),
                f"{episode.place(step)}: expected agent_infos['count'] {episode.begins + step}, "
                f"the actions since policy.reset(), got {counts[step]}",
            )


@clause(
    "A2.later-units",
    says="The seeds of later units are as the first ones': three of their own for each, in blocks of 256.",
    why="Seeds that repeat after a while give the same episodes again, late in training.",
    causes="a table of seeds that is used from its beginning again; the number of a unit cut to a byte.",
)
def later_units(lab: Lab) -> None:
    """Run 300 units."""
    lab.trace(MANY_UNITS).all_returned()
    env_seed(lab, MANY_UNITS)
    policy_seed(lab, MANY_UNITS)


@clause(
    "A2.far-units",
    unless={"fragments"},
    says="So are those of units far away: where a state says that 2**40 units were admitted, the next is the "
    "one of this number.",
    why="A run goes on for months; its data must not begin again some day.",
    causes="a number in 16 or 32 bits, in a message, in a state or in the cursor; seeds modulo a table.",
)
def far_units(lab: Lab) -> None:
    """Set a state that is far along, and make two calls."""
    script = Script(n_workers=2, ops=(Op(9), Op(9)))
    with lab.made(script) as sampler:
        sampler.set_state({**sampler.get_state(), "cursor": _FAR})
        for index, wanted in enumerate(expected(script, cursor=_FAR)):
            difference = difference_or_origin(wanted.batch, script.ops[index].ask(sampler))
            require(difference is None, f"call {index} from unit {_FAR} on: {difference}")


class _UnitWorker(DefaultWorker):
    """Reports, as episode infos, the unit that it was given."""

    def collect_episode(self) -> EpisodeBatch:
        assert self.unit is not None, "given by the sampler"
        words = {name: np.array([value], np.uint64) for name, value in self.unit._asdict().items()}
        return super().collect_episode().replace(episode_infos=words)


@clause(
    "A2.unit-of-worker",
    says="A worker finds its unit in self.unit: the number, and the three seeds of that number.",
    why="A worker that draws for itself has nothing else that is the same everywhere.",
    causes="a unit set once per worker; its number counted per worker; seeds drawn for a worker.",
)
def unit_of_worker(lab: Lab) -> None:
    """Run workers that report their units."""
    if lab.subject.worker is not None:
        raise NotApplicable("it brings a kind of worker of its own")
    with lab.sampler(ProbePolicy(1), TaggedEnv(1), worker_class=_UnitWorker, n_workers=2, seed=8) as sampler:
        infos = sampler.obtain_samples(0, 10).episode_infos_by_episode
    for number in range(5):
        wanted = dict(zip(Unit._fields, (number, *unit_seeds(8, number)), strict=True))
        got = {name: int(np.asarray(infos[name])[number]) for name in wanted}
        require(
            got == wanted,
            f"call 0, episode {number} (worker {number % 2}): expected self.unit {wanted}, got {got}",
        )


def _info(episode: EpisodeView, key: str) -> np.ndarray | None:
    column = episode.agent_infos.get(key)  # B4.infos says where it is missing
    return column if isinstance(column, np.ndarray) else None


def _first(wrong: np.ndarray) -> int:
    return int(wrong[0]) if len(wrong) else 0
