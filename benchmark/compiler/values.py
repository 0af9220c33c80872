"""Pass 3: the values that each variable can take, whether it can be None, and whether it varies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from knowncircuits.compiler.program import Program
from knowncircuits.compiler.selectors import Joint, Term, as_map
from knowncircuits.errors import CompileError, ProgramError
from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    Full,
    IndicesType,
    LinearSequenceMap,
    SelectorWidth,
    SequenceMap,
    SOp,
    TokensType,
    Value,
    is_categorical,
)
from knowncircuits.rasp.interpreter import as_number, call, canonical
from knowncircuits.vocabulary import Vocabulary

# More pairs of values than this are not tried, of two variables that are compared or mapped.
MAX_PAIRS = 1_000_000
# A numerical variable with more values than this is carried, but no function of it tabulated.
MAX_VALUES = 20_000
MAX_RAW = 3 * MAX_VALUES  # sums that differ in their last digits
TOO_MANY = (
    f"a number takes more than {MAX_VALUES} values, too many for a function of it, a sum or a "
    "category: with fewer tokens, a smaller max_len or coarser values there are fewer; means and "
    "LinearSequenceMaps of it compile where the result is numerical"
)


@dataclass(frozen=True)
class Domain:
    """What a variable can be.

    Values are over-approximated: each part of a program is taken to be independent of the others.
    """

    values: tuple[Value, ...] | None  # sorted where that is possible; None: too many to list
    nullable: bool
    varies: bool  # between inputs of one length, at one position

    @property
    def listed(self) -> tuple[Value, ...]:
        """The values; raises CompileError where there are too many to list."""
        if self.values is None:
            raise CompileError([TOO_MANY])
        return self.values

    @property
    def numbers(self) -> tuple[Value, ...]:
        """The values as canonical floats; raises ProgramError where one is no number."""
        return tuple(canonical(as_number(v)) for v in self.listed)

    @property
    def states(self) -> tuple[Value, ...]:
        """The values, and None where that can be."""
        return (*self.listed, None) if self.nullable else self.listed


Domains = dict[int, Domain]  # by the id of the S-Op


def try_call(f: Callable[..., Value], name: str, *args: Value) -> tuple[bool, Value]:
    """Whether a function has a value there, and which.

    Arithmetic errors are no errors yet: the arguments may never occur together.
    """
    try:
        return True, call(f, name, *args)
    except ProgramError as error:
        if isinstance(error.__cause__, (ArithmeticError, ValueError)):
            return False, None
        raise


def infer_domains(program: Program, vocabulary: Vocabulary) -> tuple[Domains, list[str]]:
    """The domain of every S-Op by its id, and the reasons why some have none."""
    domains: Domains = {}
    reasons: list[str] = []
    for expr in program.dependency_order():
        if any(id(child) not in domains for child in program.inputs(expr)):
            continue  # the reason lies further down, and is reported
        try:
            domain = _domain(expr, program, domains, vocabulary)
            # A categorical variable has a direction for each value: these must be listed.
            domains[id(expr)] = _listed(domain) if is_categorical(expr) else _numerical(domain)
        except (CompileError, ProgramError) as error:
            why = error.reasons if isinstance(error, CompileError) else [str(error)]
            prefix = f"{program.names[id(expr)]}: "
            reasons += [prefix + reason.removeprefix(f"{expr.name}: ") for reason in why]
    return domains, reasons


def term_matters(term: Term, domains: Domains) -> tuple[bool, bool]:
    """Whether what a term selects depends on the key's value, and on the query's."""
    keys, queries = domains[id(term.keys)].states, domains[id(term.queries)].states
    by_query = [tuple(term.holds(key, query) for key in keys) for query in queries]
    by_key = list(zip(*by_query, strict=True))
    return len(set(by_key)) > 1, len(set(by_query)) > 1


def argument_matters(expr: SequenceMap, domains: Domains) -> tuple[bool, bool]:
    """Whether the result depends on the first argument, and on the second."""
    if isinstance(expr, LinearSequenceMap):
        if expr.fst is expr.snd:
            return (expr.fst_fac + expr.snd_fac != 0,) * 2
        return expr.fst_fac != 0, expr.snd_fac != 0
    fst, snd = domains[id(expr.fst)], domains[id(expr.snd)]
    rows = [tuple(_result(expr, x, y) for y in snd.states) for x in fst.states]
    columns = list(zip(*rows, strict=True))
    return len(set(rows)) > 1, len(set(columns)) > 1


def _result(expr: SequenceMap, x: Value, y: Value) -> Value:
    if not isinstance(expr, Joint) and (x is None or y is None):
        return None
    return try_call(expr.f, expr.name, x, y)[1]


def _domain(expr: SOp, program: Program, domains: Domains, vocabulary: Vocabulary) -> Domain:
    if isinstance(expr, TokensType):
        return Domain(vocabulary.tokens, False, True)
    if isinstance(expr, IndicesType):
        return Domain(tuple(range(vocabulary.max_len)), False, False)
    if isinstance(expr, Full):
        return Domain(_sorted([expr.fill]), expr.fill is None, False)
    mapped = as_map(expr)
    if mapped is not None:
        inner, f = domains[id(mapped[0])], mapped[1]
        results = [try_call(f, expr.name, x) for x in inner.listed]
        found = [y for defined, y in results if defined]
        varies = inner.varies and len({*found, *([None] if inner.nullable else [])}) > 1
        return Domain(_sorted(found), inner.nullable or None in found, varies)
    if isinstance(expr, SequenceMap):
        return _sequence_map(expr, domains)
    moves = [_selection_varies(term, domains) for term in program.terms(expr)]
    varies = any(moves) or vocabulary.pad  # where inputs are padded, lengths differ
    if isinstance(expr, SelectorWidth):
        return Domain(tuple(range(vocabulary.max_len + 1)), False, varies)
    assert isinstance(expr, (Aggregate, AggregateSum))
    sop = domains[id(expr.sop)]
    varies = varies or sop.varies
    if isinstance(expr, AggregateSum):
        counts = reachable_sums(sop.numbers, vocabulary.max_len)
        return Domain(None if counts is None else _sorted({s for s, _ in counts}), False, varies)
    nullable = sop.nullable or expr.default is None
    if is_categorical(expr):
        return Domain(_sorted([*sop.listed, expr.default]), nullable, varies)
    counts = None if sop.values is None else reachable_sums(sop.numbers, vocabulary.max_len)
    if counts is None:
        return Domain(None, nullable, varies)
    means = {canonical(as_number(s) / n) for s, n in counts if n}
    return Domain(_sorted([*means, expr.default]), nullable, varies)


def _sequence_map(expr: SequenceMap, domains: Domains) -> Domain:
    fst, snd = domains[id(expr.fst)], domains[id(expr.snd)]
    nullable = fst.nullable or snd.nullable
    if isinstance(expr, LinearSequenceMap) and _too_many(fst, snd):
        return Domain(None, nullable, fst.varies or snd.varies)
    joint = isinstance(expr, Joint)
    lists = (fst.states, snd.states) if joint else (fst.listed, snd.listed)
    pairs = zip(*lists, strict=True) if expr.fst is expr.snd else itertools.product(*lists)
    if expr.fst is not expr.snd:
        _check_pairs(*lists, "are mapped")
    results = [try_call(expr.f, expr.name, x, y) for x, y in pairs]
    found = [y for defined, y in results if defined]
    matters = argument_matters(expr, domains)
    varies = (fst.varies and matters[0]) or (snd.varies and matters[1])
    return Domain(_sorted(found), (nullable and not joint) or None in found, varies)


def _too_many(fst: Domain, snd: Domain) -> bool:
    if fst.values is None or snd.values is None:
        return True
    if fst is snd:
        return False
    return len(fst.values) * len(snd.values) > MAX_VALUES


def _check_pairs(fst: Sequence[Value], snd: Sequence[Value], what: str) -> None:
    if len(fst) * len(snd) > MAX_PAIRS:
        reason = (
            f"{len(fst)} by {len(snd)} values {what}, more than {MAX_PAIRS} pairs; "
            "with fewer tokens, a smaller max_len or coarser values there are fewer"
        )
        raise CompileError([reason])


def _selection_varies(term: Term, domains: Domains) -> bool:
    _check_pairs(domains[id(term.keys)].states, domains[id(term.queries)].states, "are compared")
    by_key, by_query = term_matters(term, domains)
    return (by_key and domains[id(term.keys)].varies) or (
        by_query and domains[id(term.queries)].varies
    )


def reachable_sums(numbers: Iterable[Value], max_len: int) -> set[tuple[Value, int]] | None:
    """Every (sum, how many were summed) for up to `max_len` of these numbers; None: too many."""
    numbers = tuple(numbers)
    reached: set[tuple[Value, int]] = {(0.0, 0)}
    last: set[Value] = {0.0}
    for n in range(1, max_len + 1):
        if len(last) * len(numbers) > MAX_PAIRS:
            return None
        # Sums in another order differ in their last digits; `canonical` makes one value of them.
        raw: set[float] = set()
        for s in last:
            raw.update(s + x for x in numbers)  # type: ignore[operator]
            if len(raw) > MAX_RAW:
                return None
        last = {canonical(s) for s in raw}
        reached |= {(s, n) for s in last}
        if len(reached) > MAX_VALUES:
            return None
    return reached


def _listed(domain: Domain) -> Domain:
    return replace(domain, values=domain.listed)


def _numerical(domain: Domain) -> Domain:
    if domain.values is None:
        return domain
    return replace(domain, values=_sorted(domain.numbers))


def _sorted(values: Iterable[Value]) -> tuple[Value, ...]:
    """Distinct values without None, in their own order or, where they have none, by their text."""
    distinct = list(dict.fromkeys(v for v in values if v is not None))
    try:
        return tuple(sorted(distinct))  # type: ignore[type-var]
    except TypeError:
        return tuple(sorted(distinct, key=lambda v: (type(v).__name__, repr(v))))
