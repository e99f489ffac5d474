"""Advantages, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]


def generalized_advantages(
    rewards: FloatArray, values: FloatArray, mask: FloatArray, *, discount: float, gae_lambda: float
) -> npt.NDArray[np.float64]:
    """Generalised advantage estimates (Schulman et al., arXiv:1506.02438, equation 16).

    A_t = sum over l of (discount * gae_lambda)^l * delta_{t+l}, delta_t = r_t + discount * V_{t+1} - V_t.

    Args:
        rewards: (n, T).
        values: (n, T + 1); the value after an episode's last step is 0 where it terminated, the value of the
            final observation where it was cut off.
        mask: (n, T), 1 for steps and 0 for the padding behind them.
        discount: of later rewards.
        gae_lambda: 0 for one-step advantages, 1 for returns minus values.

    Returns:
        (n, T), 0 in the padding.
    """
    deltas = (rewards + discount * values[:, 1:] - values[:, :-1]) * mask
    advantages = np.zeros(deltas.shape, dtype=np.float64)
    following = np.zeros(len(deltas))
    for step in range(deltas.shape[1] - 1, -1, -1):
        following = deltas[:, step] + discount * gae_lambda * following
        advantages[:, step] = following
    return advantages


def standardized(values: npt.NDArray[np.float64], mask: FloatArray) -> npt.NDArray[np.float64]:
    """Shift and scale to mean 0 and deviation 1 over the steps of the mask; 0 in the padding."""
    chosen = values[mask > 0]
    result: npt.NDArray[np.float64] = (values - chosen.mean()) / (chosen.std() + 1e-8) * mask
    return result
