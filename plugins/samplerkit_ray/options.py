"""Checks of the options that are passed on to Ray."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

_PLACEMENTS = ("spread", "pack")

_LEAST = 0.0001
"""Of a resource that Ray counts."""

_NOT_CUSTOM = {
    **dict.fromkeys(("CPU", "GPU", "num_cpus", "num_gpus"), "there are num_cpus and num_gpus"),
    **dict.fromkeys(("memory", "object_store_memory"), "samplers reserve none"),
}


def check_address(name: str, value: Any) -> str:
    """Return the address of a cluster.

    Raises:
        ValueError: for Ray Client, which keeps the driver away from the object store.
    """
    text = check_text(name, value)
    if "://" in text:  # ray://, or another scheme that Ray resolves to it
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
    """Return an amount of a resource, at least 0.

    Raises:
        TypeError: if it is no number.
        ValueError: if it is negative, not finite, or less than Ray counts.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    amount = int(value) if isinstance(value, numbers.Integral) else float(value)
    if not (amount >= 0 and math.isfinite(amount)):
        raise ValueError(f"{name} must be at least 0, not {value}")
    if 0 < amount < _LEAST:
        raise ValueError(f"{name} must be 0 or at least {_LEAST}, not {value}: Ray counts no less")
    return amount


def check_gpus(name: str, value: Any) -> float:
    """Return how many GPUs: a part of one, or some.

    Raises:
        TypeError, ValueError: see `check_amount`; and for more than one with a part of another.
    """
    amount = check_amount(name, value)
    if amount > 1 and amount != int(amount):
        raise ValueError(f"{name} must be whole above 1, not {amount}: only one GPU can be shared")
    return amount


def check_resources(name: str, value: Any) -> dict[str, float]:
    """Return amounts of custom resources by name.

    Raises:
        TypeError, ValueError: see `check_amount`; for CPUs and GPUs, which have options of their own; and for
            memory.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of amounts such as {{'simulator': 1}}, not {value!r}")
    for key in value:
        if isinstance(key, str) and key in _NOT_CUSTOM:
            raise ValueError(f"{name} are custom ones: for {key!r} {_NOT_CUSTOM[key]}")
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
