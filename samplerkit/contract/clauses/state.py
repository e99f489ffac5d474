"""Clause A10: a state, taken anywhere, goes on anywhere."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from samplerkit.contract.clause import NotApplicable, Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.contract.subject import Subject
from samplerkit.contract.views import in_words, require_origin
from samplerkit.episodes import EpisodeBatch, Provenance
from samplerkit.episodes.objects import encode
from samplerkit.interfaces import Sampler, SetTaskUpdate

_N_WORKERS = 2


def _make(subject: Subject, *, version: int = 1, seed: int = 4, **arguments: Any) -> Sampler:
    given = {"n_workers": _N_WORKERS, "max_episode_length": 8, **arguments}
    return subject.make(ProbePolicy(version), TattooEnv(tag=version), seed=seed, **given)


def _first_calls(sampler: Sampler) -> None:
    """Change everything that a state carries: weights, policies, environments, and the cursor."""
    policies = [ProbePolicy(2), ProbePolicy(3)]
    sampler.obtain_samples(0, 7, policies if sampler.supports("per_worker_agents") else policies[0])
    sampler.obtain_samples(0, 5, ProbePolicy(5).get_param_values(), TattooEnv(tag=6, infos="plain"))
    tasks = [SetTaskUpdate(TattooEnv, 8), SetTaskUpdate(TattooEnv, 9)]
    sampler.obtain_samples(0, 1, None, tasks if sampler.supports("per_worker_envs") else tasks[0])


def _next_calls(sampler: Sampler) -> list[EpisodeBatch]:
    first = sampler.obtain_samples(0, 9)
    return [first, sampler.obtain_samples(0, 9, ProbePolicy(7).get_param_values())]


class _Told:
    """What a sampler of a subject returned after its state was taken, and the state."""

    def __init__(self, subject: Subject) -> None:
        with _make(subject) as sampler:
            _first_calls(sampler)
            state = sampler.get_state()
            self.state = pickle.dumps(state)
            self.steps = sampler.total_env_steps
            self.batches = _next_calls(sampler)
            self.state_later = pickle.dumps(state)
            # The same units under another policy: of these nothing may be left after the next restore.
            sampler.set_state(pickle.loads(self.state))
            sampler.obtain_samples(0, 15, ProbePolicy(9))
            sampler.set_state(pickle.loads(self.state))
            self.again = _next_calls(sampler)


def _subject_told(lab: Lab) -> _Told:
    return lab.once("A10", lambda: _Told(lab.subject))


def _local_told(lab: Lab) -> _Told:
    return lab.once("A10, local", lambda: _Told(lab.local))


def _require_same_data(lab: Lab, told: _Told, local: _Told) -> None:
    """Raise `NotApplicable` where the data, or where they are said to come from, are others anyway."""
    pairs = zip(told.batches, local.batches, strict=True)
    if any(one.difference(other) or not _same_origin(one, other) for one, other in pairs):
        raise NotApplicable(
            f"the batches of {lab.subject.name} are not the local sampler's: see A0.reference, B6.provenance"
        )


def _same_origin(one: EpisodeBatch, other: EpisodeBatch) -> bool:
    if not (isinstance(one.provenance, Provenance) and isinstance(other.provenance, Provenance)):
        return one.provenance is other.provenance
    return one.provenance.equals(other.provenance)


def _require_next(wanted: list[EpisodeBatch], got: list[EpisodeBatch], how: str) -> None:
    for index, (one, other) in enumerate(zip(wanted, got, strict=True)):
        difference = one.difference(other)
        require(
            difference is None,
            f"call {index} after set_state, {how}: expected the batch that would have come: "
            f"{in_words(difference)}",
        )
        # B6.provenance and B1.rows say so.
        if not (isinstance(one.provenance, Provenance) and isinstance(other.provenance, Provenance)):
            continue
        for name in ("units", "workers", "agent_versions", "env_versions"):
            before, after = getattr(one.provenance, name).tolist(), getattr(other.provenance, name).tolist()
            require(
                before == after,
                f"call {index} after set_state, {how}: expected provenance.{name} {before}, got {after}",
            )


@clause(
    "A10.again",
    says="After set_state of an earlier state the same sampler returns the batches that it returned then.",
    why="A trainer that goes back to a snapshot must see the same data again.",
    causes="run-ahead kept over set_state; environments or weights of later calls left in the workers.",
)
def again(lab: Lab) -> None:
    """Go back, and make the same calls."""
    told = _subject_told(lab)
    _require_next(told.batches, told.again, "on the same sampler")


@clause(
    "A10.restore",
    says="A state can be pickled, and set on a new sampler of the same backend: the next batch is the same.",
    why="Experiments are interrupted; the run that goes on must be the run that was.",
    causes="a state without weights, tasks or the seed; one that holds live objects.",
)
def restore(lab: Lab) -> None:
    """Set the state on a sampler with another seed, policy and environment."""
    told = _subject_told(lab)
    with _make(lab.subject, version=77, seed=1234, layout=1) as sampler:
        sampler.obtain_samples(0, 3)
        sampler.set_state(pickle.loads(told.state))
        require(
            sampler.total_env_steps == told.steps,
            f"after set_state: expected total_env_steps {told.steps}, got {sampler.total_env_steps}",
        )
        _require_next(told.batches, _next_calls(sampler), "on a new sampler of the same backend")


@clause(
    "A10.other-backends",
    says="A state that was taken on one backend can be set on any other.",
    why="What was begun on a cluster is looked into on a laptop.",
    causes="a backend's own format; a state that names processes or hosts.",
)
def other_backends(lab: Lab) -> None:
    """Exchange states with the local sampler, both ways."""
    told, local = _subject_told(lab), _local_told(lab)
    _require_same_data(lab, told, local)
    with _make(lab.local, version=77, seed=1234) as sampler:
        sampler.set_state(pickle.loads(told.state))
        _require_next(told.batches, _next_calls(sampler), f"from {lab.subject.name} to the local sampler")
    with _make(lab.subject, version=77, seed=1234) as sampler:
        sampler.set_state(pickle.loads(local.state))
        _require_next(local.batches, _next_calls(sampler), f"from the local sampler to {lab.subject.name}")


@clause(
    "A10.same-state",
    says="get_state() is a value: the same on every backend, and no later call changes one that was taken.",
    why="Trainers keep states, compare them, and write them out later.",
    causes="returning the sampler's own dict; counting in it what ran ahead.",
)
def same_state(lab: Lab) -> None:
    """Compare with the local sampler's after the same calls, but for what is pickled in it."""
    told = _subject_told(lab)
    require(
        told.state == told.state_later,
        "expected a state to stay as it was when it was taken, got another one after two more calls",
    )
    _require_same_data(lab, told, _local_told(lab))
    wanted, got = _plain(pickle.loads(_local_told(lab).state)), _plain(pickle.loads(told.state))
    for path in {**wanted, **got}:
        require(
            wanted.get(path) == got.get(path),
            f"get_state(){path}: expected {wanted.get(path, 'nothing')}, as the local sampler has it, "
            f"got {got.get(path, 'nothing')}",
        )


def _plain(value: Any, path: str = "") -> dict[str, Any]:
    """Return the numbers of a state by their paths; bytes by their presence."""
    if isinstance(value, dict):
        items = [(f"[{key!r}]", item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(f"[{index}]", item) for index, item in enumerate(value)]
    else:
        return {path: "bytes" if isinstance(value, bytes) else value}
    return {inner: leaf for key, item in items for inner, leaf in _plain(item, path + key).items()}


@clause(
    "A10.refused",
    says="A state of a sampler with another number of workers, of a newer format, or what is no state, is "
    "refused, and changes nothing.",
    why="Units belong to workers by number: the data would be others, silently.",
    causes="no check; a check after the first fields were set; what is missing taken for nothing to do.",
)
def refused(lab: Lab) -> None:
    """Set a state of two workers on a sampler with three, a few that are none, and collect on."""
    told = _subject_told(lab)
    with _make(lab.subject, n_workers=3) as sampler:
        sampler.obtain_samples(0, 3)
        before = copy.deepcopy(sampler.get_state())
        text = _refusal(sampler, pickle.loads(told.state), "state of 2 workers, sampler with 3")
        require("2" in text and "3" in text, f"expected an error that names 2 and 3 workers, got: {text}")
        newer = {**before, "format": 99} if "format" in before else {}
        none: tuple[Any, ...] = (newer, {}, None, "a state", [], {"seed": 1, "cursor": 5})
        for state in none:
            shown = "a state of format 99" if state is newer and newer else f"the state {state!r}"
            _refusal(sampler, state, shown)
        after = sampler.get_state()
        same = _plain(before) == _plain(after)
        require(same, f"after refused states: expected {_plain(before)}, got {_plain(after)}")
        require(
            encode(before) == encode(after),
            "after refused states: expected policies and environments in get_state() as before, got others",
        )
        require_origin(sampler.obtain_samples(0, 9), version=1, tag=1, when="after refused states")


def _refusal(sampler: Sampler, state: Any, what: str) -> str:
    """Return the text of the error with which something is refused."""
    try:
        sampler.set_state(state)
    except ValueError as error:
        return str(error)
    except Exception as error:
        raise Violation(f"{what}: expected a ValueError, got {type(error).__name__}: {error}") from error
    raise Violation(f"{what}: expected a ValueError, got none")
