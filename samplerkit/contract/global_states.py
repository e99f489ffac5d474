"""Where the global generators stand, in a form that can be compared."""

from __future__ import annotations

import pickle
import random
import sys
from typing import Any

import numpy as np


def global_states() -> dict[str, bytes]:
    """Return the state of each global generator that is loaded."""
    states: dict[str, Any] = {"random": random.getstate(), "numpy.random": np.random.get_state(legacy=False)}
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = torch.get_rng_state().numpy()
    return {name: pickle.dumps(state) for name, state in states.items()}


def moved(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """Return the names of the generators that are not as they were."""
    return [name for name, state in before.items() if after[name] != state]
