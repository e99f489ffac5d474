"""A connection to Ray that is none: for the driver's part of a sampler, played without Ray."""

from __future__ import annotations


class Held:
    """A lease that nobody ends."""

    holds = True

    def end(self) -> None:
        """Nothing was begun."""
