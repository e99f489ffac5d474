"""An environment whose episodes do not end by themselves."""

from __future__ import annotations

import os
import time
from typing import Any

from samplerkit.contract.probes.ledger import note
from samplerkit.contract.probes.tattoo import TattooEnv


class EndlessEnv(TattooEnv):
    """Takes ten milliseconds a step, and goes on until a file exists, which its author makes to end a test.

    Notes ``closed-in-step`` where it is closed in the middle of a step.

    Args:
        stop: path of that file.
        ledger: path of a file for life-cycle events.
        odd_keys_end: whether episodes with an odd seed have one step after all.
    """

    def __init__(self, stop: str, ledger: str | None = None, *, odd_keys_end: bool = False) -> None:
        super().__init__(lengths=(2**62,), ends="terminated", infos="none", ledger=ledger)
        self.stop = stop
        self.odd_keys_end = odd_keys_end
        self.stepping = False

    def length_of(self, key: int) -> int:
        return 1 if self.odd_keys_end and key % 2 else super().length_of(key)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.stepping = True
        time.sleep(0.01)
        self.stepping = False
        observation, reward, over, truncated, info = super().step(action)
        return observation, reward, over or os.path.exists(self.stop), truncated, info

    def close(self) -> None:
        if self.stepping:
            note(self.ledger, self.who, "closed-in-step")
        super().close()
