"""Exact values of bandit play with p ~ U[0, 1]: what a learner's score is to be compared with.

The state of knowledge is each arm's (successes, failures); the posterior mean of an arm is
(successes + 1) / (successes + failures + 2). Everything here is a sum over these states, no simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

from samplerkit.sampling import check_count

Knowledge: TypeAlias = tuple[tuple[int, int], ...]


def random_value(n_arms: int, n_pulls: int) -> float:
    """Expected total reward of pulling at random: half the pulls win, whatever the number of arms."""
    _check(n_arms, n_pulls)
    return n_pulls / 2.0


def greedy_value(n_arms: int, n_pulls: int) -> float:
    """Expected total reward of always pulling the arm with the best posterior mean, the first of equals.

    6.569 for 5 arms and 10 pulls.
    """

    def best_looking(knowledge: Knowledge) -> tuple[int, ...]:
        means = [posterior_mean(arm) for arm in knowledge]
        return (means.index(max(means)),)

    # Which of equals comes first matters, so arms keep their places.
    return _value(n_arms, n_pulls, candidates=best_looking, canonical=lambda knowledge: knowledge)


def bayes_optimal_value(n_arms: int, n_pulls: int) -> float:
    """Expected total reward of the best possible play, by dynamic programming.

    6.660 for 5 arms and 10 pulls. The number of states grows quickly: meant for a few tens of pulls at most.
    """

    def all_different(knowledge: Knowledge) -> tuple[int, ...]:
        return tuple({arm: index for index, arm in enumerate(knowledge)}.values())

    # Arms are interchangeable: sorting them leaves far fewer states.
    return _value(n_arms, n_pulls, candidates=all_different, canonical=lambda arms: tuple(sorted(arms)))


def posterior_mean(arm: tuple[int, int]) -> float:
    """Mean of Beta(1 + successes, 1 + failures)."""
    wins, losses = arm
    return (wins + 1) / (wins + losses + 2)


def _value(
    n_arms: int,
    n_pulls: int,
    *,
    candidates: Callable[[Knowledge], tuple[int, ...]],
    canonical: Callable[[Knowledge], Knowledge],
) -> float:
    """Value of the best of the candidate arms, now and ever after."""
    _check(n_arms, n_pulls)

    @cache
    def value(knowledge: Knowledge, pulls_left: int) -> float:
        if pulls_left == 0:
            return 0.0
        return max(after_pull(knowledge, arm, pulls_left) for arm in candidates(knowledge))

    def after_pull(knowledge: Knowledge, arm: int, pulls_left: int) -> float:
        wins, losses = knowledge[arm]
        before, behind = knowledge[:arm], knowledge[arm + 1 :]
        mean = posterior_mean(knowledge[arm])
        if_won = value(canonical((*before, (wins + 1, losses), *behind)), pulls_left - 1)
        if_lost = value(canonical((*before, (wins, losses + 1), *behind)), pulls_left - 1)
        return mean * (1.0 + if_won) + (1.0 - mean) * if_lost

    return value(((0, 0),) * n_arms, n_pulls)


def _check(n_arms: int, n_pulls: int) -> None:
    check_count("n_arms", n_arms)
    if n_pulls < 0:
        raise ValueError(f"n_pulls must not be negative, as {n_pulls} is")
    check_count("n_pulls", n_pulls or 1)
