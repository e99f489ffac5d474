"""Scripts: what a user of a sampler may do, drawn by hypothesis and shrunk to what shows a defect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st

from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import Capabilities, ExistingEnvUpdate, NewEnvUpdate, Sampler, SetTaskUpdate

AgentUpdate: TypeAlias = Literal["weights", "weights each", "policy", "policy each"] | None
EnvUpdateKind: TypeAlias = Literal["new", "new each", "task", "task each", "existing", "environment"] | None


@dataclass(frozen=True)
class Op:
    """One call of a sampler.

    Attributes:
        exact: whether it is `obtain_exact_episodes` rather than `obtain_samples`.
        count: the argument.
        agent: the agent update, if any; "each" gives a list with a different one for each worker.
        env: the environment update, if any.
    """

    count: int = 1
    exact: bool = False
    agent: AgentUpdate = None
    env: EnvUpdateKind = None

    def ask(
        self, sampler: Sampler, index: int = 0, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        """Make the call, with these updates."""
        if self.exact:
            return sampler.obtain_exact_episodes(self.count, agent_update, env_update)
        return sampler.obtain_samples(index, self.count, agent_update, env_update)

    def within(self, capabilities: Capabilities) -> Op:
        """Return the call without what is not declared: no exact episodes, one update for all workers."""
        return replace(
            self,
            exact=self.exact and _has(capabilities, "exact_episodes"),
            agent=self.agent if _has(capabilities, "per_worker_agents") else _for_all(self.agent),
            env=self.env if _has(capabilities, "per_worker_envs") else _for_all(self.env),
        )


def _has(capabilities: Capabilities, *names: str) -> bool:
    return all(capabilities.get(name) for name in names)


def _for_all(kind: Any) -> Any:
    return kind and kind.removesuffix(" each")


@dataclass(frozen=True)
class Script:
    """A sampler and the calls that are made of it. Everything in it is simple at its default.

    Attributes:
        ops: the calls, in order.
        n_workers: logical workers.
        seed: of the sampler.
        limit: ``max_episode_length``; infinity too.
        each: whether every worker has an environment and a policy of its own from the start.
        lengths: an episode's own length is one of these.
        ends: how episodes end by themselves: see `TattooEnv`.
        observations: layout of the observations: see `TattooEnv`.
        infos: see `TattooEnv`.
        layout: index of the physical layout: see `Subject`.
        delays: whether resets take a few milliseconds, some of them.
    """

    ops: tuple[Op, ...] = (Op(),)
    n_workers: int = 1
    seed: int = 0
    limit: float = 8
    each: bool = False
    lengths: tuple[int, ...] = (1, 2, 3, 5, 8)
    ends: str = "terminated"
    observations: str = "flat"
    infos: str = "none"
    layout: int = 0
    delays: bool = False

    def within(self, capabilities: Capabilities) -> Script:
        """Return the script without what is not declared; itself where everything is."""
        each = self.each and _has(capabilities, "per_worker_agents", "per_worker_envs")
        return replace(self, ops=tuple(op.within(capabilities) for op in self.ops), each=each)

    @property
    def pace(self) -> tuple[int, int]:
        """Number of environments, and of steps a call, for workers that gather fragments of episodes."""
        return ((2, 3), (1, 5), (8, 1))[self.seed % 3]

    # -- what is handed to the sampler -----------------------------------------------------------

    def env(self, tag: int, **more: Any) -> TattooEnv:
        """Make an environment with a tag."""
        delays = (0.0, 0.0, 0.003) if self.delays else (0.0,)
        return TattooEnv(
            tag=tag,
            lengths=self.lengths,
            ends=self.ends,
            layout=self.observations,
            infos=self.infos,
            delays=delays,
            **more,
        )

    def tags(self) -> list[int]:
        """Return the tag of each worker's first environment."""
        return [1 + worker if self.each else 1 for worker in range(self.n_workers)]

    def versions(self) -> list[int]:
        """Return the version of each worker's first policy."""
        return self.tags()

    def agents(self) -> Any:
        """Return the sampler's first argument."""
        policies = [ProbePolicy(version) for version in self.versions()]
        return policies if self.each else policies[0]

    def envs(self, **more: Any) -> Any:
        """Return the sampler's second argument."""
        envs = [NewEnvUpdate(_Make(self, tag, more)) for tag in self.tags()]
        return envs if self.each else envs[0]

    def agent_update(self, index: int) -> tuple[Any, list[int] | None]:
        """Return the agent update of a call, and the version that each worker then has."""
        kind = self.ops[index].agent
        if kind is None:
            return None, None
        versions = self._numbers(index, each="each" in kind)
        made: list[Any] = [
            ProbePolicy(v) if kind.startswith("policy") else ProbePolicy(v).get_param_values()
            for v in versions
        ]
        return (made if "each" in kind else made[0]), versions

    def env_update(self, index: int, **more: Any) -> tuple[Any, list[int] | None]:
        """Return the environment update of a call, and the tag that each worker's then has."""
        kind = self.ops[index].env
        if kind is None:
            return None, None
        tags = self._numbers(index, each="each" in kind)
        if "each" in kind:
            return [self._env_update(kind, tag, more) for tag in tags], tags
        return self._env_update(kind, tags[0], more), tags

    def _env_update(self, kind: str, tag: int, more: dict[str, Any]) -> Any:
        if kind.startswith("task"):
            return SetTaskUpdate(TattooEnv, tag)
        if kind == "existing":
            return ExistingEnvUpdate(self.env(tag, **more))
        return self.env(tag, **more) if kind == "environment" else NewEnvUpdate(_Make(self, tag, more))

    def _numbers(self, index: int, *, each: bool) -> list[int]:
        return [100 * (index + 1) + (worker if each else 0) for worker in range(self.n_workers)]

    # -- for people ------------------------------------------------------------------------------

    def code(self, backend: str, options: Mapping[str, Any] | None = None) -> str:
        """Return a program that does the same."""
        given = f", options={dict(options)!r}" if options else ""
        lines = [
            "from samplerkit.contract import replay",
            "from samplerkit.contract.script import Op, Script",
            "",
            f"replay({backend!r}, {self.short()}{given})",
        ]
        return "\n".join(lines)

    def short(self) -> str:
        """Return the script as an expression, without what is at its default."""
        return short(self)


class _Make:
    """A constructor of environments that pickles by name."""

    def __init__(self, script: Script, tag: int, more: dict[str, Any]) -> None:
        self.script, self.tag, self.more = script, tag, more

    def __call__(self) -> TattooEnv:
        return self.script.env(self.tag, **self.more)


def short(value: Any) -> str:
    """Return a script, a call, or a part of either as an expression, without what is at its default."""
    if isinstance(value, tuple):
        return "(" + ", ".join(map(short, value)) + ("," if len(value) == 1 else "") + ")"
    if not isinstance(value, (Op, Script)):
        return repr(value)
    default = type(value)()
    changed = [f for f in fields(value) if getattr(value, f.name) != getattr(default, f.name)]
    arguments = ", ".join(f"{f.name}={short(getattr(value, f.name))}" for f in changed)
    return f"{type(value).__name__}({arguments})"


_AGENT: tuple[AgentUpdate, ...] = (None, "weights", "policy", "weights each", "policy each")
_ENV: tuple[EnvUpdateKind, ...] = (None, "new", "task", "existing", "environment", "new each", "task each")

ops = st.builds(
    Op,
    count=st.integers(1, 24),
    exact=st.just(False),
    agent=st.sampled_from(_AGENT),
    env=st.sampled_from(_ENV),
) | st.builds(
    Op, count=st.integers(1, 3), exact=st.just(True), agent=st.sampled_from(_AGENT), env=st.sampled_from(_ENV)
)

scripts = st.builds(
    Script,
    ops=st.lists(ops, min_size=1, max_size=4).map(tuple),
    n_workers=st.integers(1, 3),
    seed=st.integers(0, 3) | st.integers(0, 2**62),
    limit=st.integers(1, 9),
    each=st.booleans(),
    lengths=st.sampled_from([(1,), (1, 2, 3, 5, 8), (8, 1), (3,)]),
    ends=st.sampled_from(["terminated", "truncated", "mixed", "both"]),
    observations=st.sampled_from(["flat", "dict", "tuple"]),
    infos=st.sampled_from(["none", "plain", "rich", "late"]),
    layout=st.integers(0, 2),
    delays=st.booleans(),
)
"""Sizes come first and delays last, so that the smallest script is the smallest defect."""


def examples() -> Iterator[Script]:
    """Yield scripts that drawing would rarely reach; first the simplest, and one in which much shows."""
    yield Script()
    yield Script(
        ops=(
            Op(count=30),
            Op(count=12, agent="weights", env="task"),
            Op(count=12, agent="policy each", env="new each"),
            Op(count=2, exact=True),
        ),
        n_workers=2,
        limit=5,
        ends="mixed",
        observations="dict",
        infos="rich",
    )
    yield Script(limit=3, lengths=(3,))  # the end and the limit meet
    yield Script(limit=2, lengths=(3,))
    yield Script(ends="both")
    yield Script(n_workers=3, each=True, ops=(Op(count=2, exact=True), Op(count=1, exact=True)))
    yield Script(n_workers=2, ops=(Op(count=9), Op(count=9, agent="weights"), Op(count=9)), lengths=(8, 1))
    yield Script(n_workers=2, ops=(Op(), Op(agent="policy each", env="task each"), Op(count=2, exact=True)))
    yield Script(n_workers=3, ops=(Op(count=30),), delays=True, layout=1, lengths=(8, 1))
    yield Script(n_workers=2, ops=(Op(env="existing"), Op(env="task"), Op(env="environment")), infos="rich")
    yield Script(ops=(Op(count=300),), infos="rich", observations="dict", ends="mixed")
    yield Script(n_workers=2, limit=200, lengths=(130,), ops=(Op(count=200), Op(count=1, exact=True)))
    # Worker 10 comes after worker 9, and not after worker 1; every worker has its twelve, and its own update.
    yield Script(
        n_workers=12,
        lengths=(1,),
        ops=(Op(exact=True), Op(count=12, exact=True, agent="policy each", env="task each")),
    )


MANY_UNITS = Script(lengths=(1,), n_workers=3, ops=(Op(count=300),), infos="rich")
"""Three hundred episodes of one step: more units than a block of seeds has, and more results than a queue."""
