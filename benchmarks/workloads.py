"""The settings in which everybody delivers steps as fast as possible."""

from __future__ import annotations

from dataclasses import dataclass

from samplerkit.bench.workload import Workload


@dataclass(frozen=True)
class Setting:
    """One environment, policy and size of a batch.

    Args:
        key: what `--only` chooses by: its beginning.
        title: for the page.
        workload: what samplers and bare loops get.
        plain_policy: what frameworks get instead, by name; see `benchmarks.peers.common`.
        needs: modules without which it cannot run.
        heat: how many may be measured together, the bare loop not counted; fewer where batches are large.
    """

    key: str
    title: str
    workload: Workload
    plain_policy: str
    needs: tuple[str, ...] = ()
    heat: int = 16


def settings() -> list[Setting]:
    """Return all settings, in the order of the page."""
    return [*_cartpole(), _frames(), *_pong(), *_cheetah()]


def _cartpole() -> list[Setting]:
    policies = {
        "short": ("benchmarks.policies:mlp32", "plain", "episodes of about 22 steps", (1_000, 4_000, 40_000)),
        "long": (
            "benchmarks.policies:steady",
            "steady",
            "episodes of about 250 steps",
            (1_000, 4_000, 40_000),
        ),
        # Samplers deliver these too; the bare loop drops them.
        "logprob": ("mlp", "plain", "22 steps, and log-probabilities as infos", (4_000,)),
    }
    return [
        Setting(
            f"W1-{episodes}-{batch}",
            f"CartPole-v1, MLP 4-32-32-2, {told}, batches of {batch:,}",
            Workload("CartPole-v1", policy, batch),
            plain,
        )
        for episodes, (policy, plain, told, batches) in policies.items()
        for batch in batches
    ]


def _frames() -> Setting:
    return Setting(
        "W2s",
        "synthetic 84x84x4 uint8 frames at nearly no cost, constant action, batches of 16,000",
        Workload("benchmarks.environments:Frames", "constant", 16_000),
        "constant",
        heat=6,
    )


def _pong() -> list[Setting]:
    return [
        Setting(
            f"W2p-{batch}",
            f"Pong (ALE), 84x84, 4 frames stacked, constant action, batches of {batch:,}",
            Workload("benchmarks.environments:pong", "constant", batch),
            "constant",
            needs=("ale_py", "cv2"),
            heat=heat,
        )
        for batch, heat in ((4_000, 8), (16_000, 6))
    ]


def _cheetah() -> list[Setting]:
    return [
        Setting(
            f"W3-{batch}",
            f"HalfCheetah-v5 (MuJoCo), MLP 17-64-64-6, Gaussian, batches of {batch:,}",
            Workload("HalfCheetah-v5", "benchmarks.policies:mlp64", batch),
            "gaussian",
            needs=("mujoco",),
        )
        for batch in (4_000, 16_000)
    ]
