"""What a backend may or may not offer, by name, with a reason where the answer is no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

CAPABILITIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "exact_episodes": "obtain_exact_episodes",
        "fragments": "parts of episodes, continued over calls",
        "per_worker_agents": "a list of agents or of agent updates, one for each worker",
        "per_worker_envs": "a list of environments or of environment updates, one for each worker",
        "reproducible": "a batch is a function of seed, policy and environment",
        "restartable": "a carrier of workers that dies is replaced, and its units run again",
        "stateful": "workers or environments that remember earlier units",
        "unit_timeout": "a unit that takes too long is killed and run again",
        "exit_status": "how a carrier of workers ended is known: its status, or the signal",
        "remote": "workers on other hosts",
    }
)
"""Every capability that a backend declares, and what it means."""


@dataclass(frozen=True)
class Support:
    """Whether a capability is there; if not, why."""

    yes: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.yes


YES: Final = Support(True)


def no(reason: str) -> Support:
    """Declare that a capability is not there."""
    return Support(False, reason)


Capabilities: TypeAlias = Mapping[str, Support]


_HERE = no("workers live in the caller's process")

_WHOLE_EPISODES: Capabilities = {
    "exact_episodes": YES,
    "fragments": no("a fragment worker provides them"),
    "per_worker_agents": YES,
    "per_worker_envs": YES,
    "reproducible": YES,
    "stateful": YES,
}

IN_PROCESS: Final[Capabilities] = MappingProxyType(
    {**_WHOLE_EPISODES, "restartable": _HERE, "unit_timeout": _HERE, "exit_status": _HERE, "remote": _HERE}
)
"""Of a sampler that runs units itself."""

IN_CARRIERS: Final[Capabilities] = MappingProxyType(
    {
        **_WHOLE_EPISODES,
        "restartable": YES,
        "unit_timeout": YES,
        "exit_status": YES,
        "remote": no("workers live on this machine"),
    }
)
"""Of a `PoolSampler` whose carriers live on this machine and can be killed."""


def check_capability(name: str) -> str:
    """Return `name` if it is the name of a capability.

    Raises:
        ValueError: if it is not.
    """
    if name not in CAPABILITIES:
        raise ValueError(f"{name!r} is no capability; these are: {', '.join(CAPABILITIES)}")
    return name
