"""For all tests."""

from __future__ import annotations

import signal
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

# Jobs in the background are often started with SIGINT ignored, and children inherit that: tests of Ctrl-C
# would wait for ever. With a handler of our own in place, children start with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is a measurement: machines are busy.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_LONG_ALONE = ("tests/contract/test_built_in.py", "tests/contract/test_odd_backends.py")
"""Modules whose tests share nothing, and take half a minute or more each."""


class _ModulesOrLongTests(LoadScopeScheduling):
    """Gives a process a module at a time; long tests one by one, or others would be idle at the end."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(_LONG_ALONE) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return _ModulesOrLongTests(config, log) if config.getvalue("dist") == "loadscope" else None
