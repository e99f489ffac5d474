"""Checks of the options that are passed on to Ray."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_PLACEMENTS = ("spread", "pack")


def check_address(name: str, value: Any) -> str:
    """Return the address of a cluster.

    Raises:
        ValueError: for Ray Client, which keeps the driver away from the object store.
    """
    text = check_text(name, value)
    if text.startswith("ray://"):
        raise ValueError(
            f"{name}={text!r} is an address of Ray Client, through which no driver reads the object store: "
            "run the program on a machine of the cluster (ray job submit, say), with address='auto'"
        )
    return text


def check_text(name: str, value: Any) -> str:
    """Return a string that is not empty."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {value!r}")
    if not value:
        raise ValueError(f"{name} must not be empty; leave it out, or pass None")
    return value


def check_amount(name: str, value: Any) -> float:
    """Return an amount of a resource, at least 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be at least 0, not {value}")
    return value


def check_resources(name: str, value: Any) -> dict[str, float]:
    """Return amounts of custom resources by name.

    Raises:
        ValueError: for CPUs and GPUs, which have options of their own.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of amounts such as {{'simulator': 1}}, not {value!r}")
    for key in value:
        if key in ("CPU", "GPU", "num_cpus", "num_gpus"):
            raise ValueError(f"{name} are custom ones: for {key!r} there are num_cpus and num_gpus")
    return {check_text(f"a name in {name}", key): check_amount(key, amount) for key, amount in value.items()}


def check_runtime_env(name: str, value: Any) -> dict[str, Any]:
    """Return a runtime environment as a dict; what is in it is Ray's business."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict such as {{'pip': ['samplerkit[ray]']}}, not {value!r}")
    return {check_text(f"a key of {name}", key): item for key, item in value.items()}


def check_placement(name: str, value: Any) -> str:
    """Return how actors are placed."""
    if not isinstance(value, str) or value.lower() not in _PLACEMENTS:
        raise ValueError(
            f"{name} must be one of {', '.join(_PLACEMENTS)}, or None for Ray's own, not {value!r}"
        )
    return value.lower()
