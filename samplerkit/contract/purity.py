"""Does an environment keep the one promise that samplers build on?

A unit alone, after others, after an interrupted one, beside another one, in a fresh copy and in another
process is always the same, bit for bit: ``reset(seed=…)`` and the actions determine the episode, and
nothing else does.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Any

import gymnasium

from samplerkit.contract.environment_comparisons import Comparison, Comparisons, failure_text
from samplerkit.contract.environment_inspection import Inspection, info_notes, inspect
from samplerkit.contract.environment_layers import WithoutLayers
from samplerkit.contract.environment_report import Finding, Impurity, PurityReport
from samplerkit.contract.impurity import (
    Symptom,
    blamed_layers,
    clock_symptom,
    how_to_mend,
    in_infos,
    other_symptoms,
    what_to_declare,
)
from samplerkit.contract.unit_runs import UnitRuns, undisturbed
from samplerkit.errors import SamplerKitError, WorkerError
from samplerkit.interfaces import Env, EnvUpdate, ExistingEnvUpdate
from samplerkit.policies import RandomPolicy
from samplerkit.sampling import boundary
from samplerkit.sampling.numbering import update_seed
from samplerkit.sampling.packing import pack
from samplerkit.workers import WorkerFactory

_LIMIT_WHERE_NONE_IS_KNOWN = 1_000

_MADE_UP_FOR_BY_ORDER = frozenset(
    {Impurity.REMEMBERS, Impurity.ENTANGLED, Impurity.SEED_IGNORED, Impurity.SEEDED_ONCE}
)
"""What does no harm where units run one after the other, in order, in one place."""


def check_purity(
    env: Any,
    policy: Any = None,
    *,
    seed: int = 0,
    n_units: int = 4,
    max_episode_length: float | None = None,
    processes: bool = True,
) -> PurityReport:
    """Check whether units of an environment are the same wherever and whenever they run.

    Nothing of the caller's is touched: neither the environment nor the policy nor the global generators.
    While a violation is looked into, the clocks of the module `time` are replaced for moments.

    Args:
        env: an environment, an `EnvUpdate`, a gymnasium id, or a callable without arguments.
        policy: chooses the actions; None means at random.
        seed: of the units, as of a sampler.
        n_units: how many units are compared, at least 1. Each runs about ten times.
        max_episode_length: most steps of an episode; None means the environment's own limit, or 1,000.
        processes: whether other processes are compared as well (about a second, on the multiprocessing
            backend).

    Returns:
        What was compared and how it went, what is impure about it, who is to blame, and what to do.

    Raises:
        TypeError, ValueError: for a bad argument, an environment that cannot be pickled, or spaces that
            cannot be sampled.
        Exception: whatever constructing the environment raises.
    """
    n_units = boundary.check_count("n_units", n_units)
    WorkerFactory(seed=seed, max_episode_length=max_episode_length)  # checks both
    update = boundary.env_update(env)
    packed = pack(update, "the environment")
    inspection = inspect(
        lambda: _made(packed.load()), lambda made: _policy_for(made, policy), update_seed(seed, 0, 0)
    )
    own_limit = inspection.limit or _LIMIT_WHERE_NONE_IS_KNOWN
    limit = own_limit if max_episode_length is None else max_episode_length
    chosen = RandomPolicy(inspection.action_space) if policy is None else policy
    runs = UnitRuns(update, chosen, seed, limit)
    return _Check(runs, n_units, inspection, processes=processes, own_policy=policy is not None).report()


class _Check:
    """One check, from comparisons to a report."""

    def __init__(
        self, runs: UnitRuns, n_units: int, inspection: Inspection, *, processes: bool, own_policy: bool
    ) -> None:
        self._runs = runs
        self._n_units = n_units
        self._inspection = inspection
        self._own_policy = own_policy
        self._names = [
            name
            for name in Comparisons.NAMES
            if not (name == "other_process" and not processes)
            and not (name == "unpickled_copy" and not self._pickling_counts())
        ]

    def _pickling_counts(self) -> bool:
        """Whether to compare pickled copies: fresh copies of an environment that was given are just that."""
        return self._inspection.unpicklable is None and not isinstance(self._runs.env, ExistingEnvUpdate)

    def report(self) -> PurityReport:
        """Compare, diagnose, and put it all together."""
        comparisons = Comparisons(self._runs, self._n_units)
        try:
            alone = comparisons.alone
        except WorkerError as error:
            notes = tuple(note for note in self._notes() if "when it was looked at" not in note)
            return self._put_together({}, [], False, notes, failure_text(error))
        results = _pickling_apart({name: comparisons.get(name) for name in self._names})
        clock = clock_symptom(comparisons, results)
        symptoms = [clock] if clock else []
        if clock and in_infos(clock.paths or frozenset()):
            # The rest is judged as if these infos were not there.
            comparisons = Comparisons(self._runs, self._n_units, ignored=clock.paths or frozenset())
            violated = [name for name, result in results.items() if result.held is False]
            masked = _pickling_apart({**results, **{name: comparisons.get(name) for name in violated}})
            symptoms += other_symptoms(comparisons, masked, self._inspection)
            results = {
                name: masked[name] if masked[name].held is False else results[name] for name in results
            }
        elif not clock:
            symptoms = other_symptoms(comparisons, results, self._inspection)
        notes = (*self._notes(), *info_notes(alone))
        return self._put_together(results, symptoms, self._suffices(comparisons, symptoms), notes)

    def _put_together(
        self,
        results: dict[str, Comparison],
        symptoms: list[Symptom],
        suffices: bool,
        notes: tuple[str, ...],
        error: str | None = None,
    ) -> PurityReport:
        return PurityReport(
            environment=self._inspection.chain,
            seed=self._runs.seed,
            n_units=self._n_units,
            max_episode_length=self._runs.max_episode_length,
            comparisons=tuple(results.values()),
            findings=tuple(self._finding(symptom, symptoms) for symptom in symptoms),
            declare=what_to_declare(symptoms),
            declaration_suffices=suffices,
            global_draws=self._inspection.global_draws,
            denies_draws=self._inspection.denies_draws,
            costs=self._inspection.costs,
            notes=notes,
            error=error,
        )

    def _suffices(self, comparisons: Comparisons, symptoms: list[Symptom]) -> bool:
        declared = what_to_declare(symptoms)
        kinds = {symptom.kind for symptom in symptoms} - {Impurity.CLOCK}
        if not declared or not kinds <= _MADE_UP_FOR_BY_ORDER:
            return False
        runs = replace(self._runs, reseed=declared.get("reseed", True))
        return Comparisons(runs, self._n_units, comparisons.ignored).repeatable_in_order()

    def _notes(self) -> tuple[str, ...]:
        notes = list(self._inspection.notes)
        if self._inspection.limit is None:
            notes.append(
                "it has no episode limit of its own: pass max_episode_length to make_sampler "
                f"({self._runs.max_episode_length:,} were taken here)"
            )
        if self._inspection.unpicklable is not None:
            notes.append("it cannot be pickled: pass samplers what constructs it, as here, never an instance")
        return tuple(notes)

    # -- who is to blame -------------------------------------------------------------------------

    def _finding(self, symptom: Symptom, symptoms: list[Symptom]) -> Finding:
        clock = next((other for other in symptoms if other.kind is Impurity.CLOCK), None)
        ignored = frozenset() if clock is None or symptom is clock else clock.paths or frozenset()
        blamed: tuple[str, ...]
        if self._own_policy and self._mended(_random_instead(self._runs), symptom, ignored):
            blamed = (f"the policy, {type(self._runs.policy).__name__}",)
            mend = "let policy.reset() forget, and draw from what policy.seed() was given"
            return Finding(symptom.kind, symptom.evidence, blamed, mend)
        names = self._inspection.chain.rstrip(">").split("<")
        blamed = blamed_layers(names, lambda removed: self._mended_without(removed, symptom, ignored))
        mend = how_to_mend(symptom, blamed)
        if names[-1] in blamed:
            blamed = (*blamed[:-1], f"the environment itself, {names[-1]}")
        return Finding(symptom.kind, symptom.evidence, blamed, mend)

    def _mended_without(self, removed: Set[int], symptom: Symptom, ignored: frozenset[str]) -> bool:
        rest = WithoutLayers(self._runs.env, removed)
        try:
            made = _loaded(rest)
            policy = self._runs.policy
            if made.action_space != self._inspection.action_space:
                policy = RandomPolicy(made.action_space)
            made.close()
            return self._mended(replace(self._runs, env=rest, policy=policy), symptom, ignored)
        except Exception:
            # What is left does not work: nothing can be said about it.
            return False

    def _mended(self, runs: UnitRuns, symptom: Symptom, ignored: frozenset[str]) -> bool:
        comparisons = Comparisons(runs, self._n_units, ignored)
        for name in symptom.shown_by:
            try:
                paths = comparisons.get(name).paths
            except SamplerKitError:
                return False
            if paths if symptom.paths is None else paths & symptom.paths:
                return False
        return True


def _pickling_apart(results: dict[str, Comparison]) -> dict[str, Comparison]:
    """Do not hold a loss in pickling against an environment that is passed as what constructs it."""
    pickled = results.get("unpickled_copy")
    if pickled is None or pickled.held is not False or results["fresh_copy"].held is False:
        return results
    detail = f"pass what constructs it, never an instance: pickling changes it. {pickled.detail}"
    return {**results, "unpickled_copy": replace(pickled, held=None, detail=detail)}


def _random_instead(runs: UnitRuns) -> UnitRuns:
    made = _loaded(runs.env)
    made.close()
    return replace(runs, policy=RandomPolicy(made.action_space))


def _loaded(update: EnvUpdate) -> Env:
    """Return a copy of its own, whatever the update carries."""
    with undisturbed():
        return _made(pack(update, "the environment").load())


def _made(update: EnvUpdate) -> Env:
    env = update(None)
    if not isinstance(env, gymnasium.Env):
        raise TypeError(f"envs must give a gymnasium.Env, not {type(env).__name__}")
    return env


def _policy_for(env: Env, policy: Any) -> Any:
    if policy is None:
        return RandomPolicy(env.action_space)
    return pack(boundary.sampling_policy(policy), "the policy").load()
