"""The code of the docs runs and says what it claims; every command is documented, with help."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.cli.effects import AblationOption
from knowncircuits.evaluation.effects import ABLATIONS
from knowncircuits.evaluation.figures.curves import PANELS
from knowncircuits.evaluation.methods import METHODS
from knowncircuits.evaluation.methods.controls import CONTROLS
from knowncircuits.models.interop.architectures import ARCHITECTURES


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("page", "least"),
    [
        ("README.md", 2),
        ("docs/tour.md", 5),
        ("docs/methods.md", 4),
        ("docs/scoring.md", 1),
        ("docs/faithfulness.md", 8),
        ("docs/effects.md", 1),
        ("docs/agreement.md", 3),
        ("docs/components.md", 3),
        ("docs/models.md", 1),
        ("docs/own-case.md", 4),
        ("docs/hard-suite.md", 1),
        ("docs/wired.md", 2),
        ("docs/ioi.md", 2),
        ("docs/modalities.md", 7),
        ("docs/bridges.md", 2),
        ("docs/coming-from.md", 3),
    ],
)
def test_the_code_of_the_docs(page: str, least: int, root: Path) -> None:
    """Blocks run one after another; a literal in the comment behind an expression is its value."""
    namespace: dict[str, object] = {}
    claims = 0
    for block in blocks(root / page):
        lines = block.splitlines()
        for statement in ast.parse(block).body:
            code = ast.unparse(statement)
            comment = lines[(statement.end_lineno or 1) - 1].partition("# ")[2]
            literal = re.match(r"(\[[^]]*\]|\([^)]*\))", comment)
            if isinstance(statement, ast.Expr) and literal:
                assert eval(code, namespace) == pytest.approx(ast.literal_eval(literal[0])), code
                claims += 1
            elif isinstance(statement, ast.Expr):
                value = eval(code, namespace)
                if comment.startswith("<Score:"):
                    assert repr(value).startswith(comment.removesuffix(" ...>")), code
                    claims += 1
            else:
                exec(code, namespace)
    assert claims >= least


def test_every_method_is_in_the_docs(root: Path) -> None:
    text = (root / "docs" / "methods.md").read_text()
    for name in METHODS:
        assert f"| `{name}` |" in text
    for name in CONTROLS:
        assert f"`{name}`" in text


def test_every_ablation_is_in_the_docs_the_figures_and_the_help(root: Path) -> None:
    text = (root / "docs" / "effects.md").read_text()
    named = re.split("[ ,;]+", str(get_args(AblationOption)[1].help))
    assert set(PANELS) == set(ABLATIONS) <= set(named)
    assert all(f"| `{name}` |" in text for name in ABLATIONS)


def test_every_architecture_is_in_the_docs(root: Path) -> None:
    text = (root / "docs" / "bridges.md").read_text()
    for name, kind in ARCHITECTURES.items():
        row = f"| {name} | {kind.models} | {kind.features} | "
        assert row in text
        assert text.split(row)[1].startswith("refused: ") == (kind.places is None)


def commands() -> dict[str, str]:
    """Every command with its help."""
    group = typer.main.get_command(app)
    found: dict[str, str] = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        for child, inner in getattr(command, "commands", {"": command}).items():
            found[f"{name} {child}".strip()] = inner.help or ""
    return found


@pytest.mark.parametrize(("name", "text"), commands().items())
def test_every_command_is_documented_and_has_help(name: str, text: str, root: Path) -> None:
    assert f"knowncircuits {name}" in (root / "docs/commands.md").read_text()
    assert len(text) > 15
    shown = CliRunner().invoke(app, [*name.split(), "--help"])
    assert text.split()[0] in shown.output


def test_the_pages_pictures_are_there_and_small(root: Path) -> None:
    pages = sorted((root / "docs").glob("*.md"))
    shown = {page.parent / name for page in pages for name in picture_names(page)}
    assert shown
    assert shown == set((root / "docs" / "images").iterdir())
    assert all(path.stat().st_size < 150_000 for path in shown)


def test_every_page_is_in_the_sites_contents(root: Path) -> None:
    listed = set((root / "docs" / "index.md").read_text().split())
    pages = {path.stem for path in (root / "docs").glob("*.md")} - {"index"}
    pages |= {f"tutorials/{path.stem}" for path in (root / "docs" / "tutorials").glob("*.ipynb")}
    assert pages <= listed


def picture_names(page: Path) -> list[str]:
    return re.findall(r"!\[[^]]*\]\(([^)]*)\)", page.read_text())
