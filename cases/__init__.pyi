from . import experiments as experiments
from .case import Case as Case
from .checks import CaseCheck as CaseCheck, check_case as check_case, check_cases as check_cases
from .grammar import Grammar as Grammar
from .pairs import Pairs as Pairs, draw_pairs as draw_pairs
from .registry import (
    CASES as CASES,
    SUITES as SUITES,
    add_case as add_case,
    import_case as import_case,
    import_cases as import_cases,
    list_cases as list_cases,
    load_case as load_case,
)
from .sampling import Dataset as Dataset
from .strata import (
    StratumPairs as StratumPairs,
    draw_stratum as draw_stratum,
    strata_of as strata_of,
)
