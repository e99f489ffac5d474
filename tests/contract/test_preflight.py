"""What can be checked at all, whatever door it comes through."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import contract_fakes as fakes
import pytest

from samplerkit import LocalSampler
from samplerkit.contract import contract_tests, find_subject, replay, subject_of
from samplerkit.contract.preflight import CannotBeChecked
from samplerkit.contract.script import Script
from samplerkit.workers import DefaultWorker


class Faster(LocalSampler):
    """Has an argument of its own, by name."""

    def __init__(self, agents: Any, envs: Any, *, speed: int = 1, **arguments: Any) -> None:
        super().__init__(agents, envs, **arguments)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("local", {"stateful": True, "reseed": True}),
        ("multiprocessing", {"n_processes": 1, "unit_timeout": 3}),
        ("multiprocessing+vectorized", {"n_processes": 1, "n_envs": 3}),
        ("samplerkit_vectorized.worker:VecWorker", {"n_envs": 3}),
        ("contract_fakes:make_surplus", {"stateful": True}),
    ],
)
def test_options_that_a_backend_has_are_taken(name: str, options: dict[str, Any]) -> None:
    subject = find_subject(name, options)
    assert {**subject.options, **subject.worker_args} == options


def test_arguments_of_any_constructor_in_the_family_are_options() -> None:
    assert subject_of(Faster, options={"speed": 3, "reseed": True}).options["speed"] == 3
    with pytest.raises(CannotBeChecked, match="Faster has no option 'sped'"):
        subject_of(Faster, options={"sped": 3})


def test_the_arguments_that_a_clause_gives_are_no_options() -> None:
    with pytest.raises(CannotBeChecked, match="LocalSampler has no option 'agents'"):
        find_subject("local", {"agents": 3})


@pytest.mark.parametrize("make", [fakes.make_surplus, functools.partial(LocalSampler, stateful=True)])
def test_a_function_that_makes_samplers_will_do(make: Any) -> None:
    assert subject_of(make).sampler is make


def test_a_function_can_do_what_the_sampler_can_that_it_makes() -> None:
    assert subject_of(fakes.make_surplus).capabilities == dict(fakes.Surplus.capabilities)
    never_up = subject_of(fakes.make_never_up)
    assert never_up.capabilities == {}, "there is none to ask"


class CapabilitiesAreBools(LocalSampler):
    """Says True for YES."""

    capabilities: ClassVar[Any] = {**LocalSampler.capabilities, "exact_episodes": True}


class CapabilitiesAreAList(LocalSampler):
    """Names what it can do."""

    capabilities: ClassVar[Any] = ["exact_episodes"]


class NoLayouts(LocalSampler):
    """Has no layout, not even the one without options."""

    layouts: ClassVar[Any] = ()


class LayoutsAreNone(LocalSampler):
    """Has None for layouts."""

    layouts: ClassVar[Any] = None


class WorkerCapabilitiesAreBools(DefaultWorker):
    """A kind of worker that says False for no(…)."""

    capabilities: ClassVar[Any] = {"exact_episodes": False}


@pytest.mark.parametrize(
    ("declaring", "sentence"),
    [
        (
            CapabilitiesAreBools,
            r"capabilities\['exact_episodes'\] is True: declare it with YES or no\('the reason'\)",
        ),
        (WorkerCapabilitiesAreBools, r"capabilities\['exact_episodes'\] is False: declare it with YES or no"),
        (
            CapabilitiesAreAList,
            r"CapabilitiesAreAList\.capabilities must be a dict .* not \['exact_episodes'\]",
        ),
        (NoLayouts, r"NoLayouts\.layouts must be a tuple of dicts of options, at least \(\{\},\), not \(\)"),
        (LayoutsAreNone, r"LayoutsAreNone\.layouts must be a tuple of dicts .* not None"),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
@pytest.mark.parametrize("as_function", [False, True])
def test_what_is_declared_so_that_nobody_can_read_it_is_refused_by_name(
    declaring: Any, sentence: str, as_function: bool
) -> None:
    with pytest.raises(CannotBeChecked, match=sentence):
        subject_of(
            functools.partial(declaring)
            if as_function and declaring is not WorkerCapabilitiesAreBools
            else declaring
        )


def test_an_option_that_a_function_does_not_take_is_refused() -> None:
    with pytest.raises(CannotBeChecked, match="it raised TypeError: Surplus has no option 'foo'"):
        find_subject("contract_fakes:make_surplus", {"foo": 1})


def test_a_function_whose_sampler_does_not_come_up_is_left_to_the_clauses() -> None:
    assert find_subject("contract_fakes:make_never_up").sampler is fakes.make_never_up


def test_other_doors_refuse_as_well() -> None:
    with pytest.raises(CannotBeChecked, match="contract_fakes:make_nothing cannot be checked"):
        replay(fakes.make_nothing, Script())
    made = contract_tests("local", options={"foo": 1})
    with pytest.raises(CannotBeChecked, match="LocalSampler has no option 'foo'"):
        made.setup_class()
