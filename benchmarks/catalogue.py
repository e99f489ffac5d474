"""All that can be measured, in the order of the page."""

from __future__ import annotations

import functools
from typing import Any

from benchmarks import (
    admission_model,
    driver,
    heavy_tails,
    looped,
    memory,
    native,
    recurrent,
    startup,
    weights,
)
from benchmarks.running import run_setting
from benchmarks.workloads import settings


def entries() -> dict[str, tuple[str, Any]]:
    """Return the title and the function of each, by key."""
    known: dict[str, tuple[str, Any]] = {}
    for setting in settings():
        known[setting.key] = setting.title, functools.partial(run_setting, setting)
    known.update(looped.entries())
    for setting in heavy_tails.settings():
        known[setting.key] = setting.title, functools.partial(heavy_tails.run, setting)
    known.update(recurrent.entries())
    known.update(native.entries())
    for module in (weights, startup, memory):
        known[module.__name__.rpartition(".")[2]] = module.TITLE, module.run
    known["driver"] = driver.TITLE, driver.run
    known["driver-updates"] = driver.UPDATES, driver.run_updates
    known["admission"] = admission_model.TITLE, admission_model.run
    return known
