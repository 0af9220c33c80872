"""RASP: the language, its interpreter, and idioms; `from knowncircuits import rasp` serves as tracr's."""

from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    Comparison,
    Encoding,
    Expression,
    Full,
    IndicesType,
    LinearSequenceMap,
    Map,
    Predicate,
    Select,
    Selector,
    SelectorAnd,
    SelectorNot,
    SelectorOr,
    SelectorWidth,
    SequenceMap,
    SOp,
    TokensType,
    Value,
    annotate,
    categorical,
    get_encoding,
    indices,
    is_categorical,
    is_numerical,
    numerical,
    selector_and,
    selector_not,
    selector_or,
    sop_not,
    tokens,
)
from knowncircuits.rasp.interpreter import interpret
from knowncircuits.rasp.library import (
    detect_pattern,
    make_count,
    make_frac_prevs,
    make_hist,
    make_length,
    make_nary_sequencemap,
    make_pair_balance,
    make_reverse,
    make_sort,
    make_sort_unique,
    shift_by,
)

length = make_length()

__all__ = [name for name in dir() if not name.startswith("_")]
