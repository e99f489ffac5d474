"""What a check of an environment found, as data and as text."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from samplerkit.contract.environment_comparisons import Comparison
from samplerkit.contract.environment_inspection import Costs


class Impurity(StrEnum):
    """In which way an environment breaks the promise."""

    REMEMBERS = "remembers earlier episodes"
    SHARED = "remembers earlier episodes in its class or module"
    ENTANGLED = "shares with its copies what an episode changes"
    SEED_IGNORED = "ignores the seed"
    SEEDED_ONCE = "takes only its first seed"
    UNSEEDED = "draws from unseeded randomness"
    CLOCK = "reads the clock"
    CONSTRUCTION = "differs from construction to construction"
    HASH_ORDER = "depends on the hash order"
    PROCESS = "depends on the process"


@dataclass(frozen=True)
class Finding:
    """One impurity.

    Args:
        kind: which.
        evidence: how it showed.
        blamed: the wrappers whose removal mends it, or the environment itself; empty where it is not known.
        mend: what to do about it.
    """

    kind: Impurity
    evidence: str
    blamed: tuple[str, ...]
    mend: str


@dataclass(frozen=True)
class PurityReport:
    """Whether an environment keeps the one promise that samplers build on, and what to do if not.

    Args:
        environment: its wrappers and itself, outermost first.
        seed: of the units.
        n_units: how many were compared.
        max_episode_length: most steps of an episode.
        comparisons: what was compared, and how it went.
        findings: the impurities; empty for a pure environment.
        declare: keyword arguments for `make_sampler`; empty where nothing is to be declared.
        declaration_suffices: whether batches can be had again with the same `n_workers` once it is declared.
        global_draws: global generators that are drawn from.
        denies_draws: whether all its classes say that they draw from none, so that samplers do not set these
            for each unit; where they may draw, what is drawn is harmless.
        costs: of resets and steps.
        notes: what else is worth knowing; none of it is impure.
        error: what a unit raised that kept it from being compared; None where none did.
    """

    environment: str
    seed: int
    n_units: int
    max_episode_length: float
    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...]
    declare: dict[str, bool]
    declaration_suffices: bool
    global_draws: tuple[str, ...]
    denies_draws: bool
    costs: Costs
    notes: tuple[str, ...]
    error: str | None = None

    @property
    def pure(self) -> bool:
        """Whether no comparison was violated."""
        return self.error is None and not any(comparison.held is False for comparison in self.comparisons)

    @property
    def kinds(self) -> tuple[Impurity, ...]:
        """The kinds of impurity found."""
        return tuple(finding.kind for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON: infinity becomes None, sets become sorted lists."""
        plain: dict[str, Any] = _plain({"pure": self.pure, **dataclasses.asdict(self)})
        return plain

    def __str__(self) -> str:
        lines = []
        for line in self.lines():
            body = textwrap.wrap(line.text, 84, break_on_hyphens=False) or [""]
            lines.append(f"{line.label:<28}{body[0]}".rstrip())
            lines += [" " * 28 + more for more in body[1:]]
        return "\n".join(lines)

    def lines(self) -> list[Line]:
        """Return the report line by line."""
        steps = (
            "any number of" if math.isinf(self.max_episode_length) else f"at most {self.max_episode_length:,}"
        )
        units = "unit" if self.n_units == 1 else "units"
        lines = [
            Line("environment", self.environment),
            Line("compared", f"{self.n_units} {units} of seed {self.seed}, {steps} steps each"),
            *(_comparison_line(comparison) for comparison in self.comparisons),
            self._verdict(),
        ]
        for finding in self.findings:
            lines.append(Line("  how it shows", finding.evidence))
            if finding.blamed:
                lines.append(Line("  to blame", " and ".join(finding.blamed)))
            lines.append(Line("  to mend it", finding.mend))
        lines.append(Line("declare", self._declaration()))
        lines.append(self._draws())
        lines.append(Line("costs (medians)", _costs_text(self.costs)))
        return lines + [Line("note", note) for note in self.notes]

    def _verdict(self) -> Line:
        if self.pure:
            return Line("PURE", "a unit is the same wherever and whenever it runs", "good")
        kinds = self.error or "; it ".join(self.kinds)
        return Line("IMPURE", kinds if self.error else f"it {kinds}", "bad")

    def _draws(self) -> Line:
        label, drawn = "global generators", ", ".join(self.global_draws)
        if drawn and self.denies_draws:
            told = "not set for it, since it says draws_from_global_random = False: take that away"
            return Line(label, f"{drawn}: {told}", "bad")
        told = "harmless, set for each unit, unless a worker steps several environments"
        return Line(label, f"{drawn}: {told}" if drawn else "not drawn from")

    def _declaration(self) -> str:
        if self.error is not None:
            return "nothing: units have to run first"
        if not self.declare:
            return "nothing" if self.pure else "nothing: no declaration helps, see above"
        words = ", ".join(f"{name}={value}" for name, value in self.declare.items())
        if self.declaration_suffices:
            clock = ", but for the clock" if Impurity.CLOCK in self.kinds else ""
            return (
                f"{words}, unless it is mended: units then run in order in one place, and batches can be had "
                f"again with the same n_workers{clock}"
            )
        return (
            f"{words}, if it cannot be mended: nothing then runs ahead or twice, but batches still differ "
            "from run to run"
        )


@dataclass(frozen=True)
class Line:
    """A line of a report; `tone` is good, bad, dim or empty."""

    label: str
    text: str
    tone: str = ""


def _comparison_line(comparison: Comparison) -> Line:
    if comparison.held is None:
        return Line(f"- {comparison.name}", comparison.detail, "dim")
    if comparison.held:
        return Line(f"✓ {comparison.name}", "the same", "good")
    return Line(f"✗ {comparison.name}", comparison.detail, "bad")


def _costs_text(costs: Costs) -> str:
    seeded, plain, step = map(_microseconds, (costs.seeded_reset, costs.plain_reset, costs.step))
    text = f"reset(seed=…) {seeded}, reset() {plain}, step {step}"
    difference = costs.seeded_reset - costs.plain_reset
    if difference > 1_000 and costs.seeded_reset > 3 * costs.plain_reset:
        text += "; reseed=False would save the difference, and give up the promise"
    return text


def _microseconds(value: float) -> str:
    return "raised" if math.isnan(value) else f"{value:,.0f} µs"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, StrEnum) else value
