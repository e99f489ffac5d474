"""Clause A11: vector environments that can only be seeded as a whole, whose episodes are a stream."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from samplerkit.contract.clause import NotApplicable, Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import ChoirEnv, Fault, ProbePolicy, TattooEnv, crash
from samplerkit.contract.stream_reference import Streams
from samplerkit.contract.views import require_same_units
from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import Sampler, StreamingWorker
from samplerkit.plugins.worker_options import worker_options

_SEED = 1


@dataclass(frozen=True)
class _Choir:
    """One way to have such environments."""

    mode: str
    n_envs: int
    n_workers: int
    limit: int
    lengths: tuple[int, ...] = (1, 2, 5, 8)
    namesake: bool = False

    def __str__(self) -> str:
        return f"{self.n_envs} slots, {self.mode}, {self.n_workers} workers, max_episode_length={self.limit}"

    @property
    def env(self) -> partial[ChoirEnv]:
        """Make the environment of a worker."""
        return partial(ChoirEnv, self.n_envs, self.mode, lengths=self.lengths, namesake=self.namesake)

    def arguments(self) -> dict[str, Any]:
        """Return arguments of a sampler."""
        return {"n_workers": self.n_workers, "seed": _SEED, "max_episode_length": self.limit}

    def streams(self, version: int) -> Streams:
        """Return what must come."""
        return Streams(
            env=self.env,
            policy=lambda: ProbePolicy(version),
            n_workers=self.n_workers,
            seed=_SEED,
            limit=self.limit,
        )


_CHOIRS = (
    _Choir("NEXT_STEP", 3, 2, 60),
    _Choir("SAME_STEP", 5, 1, 5),
    _Choir("DISABLED", 2, 3, 5, namesake=True),
    _Choir("NEXT_STEP", 4, 1, 4, namesake=True),
    _Choir("NEXT_STEP", 3, 1, 6, (10**6,)),
)


def _with(lab: Lab, n_envs: int) -> Lab:
    """Return a lab whose workers have so many slots.

    Raises:
        NotApplicable: where they take no such environments.
    """
    subject, worker = lab.subject, lab.subject.worker
    if worker is None or not issubclass(worker, StreamingWorker) or "n_envs" not in worker_options(worker):
        raise NotApplicable(f"{subject.name} takes no environments that can only be seeded as a whole")
    wider = replace(subject, worker_args={**subject.worker_args, "n_envs": n_envs})
    return Lab(wider, lab.profile, lab.note)


def _calls(sampler: Sampler) -> list[EpisodeBatch]:
    """Make calls of all kinds."""
    return [
        sampler.obtain_samples(0, 45),
        sampler.obtain_exact_episodes(3),
        sampler.obtain_samples(1, 1),
        sampler.obtain_samples(2, 30, agent_update=ProbePolicy(2).get_param_values()),
        sampler.obtain_samples(3, 30),
    ]


def _expected(choir: _Choir) -> list[EpisodeBatch]:
    found: list[EpisodeBatch] = []
    cursor = 0
    for version, kind, count in ((1, 0, 45), (1, 1, 3), (1, 0, 1), (2, 0, 30), (2, 0, 30)):
        streams = choir.streams(version)
        found.append(streams.exact(cursor, count) if kind else streams.samples(cursor, count))
        cursor += len(found[-1].lengths)
    return found


@clause(
    "A11.stream",
    says="A vector environment that can only be seeded as a whole is reset at each call, with the seed of "
    "the worker's first unit; units are its episodes by (tick of the first step, slot), admitted by number.",
    why="Such environments are the fastest there are; taking what ends first would prefer short episodes.",
    causes="units numbered as they end; the tick of a reset taken for a step; a slot that goes on after a "
    "cut; the observation after a reset, or an info of that name, for the final one; resets in the middle of "
    "a call.",
)
def stream(lab: Lab) -> None:
    """Compare several such environments, on all layouts, with a plain loop over their slots."""
    for index, choir in enumerate(_CHOIRS):
        wide = _with(lab, choir.n_envs)
        expected = lab.once(f"A11.stream {index}", partial(_expected, choir))
        for layout in range(len(lab.subject.layouts)):
            with wide.sampler(ProbePolicy(1), choir.env, layout=layout, **choir.arguments()) as sampler:
                for call, (got, wanted) in enumerate(zip(_calls(sampler), expected, strict=True)):
                    require_same_units(f"{choir}, layout {layout}, call {call}", got, wanted)


@clause(
    "A11.stream-death",
    needs={"restartable"},
    says="Where a process dies the streams of its workers begin again, and the batch is the same.",
    why="A stream that went on with other episodes would depend on when the process died.",
    causes="a new worker that goes on with the pieces that are missing; pieces that came twice.",
)
def stream_death(lab: Lab) -> None:
    """Let a process die in the middle of a call."""
    choir = _Choir("NEXT_STEP", 3, 2, 60)
    wanted = choir.streams(1).samples(0, 400)
    with tempfile.TemporaryDirectory() as folder:
        fault = Fault("step", crash, step=6, once=f"{folder}/once")
        env = partial(choir.env, fault=fault)
        with _with(lab, choir.n_envs).sampler(ProbePolicy(1), env, **choir.arguments()) as sampler:
            require_same_units(f"{choir}, after a death", sampler.obtain_samples(0, 400), wanted)


@clause(
    "A11.stream-honest",
    says="Of such environments supports() says what is true of batches: they are reproducible, and nothing "
    "is remembered; what cannot be had is refused.",
    why="An algorithm that needs more must hear of it before it has learned from the wrong data.",
    causes="the answer of the class given for the sampler; another kind of environment taken silently.",
)
def stream_honest(lab: Lab) -> None:
    """Ask, and ask for too much."""
    choir = _CHOIRS[0]
    wide, arguments = _with(lab, choir.n_envs), choir.arguments()
    with wide.sampler(ProbePolicy(1), choir.env, **arguments) as sampler:
        answers: Mapping[str, bool] = {"reproducible": True, "exact_episodes": True, "stateful": False}
        for name, wanted in answers.items():
            require(
                sampler.supports(name) == wanted, f"expected supports({name!r}) {wanted}, got {not wanted}"
            )
        before = len(sampler.obtain_samples(0, 20).lengths)
        _refused(
            "an update to environments of the other kind",
            lambda: sampler.obtain_samples(1, 20, None, TattooEnv),
        )
        batch = sampler.obtain_samples(1, 20)
        first = None if batch.provenance is None else int(batch.provenance.units[0])
        require(first == before, f"after a call that was refused: expected unit {before} first, got {first}")
    for given in ({"stateful": True}, {"reseed": False}):
        _refused(f"{given}", partial(_made, wide, choir, {**arguments, **given}))


def _made(lab: Lab, choir: _Choir, arguments: dict[str, Any]) -> None:
    with lab.sampler(ProbePolicy(1), choir.env, **arguments):
        pass


def _refused(what: str, call: Any) -> None:
    try:
        call()
    except Exception:
        return
    raise Violation(f"{what}: expected an error, got none")
