"""Commands that push to and pull from the Hugging Face hub, or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from knowncircuits.cli.options import to_path
from knowncircuits.leaderboard.choices import HubKind
from knowncircuits.work.showing import show_progress

KindArgument = Annotated[
    HubKind,
    typer.Argument(metavar="KIND", help="What is moved: models, results, submissions or board."),
]


def push(
    kind: KindArgument,
    source: Annotated[Path, typer.Argument(metavar="DIR", parser=to_path, help="Folder to push.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="hf:OWNER/NAME, or a folder.")],
    revision: Annotated[str | None, typer.Option(help="Branch, on the hub.")] = None,
    message: Annotated[str, typer.Option(help="Message of the commit.")] = "",
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    license: Annotated[  # noqa: A002
        str, typer.Option(help="License of what is pushed, by its identifier in SPDX's list.")
    ] = "Apache-2.0",
) -> None:
    """Push models, results, submissions or the board to the Hugging Face hub, or into a folder.

    Everything is checked before. A card and a list of all files with their hashes go with it; of
    the board, a folder is a static Space.
    """
    from knowncircuits.leaderboard.hub.moving import push as push_to

    with show_progress("push"):
        place = push_to(
            kind,
            source,
            target,
            revision=revision,
            message=message,
            private=private,
            license=license,
        )
    print(f"{kind}: {place}")


def pull(
    kind: KindArgument,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="hf:OWNER/NAME, or a folder.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", parser=to_path, help="A new folder.")],
    revision: Annotated[str | None, typer.Option(help="Branch or commit, on the hub.")] = None,
) -> None:
    """Pull what was pushed; sizes, hashes and contents are checked before anything is written."""
    from knowncircuits.leaderboard.hub.moving import pull as pull_from

    with show_progress("pull"):
        place = pull_from(kind, source, folder, revision=revision)
    print(f"{kind}: {place}")
