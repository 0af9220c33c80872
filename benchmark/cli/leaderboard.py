"""The group `leaderboard`: submissions checked, the board and its site."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from knowncircuits.cli.groups import TrackingOptions, grouped
from knowncircuits.cli.layout import Table, number_text, numbers, words
from knowncircuits.cli.options import (
    OwnCaseOption,
    OwnZooOption,
    ZooOption,
    output_option,
    save_option,
    to_path,
)
from knowncircuits.cli.printing import Output
from knowncircuits.errors import InputError
from knowncircuits.leaderboard.choices import BoardFormat, Division
from knowncircuits.work.showing import show_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from knowncircuits.leaderboard.truth import Certified
    from knowncircuits.models.choices import ZooChoice

leaderboard_app = typer.Typer(
    help="The leaderboard: check submissions, rank them, build the site.", no_args_is_help=True
)

SubmissionsArgument = Annotated[
    Path, typer.Argument(metavar="SUBMISSIONS", parser=to_path, help="A folder of submissions.")
]


@leaderboard_app.command()
def validate(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...", parser=to_path, help="Submissions, or folders of them."
        ),
    ],
    zoo: OwnZooOption = None,
) -> None:
    """Check submissions and list everything that is wrong; exits with 1 if anything is.

    Numbers that a submission claims are compared with what its scores come to.
    """
    from knowncircuits.leaderboard.board import Board
    from knowncircuits.leaderboard.claims import refuted_claims
    from knowncircuits.leaderboard.exports import records
    from knowncircuits.leaderboard.submission import by_zoo, find_submissions, gather, zoo_name

    chosen = find_submissions(folders)
    if not chosen:
        raise InputError(f"expected submissions in {', '.join(map(str, folders))}, got none")
    with show_progress("validate"):
        models = _own_models(zoo)
        read, refused = gather(chosen, models)
        boards = [Board.of(of_zoo, models) for of_zoo in by_zoo(read).values()]
    for error in refused:
        print(error, file=sys.stderr)
    for board in boards:
        claims = {submission.id: submission.description.claims for submission in board.submissions}
        for row in records(board.standings()):
            areas = f"AUROC {number_text(row['auroc'])}, AP {number_text(row['average_precision'])}"
            covered = f"{row['models']} of {row['of_models']} structural models"
            print(f"{row['method']}: fine; {covered} of {zoo_name(board.zoo)}, {areas}")
            for claim, value, found in refuted_claims(claims[row["method"]], row):
                print(f"  claims {claim} {value:g}; its scores come to {number_text(found)}")
    raise typer.Exit(1 if refused else 0)


@leaderboard_app.command()
def build(
    submissions: SubmissionsArgument,
    output: Annotated[Path, output_option("Folder of the site.")] = Path("site"),
    zoo: OwnZooOption = None,
    case: OwnCaseOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a submission is refused.")
    ] = False,
) -> None:
    """Score submissions and write the site: static pages, a board for each zoo, no network.

    A submission with anything wrong is reported and left out; the others are not.
    """
    from knowncircuits.leaderboard.site.build import build_site
    from knowncircuits.leaderboard.submission import zoo_name

    _check_any(submissions)
    with show_progress("build", unit="pages") as shown:
        built = build_site(submissions, output, models=_own_models(zoo), on_page=shown.advance)
    for error in built.refused:
        print(error, file=sys.stderr)
    of_zoos = (f"{len(b.submissions)} submissions of {zoo_name(b.zoo)}" for b in built.boards)
    counts = f"{', '.join(of_zoos)}, {len(built.refused)} refused"
    print(f"{output / 'index.html'}: {counts}, {built.n_pages} pages")
    raise typer.Exit(1 if strict and built.refused else 0)


@leaderboard_app.command()
def serve(
    site: Annotated[Path, typer.Argument(parser=to_path, help="The site's folder.")] = Path("site"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
) -> None:
    """Show a site to this machine's browser, until interrupted."""
    from knowncircuits.leaderboard.serving import address, make_server

    with make_server(site, port) as server:
        print(f"{address(server)} (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


@leaderboard_app.command()
@grouped
def table(
    submissions: SubmissionsArgument,
    *,
    suite: Annotated[
        str | None,
        typer.Option(
            help="Average over a suite: structural (default), all, interpbench or degenerate."
        ),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Average over the structural cases of a family.")
    ] = None,
    difficulty: Annotated[
        str | None,
        typer.Option(help="Average over the structural cases that are shallow, middle or deep."),
    ] = None,
    view: Annotated[
        str,
        typer.Option(help="What is scored: edge, no-embed, circuit-nodes, head or node."),
    ] = "edge",
    division: Annotated[
        Division | None, typer.Option(help="Rank only the submissions of a division.")
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(min=0, help="Rank only those within so many passes for each pair."),
    ] = None,
    zoo: ZooOption = None,
    form: Annotated[
        Literal["table", BoardFormat], typer.Option("--format", help="Format to print in.")
    ] = "table",
    save: Annotated[list[Path] | None, save_option(".csv, .json or .md")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if a submission is refused.")
    ] = False,
    tracking: TrackingOptions,
) -> None:
    """Rank the submissions of a zoo and print the board; by default of the zoo that they are of."""
    from knowncircuits.evaluation.figures.pictures import check_targets
    from knowncircuits.leaderboard.board import Board
    from knowncircuits.leaderboard.board_log import log_board
    from knowncircuits.leaderboard.exports import ENDINGS, FORMATS, save_board
    from knowncircuits.leaderboard.submission import by_zoo, read_submissions, within

    slice_key = _slice(suite, family, difficulty)
    check_targets(save or (), ENDINGS)
    _check_any(submissions)
    with show_progress("table"):
        models = _own_models(zoo)
        read, refused = read_submissions(submissions, models)
        boards = by_zoo(read)
        release = zoo if models is None else None
        if release and release not in boards:
            raise InputError(f"expected submissions of zoo {release} in {submissions}, got none")
        of_zoo = boards[release] if release else next(iter(boards.values()), [])
        board = Board.of(within(of_zoo, division, budget), models)
    standings = board.standings(slice_key, view)
    for error in refused:
        print(error, file=sys.stderr)
    if form == "table":
        Output("table").show(_board(standings), data=standings)
    else:
        print(FORMATS[form](standings), end="")
    for path in save or ():
        save_board(standings, path)
    if project := tracking.wandb:
        log_board(board, project, slice_key=slice_key, view=view, mode=tracking.wandb_mode)
    raise typer.Exit(1 if strict and refused else 0)


def _slice(suite: str | None, family: str | None, difficulty: str | None) -> str:
    """The key of the slice that options name."""
    from knowncircuits.leaderboard.slices import HEADLINE, slice_key

    options = {"suite": suite, "family": family, "difficulty": difficulty}
    named = [slice_key(kind, name) for kind, name in options.items() if name is not None]
    if len(named) > 1:
        raise InputError("expected one of --suite, --family and --difficulty, got several")
    return named[0] if named else HEADLINE


def _own_models(zoo: ZooChoice | None) -> Mapping[str, Certified] | None:
    """The certified models of a user's own zoo; None for a release, which submissions say."""
    from knowncircuits.leaderboard.truth import own_models
    from knowncircuits.models.zoo.shelf import find_zoo

    found = find_zoo(zoo)
    return own_models(found) if found.own else None


def _check_any(submissions: Path) -> None:
    """Raise InputError for a folder without submissions: a board of none is a mistyped name."""
    from knowncircuits.leaderboard.submission import list_folders

    if not list_folders(submissions):
        raise InputError(f"expected submissions in {submissions}, got none")


def _board(standings: pd.DataFrame) -> Table:
    from knowncircuits.leaderboard.exports import cells

    header, rows = cells(standings)
    texts = ("method", "AUROC", "AP", "division")
    columns = [words(name) if name in texts else numbers(name) for name in header]
    drops = ("seconds per model", "passes per pair", "models")
    return Table(columns, [dict(zip(header, row, strict=True)) for row in rows], drops)
