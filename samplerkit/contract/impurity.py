"""From violated comparisons to the kind of impurity, the layer that is to blame, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace

from samplerkit.contract.environment_comparisons import INFO_FIELDS, Comparison, Comparisons, other_hash_seeds
from samplerkit.contract.environment_inspection import Inspection
from samplerkit.contract.environment_report import Impurity
from samplerkit.contract.unit_runs import Piece
from samplerkit.errors import SamplerKitError, WorkerError

IN_PROCESS = ("fresh_copy", "after_others", "after_interrupted")
Results = dict[str, Comparison]


@dataclass(frozen=True)
class Symptom:
    """An impurity, before it is known which layer is to blame.

    Args:
        kind: which.
        evidence: how it showed.
        shown_by: names of the comparisons that it violates.
        paths: the arrays that count; None means all that are not ignored.
    """

    kind: Impurity
    evidence: str
    shown_by: tuple[str, ...]
    paths: frozenset[str] | None = None


def clock_symptom(comparisons: Comparisons, results: Results) -> Symptom | None:
    """Find out whether differences come from the clock: with one that ticks alike they are gone."""
    violated = tuple(name for name in IN_PROCESS if results[name].held is False)
    if not violated:
        return None
    ticking = Comparisons(replace(comparisons.runs, ticking=True), comparisons.n_units)
    still: set[str] = set()
    try:
        for name in violated:
            still |= ticking.get(name).paths
    except WorkerError:
        return None
    gone = frozenset().union(*(results[name].paths for name in violated)) - still
    infos = frozenset(path for path in gone if path.startswith(INFO_FIELDS))
    if not gone or (still and not infos):
        return None
    paths = infos if still or infos == gone else gone
    return Symptom(
        Impurity.CLOCK,
        f"with a clock that is the same each time, {', '.join(sorted(paths))} no longer "
        f"differ{'s' if len(paths) == 1 else ''}",
        violated,
        paths,
    )


def other_symptoms(comparisons: Comparisons, results: Results, inspection: Inspection) -> list[Symptom]:
    """Name the impurities that violated comparisons show, the clock apart."""
    violated = {name for name, result in results.items() if result.held is False}
    if "fresh_copy" in violated:
        return [_of_fresh_copies(comparisons, inspection, processes="other_process" in results)]
    symptoms = []
    remembered = tuple(name for name in ("after_others", "after_interrupted") if name in violated)
    if remembered:
        symptoms.append(_of_one_copy(comparisons, remembered, inspection))
    if "beside_another" in violated:
        text = "a unit differs while another copy in the same process is stepped in turn with it"
        symptoms.append(Symptom(Impurity.ENTANGLED, text, ("beside_another",)))
    if "other_process" in violated:
        symptoms.append(_of_processes(comparisons))
    return symptoms


def _of_fresh_copies(comparisons: Comparisons, inspection: Inspection, *, processes: bool) -> Symptom:
    shown_by = ("fresh_copy",)
    if _tried(comparisons.repeats_itself):
        text = "two copies differ, but each gives the same unit again and again"
        return Symptom(Impurity.CONSTRUCTION, text, shown_by)
    if processes and _tried(lambda: _twice_the_same(comparisons)):
        text = "two copies in one process differ, but two new processes give the same units"
        return Symptom(Impurity.SHARED, text, shown_by)
    text = "the same unit is never the same, not even in one copy"
    if inspection.unseeded:
        text += f"; reset(seed=…) does not set {', '.join(inspection.unseeded)}"
    return Symptom(Impurity.UNSEEDED, text, shown_by)


def _of_one_copy(comparisons: Comparisons, shown_by: tuple[str, ...], inspection: Inspection) -> Symptom:
    if _tried(lambda: _only_first_seed_counts(comparisons)):
        text = "the first seed of a copy decides over all units, later ones change nothing"
        return Symptom(Impurity.SEEDED_ONCE, text, shown_by)
    if inspection.unseeded:
        text = f"reset(seed=…) does not set {', '.join(inspection.unseeded)}, which goes on where it was"
        return Symptom(Impurity.SEED_IGNORED, text, shown_by)
    if shown_by == ("after_interrupted",):
        text = "a unit differs after one that was given up before its end, not after finished ones"
    else:
        text = "the same unit, with the same seed, differs after others"
    return Symptom(Impurity.REMEMBERS, text, shown_by)


def _of_processes(comparisons: Comparisons) -> Symptom:
    shown_by = ("other_process",)
    if _tried(lambda: _twice_the_same(comparisons)):
        first, second = (comparisons.in_process(seed) for seed in other_hash_seeds())
        if not comparisons.same(first, second):
            text = "processes with the same PYTHONHASHSEED agree, with different ones they do not"
            return Symptom(Impurity.HASH_ORDER, text, shown_by)
        return Symptom(Impurity.PROCESS, "new processes agree with each other, not with this one", shown_by)
    return Symptom(Impurity.PROCESS, "every new process gives other units", shown_by)


def _twice_the_same(comparisons: Comparisons) -> bool:
    hash_seed = other_hash_seeds()[0]
    return comparisons.same(*(comparisons.in_process(hash_seed) for _ in range(2)))


def _only_first_seed_counts(comparisons: Comparisons) -> bool:
    """Whether later seeds make no difference, though the first one does."""
    runs, units = comparisons.runs, range(comparisons.n_units)
    if all(comparisons.same(comparisons.alone[unit], runs.alone(unit, other_seed=True)) for unit in units):
        return False
    try:
        usual, other = (
            runs.in_one_copy([Piece(0), *(Piece(unit, other_seed=other) for unit in units)])
            for other in (False, True)
        )
    except WorkerError:
        # A second seed is refused: does it do without?
        replace(runs, reseed=False).in_one_copy([Piece(unit) for unit in units])
        return True
    return all(comparisons.same(one, two) for one, two in zip(usual, other, strict=True))


def _tried(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except SamplerKitError:
        return False


# -- who is to blame -----------------------------------------------------------------------------


def blamed_layers(names: Sequence[str], mended_without: Callable[[Set[int]], bool]) -> tuple[str, ...]:
    """Return the layers whose removal mends an impurity, found from the outside in.

    Args:
        names: of the layers, the outermost first; the last is the environment itself.
        mended_without: whether the environment is mended without the layers of these indices.
    """
    blamed: list[int] = []
    while len(blamed) < len(names):
        depths = range(1, len(names))
        found = next((k - 1 for k in depths if mended_without({*range(k), *blamed})), len(names) - 1)
        if found in blamed:
            break
        blamed.append(found)
        # Wrappers further out may be impure as well: they go on trial without the one that was found.
        if found == len(names) - 1 or mended_without(set(blamed)):
            break
    return tuple(names[index] for index in blamed)


# -- how to mend it ------------------------------------------------------------------------------

_MEND = {
    Impurity.REMEMBERS: "let reset(seed=…) put back everything that a step or an episode changed",
    Impurity.SHARED: (
        "keep it in the instance and let reset(seed=…) put it back: classes and modules are shared by all "
        "workers of a process"
    ),
    Impurity.ENTANGLED: (
        "give each copy its own: what is an attribute of a class or a module, or was handed to several "
        "environments, is shared by the slots of a vectorized or fragment worker"
    ),
    Impurity.SEED_IGNORED: "call super().reset(seed=seed) in reset, and draw from self.np_random only",
    Impurity.SEEDED_ONCE: "let every reset(seed=…) seed the environment anew, not the first one only",
    Impurity.UNSEEDED: (
        "draw from self.np_random, which super().reset(seed=seed) sets, or from numpy.random, which samplers "
        "set; not from default_rng(), secrets, os.urandom, uuid, id() or the sample() of a space"
    ),
    Impurity.CONSTRUCTION: (
        "pass an environment instead of what constructs it, or let the constructor draw from numpy.random, "
        "which samplers set, or from a seed of its own"
    ),
    Impurity.HASH_ORDER: "sort sets before they are iterated, and use no hash() of strings",
    Impurity.PROCESS: (
        "use no process number, address, environment variable, or what other code of this program set up"
    ),
}
_REMEDIES = {
    "NormalizeObservation": "leave NormalizeObservation out, and normalize in the policy or the learner",
    "NormalizeReward": "leave NormalizeReward out, and normalize batch.rewards in the learner",
}


def how_to_mend(symptom: Symptom, blamed: tuple[str, ...]) -> str:
    """Return a sentence on what to do."""
    if symptom.kind is Impurity.CLOCK:
        return _without_clock(symptom.paths or frozenset(), blamed)
    remedies = [_REMEDIES[name] for name in blamed if name in _REMEDIES]
    if remedies and len(remedies) == len(blamed):
        return "; ".join(remedies)
    return _MEND[symptom.kind]


def _without_clock(paths: frozenset[str], blamed: tuple[str, ...]) -> str:
    if not in_infos(paths):
        return "count steps instead of seconds"
    keys = ", ".join(f"info{path[path.index('[') :]}" for path in sorted(paths))
    text = f"drop {keys} in a wrapper outside (pop it in step or reset)"
    if "RecordEpisodeStatistics" in blamed:
        text += ", or leave RecordEpisodeStatistics out: batch.lengths and batch.rewards say the rest"
    return text


def what_to_declare(symptoms: Sequence[Symptom]) -> dict[str, bool]:
    """Return keyword arguments for `make_sampler`; empty where no declaration helps."""
    kinds = [symptom.kind for symptom in symptoms if not _in_infos_only(symptom)]
    if not kinds:
        return {}
    return {"reseed": False} if kinds == [Impurity.SEEDED_ONCE] else {"stateful": True}


def _in_infos_only(symptom: Symptom) -> bool:
    return symptom.paths is not None and in_infos(symptom.paths)


def in_infos(paths: frozenset[str]) -> bool:
    """Whether all of these arrays are infos."""
    return all(path.startswith(INFO_FIELDS) for path in paths)
