"""Sections B1 and B2 over scripts: an episode holds all its steps, in order, and says how it ended."""

from __future__ import annotations

import math

import numpy as np

from samplerkit.contract.clause import Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes.tattoo import chain, reward_of
from samplerkit.contract.script import Op, Script
from samplerkit.contract.views import EpisodeView
from samplerkit.episodes import StepType


@clause(
    "B1.rows",
    kind="script",
    says="Lengths sum to the number of steps, every column has a row for each, no episode is empty.",
    why="An algorithm cuts the columns at the lengths: one row too many shifts all that follows.",
    causes="lengths counted apart from the columns; episodes without a step; columns joined unevenly.",
)
def rows(lab: Lab, script: Script) -> None:
    """Look at the numbers of rows, as returned and as copied."""
    malformed = lab.trace(script).malformed
    require(not malformed, malformed[0] if malformed else "")


@clause(
    "B1.steps",
    kind="script",
    says="An episode's observations are its own, all of them, in order, each the one before its action.",
    why="Data of two episodes in one, or shifted by one, train without any complaint.",
    causes="views of a buffer that the environment overwrites; the observation after the action; two "
    "episodes in one recorder; rows joined in another order.",
)
def steps(lab: Lab, script: Script) -> None:
    """Look at tag, key and time in each observation."""
    for call in lab.trace(script).calls:
        for episode in call.episodes:
            wanted = np.empty((episode.length, 3), np.int64)
            wanted[:, 0], wanted[:, 1] = episode.tag, episode.key
            wanted[:, 2] = episode.begins + np.arange(episode.length)
            got = episode.marks[:-1, :3]
            wrong = np.flatnonzero((got != wanted).any(axis=1))
            if len(wrong):
                step = int(wrong[0])
                raise Violation(
                    f"{episode.place(step)}: expected observations[tag, key, t] {wanted[step].tolist()}, "
                    f"got {got[step].tolist()}"
                )


@clause(
    "B1.last-observation",
    kind="script",
    says="last_observations holds the observation that the last step returned.",
    why="The value of the last observation is bootstrapped from; the one before it is another state.",
    causes="keeping the observation that the last action was chosen on; that of the next episode's reset.",
)
def last_observation(lab: Lab, script: Script) -> None:
    """Look at tag, key and time in the final observation."""
    for call in lab.trace(script).calls:
        for episode in call.episodes:
            wanted = [*episode.marks[-2, :2].tolist(), int(episode.marks[-2, 2]) + 1]
            got = episode.marks[-1, :3].tolist()
            require(
                got == wanted,
                f"{episode.place()}: expected last_observations[tag, key, t] {wanted}, got {got}",
            )


@clause(
    "B1.rewards",
    kind="script",
    says="rewards[t] is what the environment gave for actions[t].",
    why="A reward that is credited to the wrong action teaches the wrong thing.",
    causes="rewards shifted by one; float32; a sum over vectorized slots.",
)
def rewards(lab: Lab, script: Script) -> None:
    """Compute each reward from the observation that it came with."""
    for call in lab.trace(script).calls:
        given = np.asarray(call.batch.rewards)
        for episode in call.episodes:
            for step, got in enumerate(given[episode.rows].tolist()):
                wanted = reward_of(_after(episode, step))
                require(got == wanted, f"{episode.place(step)}: expected rewards {wanted}, got {got}")


def _after(episode: EpisodeView, step: int) -> list[int]:
    """Return the mark after a step; computed, where the observation is not the one that it should be."""
    following: list[int] = episode.marks[step + 1].tolist()
    tag, key, t, actions = episode.marks[step].tolist()
    if following[:3] == [tag, key, t + 1]:
        return following
    return [tag, key, t + 1, chain(actions, episode.actions[step])]


@clause(
    "B2.step-types",
    kind="script",
    says="Step types read FIRST, MID, …, then TERMINAL or TIMEOUT; a one-step episode has the last only.",
    why="Masks, resets of recurrent state and bootstrapping are all read off the step types.",
    causes="FIRST at the step after a reset as well; the sampler's own limit left unmarked (MID).",
)
def step_types(lab: Lab, script: Script) -> None:
    """Look at the pattern."""
    for call in lab.trace(script).calls:
        for episode in call.episodes:
            got = episode.step_types
            for step, value in enumerate(got[:-1] if episode.ends else got):
                wanted = StepType.MID if episode.begins + step else StepType.FIRST
                require(
                    value == wanted,
                    f"{episode.place(step)}: expected step_types {wanted.name}, got {_name(value)}",
                )
            if not episode.ends:
                continue
            require(
                got[-1] in (StepType.TERMINAL, StepType.TIMEOUT),
                f"{episode.place(len(got) - 1)}: expected step_types TERMINAL or TIMEOUT at the last step, "
                f"got {_name(got[-1])}",
            )


@clause(
    "B2.terminal",
    kind="script",
    says="An episode that is terminated ends TERMINAL, also where it is truncated or at its limit as well.",
    why="After a termination there is nothing to bootstrap from.",
    causes="testing for the limit first; truncated and terminated exchanged.",
)
def terminal(lab: Lab, script: Script) -> None:
    """Look at the last step of episodes that the environment ended."""
    _check_endings(lab, script, StepType.TERMINAL)


@clause(
    "B2.timeout",
    kind="script",
    says="An episode that is cut by max_episode_length, or truncated by the environment, ends TIMEOUT.",
    why="After a cut the last observation has a value, and an algorithm must bootstrap from it.",
    causes="`terminated or truncated` taken for a termination; the limit taken for one.",
)
def timeout(lab: Lab, script: Script) -> None:
    """Look at the last step of episodes that were cut."""
    _check_endings(lab, script, StepType.TIMEOUT)


def _check_endings(lab: Lab, script: Script, wanted: StepType) -> None:
    env = script.env(0)
    for call in lab.trace(script).calls:
        for episode in call.episodes:
            own = env.length_of(episode.key)
            terminates = own <= script.limit and not env.is_truncated(episode.key)
            if terminates != (wanted is StepType.TERMINAL) or episode.reaches != min(own, script.limit):
                continue
            got = episode.step_types[-1]
            why = f"the environment ends it after {own} steps, the limit is {script.limit}"
            require(
                got == wanted,
                f"{episode.place(episode.length - 1)}: expected step_types {wanted.name} ({why}), "
                f"got {_name(got)}",
            )


@clause(
    "B2.length",
    kind="script",
    says="An episode goes on until the environment ends it or max_episode_length is reached, and no further.",
    why="An episode that is cut elsewhere has another return than the task defines.",
    causes="one step more or less at the limit; trimming the last episode of a batch; steps after the end.",
)
def length(lab: Lab, script: Script) -> None:
    """Compare lengths with what each episode's seed says."""
    env = script.env(0)
    for call in lab.trace(script).calls:
        for episode in call.episodes:
            own = env.length_of(episode.key)
            wanted = min(own, script.limit)
            cut = call.fragments and episode.reaches < wanted
            require(
                episode.reaches == wanted or cut,
                f"{episode.place()}: expected {wanted} steps (the environment ends it after {own}, "
                f"max_episode_length is {script.limit}), got {episode.reaches}",
            )


@clause(
    "B2.no-limit",
    says="max_episode_length=inf leaves the end to the environment; episodes of any length come whole.",
    why="Memory that is reserved for a limit, or grows by doubling, breaks in long episodes only.",
    causes="an array of max_episode_length rows; int(inf); a buffer that is full after 64 steps.",
)
def no_limit(lab: Lab) -> None:
    """Run episodes of 1 and of 2500 steps."""
    script = Script(limit=math.inf, lengths=(2500, 1), ops=(Op(2600),), n_workers=2, infos="rich")
    lab.trace(script).all_returned()
    length(lab, script)


def _name(value: int) -> str:
    return StepType(value).name if value in set(StepType) else str(value)
