"""The values that each step can take, whether it can be None, and whether it varies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from knowncircuits.errors import CompileError, ProgramError
from knowncircuits.rasp.program import Kind, Program, Step
from knowncircuits.rasp.terms import Term
from knowncircuits.rasp.values import Value, as_number, canonical, try_call
from knowncircuits.rasp.vocabulary import Vocabulary

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


Domains = dict[Step, Domain]


def infer_domains(program: Program, vocabulary: Vocabulary) -> tuple[Domains, list[str]]:
    """The domain of every step, and the reasons why some have none."""
    domains: Domains = {}
    reasons: list[str] = []
    for step in program.in_order:
        if any(read not in domains for read in step.reads):
            continue  # the reason lies further down, and is reported
        try:
            domain = _domain(step, domains, vocabulary)
            # A categorical variable has a direction for each value: these must be listed.
            domains[step] = _numerical(domain) if step.numerical else _listed(domain)
        except (CompileError, ProgramError) as error:
            why = error.reasons if isinstance(error, CompileError) else [str(error)]
            prefix = f"{step.name}: "
            reasons += [prefix + reason.removeprefix(prefix) for reason in why]
    return domains, reasons


def value_of(step: Step, *arguments: Value) -> tuple[bool, Value]:
    """Whether a step's function has a value there, and which; see `try_call`."""
    assert step.function is not None
    return try_call(step.function, step.name, *arguments)


def term_matters(term: Term[Step], domains: Domains) -> tuple[bool, bool]:
    """Whether what a term selects depends on the key's value, and on the query's."""
    keys, queries = domains[term.keys].states, domains[term.queries].states
    by_query = [tuple(term.holds(key, query) for key in keys) for query in queries]
    by_key = list(zip(*by_query, strict=True))
    return len(set(by_key)) > 1, len(set(by_query)) > 1


def argument_matters(table: Step, domains: Domains) -> tuple[bool, ...]:
    """Whether the result of a function of several depends on each of them."""
    lists = [domains[part].states for part in table.inputs]
    results: dict[tuple[Value, ...], Value] = {}
    for arguments in itertools.product(*lists):
        missing = not table.takes_none and None in arguments
        results[arguments] = None if missing else value_of(table, *arguments)[1]

    def matters(place: int) -> bool:
        """Whether results with this argument differ from those with another in its place."""
        found: dict[tuple[Value, ...], Value] = {}
        return any(
            found.setdefault((*args[:place], *args[place + 1 :]), result) != result
            for args, result in results.items()
        )

    return tuple(map(matters, range(len(lists))))


def _domain(step: Step, domains: Domains, vocabulary: Vocabulary) -> Domain:
    match step.kind:
        case Kind.TOKENS:
            return Domain(vocabulary.tokens, False, True)
        case Kind.INDICES:
            return Domain(tuple(range(vocabulary.max_len)), False, False)
        case Kind.CONSTANT:
            return Domain(_sorted([step.constant]), step.constant is None, False)
        case Kind.MAP:
            return _map(step, domains[step.inputs[0]])
        case Kind.TABLE:
            return _table(step, domains)
        case Kind.LINEAR:
            return _linear(step, [domains[part] for part in step.inputs])
    moves = [_selection_varies(term, domains) for term in step.terms]
    varies = any(moves) or vocabulary.pad  # where inputs are padded, lengths differ
    if step.kind is Kind.WIDTH:
        return Domain(tuple(range(vocabulary.max_len + 1)), False, varies)
    (aggregated,) = (domains[part] for part in step.inputs)
    varies = varies or aggregated.varies
    if step.kind is Kind.SUM:
        return _sum(aggregated, vocabulary.max_len, varies)
    return _mean(step, aggregated, vocabulary.max_len, varies)


def _map(step: Step, inner: Domain) -> Domain:
    results = [value_of(step, x) for x in inner.listed]
    found = [y for defined, y in results if defined]
    varies = inner.varies and len({*found, *([None] if inner.nullable else [])}) > 1
    return Domain(_sorted(found), inner.nullable or None in found, varies)


def _table(step: Step, domains: Domains) -> Domain:
    parts = [domains[part] for part in step.inputs]
    lists = [part.states if step.takes_none else part.listed for part in parts]
    _check_table("are mapped", *lists)
    results = [value_of(step, *arguments) for arguments in itertools.product(*lists)]
    found = [y for defined, y in results if defined]
    matters = zip(parts, argument_matters(step, domains), strict=True)
    varies = any(part.varies and counts for part, counts in matters)
    nullable = any(part.nullable for part in parts) and not step.takes_none
    return Domain(_sorted(found), nullable or None in found, varies)


def _linear(step: Step, parts: Sequence[Domain]) -> Domain:
    nullable = any(part.nullable for part in parts)
    lists = [part.values for part in parts if part.values is not None]
    too_many = len(parts) > 1 and math.prod(map(len, lists)) > MAX_VALUES
    if too_many or len(lists) < len(parts):
        return Domain(None, nullable, any(part.varies for part in parts))
    results = [value_of(step, *numbers) for numbers in itertools.product(*lists)]
    found = [y for defined, y in results if defined]
    reads = zip(parts, step.factors, strict=True)
    varies = any(part.varies and factor != 0 for part, factor in reads)
    return Domain(_sorted(found), nullable or None in found, varies)


def _sum(summed: Domain, max_len: int, varies: bool) -> Domain:
    counts = reachable_sums(summed.numbers, max_len)
    return Domain(None if counts is None else _sorted({s for s, _ in counts}), False, varies)


def _mean(step: Step, averaged: Domain, max_len: int, varies: bool) -> Domain:
    nullable = averaged.nullable or step.constant is None
    if not step.numerical:
        return Domain(_sorted([*averaged.listed, step.constant]), nullable, varies)
    counts = None if averaged.values is None else reachable_sums(averaged.numbers, max_len)
    if counts is None:
        return Domain(None, nullable, varies)
    means = {canonical(as_number(s) / n) for s, n in counts if n}
    return Domain(_sorted([*means, step.constant]), nullable, varies)


def _selection_varies(term: Term[Step], domains: Domains) -> bool:
    keys, queries = domains[term.keys], domains[term.queries]
    _check_table("are compared", keys.states, queries.states)
    by_key, by_query = term_matters(term, domains)
    return (by_key and keys.varies) or (by_query and queries.varies)


def _check_table(what: str, *lists: Sequence[Value]) -> None:
    sizes = [len(values) for values in lists]
    if math.prod(sizes) > MAX_PAIRS:
        kind = "pairs" if len(sizes) == 2 else "combinations"
        reason = (
            f"{' by '.join(map(str, sizes))} values {what}, more than {MAX_PAIRS} {kind}; "
            "with fewer tokens, a smaller max_len or coarser values there are fewer"
        )
        raise CompileError([reason])


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
