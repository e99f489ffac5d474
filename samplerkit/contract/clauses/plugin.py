"""Section F: a good citizen among plugins, honest about what it can do."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from samplerkit.contract.attempts import Outcome, attempt, fails_with, sentence_of
from samplerkit.contract.clause import NotApplicable, Violation, clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import ProbePolicy, TattooEnv, mark_of
from samplerkit.contract.subject import Subject
from samplerkit.errors import UnsupportedFeature
from samplerkit.interfaces import CAPABILITIES, NewEnvUpdate, Sampler
from samplerkit.plugins.discovery import State
from samplerkit.plugins.making import registry
from samplerkit.version import API

_HEAVY = ("ray", "tensorflow", "torch", "hypothesis", "pytest")

_IMPORT = """
import sys
sys.path[:] = {path!r}
import samplerkit
from samplerkit.plugins import discovery, making
for name in {names!r}:
    try:
        making.registry.find(name)
    except Exception:
        pass
print(*[module for module in {heavy!r} if module in sys.modules])
"""


# -- imports and versions ----------------------------------------------------------------------------


@clause(
    "F1.light-import",
    says="Importing samplerkit and loading the plugin's description imports no heavy module and nothing that "
    "the plugin requires.",
    why="A list of backends must not cost the import of all of them, nor fail where one cannot be imported.",
    causes="the entry point lies in a package whose __init__ imports the runtime.",
)
def light_import(lab: Lab) -> None:
    """Load the descriptions in a Python of their own and look at its modules."""
    names = _installed(lab.subject)
    required = [module for name in names for module in _spec(name).requires]
    factories = [
        path.partition(":")[0]
        for name in names
        if name != "local" and (path := _spec(name).factory or _spec(name).worker)
    ]
    code = _IMPORT.format(path=sys.path, names=names, heavy=[*_HEAVY, *required, *factories])
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    require(ended.returncode == 0, f"import samplerkit failed: {ended.stderr[-200:]}")
    loaded = ended.stdout.split()
    require(not loaded, f"loading the description of {lab.subject.name} imports {', '.join(loaded)}")


def _installed(subject: Subject) -> list[str]:
    """Return the names of the plugins that a subject is made of; a class or a function is none."""
    names = [name for name in subject.name.split("+") if _spec(name) is not None]
    if not names:
        raise NotApplicable(f"{subject.name} is not an installed backend")
    return names


def _spec(name: str) -> Any:
    """Return the description of a backend, None if the subject is no backend that is installed."""
    try:
        return registry.find(name).spec
    except Exception:
        return None


@clause(
    "F2.state",
    says="The backend is listed as ok, under its name.",
    why="A backend in another state is refused by name, with the reason.",
    causes="an exception in the plugin's module; two distributions that offer the same name.",
)
def state(lab: Lab) -> None:
    """Look it up."""
    for name in _installed(lab.subject):
        found = registry.find(name)
        require(found.state is State.OK, f"backend {name!r} is {found.state}: {found.reason}")


@clause(
    "F3.api",
    says="A plugin states the API version that it was written for, which this samplerkit provides.",
    why="Else nobody can say which of the two must be updated.",
    causes="a version copied from elsewhere; one that is newer than the core's.",
)
def api(lab: Lab) -> None:
    """Compare the numbers."""
    _installed(lab.subject)
    stated = lab.subject.api
    whole = isinstance(stated, tuple) and len(stated) == 2 and all(type(part) is int for part in stated)
    require(whole, f"api: expected two integers such as (1, 0), got {stated!r}")
    fits = stated[0] == API[0] and stated[1] <= API[1]
    require(fits, f"api: expected {API[0]}.0 to {API[0]}.{API[1]}, got {stated[0]}.{stated[1]}")


# -- the interface -----------------------------------------------------------------------------------


@clause(
    "F4.signatures",
    says="Every method can be called as the interface's, by position and by name; what it adds has defaults.",
    why="Algorithms call by name: obtain_samples(itr=…, num_samples=…).",
    causes="renamed arguments; a method that is missing; a property turned into a method.",
)
def signatures(lab: Lab) -> None:
    """Bind the interface's calls to the sampler's methods."""
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TattooEnv)) as sampler:
        for name, wanted in vars(Sampler).items():
            if name.startswith("_") or not (inspect.isfunction(wanted) or isinstance(wanted, property)):
                continue
            if isinstance(wanted, property):
                value = getattr(sampler, name)
                require(not callable(value), f"{name} should be a property, and is a method")
                continue
            method = getattr(sampler, name, None)
            require(callable(method), f"there is no method {name}")
            _check_signature(name, wanted, method)


def _check_signature(name: str, wanted: Any, method: Any) -> None:
    parameters = [it for it in inspect.signature(wanted).parameters.values() if it.name != "self"]
    required = [it for it in parameters if it.default is it.empty]
    signature = inspect.signature(method)
    for chosen in (parameters, required):
        for args, kwargs in (
            ([None] * len(chosen), {}),
            ([], {it.name: None for it in chosen}),
        ):
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                call = f"{name}({', '.join(kwargs) or ', '.join('…' for _ in args)})"
                raise Violation(f"{call} does not fit {name}{signature}: {error}") from error


@clause(
    "F4.options",
    says="An unknown option is a TypeError that names it.",
    why="n_proces=8 that is silently ignored costs a week of one process.",
    causes="**options that are passed on, or dropped.",
)
def options(lab: Lab) -> None:
    """Pass an option that nobody has."""
    name = "n_fluxcapacitors"
    outcome = attempt(f"{name}=2", lambda: _made(lab, **{name: 2}))
    fails_with(outcome, TypeError, f"{name}=2", naming=name)


def _made(lab: Lab, agents: Any = None, envs: Any = None, **arguments: Any) -> None:
    """Make a sampler, and shut it down if there is one after all."""
    given = {"n_workers": 2, "seed": 1, "max_episode_length": 8, **arguments}
    agents, envs = agents or ProbePolicy(1), envs or NewEnvUpdate(TattooEnv)
    lab.subject.make(agents, envs, **given).shutdown_worker()


# -- capabilities ------------------------------------------------------------------------------------


@clause(
    "F4.reasons",
    says="What is denied has a reason; the class, and supports(), agree with the description.",
    why="An algorithm asks supports() and must be able to tell its user why not.",
    causes="a description and a class that say different things; a bare no.",
)
def reasons(lab: Lab) -> None:
    """Compare what is declared, here and there."""
    declared = lab.subject.capabilities
    for name, support in declared.items():
        require(name in CAPABILITIES, f"{name!r} is declared, and is no capability")
        require(bool(support) or bool(support.reason.strip()), f"{name!r} is denied without a reason")
    _check_class(lab.subject)
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TattooEnv)) as sampler:
        for name in CAPABILITIES:
            yes = bool(declared.get(name))
            outcome = attempt("supports", lambda n=name: sampler.supports(n))  # type: ignore[misc]
            got = outcome.value if outcome.error is None else outcome
            # What a kind of worker cannot do may be taken back for this sampler, never the other way round.
            agrees = outcome.error is None and (got == yes or (yes and not got and name == "restartable"))
            require(agrees, f"supports({name!r}): declared {yes}, got {got}")
        outcome = attempt("supports", lambda: sampler.supports("flux"))
        fails_with(outcome, ValueError, "supports('flux')", naming="flux")


def _check_class(subject: Subject) -> None:
    """Compare what the description declares with what the class does."""
    of_class = getattr(subject.sampler, "capabilities", None)
    if subject.worker is not None or not isinstance(of_class, Mapping):
        return
    for name in CAPABILITIES:
        said, meant = subject.capabilities.get(name), of_class.get(name)
        same = bool(said) == bool(meant) and (said is None or meant is None or said.reason == meant.reason)
        require(same, f"{name!r}: the description declares {said}, the class {meant}")


Probe = Callable[[Lab], bool]


def _versions(batch: Any) -> set[int]:
    return set(batch.agent_infos["version"].tolist())


def _tags(batch: Any) -> set[int]:
    return set(mark_of(batch.observations)[:, 0].tolist())


def _exact(lab: Lab) -> bool:
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TattooEnv), n_workers=2) as sampler:
        return len(sampler.obtain_exact_episodes(2).lengths) == 4


def _each_agent(lab: Lab) -> bool:
    policies = [ProbePolicy(1), ProbePolicy(2)]
    with lab.sampler(policies, NewEnvUpdate(TattooEnv), n_workers=2) as sampler:
        return _versions(sampler.obtain_samples(0, 60)) == {1, 2}


def _each_agent_later(lab: Lab) -> bool:
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TattooEnv), n_workers=2) as sampler:
        batch = sampler.obtain_samples(0, 60, [ProbePolicy(1), ProbePolicy(2)])
        return _versions(batch) == {1, 2}


def _each_env(lab: Lab) -> bool:
    envs = [TattooEnv(tag=1), TattooEnv(tag=2)]
    with lab.sampler(ProbePolicy(1), envs, n_workers=2) as sampler:
        return _tags(sampler.obtain_samples(0, 60)) == {1, 2}


def _each_env_later(lab: Lab) -> bool:
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TattooEnv), n_workers=2) as sampler:
        batch = sampler.obtain_samples(0, 60, None, [TattooEnv(tag=1), TattooEnv(tag=2)])
        return _tags(batch) == {1, 2}


def _stateful(lab: Lab) -> bool:
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TattooEnv), n_workers=2, stateful=True) as sampler:
        return len(sampler.obtain_samples(0, 9).lengths) > 0


def _unit_timeout(lab: Lab) -> bool:
    with lab.sampler(ProbePolicy(1), NewEnvUpdate(TattooEnv), n_workers=2, unit_timeout=30) as sampler:
        return len(sampler.obtain_samples(0, 9).lengths) > 0


_PROBES: Mapping[str, tuple[Probe, ...]] = {
    "exact_episodes": (_exact,),
    "per_worker_agents": (_each_agent, _each_agent_later),
    "per_worker_envs": (_each_env, _each_env_later),
    "stateful": (_stateful,),
    "unit_timeout": (_unit_timeout,),
}
"""What asks for a feature, for those that one can ask for."""


@clause(
    "F4.declared-is-there",
    says="Every capability that is declared is there.",
    why="A table of backends is worth what its yeses are worth.",
    causes="a table copied from another backend.",
)
def declared_is_there(lab: Lab) -> None:
    """Ask for each feature that is declared."""
    for name, outcome in _asked(lab, declared=True):
        require(outcome.error is None, f"{name!r} is declared and absent: asked for it, {outcome}")
        require(
            bool(outcome.value), f"{name!r} is declared and absent: asked for it, the batch was as without"
        )


@clause(
    "F4.undeclared-is-refused",
    says="A feature that is not declared is refused by name (UnsupportedFeature) when it is asked for.",
    why="What works by accident today is relied on tomorrow; what is silently left out spoils the data.",
    causes="a feature that is inherited and was never declared; a request that is ignored.",
)
def undeclared_is_refused(lab: Lab) -> None:
    """Ask for each feature that is not declared."""
    for name, outcome in _asked(lab, declared=False):
        require(outcome.error is not None, f"{name!r} is present and undeclared: asked for it, it worked")
        refused = isinstance(outcome.error, UnsupportedFeature) and name in str(outcome.error)
        error = sentence_of(outcome.error or Exception())
        require(
            refused, f"{name!r} is not declared: expected an UnsupportedFeature that names it, got {error}"
        )


def _asked(lab: Lab, *, declared: bool) -> list[tuple[str, Outcome]]:
    return [
        (name, attempt(f"asking for {name!r}", lambda p=probe: p(lab)))  # type: ignore[misc]
        for name, probes in _PROBES.items()
        for probe in probes
        if bool(lab.subject.capabilities.get(name)) == declared
    ]
