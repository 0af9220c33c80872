"""Sealed sets: held-out programs, seeds and models, bound by a hash that is published before them.

What is published first is a commitment: the SHA-256 of the set's manifest, which lists every file
with its own. The manifest has a random salt, since programs and models follow from seeds, and could
be found by trying. When the set is published, anyone can see that it is the one that was meant.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter

from knowncircuits.cases.drawing import Shape
from knowncircuits.cases.registry import CASES, import_cases
from knowncircuits.cases.written import Written, write_written
from knowncircuits.errors import ResultError
from knowncircuits.evaluation.catalogue.generating import generate
from knowncircuits.evaluation.runs.results import COMPILED
from knowncircuits.evaluation.runs.subjects import Subject, zoo_subjects
from knowncircuits.files.reading import MAX_BYTES, read_as, read_regular
from knowncircuits.files.writing import check_writable, write_text
from knowncircuits.models.zoo.shelf import Zoo

PROGRAMS, SEEDS, MODELS = "programs.json", "seeds.json", "models"  # of a set
MANIFEST = "manifest.json"
SALT_BYTES = 32


@dataclass(frozen=True)
class Seeds:
    """The seeds of a set."""

    programs: int  # that they were drawn by
    pairs: list[int]  # of clean and corrupted inputs, that methods are scored on


@dataclass(frozen=True)
class Manifest:
    """Every file of a set with its SHA-256, by its path; the salt makes it one of its own."""

    salt: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Commitment:
    """What is published of a set before the set itself."""

    release: str  # that it is held out for
    sha256: str  # of the manifest's file
    files: int
    version: str  # of knowncircuits


def make_set(
    folder: Path,
    n: int,
    shapes: Sequence[Shape],
    *,
    n_seeds: int = 3,
    seed: int | None = None,
    there: Iterable[Written] = (),
    on_program: Callable[[Written], None] = lambda program: None,
) -> list[Written]:
    """Write a new set's programs and seeds; models are trained into its folder `models`.

    Args:
        folder: a new one, or one without a set.
        n: how many programs.
        shapes: that they have in turn; see `generate`.
        n_seeds: draws of pairs.
        seed: of the programs; by default one that nobody can foresee.
        there: programs that are public, beside the cases by hand: none is like them.
        on_program: told of each.

    Raises ResultError for a folder that holds a set, or cannot be written.
    """
    if (folder / PROGRAMS).exists():
        raise ResultError(f"expected a folder without a sealed set, got {folder}")
    check_writable(folder)
    chosen = secrets.randbits(64) if seed is None else seed
    public = [*CASES.values(), *(program.case() for program in there)]
    programs = generate(n, shapes, chosen, there=public, on_program=on_program)
    pairs = [secrets.randbits(32) for _ in range(n_seeds)]
    write_written(programs, folder / PROGRAMS)
    write_text(folder / SEEDS, json.dumps(asdict(Seeds(chosen, pairs))) + "\n")
    return programs


def commit(folder: Path, release: str) -> Commitment:
    """Write a folder's manifest, and say what to publish of it.

    Raises ResultError for a folder that cannot be read, has links or no files, or a manifest: a
    second one would be of another salt, and the first commitment of nothing.
    """
    if (folder / MANIFEST).exists():
        raise ResultError(
            f"{folder}: expected a folder that is not sealed, got one with a manifest"
        )
    files = _hashes(folder)
    if not files:
        raise ResultError(f"{folder}: expected files to seal, got none")
    manifest = Manifest(secrets.token_hex(SALT_BYTES), files)
    text = json.dumps(asdict(manifest), indent=1) + "\n"
    write_text(folder / MANIFEST, text)
    digest = sha256(text.encode()).hexdigest()
    return Commitment(release, digest, len(files), version("knowncircuits"))


def write_commitment(commitment: Commitment, path: Path) -> None:
    """Write it as JSON; raises ResultError if that fails."""
    write_text(path, json.dumps(asdict(commitment), indent=1) + "\n")


def read_commitment(path: Path) -> Commitment:
    """What was published; raises ResultError for any other file."""
    return read_as(TypeAdapter(Commitment), path, "a commitment")


def verify(folder: Path, commitment: Commitment) -> tuple[str, ...]:
    """Everything in which a folder is not what was committed to, file by file; empty where nothing.

    Raises ResultError for a folder that cannot be read.
    """
    found = _hashes(folder)
    try:
        data = read_regular(folder / MANIFEST, MAX_BYTES, follow=False)
    except (OSError, ValueError):
        return (f"{MANIFEST}: missing",)
    if sha256(data).hexdigest() != commitment.sha256:
        return (f"{MANIFEST}: not the one that was committed to",)
    said = read_as(TypeAdapter(Manifest), folder / MANIFEST, "a manifest").files
    problems = [f"{name}: missing" for name in said if name not in found]
    problems += [f"{name}: changed" for name in said if found.get(name, said[name]) != said[name]]
    problems += [f"{name}: not in the manifest" for name in found if name not in said]
    return tuple(sorted(problems))


def open_set(
    folder: Path, commitment: Commitment
) -> tuple[list[tuple[str, Subject]], tuple[int, ...]]:
    """The models of a set that is as was committed to, and the seeds of pairs.

    Its cases are known by their names then. Where it has no trained models these are compiled ones.

    Raises ResultError for a set that is not, naming each file, or that lacks programs or seeds.
    """
    if problems := verify(folder, commitment):
        raise ResultError(
            f"{folder}: expected the set of {commitment.release}, got another: "
            + "; ".join(problems)
        )
    names = [case.name for case in import_cases(folder / PROGRAMS)]
    seeds = read_as(TypeAdapter(Seeds), folder / SEEDS, "seeds")
    if not (folder / MODELS).is_dir():
        return [(name, COMPILED) for name in names], tuple(seeds.pairs)
    zoo = Zoo(folder / MODELS, 2, own=True)
    return list(zoo_subjects(zoo, names, zoo.variants)), tuple(seeds.pairs)


def _hashes(folder: Path) -> dict[str, str]:
    """The hashes of all files below a folder by path, but for the manifest and hidden ones."""
    if not folder.is_dir():
        raise ResultError(f"expected a folder, got {folder}")
    found = {}
    try:
        for place, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(place) / name
                inside = path.relative_to(folder).as_posix()
                if not name.startswith(".") and inside != MANIFEST:
                    data = read_regular(path, MAX_BYTES, follow=False)
                    found[inside] = sha256(data).hexdigest()
    except (OSError, ValueError) as error:
        raise ResultError(f"{folder}: cannot be read: {error}") from error
    return found
