"""Clause C4: old environments are handed to updates and closed; the caller's objects stay the caller's."""

from __future__ import annotations

import pickle
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from samplerkit.contract.clause import clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import (
    BumpUpdate,
    ProbePolicy,
    ReplaceUpdate,
    ScriptedPolicy,
    TattooEnv,
    WrapUpdate,
    mark_of,
    read_ledger,
)
from samplerkit.contract.probes.ledger import Event
from samplerkit.contract.script import Script
from samplerkit.contract.views import require_origin
from samplerkit.interfaces import ExistingEnvUpdate, NewEnvUpdate, Sampler


class _Noted:
    """A constructor of environments that write to a ledger."""

    def __init__(self, ledger: str, tag: int = 1) -> None:
        self.ledger, self.tag = ledger, tag

    def __call__(self) -> TattooEnv:
        return TattooEnv(tag=self.tag, lengths=(2,), infos="none", ledger=self.ledger)


def _lives(lab: Lab, calls: Callable[[Sampler, str], None]) -> list[Event]:
    """Return the ledger of environments over some calls and a shutdown."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = str(Path(folder) / "ledger")
        with lab.sampler(ProbePolicy(1), NewEnvUpdate(_Noted(ledger))) as sampler:
            calls(sampler, ledger)
        return read_ledger(ledger)


def require_closed_once(events: list[Event], when: str) -> None:
    """Raise unless every environment that was opened in a worker was closed exactly once."""
    opened = [event for event in events if event.what == "open"]
    closes = Counter(event.who for event in events if event.what == "close")
    for event in opened:
        got = closes[event.who]
        require(
            got == 1,
            f"{when}: expected that environment {event.who} (tag {event.detail}) is closed once, "
            f"got {got} times",
        )
    unknown = set(closes) - {event.who for event in opened}
    require(not unknown, f"{when}: expected closes of environments that were opened, got {sorted(unknown)}")


@clause(
    "C4.closed-once",
    kind="script",
    says="Every environment that was made inside is closed exactly once, at the latest by shutdown.",
    why="Simulators, windows and ports stay behind where nobody closes, and fall over at a second close.",
    causes="replaced environments forgotten; those of idle processes; a copy that was unpickled to be asked.",
)
def closed_once(lab: Lab, script: Script) -> None:
    """Balance the ledger."""
    trace = lab.trace(script)
    if trace.error is not None:  # A0.reference says so
        return
    inside = [event for event in trace.events if event.who not in trace.callers]
    require_closed_once(inside, "after shutdown")


@clause(
    "C4.kinds",
    says="Environments come as gymnasium.Env, id, EnvUpdate, or callable: lambdas and local classes too.",
    why="They are written in notebooks and inside functions.",
    causes="pickling by reference; constructors looked up by name in another process.",
)
def kinds(lab: Lab) -> None:
    """Pass one of each, with a policy whose class is local."""

    class LocalPolicy(ProbePolicy):
        pass

    class LocalEnv(TattooEnv):
        pass

    ways: list[tuple[str, Any]] = [
        ("a gymnasium.Env", TattooEnv(tag=2)),
        ("an EnvUpdate", NewEnvUpdate(lambda: TattooEnv(tag=3))),
        ("a lambda", lambda: TattooEnv(tag=4)),
        ("a local class", LocalEnv),
    ]
    with lab.sampler(LocalPolicy(1), TattooEnv(tag=1)) as sampler:
        for tag, (what, env) in zip((2, 3, 4, 0), ways, strict=True):
            batch = sampler.obtain_samples(0, 1, None, env)
            got = int(mark_of(batch.observations)[0, 0])
            require(got == tag, f"{what} as env_update: expected in observations the tag {tag}, got {got}")
        batch = sampler.obtain_samples(0, 2, ScriptedPolicy([0, 1]), "CartPole-v1")
        shape = np.asarray(batch.observations).shape[1:]
        require(
            shape == (4,), f"'CartPole-v1' as env_update: expected observations of shape (4,), got {shape}"
        )


@clause(
    "C4.old-environment",
    says="An EnvUpdate gets the worker's present environment, and what it returns is used from then on.",
    why="Updates that change an environment, rather than make one, are the cheap ones.",
    causes="calling it with None; on a copy of the environment; using the old one on.",
)
def old_environment(lab: Lab) -> None:
    """Change the tag of the old environment, wrap it, and change it again."""
    with lab.sampler(ProbePolicy(1), TattooEnv(tag=1, lengths=(2,))) as sampler:
        for update, wanted in ((BumpUpdate(2), 3), (WrapUpdate(), 3), (BumpUpdate(4), 7)):
            batch = sampler.obtain_samples(0, 6, None, update)
            got = sorted(set(mark_of(batch.observations)[:, 0].tolist()))
            require(
                got == [wanted],
                f"after {type(update).__name__}: expected in observations the tag {wanted} alone, got {got}",
            )


@clause(
    "C4.replaced-closed",
    says="A replaced environment is closed before the new one is used.",
    why="A thousand task updates must not leave a thousand simulators open until the end.",
    causes="leaving it to the garbage collector; closing all at shutdown.",
)
def replaced_closed(lab: Lab) -> None:
    """Replace environments by others that note whom they replaced."""

    def calls(sampler: Sampler, ledger: str) -> None:
        for tag in (2, 3, 4):
            sampler.obtain_samples(0, 6, None, ReplaceUpdate(tag, ledger))

    events = _lives(lab, calls)
    require(
        any(event.what == "replaces" and event.detail for event in events),
        "three updates: expected that they get the environments that they replace, got None",
    )
    replaced = {event.detail: event.who for event in events if event.what == "replaces" and event.detail}
    closed: set[str] = set()
    for event in events:
        if event.what == "close":
            closed.add(event.who)
        for old in (old for old, new in replaced.items() if new == event.who and event.what == "reset"):
            require(
                old in closed,
                f"environment {old} was replaced by {event.who} (tag {_tag(events, event.who)}): expected it "
                "closed before that one is reset, got it open",
            )
    require_closed_once(events, "after three updates and shutdown")


def _tag(events: list[Event], who: str) -> str:
    return next((event.detail for event in events if event.who == who and event.what == "open"), "?")


@clause(
    "C4.kept-open",
    says="An environment that is returned again, or is wrapped by what is returned, is not closed.",
    why="It is in use: the next step would fail, or go on without its simulator.",
    causes="closing whatever was there before; comparing wrappers and not what they hold.",
)
def kept_open(lab: Lab) -> None:
    """Change and wrap environments, and look for closes before shutdown."""

    def calls(sampler: Sampler, ledger: str) -> None:
        sampler.obtain_samples(0, 6)
        for update in (BumpUpdate(1), WrapUpdate(), BumpUpdate(1), WrapUpdate()):
            sampler.obtain_samples(0, 6, None, update)
            who = _used_after_close(read_ledger(ledger))
            where = f"after {type(update).__name__}"
            require(
                not who, f"{where}: expected the environment kept open, got a close of {who}, which goes on"
            )

    require_closed_once(_lives(lab, calls), "environments in wrappers, after shutdown")


def _used_after_close(events: list[Event]) -> str:
    """Name an environment that was reset after its close; one whose worker was built again is not in use."""
    closed: set[str] = set()
    for event in events:
        if event.what == "close":
            closed.add(event.who)
        elif event.what == "reset" and event.who in closed:
            return event.who
    return ""


class _Keeper:
    """Objects of the caller's, and what they looked like when they were handed over."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, Any, Any]] = []

    def keep(self, name: str, value: Any) -> Any:
        self._kept.append((name, value, _looks(value)))
        return value

    def check(self) -> None:
        for name, value, before in self._kept:
            after = _looks(value)
            changed = [key for key in after if after[key] != before.get(key)]
            what = {key: (before.get(key), after[key]) for key in changed}
            require(not changed, f"{name}: expected as handed over, got changes, as (before, after): {what}")


def _looks(value: Any) -> dict[str, Any]:
    """Return what an object holds, by its attributes or keys."""
    given = {"items": value} if isinstance(value, list) else value
    held: dict[str, Any] = _inside(given if isinstance(given, dict) else vars(given))
    return held


def _inside(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_inside(item) for item in value]
    if isinstance(value, dict):
        return {key: _inside(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (gymnasium.Env, ExistingEnvUpdate, NewEnvUpdate, ProbePolicy)):
        return {"type": type(value).__name__, **{key: _inside(item) for key, item in vars(value).items()}}
    return value if isinstance(value, (int, float, str, bytes, type(None))) else repr(type(value))


@clause(
    "C4.callers-objects",
    says="The caller's agents, environments, weights, updates, lists and states are not changed.",
    why="The learner goes on with its policy, and evaluates in its environment.",
    causes="running units with the very objects that were given; casting weights in place; taking items out "
    "of a list.",
)
def callers_objects(lab: Lab) -> None:
    """Look at everything that was handed over, before and after."""
    keeper = _Keeper()
    policy, env = keeper.keep("agents", ProbePolicy(1)), keeper.keep("envs", TattooEnv(tag=1, lengths=(2,)))
    with lab.sampler(policy, env) as sampler:
        sampler.obtain_samples(0, 6)
        weights = keeper.keep("weights as agent_update", ProbePolicy(2).get_param_values())
        update = keeper.keep("an EnvUpdate", ExistingEnvUpdate(TattooEnv(tag=2, lengths=(2,))))
        sampler.obtain_samples(0, 6, weights, update)
        policies = keeper.keep("a policy as agent_update", ProbePolicy(3))
        sampler.obtain_samples(0, 6, policies, keeper.keep("an environment as env_update", TattooEnv(tag=3)))
        if sampler.supports("per_worker_agents") and sampler.supports("per_worker_envs"):
            lists = [ProbePolicy(4), ProbePolicy(5)], [TattooEnv(tag=4), TattooEnv(tag=5)]
            sampler.obtain_samples(0, 6, *(keeper.keep("a list as an update", it) for it in lists))
        state = keeper.keep("a state", sampler.get_state())
        sampler.set_state(state)
        sampler.obtain_samples(0, 6, ProbePolicy(6).get_param_values(), TattooEnv(tag=6))
    keeper.check()


@clause(
    "C4.later-changes",
    says="What the caller changes in its objects after a call began changes nothing inside.",
    why="A learner updates its policy in place while units that ran ahead are under way.",
    causes="sharing objects in process; pickling them at the next call; views of the caller's weights.",
)
def later_changes(lab: Lab) -> None:
    """Change everything that was handed over, and collect on."""
    policy, env = ProbePolicy(1), TattooEnv(tag=1, lengths=(2,))
    with lab.sampler(policy, env) as sampler:
        policy.params["version"][:] = 91
        env.tag = 92
        require_origin(
            sampler.obtain_samples(0, 6),
            version=1,
            tag=1,
            when="the policy and environment of the construction, changed by the caller afterwards",
        )
        weights, env = ProbePolicy(2).get_param_values(), TattooEnv(tag=3, lengths=(2,))
        require_origin(
            sampler.obtain_samples(0, 2, weights, env),
            version=2,
            tag=3,
            when="updates, changed by the caller afterwards",
        )
        weights["version"][:] = 93
        env.tag = 94
        require_origin(
            sampler.obtain_samples(0, 6),
            version=2,
            tag=3,
            when="weights and environment of an update, changed by the caller afterwards",
        )
        state = pickle.dumps(sampler.get_state())
        sampler.set_state(pickle.loads(state))
        require_origin(
            sampler.obtain_samples(0, 6),
            version=2,
            tag=3,
            when="weights and environment of a state, changed by the caller afterwards",
        )


@clause(
    "C4.passed-again",
    says="An object that is passed once more is one more update, with what it holds now.",
    why="A learner passes the same policy, or the same array, in every epoch; that is how it is trained.",
    causes="`if update is self._last`; a copy, or a pickle, kept by the object's identity.",
)
def passed_again(lab: Lab) -> None:
    """Pass each object twice, one way after the other, and change it in between."""
    policy, weights = ProbePolicy(0), ProbePolicy(0).get_param_values()
    env, bump = TattooEnv(lengths=(2,)), BumpUpdate(10)
    with lab.sampler(ProbePolicy(1), TattooEnv(tag=1, lengths=(2,))) as sampler:

        def call(number: int, tag: int, what: str, *updates: Any) -> None:
            when = f"{what} passed for the {'first' if number % 2 else 'second'} time"
            require_origin(sampler.obtain_samples(number, 2, *updates), version=number, tag=tag, when=when)

        for number in (1, 2):
            policy.params["version"][:] = env.tag = number
            call(number, number, "a policy and an environment", policy, env)
        for number in (3, 4):
            weights["version"][:] = number
            call(number, 2 + 10 * (number - 2), "weights and an EnvUpdate", weights, bump)
        if sampler.supports("per_worker_agents") and sampler.supports("per_worker_envs"):
            policies, envs = [policy, ProbePolicy(0)], [env, TattooEnv(lengths=(2,))]
            for number in (5, 6):
                for it in policies:
                    it.params["version"][:] = number
                envs[:] = [TattooEnv(tag=number, lengths=(2,)) for _ in envs]
                call(number, number, "lists of policies and of environments", policies, envs)
