"""Where pushed files are kept: a repository of the hub, or a folder like one."""

from __future__ import annotations

import os
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knowncircuits.errors import InputError, ResultError
from knowncircuits.extras import missing
from knowncircuits.files.reading import read_bytes
from knowncircuits.files.writing import whole_folder, write_bytes
from knowncircuits.leaderboard.choices import HubKind

PREFIX = "hf:"
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
# The hub's kinds of repositories.
TYPES: Mapping[HubKind, str] = {
    "models": "model",
    "results": "dataset",
    "submissions": "dataset",
    "board": "space",
}


class Store(ABC):
    """Files by path, written all at once."""

    @abstractmethod
    def read(self, name: str, most: int) -> bytes:
        """A file's contents; raises ResultError where there is none, or one of more bytes."""

    @abstractmethod
    def write(self, files: Mapping[str, bytes], message: str) -> str:
        """Put these files in the place of all others; returns where they are now.

        Raises ResultError if that fails; then nothing has changed.
        """


class FolderStore(Store):
    """A folder on this machine, which is what a repository of the hub looks like when cloned."""

    def __init__(self, folder: Path) -> None:
        """The folder need not exist to be written."""
        self.folder = folder

    def read(self, name: str, most: int) -> bytes:
        """See `Store.read`."""
        return read_bytes(self.folder / name, "a pushed file", most)

    def write(self, files: Mapping[str, bytes], message: str) -> str:
        """See `Store.write`; what begins with a dot, such as .git, stays."""
        with whole_folder(self.folder, ours=lambda name: not name.startswith(".")) as new:
            for name, data in files.items():
                write_bytes(new / name, data, lasting=False)
        return str(self.folder)


class HubStore(Store):
    """A repository of the Hugging Face hub, at HF_ENDPOINT; its own library finds the token.

    What is read is of one commit, also where others are made meanwhile.
    """

    def __init__(
        self, name: str, kind: HubKind, *, revision: str | None = None, private: bool = False
    ) -> None:
        """Nothing is asked of the hub yet; raises MissingExtraError without huggingface_hub."""
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise missing("huggingface_hub") from error
        self.name = name
        self.type = TYPES[kind]
        self.revision = revision
        self.private = private
        self.api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        self._sizes: dict[str, int] | None = None
        self._commit = ""

    def read(self, name: str, most: int) -> bytes:
        """See `Store.read`."""
        size = self._listed().get(name)
        if size is None:
            raise ResultError(f"{self.name}: expected {name}, got none")
        if size > most:
            raise ResultError(f"{self.name}: expected {name} of up to {most} bytes, got {size}")
        with tempfile.TemporaryDirectory() as cache:
            path = self._ask(
                self.api.hf_hub_download,
                self.name,
                name,
                repo_type=self.type,
                revision=self._commit,
                cache_dir=cache,
            )
            return read_bytes(path, "a pushed file", most)

    def write(self, files: Mapping[str, bytes], message: str) -> str:
        """See `Store.write`: one commit."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        sdk = {"space_sdk": "static"} if self.type == "space" else {}
        make = self.api.create_repo
        self._ask(make, self.name, repo_type=self.type, private=self.private, exist_ok=True, **sdk)
        kept = (".gitattributes",)
        gone = [name for name in self._listed() if name not in files and name not in kept]
        operations = [
            *(CommitOperationAdd(name, data) for name, data in sorted(files.items())),
            *(CommitOperationDelete(name) for name in gone),
        ]
        done = self._ask(
            self.api.create_commit,
            self.name,
            operations,
            commit_message=message,
            repo_type=self.type,
            revision=self.revision,
        )
        return str(done.commit_url)

    def _listed(self) -> dict[str, int]:
        """The sizes of all files of the commit that is read."""
        if self._sizes is None:
            info = self._ask(
                self.api.repo_info,
                self.name,
                repo_type=self.type,
                revision=self.revision,
                files_metadata=True,
            )
            self._commit = str(info.sha)
            self._sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        return self._sizes

    def _ask(self, call: Any, *arguments: Any, **options: Any) -> Any:
        """What a call to the hub gives; raises ResultError in the first line of its words."""
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        try:
            return call(*arguments, **options)
        except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise ResultError(f"{PREFIX}{self.name}: the hub says: {said[0][:200]}") from error


def open_store(
    place: str, kind: HubKind, *, revision: str | None = None, private: bool = False
) -> Store:
    """The store of a place: `hf:OWNER/NAME`, or a folder.

    Raises InputError for another name on the hub, or a revision of a folder.
    """
    if not place.startswith(PREFIX):
        if revision is not None or private:
            raise InputError(f"expected {PREFIX}OWNER/NAME with a revision or private, got {place}")
        return FolderStore(Path(place))
    name = place.removeprefix(PREFIX)
    if not NAME.fullmatch(name):
        raise InputError(f"expected {PREFIX}OWNER/NAME, got {place!r}")
    return HubStore(name, kind, revision=revision, private=private)
