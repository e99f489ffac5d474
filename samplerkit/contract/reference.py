"""The oracle: what the calls of a script return. A pure function, written to be read.

It shares the data types with the samplers (`EpisodeRecorder`, `EpisodeBatch`) and nothing else: numbering,
seeds, admission, order, updates and step types are written out here once more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from samplerkit.contract.probes import ProbePolicy
from samplerkit.contract.script import Op, Script
from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeRecorder, Provenance, StepType


@dataclass(frozen=True)
class Expected:
    """What one call returns.

    Attributes:
        batch: the data, with provenance.
        tags: the tag of each episode's environment.
        versions: the version of each episode's policy.
        cursor: number of the next unit.
        total_env_steps: over the sampler's life.
    """

    batch: EpisodeBatch
    tags: list[int]
    versions: list[int]
    cursor: int
    total_env_steps: int


def unit_seeds(seed: int, number: int) -> tuple[int, int, int]:
    """Return the environment's, the policy's and the worker's seed of a unit (clause A2)."""
    sequence = np.random.SeedSequence(seed, spawn_key=(number // 256,))
    words = sequence.generate_state(768, np.uint64).reshape(256, 3)[number % 256]
    return int(words[0]) >> 33, int(words[1]), int(words[2])


def run_unit(script: Script, number: int, tag: int, version: int) -> EpisodeBatch:
    """Return one episode: of the unit's seeds, an environment and a policy, and nothing else."""
    env_seed, policy_seed, _ = unit_seeds(script.seed, number)
    env, policy = script.env(tag), ProbePolicy(version)
    recorder = EpisodeRecorder(EnvSpec.from_env(env, script.limit))
    observation = recorder.start(*env.reset(seed=env_seed))
    policy.reset()
    policy.seed(np.array([policy_seed], np.uint64))
    while True:
        action, agent_info = policy.get_action(observation)
        action = recorder.cast_action(action)
        observation, reward, terminated, truncated, env_info = env.step(action)
        recorder.add(reward, observation, env_info, agent_info)
        if terminated:
            return recorder.finish(StepType.TERMINAL)
        if truncated or recorder.length == script.limit:
            return recorder.finish(StepType.TIMEOUT)


Runner = Callable[[Script, int, int, int], EpisodeBatch]


def expected(script: Script, run: Runner = run_unit, *, cursor: int = 0) -> list[Expected]:
    """Return what each call of a script returns, of which the first begins with the unit `cursor`."""
    total = agent_version = env_version = 0
    tags, versions = script.tags(), script.versions()
    results = []
    for index, op in enumerate(script.ops):
        _, new_versions = script.agent_update(index)
        _, new_tags = script.env_update(index)
        versions, tags = new_versions or versions, new_tags or tags
        agent_version += new_versions is not None
        env_version += new_tags is not None
        units = _admitted(script, op, cursor, partial(_run, script, tags, versions, run))
        cursor += len(units)
        order = sorted(units, key=lambda n: (n % script.n_workers, n)) if op.exact else sorted(units)
        workers = [number % script.n_workers for number in order]
        provenance = Provenance(
            units=np.array(order),
            workers=np.array(workers),
            agent_versions=np.full(len(order), agent_version),
            env_versions=np.full(len(order), env_version),
        )
        batch = EpisodeBatch.concatenate(*(units[n] for n in order)).replace(provenance=provenance)
        total += len(batch.rewards)
        results.append(
            Expected(batch, [tags[w] for w in workers], [versions[w] for w in workers], cursor, total)
        )
    return results


def _run(script: Script, tags: list[int], versions: list[int], run: Runner, number: int) -> EpisodeBatch:
    worker = number % script.n_workers
    return run(script, number, tags[worker], versions[worker])


def _admitted(
    script: Script, op: Op, cursor: int, run: Callable[[int], EpisodeBatch]
) -> dict[int, EpisodeBatch]:
    """Return the units of a call: the shortest run with enough steps (A3), or ``count`` each (A4)."""
    if op.exact:
        return {number: run(number) for number in range(cursor, cursor + op.count * script.n_workers)}
    units: dict[int, EpisodeBatch] = {}
    while sum(len(batch.rewards) for batch in units.values()) < op.count:
        units[cursor + len(units)] = run(cursor + len(units))
    return units
