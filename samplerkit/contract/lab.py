"""The lab: runs scripts on the subject and keeps what was seen, so that every clause may look at it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from samplerkit.contract.attempts import PATIENCE, attempt, sentence_of, within
from samplerkit.contract.census import Census, left_over, own_temporary_folder
from samplerkit.contract.clause import Violation, require
from samplerkit.contract.fragment_reference import expected_fragments
from samplerkit.contract.global_states import global_states, moved
from samplerkit.contract.probes import ProbePolicy, TattooEnv, read_ledger
from samplerkit.contract.probes.ledger import Event
from samplerkit.contract.profiles import PROFILES, Profile
from samplerkit.contract.reference import Expected, expected
from samplerkit.contract.script import Script
from samplerkit.contract.subject import Pace, Subject
from samplerkit.contract.views import CallView, malformation
from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import ExistingEnvUpdate, NewEnvUpdate, Sampler, Statistics
from samplerkit.local import LocalSampler

T = TypeVar("T")


@dataclass
class Trace:
    """What came of a script.

    Attributes:
        script: the script.
        expected: what each call should return.
        fragments: whether that are fragments of episodes.
        batches: what each call returned, up to the first that raised.
        copies: the same, copied right away: later calls must not change a batch.
        doing: what was done last: "the constructor", "call 0", …, "the shutdown".
        error: what that raised, if it did.
        totals: ``total_env_steps`` after each call.
        cursors: the cursor in the state after each call.
        statistics: after each call.
        globals_moved: which global generators were not as before, after which call.
        events: the ledger of the environments' lives.
        callers: environments in it that are the caller's own, and so not the sampler's to close.
    """

    script: Script
    expected: list[Expected]
    fragments: bool = False
    batches: list[EpisodeBatch] = field(default_factory=list)
    copies: list[EpisodeBatch] = field(default_factory=list)
    doing: str = "the constructor"
    error: BaseException | None = None
    totals: list[int] = field(default_factory=list)
    cursors: list[int] = field(default_factory=list)
    statistics: list[Statistics] = field(default_factory=list)
    globals_moved: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    callers: set[str] = field(default_factory=set)

    @cached_property
    def malformed(self) -> list[str]:
        """Why batches cannot be taken apart, where they cannot."""
        found = [(index, malformation(copy)) for index, copy in enumerate(self.copies)]
        return [f"call {index}, {what}" for index, what in found if what is not None]

    @cached_property
    def calls(self) -> list[CallView]:
        """The calls that returned a batch which can be taken apart, for clauses that look inside."""
        pairs = enumerate(zip(self.copies, self.expected, strict=False))
        return [
            CallView(self.script, index, batch, wanted, self.fragments)
            for index, (batch, wanted) in pairs
            if malformation(batch) is None
        ]

    def all_returned(self) -> None:
        """Raise a `Violation` if anything raised, or a call returned no batch."""
        if self.error is not None:
            raise Violation(f"{self.doing} raised {sentence_of(self.error)}") from self.error
        for index, copy in enumerate(self.copies):
            got = type(copy).__name__
            require(isinstance(copy, EpisodeBatch), f"call {index}: expected an EpisodeBatch, got {got}")


class Lab:
    """Everything that a clause may use.

    Args:
        subject: the backend under test.
        profile: how much to try.
        note: told what is being done, for the case that it hangs.
    """

    def __init__(
        self,
        subject: Subject,
        profile: Profile = PROFILES["quick"],
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.subject = subject
        self.profile = profile
        self.note = note
        self._traces: dict[Script, Trace] = {}
        self._kept: dict[str, Any] = {}
        self._folder = own_temporary_folder()
        self._settled = False
        self.at_first = Census.take(self._folder)

    def knows(self, script: Script) -> bool:
        """Whether a script was run already."""
        return script in self._traces

    def trace(self, script: Script) -> Trace:
        """Run a script, once, and return what came of it."""
        if script not in self._traces:
            self._traces[script] = self._run(script)
        return self._traces[script]

    def expected(self, script: Script) -> list[Expected]:
        """Return what each call of a script returns: whole episodes, or fragments of them."""
        return expected_fragments(script, *script.pace) if self.subject.fragments else expected(script)

    def _run(self, script: Script) -> Trace:
        trace = Trace(script, self.expected(script), fragments=self.subject.fragments)
        with tempfile.TemporaryDirectory() as folder:
            ledger = Path(folder) / "ledger"
            try:
                with self.subject.make(
                    script.agents(),
                    script.envs(ledger=str(ledger)),
                    layout=script.layout,
                    pace=Pace(*script.pace),
                    n_workers=script.n_workers,
                    seed=script.seed,
                    max_episode_length=script.limit,
                ) as sampler:
                    for index in range(len(script.ops)):
                        trace.doing = f"call {index}"
                        self._call(trace, sampler, index, str(ledger))
                    trace.doing = "the shutdown"
            except Exception as error:
                trace.error = error
            trace.events = read_ledger(ledger)
        return trace

    @staticmethod
    def _call(trace: Trace, sampler: Sampler, index: int, ledger: str) -> None:
        script, op = trace.script, trace.script.ops[index]
        agent_update, _ = script.agent_update(index)
        env_update, _ = script.env_update(index, ledger=ledger)
        trace.callers |= set(_environments(env_update))
        before = global_states()
        if op.exact:
            batch = sampler.obtain_exact_episodes(op.count, agent_update, env_update)
        else:
            batch = sampler.obtain_samples(index, op.count, agent_update, env_update)
        trace.globals_moved += [f"{name} after call {index}" for name in moved(before, global_states())]
        trace.batches.append(batch)
        trace.copies.append(EpisodeBatch.concatenate(batch) if isinstance(batch, EpisodeBatch) else batch)
        trace.totals.append(sampler.total_env_steps)
        trace.statistics.append(sampler.statistics())
        with contextlib.suppress(Exception):
            trace.cursors.append(sampler.get_state()["cursor"])

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what a function returns; it is called once for all clauses."""
        if name not in self._kept:
            self._kept[name] = make()
        kept: T = self._kept[name]
        return kept

    @property
    def local(self) -> Subject:
        """The local sampler, with the kind of worker that is under test: what backends are compared with."""
        return replace(self.subject, sampler=LocalSampler, options={}, layouts=({},))

    @contextlib.contextmanager
    def sampler(
        self, agents: Any, envs: Any, *, episodes_of: int | None = None, **arguments: Any
    ) -> Iterator[Sampler]:
        """Make a sampler of the subject for a clause of its own; shut down at the end of the block.

        Args:
            agents: as for any sampler.
            envs: as for any sampler.
            episodes_of: if given, all episodes have so many steps. A worker that gathers fragments then gets
                a single environment, and as many steps a call: its fragments are whole episodes.
            arguments: of the sampler.
        """
        pace = None if episodes_of is None else Pace(1, episodes_of)
        given = {"seed": 1, "n_workers": 2, "max_episode_length": 8, "pace": pace, **arguments}
        made = self.subject.make(agents, envs, **given)
        try:
            yield made
        except BaseException:
            # What it says counts, whatever the shutdown does.
            attempt("shutdown_worker()", made.shutdown_worker)
            raise
        with within(PATIENCE, "shutdown_worker()"):
            made.shutdown_worker()

    # -- what is left behind ---------------------------------------------------------------------

    def census(self) -> Census:
        """Return what there is now.

        The first time it comes after the life of a sampler, which starts what a program has only once.
        """
        if not self._settled:
            with self.sampler(ProbePolicy(1), NewEnvUpdate(TattooEnv)) as warm_up:
                warm_up.obtain_samples(0, 1)
            self._settled = True
        return Census.take(self._folder)

    def left_over(self, before: Census) -> str | None:
        """Say what is there that was not there before, and does not go; None if there is nothing."""
        return left_over(before, self._folder)


def _environments(update: Any) -> Iterator[str]:
    """Yield the names of the environments that an update carries."""
    for item in update if isinstance(update, list) else [update]:
        env = item(None) if isinstance(item, ExistingEnvUpdate) else item
        if isinstance(env, TattooEnv):
            yield env.who
