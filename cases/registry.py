"""Every case by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from knowncircuits.cases import (
    arithmetic,
    brackets,
    comparisons,
    counting,
    elementwise,
    ioi,
    positions,
    properties,
    sorting,
    words,
)
from knowncircuits.cases.case import Case
from knowncircuits.cases.difficulty import load_difficulty
from knowncircuits.cases.experiments.registry import hard_cases
from knowncircuits.cases.generated import generated_cases
from knowncircuits.cases.modalities import modality_cases
from knowncircuits.cases.own import is_written, keep, own_case, own_names, read_case
from knowncircuits.cases.written import read_cases
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import InputError, UnknownNameError

FAMILIES = (
    counting,
    sorting,
    positions,
    comparisons,
    properties,
    arithmetic,
    brackets,
    words,
    elementwise,
)

CASES: dict[str, Case] = {case.name: case for family in FAMILIES for case in family.CASES}

# Cases whose nodes have roles.
COMPONENTS: dict[str, Case] = {case.name: case for case in ioi.CASES}

# structural: more than MLPs on tokens; headline numbers are means over these. degenerate: the rest.
# hard, the levels of experiments, components, for component analysis, modalities, one question
# asked of data in two modalities, generated, of random programs, and own, of users and their
# packages, are cases apart, which are in no other suite, `all` included.
APART: Mapping[str, Callable[[], Mapping[str, Case]]] = {
    "hard": hard_cases,
    "components": lambda: COMPONENTS,
    "modalities": modality_cases,
    "generated": generated_cases,
    "own": lambda: _own_cases(),
}
SUITES = ("all", "interpbench", "structural", "degenerate", *APART)


@takes(name=str)
def load_case(name: str) -> Case:
    """The case of a name: ours, one that was added in this process, or an installed package's.

    Nothing is imported that the name itself says: a module's or a file's case is read by
    `import_case`.

    Raises:
        UnknownNameError: with the close names, if there is none.
        InputError: for an installed package's that cannot be loaded.
    """
    found = CASES.get(name) or _ours().get(name) or own_case(name)
    if found is None:
        raise UnknownNameError("case", str(name), [*_ours(), *own_names()])
    return found


@takes(case=Case)
def add_case(case: Case) -> Case:
    """Make a case of one's own known by its name, in this process; an earlier one is replaced.

    So models and results that say its name can be read, and whatever takes names takes it.

    Raises InputError for a name that is one of ours, or is not made of letters, digits and _.
    """
    return _add(case)


@takes(text=str)
def import_case(text: str) -> Case:
    """A case of one's own, in a module or a file, which is run; it is known by its name then.

    Args:
        text: `module:case`, `path/to/file.py:case`, or `path/to/file.json:case` of a file of
            programs, of which nothing is run.

    Raises InputError for what cannot be loaded, or is no case, and for a name that is one of ours
    or of another case that was read in this way.
    """
    return _add(*read_case(text))


@takes(path=str | Path)
def import_cases(path: str | Path) -> list[Case]:
    """All cases of a file of programs, see `knowncircuits generate`; nothing of it is run.

    They are known by their names then; those that are shipped stay as they are.

    Raises ResultError for a file that holds anything else.
    """
    found = read_cases(path)
    return [_add(case, f"{Path(path).resolve()}:{name}") for name, case in found.items()]


def _add(case: Case, source: str = "") -> Case:
    if is_written(source) and case.name in generated_cases():
        return generated_cases()[case.name]  # the same program: its name follows from all of it
    _check_free(case.name, source)
    return keep(case, source)


def _own_cases() -> dict[str, Case]:
    for name in own_names():
        _check_free(name, "an installed package")
    return {name: load_case(name) for name in own_names()}


def _check_free(name: str, source: str) -> None:
    """Raise InputError for a name that one of our cases has."""
    if name in _ours():
        where = f" of {source}" if source else ""
        raise InputError(f"expected a name{where} that no built-in case has, got {name}")


def _ours() -> dict[str, Case]:
    return {**CASES, **hard_cases(), **COMPONENTS, **modality_cases(), **generated_cases()}


@takes(suite=str, family=str | None)
def list_cases(
    suite: str = "all", *, family: str | None = None, interpbench_id: int | None = None
) -> list[str]:
    """The names of the cases in a suite, or of a family, or with InterpBench's number.

    The suite `interpbench` is of the cases that have InterpBench's numbers; `structural` and
    `degenerate` are by the stored difficulty of the cases. `hard` is of other cases, those of the
    experiments, each of which is a family; so is `components`, of cases whose nodes have roles, and
    `modalities`, of one question asked of data in two modalities. `generated` is of random
    programs. `own` is of those that were added in this process, or that installed packages add.
    """
    if suite not in SUITES:
        raise UnknownNameError("suite", suite, SUITES)
    cases = APART[suite]() if suite in APART else CASES
    families = {case.family for case in cases.values()}
    if family is not None and family not in families:
        raise UnknownNameError("family", family, families)
    return [
        case.name
        for case in cases.values()
        if _belongs(case, suite)
        and (family is None or case.family == family)
        and (interpbench_id is None or case.interpbench_id == interpbench_id)
    ]


def _belongs(case: Case, suite: str) -> bool:
    if suite in ("structural", "degenerate"):
        return load_difficulty(case.name).degenerate == (suite == "degenerate")
    return suite != "interpbench" or case.interpbench_id is not None
