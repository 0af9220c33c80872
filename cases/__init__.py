"""The cases: programs by family, in one registry."""

from knowncircuits.cases.case import Case
from knowncircuits.cases.registry import CASES, list_cases, load_case

__all__ = ["CASES", "Case", "list_cases", "load_case"]
