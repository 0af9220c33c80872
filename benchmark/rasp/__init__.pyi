from . import causal_eval as causal_eval
from .aggregates import (
    Aggregate as Aggregate,
    AggregateSum as AggregateSum,
    SelectorWidth as SelectorWidth,
)
from .expressions import (
    ConstantSOp as ConstantSOp,
    Encoding as Encoding,
    Expression as Expression,
    Full as Full,
    IndicesType as IndicesType,
    LinearSequenceMap as LinearSequenceMap,
    Map as Map,
    NarySequenceMap as NarySequenceMap,
    SequenceMap as SequenceMap,
    SOp as SOp,
    TokensType as TokensType,
    indices as indices,
    tokens as tokens,
)
from .functions import (
    RASPExpr as RASPExpr,
    annotate as annotate,
    categorical as categorical,
    evaluate as evaluate,
    get_encoding as get_encoding,
    is_categorical as is_categorical,
    is_numerical as is_numerical,
    numerical as numerical,
    selector_and as selector_and,
    selector_not as selector_not,
    selector_or as selector_or,
    sop_not as sop_not,
)
from .interpreter import interpret as interpret
from .library import (
    detect_pattern as detect_pattern,
    length as length,
    make_count as make_count,
    make_count_less_freq as make_count_less_freq,
    make_frac_prevs as make_frac_prevs,
    make_hist as make_hist,
    make_length as make_length,
    make_nary_sequencemap as make_nary_sequencemap,
    make_pair_balance as make_pair_balance,
    make_reverse as make_reverse,
    make_shuffle_dyck as make_shuffle_dyck,
    make_shuffle_dyck2 as make_shuffle_dyck2,
    make_sort as make_sort,
    make_sort_freq as make_sort_freq,
    make_sort_unique as make_sort_unique,
    shift_by as shift_by,
)
from .selectors import (
    Comparison as Comparison,
    ConstantSelector as ConstantSelector,
    Predicate as Predicate,
    Select as Select,
    Selector as Selector,
    SelectorAnd as SelectorAnd,
    SelectorNot as SelectorNot,
    SelectorOr as SelectorOr,
)
from .text import program_text as program_text
from .validation import validate as validate
from .values import Value as Value
