"""Results as text, for whoever waits in front of them."""

from __future__ import annotations

from typing import Any


def table(figures: dict[str, Any]) -> str:
    """Return one setting's figures as lines."""
    lines = [f"\n{figures['key']}: {figures['title']}"]
    if figures.get("skipped"):
        return "\n".join([*lines, f"  skipped: {figures['skipped']}"])
    if "rows" in figures:
        return "\n".join(lines + _plain(figures))
    if "clairvoyant" in figures:
        lines.append(f"  a clairvoyant schedule would reach {figures['clairvoyant']:.3f} of the limit")
    return "\n".join(lines + [_line(row) for row in figures["contestants"]])


def _plain(figures: dict[str, Any]) -> list[str]:
    rows = [figures["columns"], *figures["rows"]]
    return ["  " + "  ".join(f"{'' if cell is None else cell!s:<28}" for cell in row) for row in rows]


def _line(row: dict[str, Any]) -> str:
    name = f"  {row['name']:<44}"
    if row["skipped"]:
        return f"{name} skipped: {row['skipped']}"
    rate, part, memory = row["steps_per_second"], row["fraction_of_limit"], row["memory_mb"] or {}
    parts = f"{part['median']:6.3f} ({part['min']:.3f}..{part['max']:.3f})" if part else "without a limit"
    if "fraction_of_clairvoyant" in row:
        parts += f" of clairvoyant {row['fraction_of_clairvoyant']['median']:.3f}"
    return (
        f"{name}{rate['median']:>11,.0f}/s {parts} "
        f"start {row['start_seconds']:5.2f} s  "
        f"MB {memory.get('parent', 0):5.0f} + {memory.get('worker', 0):4.0f}  idle {row['idle_load']:.2f}"
    )
