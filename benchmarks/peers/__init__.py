"""Other ways to get samples, each behind the same interface; each optional."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Peer:
    """One peer in one configuration.

    Args:
        name: for tables.
        module: of this package.
        factory: the class in it.
        arguments: of its own.
        loop: whether it is a loop written by hand, a limit rather than a peer: it gets the very policy of the
            bare loop.
        restless: whether it goes on working when nobody asks it to.
    """

    name: str
    module: str
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    loop: bool = False
    restless: bool = False


def peers(n_processes: int) -> list[Peer]:
    """Return all peers; `loop`s written by hand come first."""
    few, many = 4 * n_processes, 16 * n_processes
    return [
        Peer("Pipes, a chunk per process (by hand)", "chunks", "Pipes", loop=True),
        Peer("Pool, a chunk per task (by hand)", "chunks", "Pool", {"chunks": 4}, loop=True),
        Peer("Ray actors, pipelined (by hand)", "ray_actors", "Actors", {"chunks": 4}, loop=True),
        *(
            Peer(f"gymnasium {kind}({n})", "gymnasium_vector", "Vector", {"kind": kind, "n_envs": n})
            for kind in ("AsyncVectorEnv", "SyncVectorEnv")
            for n in (few, many)
        ),
        *(
            Peer(
                f"Stable-Baselines3 {kind}({few})",
                "stable_baselines3",
                "VecEnv",
                {"kind": kind, "n_envs": few},
            )
            for kind in ("SubprocVecEnv", "DummyVecEnv")
        ),
        *(
            Peer(
                f"tianshou Collector, {kind}({few})",
                "tianshou_collector",
                "Collect",
                {"kind": kind, "n_envs": few},
            )
            for kind in ("ShmemVectorEnv", "DummyVectorEnv")
        ),
        *(
            Peer(f"TorchRL MultiSync({n_processes} x {n})", "torchrl_collector", "MultiSync", {"n_envs": n})
            for n in (1, 8)
        ),
        *(
            Peer(f"RLlib EnvRunner({n_processes} x {n})", "rllib_runner", "EnvRunners", {"n_envs": n})
            for n in (1, 8)
        ),
        Peer(
            f"Sample Factory({n_processes} x 8)",
            "sample_factory_sampler",
            "Sampler",
            {"n_envs": 8},
            restless=True,
        ),
    ]
