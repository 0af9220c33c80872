"""Cases of users: named as FILE.py:CASE or MODULE:CASE, or brought along by installed packages.

Code runs only where a user names it, on the command line or in Python, and where an installed
package puts it forward. A name in a model or a result is looked up among the cases that are known,
and imports neither a file nor a module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from knowncircuits.cases.case import Case
from knowncircuits.cases.written import read_cases
from knowncircuits.errors import InputError, UnknownNameError
from knowncircuits.files.importing import imported, load_named

Job = TypeVar("Job")
Done = TypeVar("Done")

GROUP = "knowncircuits.cases"  # of entry points, through which other packages add cases

_added: dict[str, Case] = {}
_sources: dict[str, str] = {}  # of those that were named as FILE.py:CASE or MODULE:CASE


def own_case(name: str) -> Case | None:
    """The case of a name that was added in this process, or that an installed package adds.

    Raises InputError for a package's case that cannot be loaded.
    """
    if name in _added:
        return _added[name]
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is None:
        return None
    case = check_case_object(imported(found.load, f"case {name}", InputError), found.value)
    if case.name != name:
        raise InputError(f"expected {found.value} to be called {name}, got {case.name}")
    return case


def own_names() -> list[str]:
    """The names of all such cases; none is loaded for it."""
    return sorted({*_added, *entry_points(group=GROUP).names})


def keep(case: Case, source: str = "") -> Case:
    """Make a case known by its name, in this process; it takes the place of an earlier one.

    Raises InputError for a name that cannot be one, and where two sources have one name.
    """
    name = case.name
    if not re.fullmatch("[A-Za-z0-9_]+", name):
        raise InputError(f"expected a case's name of letters, digits and _, got {name!r}")
    if source and _added.get(name, case) is not case:
        if is_written(source) and is_written(_sources.get(name, "")):
            return _added[name]  # the same program, whose name follows from all of it
        other = _sources.get(name, "another one")
        raise InputError(f"expected one case {name}, got {source} beside {other}")
    _added[name] = case
    if source:
        _sources[name] = source
    return case


def is_written(source: str) -> bool:
    """Whether a file of programs is named, and no code."""
    return source.rpartition(":")[0].endswith(".json")


def read_case(text: str) -> tuple[Case, str]:
    """The case that a user names as FILE.py:CASE or MODULE:CASE, and the same name wherever one is.

    FILE.json:CASE is one of a file of programs, of which nothing is run.

    Raises InputError for what cannot be loaded, or is no case, ResultError for such a file that
    holds anything else.
    """
    file, _, named = text.rpartition(":")
    if is_written(text):
        written = read_cases(file)
        if named not in written:
            raise UnknownNameError(f"program of {file}", named, written)
        return written[named], f"{Path(file).resolve()}:{named}"
    case = check_case_object(imported(lambda: load_named(text), f"case {text}", InputError), text)
    module, _, name = text.rpartition(":")
    return case, f"{Path(module).resolve()}:{name}" if module.endswith(".py") else text


def check_case_object(found: Any, text: str) -> Case:
    """Raise InputError for what is no case."""
    if not isinstance(found, Case):
        what = found.__name__ if isinstance(found, type) else f"a {type(found).__name__}"
        raise InputError(f"expected {text} to be a Case, got {what}")
    return found


@dataclass(frozen=True)
class _Informed(Generic[Job, Done]):
    """Work that knows the same cases wherever it runs."""

    work: Callable[[Job], Done]
    sources: Mapping[str, str]

    def __call__(self, job: Job) -> Done:
        for name, source in self.sources.items():
            if name not in _added:  # in another process
                keep(*read_case(source))
        return self.work(job)


def with_own_cases(work: Callable[[Job], Done]) -> Callable[[Job], Done]:
    """Work for other processes, which first learn of the cases that were named in this one."""
    return _Informed(work, dict(_sources))
