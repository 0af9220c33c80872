"""Shards: pieces of long work, each of which leaves a file that is named by what it follows from.

A shard's name is a hash of its content and of the package's source. Its file is written whole and
renamed into place by who has done it. So a command that was killed does only what is missing, and
one whose code, model or settings are other ones finds no shard of its name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from knowncircuits.files.reading import read_json
from knowncircuits.files.writing import write_text
from knowncircuits.work.executor import HERE, Executor, run_jobs

Job = TypeVar("Job")

PACKAGES = tuple(f"knowncircuits{room}" for room in ("", ".cases", ".models", ".evaluation"))


def run_shards(
    work: Callable[[Job], Any],
    jobs: Sequence[Job],
    folder: Path | None,
    content: Callable[[Job], Any],
    executor: Executor = HERE,
    *,
    heard: bool = True,
) -> Generator[tuple[Job, Any]]:
    """Each job with the JSON document that comes of it: those that are there, and then new ones.

    Args:
        work: makes a JSON document of a job; see `run_jobs`, which raises what fails in the end.
        jobs: each of another content.
        folder: of the files; with None nothing is kept.
        content: all that a job's document follows from, as JSON.
        executor: who does the work.
        heard: whether who hears of loops here hears of those in jobs.

    Raises ResultError for a file that cannot be read or written.
    """
    if folder is None:
        with closing(run_jobs(_Told(work), jobs, executor, heard=heard)) as told:
            yield from told
        return
    named = {shard_name(content(job)): job for job in jobs}
    places = {name: folder / f"{name}.json" for name in named}
    there = {name for name, path in places.items() if path.exists()}
    for name in named:
        if name in there:
            yield named[name], read_json(places[name], "a shard")
    left = [(job, places[name]) for name, job in named.items() if name not in there]
    with closing(run_jobs(_Kept(work), left, executor, heard=heard)) as done:
        yield from done


def remove_shards(folder: Path) -> None:
    """Take the files away, once there is what they were made for."""
    shutil.rmtree(folder, ignore_errors=True)


def shard_name(content: Any) -> str:
    """A hash of all that a shard follows from."""
    text = json.dumps([content, _source_hash()], sort_keys=True, allow_nan=False)
    return sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class _Told(Generic[Job]):
    work: Callable[[Job], Any]

    def __call__(self, job: Job) -> tuple[Job, Any]:
        return job, self.work(job)


@dataclass(frozen=True)
class _Kept(Generic[Job]):
    """Work that writes its file where it is done: it is there even if nobody asks any more."""

    work: Callable[[Job], Any]

    def __call__(self, job_and_path: tuple[Job, Path]) -> tuple[Job, Any]:
        job, path = job_and_path
        if path.exists():  # by a worker that was lost before it could answer
            return job, read_json(path, "a shard")
        document = self.work(job)
        write_text(path, json.dumps(document, allow_nan=False))
        return job, document


@cache
def _source_hash() -> str:
    """Hash the sources of all modules of the package."""
    specs = (find_spec(package) for package in PACKAGES)
    folders = (Path(place) for s in specs if s for place in s.submodule_search_locations or ())
    files = {path.resolve() for folder in folders for path in folder.rglob("*.py")}
    digests = sorted(sha256(path.read_bytes()).hexdigest() for path in files)
    return sha256("".join(digests).encode()).hexdigest()
