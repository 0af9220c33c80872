"""A submission: a folder of `submission.json` and raw scores of edges, read without trusting it."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ValidationError

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ResultError, SubmissionError
from knowncircuits.files.writing import whole_folder, write_bytes, write_text
from knowncircuits.leaderboard.choices import Division
from knowncircuits.leaderboard.schema import Description
from knowncircuits.leaderboard.truth import Certified, certified_models
from knowncircuits.leaderboard.untrusted import (
    MAX_CSV,
    MAX_JSON,
    check_json,
    cut,
    few,
    list_files,
    parse_scores,
    read_bytes,
    some,
)
from knowncircuits.models.choices import DEFAULT_ZOO, OWN, BoardZoo, ZooVersion
from knowncircuits.shown import Card, Shown, Table, counted
from knowncircuits.work.progress import part, reported

DESCRIPTION = "submission.json"
TABLE = re.compile(r"scores/([a-z0-9_]+)/([a-z0-9_]+)\.csv")
RELEASES: tuple[ZooVersion, ...] = get_args(ZooVersion)
# Where submissions of each zoo may lie, in a folder of submissions of several.
FOLDERS: Mapping[str, BoardZoo] = {f"zoo{zoo}": zoo for zoo in RELEASES} | {OWN: OWN}
# Boards of several zoos stand in this order.
ORDER: tuple[BoardZoo, ...] = (DEFAULT_ZOO, *sorted({*RELEASES} - {DEFAULT_ZOO})[::-1], OWN)


@dataclass(frozen=True, eq=False, repr=False)
class Submission(Shown):
    """What a method says of every edge of certified models, and how it was run."""

    description: Description
    scores: Mapping[str, Float[np.ndarray, "seed edge"]]  # by CASE/VARIANT, with their signs

    def _card(self) -> Card:
        said = self.description
        seeds = counted(len(said.conventions.seeds), "seed")
        models = f"{counted(len(self.scores), 'model')} of {zoo_name(self.zoo)}"
        return Card(self.id, (said.kind, models, seeds), self._tables)

    def _tables(self) -> list[Table]:
        said = self.description
        authors = ", ".join(author.name for author in said.authors)
        rows = [("title", said.title), ("authors", authors), ("command", said.command)]
        return [Table("Submitted", ("", ""), rows)]

    @property
    def id(self) -> str:
        """Its name: that of its folder."""
        return self.description.id

    @property
    def zoo(self) -> BoardZoo:
        """The release that its models are of, or `own`."""
        return self.description.zoo

    def ranking(self, key: str) -> Float[np.ndarray, "seed edge"]:
        """Higher means more in the circuit."""
        values = self.scores[key]
        return np.abs(values) if self.description.rank_by == "absolute" else values


@takes(folder=str | Path)
def read_submission(
    folder: str | Path, models: Mapping[str, Certified] | None = None
) -> Submission:
    """Read a folder and check all of it.

    Args:
        folder: named as the submission's id.
        models: the certified models, by default those of the release that the submission says. One
            about a user's own models needs them, see `own_models`.

    Raises:
        SubmissionError: listing everything that is wrong.
    """
    folder = Path(folder)
    if folder.is_symlink() or not folder.is_dir():
        raise SubmissionError(cut(folder.name), ["expected a folder, got none"])
    found = list_files(folder)
    problems = list(found.problems)
    unexpected = [name for name in found.files if name != DESCRIPTION and not TABLE.fullmatch(name)]
    if unexpected:
        problems.append(f"{len(unexpected)} unexpected files: {few(unexpected)}")
    if found.too_much:
        raise SubmissionError(cut(folder.name), some(problems))
    description, wrong = _read_description(folder)
    problems += wrong
    if models is None:
        zoo = _said_zoo(folder)
        if zoo == OWN:
            problem = (
                f"{DESCRIPTION}: expected a release of the models, got {OWN} ones; --zoo FOLDER"
            )
            raise SubmissionError(cut(folder.name), [*problems, problem])
        models = {} if zoo is None else certified_models(zoo)
    tables = {"/".join(match.groups()) for match in map(TABLE.fullmatch, found.files) if match}
    seeds = None
    if description is not None:
        seeds = description.conventions.seeds
        problems += _contradictions(description, folder.resolve(), tables, models)
    scores: dict[str, np.ndarray] = {}
    for key in sorted(tables & set(models)):
        digest = None if description is None else description.tables.get(key)
        values, wrong = _read_table(folder, key, models[key], seeds, digest)
        problems += [f"scores/{key}.csv: {problem}" for problem in wrong]
        if values is not None:
            scores[key] = values
    if problems or description is None:
        raise SubmissionError(cut(folder.name), some(problems))
    return Submission(description, scores)


@takes(folder=str | Path)
def read_submissions(
    folder: str | Path, models: Mapping[str, Certified] | None = None
) -> tuple[list[Submission], list[SubmissionError]]:
    """Read every submission in a folder, in order of their names.

    Returns:
        Those that are right, and for each other one what is wrong with it.

    Raises:
        ResultError: if there is no such folder.
    """
    return gather(list_folders(folder), models)


def list_folders(folder: str | Path) -> list[Path]:
    """The folders of submissions in a folder, and in its folders of zoos, in order.

    Raises ResultError if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultError(f"expected a folder of submissions, got {folder}")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.is_symlink() or path.is_dir()
        if not path.name.startswith(".")
    )
    return [inner for path in found for inner in (list_folders(path) if _of_zoo(path) else [path])]


def _of_zoo(path: Path) -> bool:
    """Whether a folder holds the submissions of a zoo."""
    named = path.name in FOLDERS and path.parent.name not in FOLDERS
    return named and not path.is_symlink() and not (path / DESCRIPTION).exists()


def by_zoo(submissions: Iterable[Submission]) -> dict[BoardZoo, list[Submission]]:
    """The submissions of each zoo that there are any of, the default one first."""
    found: dict[BoardZoo, list[Submission]] = {}
    for submission in submissions:
        found.setdefault(submission.zoo, []).append(submission)
    return {zoo: found[zoo] for zoo in ORDER if zoo in found}


def zoo_name(zoo: BoardZoo) -> str:
    """What texts call it."""
    return "a zoo of one's own" if zoo == OWN else f"zoo {zoo}"


def zoo_folder(zoo: BoardZoo) -> str:
    """The folder of FOLDERS that its submissions may lie in."""
    return next(name for name, of in FOLDERS.items() if of == zoo)


def within(
    submissions: Iterable[Submission], division: Division | None = None, passes: int | None = None
) -> list[Submission]:
    """Those of a division, and those that stay within so many passes for each pair.

    Controls are among them in any case: they are what rows are read beside.
    """
    return [
        submission
        for submission in submissions
        for said in [submission.description]
        if said.kind == "control"
        or (
            division in (None, said.division)
            and (passes is None or (said.most_passes is not None and said.most_passes <= passes))
        )
    ]


def models_of(submissions: Sequence[Submission]) -> Mapping[str, Certified]:
    """The certified models of the zoo that submissions are about.

    Raises ResultError where they are about several: no board ranks them together.
    """
    zoos = list(by_zoo(submissions)) or [DEFAULT_ZOO]
    if len(zoos) > 1:
        several = " and of ".join(map(zoo_name, zoos))
        raise ResultError(f"expected submissions of one zoo, got some of {several}")
    return certified_models(zoos[0])


def find_submissions(places: Iterable[Path]) -> list[Path]:
    """Folders that are submissions themselves, and those in folders of submissions.

    One that is not there stands for itself: reading it says so.
    """
    found: list[Path] = []
    for place in places:
        alone = (place / DESCRIPTION).exists() or not place.is_dir()
        found += [place] if alone else list_folders(place)
    return found


def gather(
    folders: Sequence[Path], models: Mapping[str, Certified] | None = None
) -> tuple[list[Submission], list[SubmissionError]]:
    """Read these folders; see `read_submissions`.

    Where several of one zoo have one title, or ids that differ in case alone, the first is taken.
    """
    with part("reading submissions"):
        return _gather(folders, models)


def _gather(
    folders: Sequence[Path], models: Mapping[str, Certified] | None
) -> tuple[list[Submission], list[SubmissionError]]:
    read: list[Submission] = []
    refused: list[SubmissionError] = []
    taken: dict[tuple[str, str, BoardZoo], str] = {}
    for folder in reported(folders):
        try:
            submission = read_submission(folder, models)
        except SubmissionError as error:
            refused.append(error)
            continue
        keys = [
            ("id", submission.id.casefold(), submission.zoo),
            ("title", folded(submission.description.title), submission.zoo),
        ]
        problems = [
            f"{DESCRIPTION}: expected {key[0]} that no other has, got that of {taken[key]}"
            for key in keys
            if key in taken
        ]
        if problems:
            refused.append(SubmissionError(submission.id, problems))
            continue
        read.append(submission)
        taken |= dict.fromkeys(keys, submission.id)
    return read, refused


def folded(title: str) -> str:
    """A title without what is hard to tell apart: case, width and blanks."""
    return " ".join(unicodedata.normalize("NFKC", title).casefold().split())


@takes(submission=Submission, folder=str | Path)
def write_submission(
    submission: Submission, folder: str | Path, models: Mapping[str, Certified] | None = None
) -> Path:
    """Write a submission into `folder/ID`; numbers are the shortest decimals that read back alike.

    The folder is written whole, by one rename. Tables of models that it has no scores of are taken
    away, other files stay.

    Raises:
        SubmissionError: where another submission has the same id in other case.
        ResultError: if it cannot be written.
    """
    models = certified_models(submission.zoo) if models is None else models
    folder = Path(folder)
    name = submission.id
    others = os.listdir(folder) if folder.is_dir() else []
    if alike := [other for other in others if other != name and folded(other) == folded(name)]:
        raise SubmissionError(name, [f"expected an id that no other has, got that of {alike[0]}"])
    with whole_folder(folder / name, _is_ours) as new:
        hashes = {}
        for key, values in submission.scores.items():
            rows = [",".join(("edge", *map(str, submission.description.conventions.seeds)))]
            rows += [
                ",".join((edge, *map(repr, column)))
                for edge, column in zip(
                    models[key].circuit.graph.edges, values.T.tolist(), strict=True
                )
            ]
            table = ("\n".join(rows) + "\n").encode()
            hashes[key] = sha256(table).hexdigest()
            write_bytes(new / "scores" / f"{key}.csv", table, lasting=False)
        description = submission.description.model_copy(update={"tables": hashes})
        write_text(new / DESCRIPTION, description.to_json(), lasting=False)
    return folder / name


def _is_ours(name: str) -> bool:
    return name == DESCRIPTION or TABLE.fullmatch(name) is not None


def _read_description(folder: Path) -> tuple[Description | None, list[str]]:
    try:
        data = read_bytes(folder / DESCRIPTION, MAX_JSON)
    except ValueError as error:
        return None, [f"{DESCRIPTION}: {error}"]
    problems = [f"{DESCRIPTION}: {problem}" for problem in check_json(data)]
    if any("UTF-8" in problem or "in each other" in problem for problem in problems):
        return None, problems
    try:
        return Description.model_validate_json(data), problems
    except ValidationError as error:
        for found in error.errors(include_url=False, include_context=False):
            if found["type"] != "json_invalid" or not problems:
                problems.append(f"{DESCRIPTION}: {in_words(found['loc'], found['msg'])}")
        return None, problems


class _Zoo(BaseModel):
    """As much of a description as says on what the scores are; the rest may be wrong."""

    zoo: BoardZoo = 1


def _said_zoo(folder: Path) -> BoardZoo | None:
    """The zoo that a description says, whatever is wrong with it; None where it says none."""
    try:
        return _Zoo.model_validate_json(read_bytes(folder / DESCRIPTION, MAX_JSON)).zoo
    except ValueError:  # pydantic's too
        return None


def in_words(place: Sequence[int | str], message: str) -> str:
    """What is wrong with a field, and which field it is."""
    where = ".".join(cut(str(part)) for part in place if part not in ("[key]",))
    if message == "Extra inputs are not permitted":
        message = "unknown field" + (
            "; scores are recomputed, what you found goes into claims"
            * (where in ("auroc", "average_precision", "score", "scores", "result"))
        )
    if where == "schema_version":
        message += "; `knowncircuits submit` makes a submission of the same scores anew"
    message = message.removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _contradictions(
    description: Description, folder: Path, tables: set[str], models: Mapping[str, Certified]
) -> list[str]:
    """What does not fit the folder's name, its tables, or the certified models."""
    named = description.models
    problems = [f"{DESCRIPTION}: {problem}" for problem in description.contradictions]
    if description.id != folder.name:
        problems.append(
            f"{DESCRIPTION}: expected id {cut(folder.name)!r}, as the folder is called, got "
            f"{description.id!r}"
        )
    zoos = {model.zoo for model in models.values()} | {
        FOLDERS[name] for name in (folder.parent.name,) if name in FOLDERS
    }
    if wrong := zoos - {description.zoo}:
        problems.append(
            f"{DESCRIPTION}: expected a submission of {' and '.join(map(zoo_name, wrong))}, got "
            f"one of {zoo_name(description.zoo)}"
        )
    if unknown := sorted(set(named) - set(models)):
        problems.append(f"{DESCRIPTION}: {len(unknown)} models that there are not: {few(unknown)}")
    problems += [
        f"{DESCRIPTION}: expected model {key} of weights {models[key].weights[:12]}, got "
        f"{named[key][:12]}: the scores are those of another model"
        for key in sorted(set(named) & set(models))
        if named[key] != models[key].weights
    ]
    if unhashed := sorted(set(named) ^ set(description.tables)):
        problems.append(
            f"{DESCRIPTION}: expected a hash in `tables` for each of `models`, not so: "
            f"{few(unhashed)}"
        )
    if missing := sorted(set(named) - tables):
        problems.append(f"{len(missing)} models without a table in scores/: {few(missing)}")
    if unnamed := sorted(tables - set(named)):
        problems.append(f"{len(unnamed)} tables of models that `models` lacks: {few(unnamed)}")
    return problems


def _read_table(
    folder: Path, key: str, model: Certified, seeds: Sequence[int] | None, digest: str | None
) -> tuple[np.ndarray | None, list[str]]:
    try:
        data = read_bytes(folder / "scores" / f"{key}.csv", MAX_CSV)
    except ValueError as error:
        return None, [str(error)]
    values, problems = parse_scores(data, model.circuit.graph, seeds)
    if digest is not None and (got := sha256(data).hexdigest()) != digest:
        problems.append(f"expected the table of SHA-256 {digest[:12]}, got one of {got[:12]}")
    return values, problems
