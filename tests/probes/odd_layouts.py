"""Which odd backends are odd in their processes; the two test modules share the backends between them."""

from __future__ import annotations

ODD_LAYOUTS = frozenset(
    {"five-processes", "greedy", "new-processes-each-call", "one-process", "process-for-each-unit", "spawned"}
)
