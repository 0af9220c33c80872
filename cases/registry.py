"""Every case by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
from knowncircuits.cases.modalities import modality_cases
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import UnknownNameError

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
# hard, the levels of experiments, components, for component analysis, and modalities, one question
# asked of data in two modalities, are cases apart, which are in no other suite, `all` included.
APART: Mapping[str, Callable[[], Mapping[str, Case]]] = {
    "hard": hard_cases,
    "components": lambda: COMPONENTS,
    "modalities": modality_cases,
}
SUITES = ("all", "interpbench", "structural", "degenerate", *APART)


@takes(name=str)
def load_case(name: str) -> Case:
    """The case of a name; raises UnknownNameError, with the close names, if there is none."""
    known = {**CASES, **hard_cases(), **COMPONENTS, **modality_cases()}
    if name not in known:
        raise UnknownNameError("case", str(name), known)
    return known[name]


@takes(suite=str, family=str | None)
def list_cases(
    suite: str = "all", *, family: str | None = None, interpbench_id: int | None = None
) -> list[str]:
    """The names of the cases in a suite, or of a family, or with InterpBench's number.

    The suite `interpbench` is of the cases that have InterpBench's numbers; `structural` and
    `degenerate` are by the stored difficulty of the cases. `hard` is of other cases, those of the
    experiments, each of which is a family; so is `components`, of cases whose nodes have roles, and
    `modalities`, of one question asked of data in two modalities.
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
