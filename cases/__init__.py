"""The cases: programs by family, in one registry, with their inputs, pairs and data checks."""

from knowncircuits.cases.case import Case
from knowncircuits.cases.checks import CaseCheck, check_case, check_cases
from knowncircuits.cases.pairs import Pairs, draw_pairs
from knowncircuits.cases.registry import CASES, list_cases, load_case
from knowncircuits.cases.sampling import Dataset

__all__ = [
    "CASES",
    "Case",
    "CaseCheck",
    "Dataset",
    "Pairs",
    "check_case",
    "check_cases",
    "draw_pairs",
    "list_cases",
    "load_case",
]
