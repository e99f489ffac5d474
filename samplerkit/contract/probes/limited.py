"""An environment with a limit of its own: not beside a clause, or carriers would import all clauses."""

from __future__ import annotations

from typing import Any

import gymnasium

from samplerkit.contract.probes.tattoo import TattooEnv


def limited(limit: int) -> gymnasium.Env[Any, Any]:
    """Return an environment whose episodes would be twice as long as its own limit on them."""
    env = TattooEnv(tag=1, lengths=(2 * limit,), infos="none")
    return gymnasium.wrappers.TimeLimit(env, limit)
