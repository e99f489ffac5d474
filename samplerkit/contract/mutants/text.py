"""What a self-test found, for people: on a screen, and as a page."""

from __future__ import annotations

from collections import Counter, defaultdict

from samplerkit.contract.mutants.self_test import Outcome, SelfTest


def outcome_line(outcome: Outcome) -> str:
    """Return one line about a mutant: killed or not, by what, how fast."""
    verdict = "killed" if outcome.diagnosed else "OTHERS" if outcome.killed else "ALIVE "
    by = ", ".join(outcome.killers[:3]) or "nothing"
    return f"{verdict}  {outcome.mutant.name:<44} {outcome.seconds:5.1f} s  by {by}"


def self_test_text(result: SelfTest) -> str:
    """Return the kill matrix, a line a mutant, and the summary."""
    lines = [outcome_line(outcome) for outcome in result.outcomes]
    return "\n".join([*lines, "", *summary(result)])


def summary(result: SelfTest) -> list[str]:
    """Return the numbers that sum a self-test up, as lines."""
    total = len(result.outcomes)
    killed = total - len(result.survivors)
    lines = [
        f"{killed} of {total} mutants killed, {result.accuracy:.0%} of all by a clause that should",
        f"median time to the verdict {result.median_seconds:.1f} s",
    ]
    lines += [f"alive: {it.mutant.name}: {it.mutant.reason}" for it in result.survivors]
    lines += [
        f"killed by others ({', '.join(it.killers[:3])}): {it.mutant.name}: {it.mutant.reason}"
        for it in result.outcomes
        if it.killed and not it.diagnosed
    ]
    if result.matrix:
        alone = sorted(set().union(*(it.killers for it in result.outcomes)) - set(result.kills_alone))
        lines.append(f"clauses that kill nothing alone: {', '.join(alone) or 'none'}")
    return lines


def page(result: SelfTest) -> str:
    """Return the page of the documentation."""
    lines = [
        "# Which clause kills which mutant",
        "",
        "A mutant is a backend that is broken in just one way. The suite is measured by them: each must be",
        "killed, by a clause that says what is wrong. This page is written by "
        "`python -m samplerkit.contract.mutants --page`.",
        "Look at one with `samplerkit check samplerkit.contract.mutants.made:processes__first_finished` "
        "(base, two underscores, defect).",
        "",
        *[f"- {line}" for line in summary(result)],
        "",
        "| defect | what is wrong | killed, by base | seconds |",
        "|---|---|---|---|",
    ]
    by_defect: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in result.outcomes:
        by_defect[outcome.mutant.name.partition(":")[2]].append(outcome)
    for defect, outcomes in by_defect.items():
        killers = "; ".join(f"{it.mutant.base}: {_first(it)}" for it in outcomes)
        seconds = ", ".join(f"{it.seconds:.1f}" for it in outcomes)
        lines.append(f"| {defect} | {outcomes[0].mutant.reason} | {killers} | {seconds} |")
    kills = Counter(_first(it) for it in result.outcomes)
    lines += ["", "## Clauses by first kills", "", "| clause | mutants |", "|---|---|"]
    lines += [f"| {clause} | {n} |" for clause, n in kills.most_common()]
    return "\n".join(lines) + "\n"


def _first(outcome: Outcome) -> str:
    expected = [clause for clause in outcome.killers if clause in outcome.expected]
    return (expected or list(outcome.killers) or ["**alive**"])[0]
