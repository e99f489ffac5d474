"""What a batch of tattooed episodes must look like, derived without any part of samplerkit's core."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from samplerkit.contract.probes.policies import ProbePolicy
from samplerkit.contract.probes.tattoo import TattooEnv, chain, mark_of, reward_of

FIRST, MID, TERMINAL, TIMEOUT = range(4)


def unit_seeds(seed: int, number: int) -> tuple[int, int, int]:
    """Return env, policy and worker seed of a unit, by the letter of the contract."""
    sequence = np.random.SeedSequence(seed, spawn_key=(number // 256,))
    row = sequence.generate_state(768, np.uint64).reshape(256, 3)[number % 256]
    return int(row[0]) >> 33, int(row[1]), int(row[2])


def unit_key(seed: int, number: int) -> int:
    """Return the environment's seed in a unit."""
    return unit_seeds(seed, number)[0]


def expected_batch(
    env: TattooEnv, policy: ProbePolicy, seed: int, numbers: range | list[int], limit: float = math.inf
) -> dict[str, np.ndarray]:
    """Return marks, last_marks, actions, rewards, step_types and lengths of these units."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("marks", "last_marks", "actions", "rewards", "step_types", "lengths")
    }
    actor = ProbePolicy(int(policy.params["version"][0]))
    for number in numbers:
        key, policy_seed, _ = unit_seeds(seed, number)
        actor.reset()
        actor.seed(np.array([policy_seed], np.uint64))
        own = env.length_of(key)
        length = int(min(own, limit))
        mark = [env.tag, key, 0, 0]
        for t in range(length):
            rows["marks"].append(mark)
            action, _ = actor.get_action(np.array(mark))
            mark = [env.tag, key, t + 1, chain(mark[3], action)]
            rows["actions"].append(action)
            rows["rewards"].append(reward_of(mark))
            rows["step_types"].append(FIRST if t == 0 else MID)
        terminal = own <= limit and not env.is_truncated(key)
        rows["step_types"][-1] = TERMINAL if terminal else TIMEOUT
        rows["last_marks"].append(mark)
        rows["lengths"].append(length)
    return {name: np.array(values) for name, values in rows.items()}


def assert_whole(
    batch: Any,
    env: TattooEnv,
    policy: ProbePolicy,
    seed: int,
    numbers: range | list[int],
    limit: float = math.inf,
) -> None:
    """Assert that a batch holds these units, all of each, and nothing else."""
    found = {
        "marks": mark_of(batch.observations),
        "last_marks": mark_of(batch.last_observations),
        "actions": batch.actions,
        "rewards": batch.rewards,
        "step_types": batch.step_types,
        "lengths": batch.lengths,
    }
    for name, wanted in expected_batch(env, policy, seed, numbers, limit).items():
        np.testing.assert_array_equal(found[name], wanted, err_msg=name)
