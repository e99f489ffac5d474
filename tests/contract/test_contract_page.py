"""docs/contract.md says what the code checks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import contract_fakes as fakes
import pytest

from samplerkit.contract.page import own_clauses, render
from samplerkit.contract.report import anchor

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"
EMPTY = "# Page\n\n<!-- clauses of F -->\nstale\n<!-- end of F -->\n\nThe end.\n"


def test_the_page_lists_the_clauses_of_the_code() -> None:
    text = PAGE.read_text()
    listed = re.findall(r"^### (\w\d+\.\S+)$", text, re.MULTILINE)
    assert listed == [it.id for it in own_clauses()], (
        "run: python -m samplerkit.contract.page docs/contract.md"
    )
    assert text == render(text), "run: python -m samplerkit.contract.page docs/contract.md"


def test_every_promise_that_a_clause_checks_is_on_the_page() -> None:
    text = PAGE.read_text()
    promised = set(re.findall(r"^- \*\*([A-F]\d+)\*\*", text, re.MULTILINE))
    # Number 0 is what a section says before its first promise.
    numbers = {it.id.partition(".")[0] for it in own_clauses()} - {f"{letter}0" for letter in "ABCDEF"}
    assert numbers <= promised, f"{sorted(numbers - promised)} are checked, but not promised"


def test_links_of_reports_lead_to_headings() -> None:
    assert anchor("A3.shortest-run") == "a3shortest-run", "as Markdown makes it of a heading"


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = render(EMPTY, [fakes.fake(fakes.holds)])
    assert page.startswith("# Page\n")
    assert page.endswith("<!-- end of F -->\n\nThe end.\n")
    assert "stale" not in page
    assert "### F9.holds\n\nA fake clause that holds.\n\n- Why: Tests need it.\n" in page
    assert render(page, [fakes.fake(fakes.holds)]) == page


def test_a_section_without_a_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place for the clauses of F"):
        render("# Page\n", [fakes.fake(fakes.holds)])


def test_the_page_is_brought_up_to_date_by_a_command(tmp_path: Path) -> None:
    copy = tmp_path / "contract.md"
    copy.write_text(re.sub(r"### A3\.shortest-run\n", "### A3.something-else\n", PAGE.read_text()))
    command = [sys.executable, "-m", "samplerkit.contract.page", str(copy)]
    subprocess.run(command, check=True, timeout=60)
    assert copy.read_text() == render(PAGE.read_text())
