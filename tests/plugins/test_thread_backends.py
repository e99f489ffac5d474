"""What a backend on threads can keep of the contract, and what it cannot."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from samplerkit.contract import check, find_subject

PAGE = Path(__file__).parents[2] / "docs" / "backends.md"

MODULE = """
from acme_threads import AcmeSampler
from samplerkit.interfaces import no

CANNOT = no("threads cannot be ended by force")


class ThreadSampler(AcmeSampler):
    capabilities = {
        **AcmeSampler.capabilities, "restartable": CANNOT, "unit_timeout": CANNOT, "exit_status": CANNOT
    }
"""


@pytest.mark.slow
def test_a_backend_on_threads_breaks_what_the_page_names_and_nothing_else(monkeypatch, tmp_path):
    (tmp_path / "honest_threads.py").write_text(MODULE)
    monkeypatch.syspath_prepend(Path(__file__).with_name("written_for_1_0"))
    monkeypatch.syspath_prepend(tmp_path)
    (named,) = re.findall(r"expected_failures=\{(.*?)\}", PAGE.read_text(), re.DOTALL)
    report = check(find_subject("honest_threads:ThreadSampler"))
    broken = {it.clause for it in report.verdicts if it.bad}
    assert broken == set(re.findall(r'"([A-F]\d+\.[\w-]+)"', named))
