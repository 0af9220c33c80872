"""Push and pull: whole or not at all, and nothing that was not checked."""

from __future__ import annotations

import datetime
from importlib.metadata import version
from pathlib import Path

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError
from knowncircuits.files.writing import whole_folder, write_bytes, write_text
from knowncircuits.leaderboard.choices import HubKind
from knowncircuits.leaderboard.hub.cards import ABOUT, INDEX, card_text, eval_text
from knowncircuits.leaderboard.hub.contents import index_of
from knowncircuits.leaderboard.hub.croissant import croissant_text
from knowncircuits.leaderboard.hub.manifest import (
    MANIFEST,
    MAX_MANIFEST,
    Entry,
    make_manifest,
    read_content,
    read_manifest,
)
from knowncircuits.leaderboard.hub.stores import PREFIX, open_store
from knowncircuits.work.progress import part, reported


@takes(source=str | Path, target=str)
def push(
    kind: HubKind,
    source: str | Path,
    target: str,
    *,
    revision: str | None = None,
    message: str = "",
    private: bool = False,
    license: str = "Apache-2.0",  # noqa: A002
    date: str | None = None,
) -> str:
    """Put a folder's models, results or submissions, or a site, on the hub, or into a folder.

    All of it is read and checked before. Beside the files go a manifest with their sizes and
    hashes, a card, and of results and submissions a table, `index.csv`, and `croissant.json`; of
    submissions also `eval.yaml`. What the repository held before is replaced, in one commit.

    Args:
        kind: what the folder holds.
        source: the folder.
        target: `hf:OWNER/NAME`, or a folder.
        revision: the branch, of the hub.
        message: of the commit.
        private: whether a repository that is made now is private.
        license: of the content, by its identifier in SPDX's list.
        date: of publication, as YYYY-MM-DD; by default today.

    Returns where it is now.

    Raises:
        ResultError: for a folder with other files, links, or broken content; where the store
            refuses.
        SubmissionError: for a submission that is refused.
        InputError: for a target that is none.
    """
    source = Path(source)
    store = open_store(target, kind, revision=revision, private=private)
    content = read_content(source, kind, ignored=(MANIFEST,))
    index = index_of(source, kind)
    manifest = make_manifest(kind, content)
    name = target.removeprefix(PREFIX) if target.startswith(PREFIX) else Path(target).name
    texts = {MANIFEST: manifest.text(), "README.md": card_text(kind, name, index, license=license)}
    if kind in ("results", "submissions"):
        table = index.to_csv(index=False, lineterminator="\n")
        texts[INDEX] = table
        texts["croissant.json"] = croissant_text(
            name.rpartition("/")[2],
            ABOUT[kind],
            {**manifest.files, INDEX: Entry.of(table.encode())},
            index,
            index_file=INDEX,
            url=f"https://huggingface.co/datasets/{name}",
            version=version("knowncircuits"),
            license=license,
            date=date or datetime.date.today().isoformat(),
        )
    if kind == "submissions":
        texts["eval.yaml"] = eval_text(name)
    if taken := sorted(texts.keys() & content.keys()):
        raise ResultError(f"{source}: expected no file of a push's own, got {', '.join(taken)}")
    files = {**content, **{path: text.encode() for path, text in texts.items()}}
    return store.write(files, message or f"{kind} of knowncircuits {version('knowncircuits')}")


@takes(source=str, folder=str | Path)
def pull(kind: HubKind, source: str, folder: str | Path, *, revision: str | None = None) -> Path:
    """Fetch what was pushed, from the hub or a folder, into a folder of this machine.

    Only files of the manifest are taken, of the endings that this kind has, none of which can hold
    code. Sizes and hashes must be the manifest's, and all of it must read as what it is said to be,
    certificates of the models' weights too. Until then nothing is in the folder.

    Args:
        kind: what to expect there.
        source: `hf:OWNER/NAME`, or a folder.
        folder: a new one, or that of an earlier pull, of which nothing stays.
        revision: of the hub: a branch, or a commit's 40 digits, so that what is read can't change.

    Raises:
        ResultError: where anything is missing, broken, or not what the manifest says; for a folder
            that holds something else.
        SubmissionError: for a submission that is refused.
        InputError: for a source that is none.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise ResultError(f"expected a new folder, or that of an earlier pull, got {folder}")
    store = open_store(source, kind, revision=revision)
    manifest = read_manifest(store.read(MANIFEST, MAX_MANIFEST), kind, source)
    with whole_folder(folder, ours=lambda name: True) as new, part(f"pull {source}"):
        for name, entry in reported([*manifest.files.items()]):
            data = store.read(name, entry.size)
            if Entry.of(data) != entry:
                got = f"{len(data)} bytes, {Entry.of(data).sha256}"
                raise ResultError(
                    f"{source}: expected {name} of {entry.size} bytes, {entry.sha256}, got {got}"
                )
            write_bytes(new / name, data, lasting=False)
        index_of(new, kind)
        write_text(new / MANIFEST, manifest.text(), lasting=False)
    return folder
