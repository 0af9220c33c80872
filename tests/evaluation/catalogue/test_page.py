"""The reference page of the cases is current and complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from knowncircuits.cases import CASES, list_cases


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Written by the command, in a process without the tests' checks of each call, so fast."""
    path = tmp_path_factory.mktemp("docs") / "cases.md"
    command = [sys.executable, "-m", "knowncircuits.cli", "maintain", "docs", "--save", path]
    subprocess.run(command, check=True, capture_output=True)
    return path.read_text()


@pytest.mark.long
def test_the_page_is_current(page: str, root: Path) -> None:
    assert (root / "docs" / "cases.md").read_text() == page, "run `knowncircuits maintain docs`"


def test_every_case_has_its_place_and_every_link_a_target(page: str) -> None:
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    assert len(set(headings)) == len(headings)
    assert set(re.findall(r"\(#([^)]+)\)", page)) <= set(headings)
    elementwise = set(list_cases(family="elementwise"))
    assert set(CASES) - elementwise <= set(headings)
    assert all(f"| `{name}` |" in page for name in elementwise)
    assert len(page.encode()) < 300_000


def test_elementwise_cases_share_the_circuit_that_stands_for_all() -> None:
    circuits = {CASES[name].compile().circuit.edges() for name in list_cases(family="elementwise")}
    assert circuits == {("embed->m0", "m0->logits")}


def test_a_section(page: str) -> None:
    section = page.partition("### fraction_of_x\n")[2].partition("\n### ")[0]
    assert "InterpBench's case 3." in section
    assert "Alphabet of 4: `a b c x`. Inputs of up to 4 tokens; causal attention." in section
    assert "frac_prevs = Aggregate(key indices <= query indices, is_x, default=0)" in section
    assert "x c c b\n-> 1 0.5 0.3333 0.25\n" in section
    assert "<- m0  is_x" in section
    assert "Structural: 3 true edges, 3 of them detected" in section
    assert "- `pos->a1.h0<q>`, `pos->a1.h0<k>`: the same in every pair: indices" in section


def test_tables_have_as_many_cells_as_columns(page: str) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert tables
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1
