"""The pytest plugin of samplerkit: ``pytest --samplerkit-backend NAME`` adds the contract's clauses as tests.

It is loaded by every run of pytest where samplerkit is installed, so it lies outside of the package and
imports nothing until the option is given.
"""

from __future__ import annotations

import importlib.util
from typing import Any

_PROFILES = ("quick", "ci", "thorough")


def pytest_addoption(parser: Any) -> None:
    """Add the options."""
    group = parser.getgroup("samplerkit", "samplerkit: the contract suite for sampler backends")
    group.addoption(
        "--samplerkit-backend",
        metavar="NAME",
        help="check this backend, kind of worker, or module:Class: one test for each clause of the contract",
    )
    group.addoption(
        "--samplerkit-profile", choices=_PROFILES, default="quick", help="how much to try (default: quick)"
    )
    group.addoption(
        "--samplerkit-contract", metavar="X.Y", help="act as the suite of this version of the contract did"
    )
    group.addoption("--samplerkit-report", metavar="FILE", help="write a report to this file, as JSON")
    group.addoption(
        "--samplerkit-option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an option of the backend, may be repeated",
    )


def pytest_configure(config: Any) -> None:
    """Set up the suite, where it is asked for."""
    config.addinivalue_line("markers", "samplerkit_contract: a clause of samplerkit's contract")
    if config.getoption("--samplerkit-backend"):
        from samplerkit.contract import NEEDS_HYPOTHESIS

        if importlib.util.find_spec("hypothesis") is None:
            import pytest

            raise pytest.UsageError(NEEDS_HYPOTHESIS)
        from samplerkit.contract.pytest_items import ContractPlugin

        config.pluginmanager.register(ContractPlugin(config), "samplerkit-contract")
