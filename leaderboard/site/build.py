"""Writes the whole site: pages, assets, and the board as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError, SubmissionError
from knowncircuits.evaluation.comparison.intervals import MIN_CASES
from knowncircuits.evaluation.comparison.radar import Radar
from knowncircuits.evaluation.scoring.views import VIEWS
from knowncircuits.files.writing import check_replaceable, whole_folder, write_bytes, write_text
from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.exports import board_csv, board_json, board_markdown
from knowncircuits.leaderboard.schema import PUBLISHED
from knowncircuits.leaderboard.site import cases, edges, hard, methods, overview
from knowncircuits.leaderboard.site.render import FOLDER, Page, render, script_json
from knowncircuits.leaderboard.site.standings import VIEW_TEXTS, Standings
from knowncircuits.leaderboard.slices import HEADLINE
from knowncircuits.leaderboard.stored_effects import STORED, Curves, curves_of, shown_models
from knowncircuits.leaderboard.stored_hard import read_hard
from knowncircuits.leaderboard.submission import (
    by_zoo,
    read_submissions,
    zoo_folder,
    zoo_name,
)
from knowncircuits.leaderboard.truth import Certified
from knowncircuits.models.choices import OWN

DIGITS = 6  # of the data on the site: beyond them machines differ
MARK = ".knowncircuits"  # a folder without is somebody's own, and left alone
MARK_TEXT = "Made by `knowncircuits leaderboard build`, which replaces the whole folder.\n"


@dataclass(frozen=True, eq=False)
class Built:
    """What came of a build."""

    boards: tuple[Board, ...]  # of each zoo, the one on the first page first
    refused: list[SubmissionError]
    n_pages: int


@takes(submissions=str | Path, output=str | Path)
def build_site(
    submissions: str | Path,
    output: str | Path,
    *,
    models: Mapping[str, Certified] | None = None,
    on_page: Callable[[str], None] = lambda path: None,
) -> Built:
    """Read submissions, score them, and write the site: a board for each zoo that they are of.

    The board of the default zoo, or else of the one that there is, is in the site's folder itself,
    others in `zoo1`, say, within it; each is whole by itself, and links the others. The same
    submissions give the same bytes, and the site takes its place by one rename. What is wrong with
    a submission keeps that one out, and no other.

    Args:
        submissions: the folder of submissions.
        output: the site's folder; new, or that of an earlier site, of which nothing stays.
        models: the certified models, by default those of each release; of submissions about a
            user's own models, see `own_models`. Their cases must be known (`add_case`).
        on_page: told of each page, and of each model whose effects are measured.

    Raises:
        ResultError: for a folder that there is not, or that cannot be written to, or that holds
            something else than a site.
    """
    output = Path(output)
    check_target(output)
    read, refused = read_submissions(submissions, models)
    boards = [Board.of(of_zoo, models) for of_zoo in [*by_zoo(read).values()] or [[]]]
    with whole_folder(output, ours=lambda name: True) as new:
        write_text(new / MARK, MARK_TEXT, lasting=False)
        for board in boards:
            first = board is boards[0]
            others = {
                zoo_name(other.zoo): "index.html"
                if other is boards[0]
                else f"{zoo_folder(other.zoo)}/index.html"
                for other in boards
                if other is not board
            }
            links = {name: path if first else f"../{path}" for name, path in others.items()}
            folder = new if first else new / zoo_folder(board.zoo)
            _write_board(board, refused, links, folder, on_page)
        n_pages = sum(1 for _ in new.rglob("*.html"))
    return Built(tuple(boards), refused, n_pages)


def _write_board(
    board: Board,
    refused: list[SubmissionError],
    links: Mapping[str, str],
    folder: Path,
    on_page: Callable[[str], None],
) -> None:
    """The pages and data of one board; the links lead from its folder to the others."""
    stored = None if board.zoo == OWN else STORED[board.zoo]
    curves = curves_of(shown_models(board.models), stored, on_measure=on_page)
    standings = Standings(board)
    _write_data(standings, folder)
    found = None if board.zoo == OWN else read_hard()  # of our models
    shared = _shared(standings) | {"other_zoos": links}
    shared["has_hard"] = found is not None
    for page in _pages(standings, refused, curves, found):
        on_page(page.path)
        write_text(folder / page.path, render(page, shared), lasting=False)
    _copy_assets(folder)
    for model in board.models.values():
        for path, file in cases.files_of(model).items():
            write_bytes(folder / path, file.read_bytes(), lasting=False)


def check_target(output: Path) -> None:
    """Raise ResultError for a folder that holds something else than a site."""
    in_use = output.exists() and (not output.is_dir() or any(output.iterdir()))
    if in_use and not (output / MARK).is_file():
        raise ResultError(f"expected a new folder, or that of a site, got {output}")
    check_replaceable(output)


def _pages(
    standings: Standings,
    refused: list[SubmissionError],
    curves: Mapping[str, Curves],
    found: Radar | None,
) -> Iterable[Page]:
    yield overview.index_page(standings)
    yield overview.breakdown_page(standings)
    if found is not None:
        yield hard.hard_page(found)
    yield overview.compare_page(standings)
    yield from overview.text_pages(refused)
    yield cases.cases_page(standings)
    yield from cases.case_pages(standings, curves)
    yield from edges.edge_pages(standings)
    yield from methods.method_pages(standings)


def _shared(standings: Standings) -> dict[str, object]:
    """What all templates may use."""
    headline = next((s.cases for s in standings.board.slices if s.key == HEADLINE), ())
    zoo = standings.board.zoo
    prevalences = [standings.prevalence[case] for case in headline]
    return {
        "version": version("knowncircuits"),
        "zoo": zoo_name(zoo),
        "zoo_option": "FOLDER" if zoo == OWN else zoo,
        "zoo_folder": zoo_folder(zoo),
        "own": zoo == OWN,
        "n_models": len(standings.board.models),
        "n_cases": len(standings.models_of),
        "n_headline": len(headline),
        "min_cases": MIN_CASES,
        "headline": HEADLINE,
        "at_random": float(np.mean(prevalences)) if prevalences else np.nan,
        "views": {view: VIEW_TEXTS[view] for view in VIEWS},
    }


def _write_data(standings: Standings, output: Path) -> None:
    board = standings.board
    table = board.standings()
    texts = {
        "board.csv": board_csv(table, DIGITS),
        "board.json": board_json(table, DIGITS),
        "board.md": board_markdown(table),
        "scores.csv": board_csv(board.results, DIGITS),
        "assets/standings.js": _assign(overview.standings_data(standings)),
        "assets/comparison.js": _assign(overview.comparison_data(standings)),
    }
    for path, text in texts.items():
        write_text(output / path, text, lasting=False)


def _assign(data: object) -> str:
    """A script, since pages that are opened as files may not read data otherwise."""
    known = "window.knowncircuits"
    return f"{known} = Object.assign({known} ?? {{}}, {script_json(data)});\n"


def _copy_assets(output: Path) -> None:
    """Our script and style, the schema, and plotly.js from the installed package."""
    import plotly

    plotly_js = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    for path in (*sorted((FOLDER / "assets").iterdir()), PUBLISHED, plotly_js):
        write_bytes(output / "assets" / path.name, path.read_bytes(), lasting=False)
