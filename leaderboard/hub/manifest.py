"""What a repository holds: the kind of its content, and every file with its size and hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from knowncircuits.errors import ResultError
from knowncircuits.files.reading import first_problem, parse_json, read_regular
from knowncircuits.leaderboard.choices import HubKind
from knowncircuits.leaderboard.untrusted import cut

MANIFEST = "knowncircuits.json"
FORMAT = 1
MAX_MANIFEST = 8_000_000  # bytes
MAX_FILE = 250_000_000
MAX_TOTAL = 4_000_000_000
MAX_FILES = 40_000
# What may be moved. No ending whose files can hold code that reading them runs, such as pickles.
ENDINGS: Mapping[HubKind, tuple[str, ...]] = {
    "models": (".json", ".safetensors"),
    "results": (".json",),
    "submissions": (".json", ".csv"),
    "board": (".html", ".css", ".js", ".svg", ".json", ".csv", ".md", ".safetensors"),
}


@dataclass(frozen=True)
class Entry:
    """A file's size in bytes and SHA-256."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Entry:
        """The entry of a file's contents."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Manifest:
    """The files of one push, without those that describe the repository to the hub."""

    kind: HubKind
    files: Mapping[str, Entry]  # by path, parts parted by /
    format: int = FORMAT
    version: str = ""  # of knowncircuits

    def text(self) -> str:
        """As it is stored."""
        files = {name: vars(entry) for name, entry in sorted(self.files.items())}
        document = {"format": self.format, "version": self.version, "kind": self.kind}
        return json.dumps(document | {"files": files}, indent=1) + "\n"


SCHEMA = TypeAdapter(Manifest)


def read_manifest(data: bytes, kind: HubKind, where: str) -> Manifest:
    """A stranger's manifest.

    Raises ResultError for a broken one, another kind of content, and files that may not be pulled:
    paths that lead elsewhere, other endings, too many or too large ones.
    """
    try:
        manifest = SCHEMA.validate_json(json.dumps(parse_json(data)), strict=True)
    except ValidationError as error:
        problem = first_problem(error)
        raise ResultError(f"{where}: expected {MANIFEST} of a push, got {problem}") from error
    except ValueError as error:
        raise ResultError(f"{where}: expected {MANIFEST} of a push, got {error}") from error
    if manifest.format != FORMAT:
        raise ResultError(f"{where}: expected format {FORMAT}, got {manifest.format}")
    if manifest.kind != kind:
        raise ResultError(f"{where}: expected {kind}, got {manifest.kind}")
    check_paths(manifest.files, kind, where)
    sizes = [entry.size for entry in manifest.files.values()]
    if len(sizes) > MAX_FILES:
        raise ResultError(f"{where}: expected up to {MAX_FILES} files, got {len(sizes)}")
    if min(sizes, default=0) < 0 or max(sizes, default=0) > MAX_FILE or sum(sizes) > MAX_TOTAL:
        raise ResultError(
            f"{where}: expected files of up to {MAX_FILE} bytes, {MAX_TOTAL} in all, "
            f"got {max(sizes)}, {sum(sizes)}"
        )
    return manifest


def check_paths(names: Iterable[str], kind: HubKind, where: str) -> None:
    """Raise ResultError for a path that leads elsewhere, is hidden, or has another ending."""
    for name in names:
        parts = name.split("/")
        odd = "\\" in name or ":" in name or not name.isprintable()
        if odd or any(part in ("", ".", "..") or part.startswith(".") for part in parts):
            raise ResultError(f"{where}: expected paths within the folder, got {cut(name)}")
        if PurePosixPath(name).suffix not in ENDINGS[kind]:
            known = ", ".join(ENDINGS[kind])
            raise ResultError(f"{where}: expected {kind} as {known}, got {cut(name)}")


def read_content(folder: Path, kind: HubKind, *, ignored: Iterable[str] = ()) -> dict[str, bytes]:
    """All files below a folder by path, but for hidden ones and those that are ignored.

    Raises ResultError for links, other endings, or a folder without files.
    """
    names = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(place).relative_to(folder)
        for name in [*folders, *files]:
            if (Path(place) / name).is_symlink():
                raise ResultError(f"{folder}: expected files, got a symbolic link: {below / name}")
        names += [(below / name).as_posix() for name in files if not name.startswith(".")]
    names = sorted(set(names) - set(ignored))
    if not names:
        raise ResultError(f"expected {kind} in {folder}, got no files")
    check_paths(names, kind, str(folder))
    try:
        return {name: read_regular(folder / name, MAX_FILE, follow=False) for name in names}
    except (OSError, ValueError) as error:
        raise ResultError(f"{folder}: cannot be read: {error}") from error


def make_manifest(kind: HubKind, content: Mapping[str, bytes]) -> Manifest:
    """The manifest of these files."""
    files = {name: Entry.of(data) for name, data in content.items()}
    return Manifest(kind, files, FORMAT, version("knowncircuits"))
