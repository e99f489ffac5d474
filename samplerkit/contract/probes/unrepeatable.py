"""An environment that breaks its promise: the same seed does not give the same episode."""

from __future__ import annotations

import secrets
from typing import Any

from samplerkit.contract.probes.tattoo import TattooEnv


class UnrepeatableEnv(TattooEnv):
    """Another episode of thirty steps at each reset, whatever the seed."""

    def __init__(self) -> None:
        super().__init__(lengths=(30,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return super().reset(seed=secrets.randbelow(2**31), options=options)
