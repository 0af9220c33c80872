"""The command that makes a submission to the leaderboard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from knowncircuits.cli.options import output_option, to_path, to_zoo
from knowncircuits.errors import InputError
from knowncircuits.models.choices import DEFAULT_ZOO, OWN


def submit(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...",
            parser=to_path,
            help="A method's results of `score`; or CASE/VARIANT.json (EAP-IG, MIB) or .csv "
            "(edge,score).",
        ),
    ],
    output: Annotated[
        Path, output_option("Folder of submissions; this one is OUTPUT/ZOO/ID.")
    ] = Path("submissions"),
    name: Annotated[
        str | None, typer.Option("--id", help="Id of the submission; by default the folder's name.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Name of the method.")] = None,
    author: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME=URL; may be repeated.")
    ] = None,
    link: Annotated[list[str] | None, typer.Option(help="TITLE=URL; may be repeated.")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the method.")] = None,
    zoo: Annotated[
        Any,
        typer.Option(
            metavar="1|2|FOLDER",
            parser=to_zoo,
            help="Which release of the models, or the folder of your own ones; results say which "
            f"release, for other files it is {DEFAULT_ZOO}.",
        ),
    ] = None,
    describe: Annotated[
        Path | None,
        typer.Option(
            parser=to_path,
            help="A JSON file with more fields of submission.json, such as description.",
        ),
    ] = None,
) -> None:
    """Make a submission to the leaderboard of a run, or of files of scores, and check it.

    What a run does not say is given by options. Scores alone say little: there --describe has to
    give rank_by and conventions.n_pairs.
    """
    from knowncircuits.leaderboard.making import make_submission
    from knowncircuits.leaderboard.submission import (
        read_submission,
        write_submission,
        zoo_folder,
    )
    from knowncircuits.leaderboard.truth import own_models
    from knowncircuits.models.zoo.shelf import find_zoo

    if len(folders) > 1 and (name or title):
        raise InputError(f"expected --id and --title with one DIR, got {len(folders)}")
    own = find_zoo(zoo) if isinstance(zoo, Path) else None
    models = own_models(own) if own else None
    of = OWN if own else zoo
    fields: dict[str, Any] = _read_fields(describe)
    fields |= {
        key: value
        for key, value in (("id", name), ("title", title), ("version", version), ("zoo", of))
        if value is not None
    }
    if author:
        fields["authors"] = [
            dict(zip(("name", "url"), text.split("=", 1), strict=False)) for text in author
        ]
    if link:
        fields["links"] = [_link(text) for text in link]
    for folder in folders:
        made = make_submission(folder, fields, models, _say_left_out)
        place = write_submission(made, output / zoo_folder(made.zoo), models)
        submission = read_submission(place, models)
        seeds = len(submission.description.conventions.seeds)
        print(f"{place}: {len(submission.scores)} models, {seeds} draws of pairs each")


def _read_fields(path: Path | None) -> dict[str, Any]:
    from knowncircuits.files.reading import read_json

    fields = {} if path is None else read_json(path, "JSON of fields")
    if not isinstance(fields, dict):
        raise InputError(f"{path}: expected an object of fields, got {type(fields).__name__}")
    return fields


def _say_left_out(model: str) -> None:
    print(f"left out: {model}; it is no certified model of the board's zoo", file=sys.stderr)


def _link(text: str) -> dict[str, str]:
    title, equals, url = text.partition("=")
    if not equals:
        raise InputError(f"expected --link TITLE=URL, got {text!r}")
    return {"title": title, "url": url}
