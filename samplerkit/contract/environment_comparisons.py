"""The comparisons that an environment has to stand: a unit is the same wherever and whenever it runs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from samplerkit.contract.environment_layers import PickledCopy
from samplerkit.contract.unit_runs import Piece, UnitRuns
from samplerkit.episodes import EpisodeBatch
from samplerkit.episodes.bits import column_differences
from samplerkit.episodes.columns import Column
from samplerkit.episodes.spec import spec_key
from samplerkit.errors import BackendError, SamplerError, WorkerError
from samplerkit.plugins import make_sampler

INFO_FIELDS = ("env_infos", "episode_infos_by_episode")


@dataclass(frozen=True)
class Comparison:
    """What one comparison found.

    Args:
        name: what was compared.
        held: whether every unit was the same; None where that could not be checked, or does not count.
        detail: the first difference, or why it was not checked or does not count.
        paths: all arrays that differed, such as ``env_infos['episode']['t']``.
    """

    name: str
    held: bool | None
    detail: str = ""
    paths: frozenset[str] = frozenset()


class Comparisons:
    """Compares the units 0, 1, … of an environment with themselves.

    Args:
        runs: the environment and its policy.
        n_units: how many units.
        ignored: paths of infos to leave out of account.
    """

    NAMES = (
        "fresh_copy",
        "unpickled_copy",
        "after_others",
        "after_interrupted",
        "beside_another",
        "other_process",
    )

    def __init__(self, runs: UnitRuns, n_units: int, ignored: frozenset[str] = frozenset()) -> None:
        self.runs = runs
        self.n_units = n_units
        self.ignored = ignored

    def get(self, name: str) -> Comparison:
        """Run the comparison of this name."""
        comparison: Comparison = getattr(self, name)()
        return comparison

    # -- in this process -------------------------------------------------------------------------

    @cached_property
    def alone(self) -> list[EpisodeBatch]:
        """Each unit alone, in a fresh copy of its own. What all else is compared with."""
        return [self.runs.alone(unit) for unit in range(self.n_units)]

    @cached_property
    def in_order(self) -> list[EpisodeBatch]:
        """The units in order, and then in the opposite order, all in one copy."""
        there = [Piece(unit) for unit in range(self.n_units)]
        return self.runs.in_one_copy([*there, *reversed(there)])

    def fresh_copy(self) -> Comparison:
        """Compare two copies that were made the same way."""
        return self._each("in another copy", "in one copy", self.runs.alone)

    def unpickled_copy(self) -> Comparison:
        """Compare with a copy that was pickled after it was made."""
        copies = replace(self.runs, env=PickledCopy(self.runs.env))
        return self._each("in an unpickled copy", "in the original", copies.alone)

    def after_others(self) -> Comparison:
        """Compare with the same units one after the other."""

        def pairs() -> Iterator[tuple[int, EpisodeBatch, EpisodeBatch]]:
            numbers = [*range(self.n_units), *reversed(range(self.n_units))]
            for number, batch in zip(numbers, self.in_order, strict=True):
                yield number, self.alone[number], batch

        return self._compare("after other units", "alone", pairs)

    def after_interrupted(self) -> Comparison:
        """Compare with units that follow one which was given up: at once, half-way, or before its end."""

        def interrupted(unit: int) -> EpisodeBatch:
            other = (unit + 1) % self.n_units
            last = int(self.alone[other].lengths[0]) - 1
            cut = (last // 2, 0, last)[unit % 3]
            return self.runs.in_one_copy([Piece(other, cut=cut), Piece(unit)])[0]

        return self._each("after an interrupted unit", "alone", interrupted)

    def beside_another(self) -> Comparison:
        """Compare with units whose steps alternate with those of another one, in another copy."""

        def beside(unit: int) -> EpisodeBatch:
            return self.runs.in_one_copy([Piece(unit)], beside=unit + 1)[0]

        return self._each("beside another copy", "alone", beside)

    def repeats_itself(self) -> bool:
        """Whether each unit was the same both times that it ran in one copy."""
        second = reversed(self.in_order[self.n_units :])
        return all(
            not self._paths(one, other)
            for one, other in zip(self.in_order[: self.n_units], second, strict=True)
        )

    def repeatable_in_order(self) -> bool:
        """Whether units in order are the same in another fresh copy: what a declared environment keeps."""
        try:
            again = self.runs.in_one_copy([Piece(unit) for unit in range(self.n_units)])
            firsts = self.in_order[: self.n_units]
        except WorkerError:
            return False
        return all(not self._paths(one, other) for one, other in zip(firsts, again, strict=True))

    # -- in other processes ----------------------------------------------------------------------

    def other_process(self) -> Comparison:
        """Compare with the same units, in the same order, in two processes of different hash order."""
        name = "in another process"
        try:
            expected = EpisodeBatch.concatenate(*self.in_order[: self.n_units])
        except WorkerError as error:
            return Comparison(name, None, f"not checked, since here it fails as well: {failure_text(error)}")
        try:
            for hash_seed in other_hash_seeds():
                other = self.in_process(hash_seed)
                paths = self._paths(expected, other)
                if paths:
                    detail = self._detail(expected, other, "here", f"{name} (PYTHONHASHSEED={hash_seed})")
                    return Comparison(name, False, detail, paths)
        except BackendError as error:
            return Comparison(name, None, f"not checked: {error}")
        except SamplerError as error:
            return Comparison(name, False, failure_text(error), frozenset({"error"}))
        return Comparison(name, True)

    def in_process(self, hash_seed: str) -> EpisodeBatch:
        """Run the units in order in a new process, by the multiprocessing backend."""
        with _environment(PYTHONHASHSEED=hash_seed, PYTHONWARNINGS="ignore"):
            sampler = make_sampler(
                "multiprocessing",
                agents=self.runs.policy,
                envs=self.runs.env,
                max_episode_length=self.runs.max_episode_length,
                seed=self.runs.seed,
                reseed=self.runs.reseed,
                n_workers=1,
                n_processes=1,
                start_method="spawn",  # the only one by which each process gets a hash order of its own
            )
        with sampler:
            return sampler.obtain_exact_episodes(self.n_units)

    def same(self, one: EpisodeBatch, other: EpisodeBatch) -> bool:
        """Whether two batches are equal but for what is ignored."""
        return not self._paths(one, other)

    # -- details ---------------------------------------------------------------------------------

    def _each(self, name: str, original: str, run: Callable[[int], EpisodeBatch]) -> Comparison:
        def pairs() -> Iterator[tuple[int, EpisodeBatch, EpisodeBatch]]:
            for unit in range(self.n_units):
                yield unit, self.alone[unit], run(unit)

        return self._compare(name, original, pairs)

    def _compare(
        self,
        name: str,
        original: str,
        pairs: Callable[[], Iterable[tuple[int, EpisodeBatch, EpisodeBatch]]],
    ) -> Comparison:
        detail, found = "", set[str]()
        try:
            for unit, one, other in pairs():
                paths = self._paths(one, other)
                found |= paths
                if paths and not detail:
                    detail = self._detail(one, other, original, name, unit)
        except WorkerError as error:
            return Comparison(name, False, failure_text(error), frozenset({"error"}))
        return Comparison(name, not found, detail, frozenset(found))

    def _paths(self, one: EpisodeBatch, other: EpisodeBatch) -> frozenset[str]:
        return differing_paths(one, other) - self.ignored

    def _detail(
        self, one: EpisodeBatch, other: EpisodeBatch, here: str, there: str, unit: int | None = None
    ) -> str:
        text = without(one, self.ignored).difference(without(other, self.ignored)) or ""
        # These batches begin with unit 0, or hold one unit only.
        text = re.sub(
            r"at episode (\d+)", lambda match: f"at unit {match[1] if unit is None else unit}", text
        )
        return re.sub(r" here and (.*) there\.$", rf" {here} and \1 {there}", text, flags=re.DOTALL)


def differing_paths(one: EpisodeBatch, other: EpisodeBatch) -> frozenset[str]:
    """Return the arrays in which two batches differ; where spaces or lengths do, only these."""
    if spec_key(one.env_spec) != spec_key(other.env_spec):
        return frozenset({"env_spec"})
    fields = ("lengths", "observations", "actions", "rewards", "step_types", "last_observations")
    differing = {
        difference.path
        for field in (*fields, "agent_infos", *INFO_FIELDS)
        for difference in column_differences(getattr(one, field), getattr(other, field), field)
    }
    return frozenset({"lengths"} if "lengths" in differing else differing)


def without(batch: EpisodeBatch, paths: frozenset[str]) -> EpisodeBatch:
    """Return the batch without these arrays of its infos."""
    if not paths:
        return batch
    return batch.replace(
        env_infos=_pruned(batch.env_infos, "env_infos", paths),
        episode_infos=_pruned(batch.episode_infos_by_episode, "episode_infos_by_episode", paths),
    )


def _pruned(column: Column, path: str, paths: frozenset[str]) -> Any:
    if not isinstance(column, dict):
        return column
    kept = {key: child for key, child in column.items() if f"{path}[{key!r}]" not in paths}
    return {key: _pruned(child, f"{path}[{key!r}]", paths) for key, child in kept.items()}


def failure_text(error: SamplerError) -> str:
    """Return what happened in one line."""
    if isinstance(error, WorkerError):
        unit = "construction" if error.unit is None else f"unit {error.unit}"
        return f"{unit} raised {error.error_type}: {error.message}"
    return str(error).split("\n\n")[0]


def other_hash_seeds() -> list[str]:
    """Two hash seeds that are not this process's."""
    return [seed for seed in ("1", "2", "3") if seed != os.environ.get("PYTHONHASHSEED")][:2]


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for processes that are started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
