"""What belongs to the whole program is compared before and after."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from samplerkit.contract.settings import changed, settings


def test_nothing_has_changed_where_nothing_was_changed() -> None:
    assert changed(settings()) == []


def test_what_was_changed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMPLERKIT_TEST_OLD", "1")
    before = settings()
    monkeypatch.setenv("SAMPLERKIT_TEST_NEW", "1")
    monkeypatch.delenv("SAMPLERKIT_TEST_OLD")
    monkeypatch.chdir(tmp_path)
    assert changed(before) == [
        "environment variable SAMPLERKIT_TEST_NEW",
        "environment variable SAMPLERKIT_TEST_OLD",
        "working directory",
    ]


def test_handlers_of_signals_and_of_logging_are_settings() -> None:
    before, handler = settings(), logging.NullHandler()
    earlier = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    logging.getLogger().addHandler(handler)
    try:
        found = changed(before)
    finally:
        logging.getLogger().removeHandler(handler)
        signal.signal(signal.SIGUSR1, earlier)
    assert found == ["handler of SIGUSR1", "handlers of the root logger"]


def test_looking_changes_nothing() -> None:
    umask = os.umask(0o27)
    try:
        settings()
        assert os.umask(0o27) == 0o27
    finally:
        os.umask(umask)


def test_how_numpy_treats_errors_is_a_setting() -> None:
    before = settings()
    with np.errstate(divide="raise"):
        assert changed(before) == ["numpy.seterr"]
