"""A ledger of life-cycle events, shared by processes: one `os.write` a line to an O_APPEND file."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple


class Event(NamedTuple):
    pid: int
    who: str
    what: str
    detail: str


def note(path: str | None, who: str, what: str, detail: object = "") -> None:
    """Write one event; nothing without a path."""
    if path is None:
        return
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{os.getpid()} {who} {what} {detail}\n".encode())
    finally:
        os.close(file)


def read_ledger(path: str | Path, what: str | None = None) -> list[Event]:
    """Return the events in the order in which they were written, all or those of one kind."""
    if not Path(path).exists():
        return []
    lines = Path(path).read_text().splitlines()
    events = [
        Event(int(pid), *rest) for pid, *rest in (line.split(" ", 3) for line in lines) if len(rest) == 3
    ]
    assert len(events) == len(lines), "a torn line: events were written in more than one piece"
    return [event for event in events if what in (None, event.what)]


def unclosed(path: str | Path) -> dict[str, int]:
    """Return opens minus closes of each environment where that is not 0: leaks (1), double closes (-1)."""
    balance: Counter[str] = Counter()
    for event in read_ledger(path):
        balance[event.who] += {"open": 1, "close": -1}.get(event.what, 0)
    return {who: n for who, n in balance.items() if n}
