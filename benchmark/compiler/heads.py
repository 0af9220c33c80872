"""Pass 6, first half: attention heads, by the weights of their q, k, v and o."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from knowncircuits.compiler.layout import Layout
from knowncircuits.compiler.selectors import Term
from knowncircuits.compiler.values import term_matters
from knowncircuits.compiler.variables import Read, Variable, Weights, number
from knowncircuits.rasp.expressions import Value

# A selected key scores this much more than one that is not: exp(-50) of the weight goes astray.
COLDNESS = 100.0
# In a sum, BOS weighs as much as so many selected keys, which makes the mean nearly linear in it.
SUM_DILUTION = 10_000.0


@dataclass
class Head:
    """An attention head: the weights, and what its q, k and v read."""

    reads: dict[str, list[Read]]
    q: Weights = field(default_factory=Weights)
    k: Weights = field(default_factory=Weights)
    v: Weights = field(default_factory=Weights)
    o: Weights = field(default_factory=Weights)


def attend(terms: Sequence[Term], layout: Layout, *, bos_score: float) -> Head:
    """The q and k of a head in which a key scores COLDNESS for each term that holds.

    Args:
        terms: the conjunction; keys for which all terms hold are selected.
        layout: the places of variables.
        bos_score: the score of BOS for every query, in units of COLDNESS beyond the terms' number:
            -0.5 makes it what is attended to where nothing is selected, 0 always attends to it too.
    """
    constants, domains = layout.constants, layout.domains
    head = Head({"q": [], "k": [], "v": []})
    one, bos = constants.one.directions[0], constants.bos.directions[0]
    n = len(terms)
    score_of_bos = n + bos_score
    dimensions = itertools.count()
    bos_dimension, one_dimension = next(dimensions), None
    head.k.add(bos, bos_dimension, 1.0)
    head.q.add(one, bos_dimension, COLDNESS * score_of_bos)
    head.q.add(bos, bos_dimension, COLDNESS * (n + 1))  # BOS attends to itself alone
    for term in terms:
        keys, queries = layout.of(term.keys), layout.of(term.queries)
        key_states, query_states = (
            domains[id(term.keys)].nullable,
            domains[id(term.queries)].nullable,
        )

        def holds(key: Value, query: Value, term: Term = term) -> float:
            return float(term.holds(key, query))

        # The table over (key or None) x (query or None) as a bilinear form of one-hot vectors and
        # 1: what holds for None is the constant part, and values add their difference from it.
        none_none = holds(None, None) if key_states and query_states else 0.0
        of_query = {q: (holds(None, q) if key_states else 0.0) - none_none for q in queries.values}
        of_key = {k: (holds(k, None) if query_states else 0.0) - none_none for k in keys.values}
        for key, direction in zip(keys.values, keys.directions, strict=True):
            dimension = next(dimensions)
            head.k.add(direction, dimension, 1.0)
            head.q.add(one, dimension, COLDNESS * of_key[key])
            for query, query_direction in zip(queries.values, queries.directions, strict=True):
                rest = holds(key, query) - of_key[key] - of_query[query] - none_none
                head.q.add(query_direction, dimension, COLDNESS * rest)
        if none_none or any(of_query.values()):
            if one_dimension is None:
                one_dimension = next(dimensions)
                head.k.add(one, one_dimension, 1.0)
            head.q.add(one, one_dimension, COLDNESS * none_none)
            for query, direction in zip(queries.values, queries.directions, strict=True):
                head.q.add(direction, one_dimension, COLDNESS * of_query[query])
        # BOS holds a known key: take what it scores out again.
        at_bos = keys.at_bos
        none_at_bos = (
            holds(at_bos, None) if query_states and (at_bos is not None or key_states) else 0.0
        )
        head.q.add(one, bos_dimension, -COLDNESS * none_at_bos)
        for query, direction in zip(queries.values, queries.directions, strict=True):
            score = holds(at_bos, query) if at_bos is not None or key_states else 0.0
            head.q.add(direction, bos_dimension, -COLDNESS * (score - none_at_bos))
        by_key, by_query = term_matters(term, domains)
        head.reads["k"].append(Read(keys, by_key))
        head.reads["q"].append(Read(queries, by_query))
    if constants.pad is not None:
        dimension = next(dimensions)
        head.k.add(constants.pad.directions[0], dimension, 1.0)
        head.q.add(one, dimension, -COLDNESS * (4 * n + 4))
    head.reads["q"] += [Read(constants.one, False), Read(constants.bos, False)]
    head.reads["k"] += constants.flags
    if one_dimension is not None:
        head.reads["k"].append(Read(constants.one, False))
    return head


def aggregate_head(
    terms: Sequence[Term], sop: Variable, out: Variable, default: Value, layout: Layout
) -> Head:
    """A head that moves or averages a variable; BOS holds the default."""
    head = attend(terms, layout, bos_score=-0.5)
    bos = layout.constants.bos.directions[0]
    if out.numerical:
        _value_into(head, sop)
        head.v.add(bos, 0, number(default) - number(sop.at_bos))
        head.o.add(out.directions[0], 0, 1.0)
    else:
        place = {value: i for i, value in enumerate(out.values)}
        for value, direction in zip(sop.values, sop.directions, strict=True):
            head.v.add(direction, place[value], 1.0)
        if sop.at_bos is not None:
            head.v.add(bos, place[sop.at_bos], -1.0)
        if default is not None:
            head.v.add(bos, place[default], 1.0)
        for i, direction in enumerate(out.directions):
            head.o.add(direction, i, 1.0)
    _reads_value(head, sop, bos, layout)
    return head


def sum_head(terms: Sequence[Term], sop: Variable, out: Variable, layout: Layout) -> Head:
    """A head that averages over the selected keys and a BOS that weighs as SUM_DILUTION of them.

    Its output is sum / (width + SUM_DILUTION), which tells the sum.
    """
    head = attend(terms, layout, bos_score=math.log(SUM_DILUTION) / COLDNESS)
    bos = layout.constants.bos.directions[0]
    _value_into(head, sop)
    head.v.add(bos, 0, -number(sop.at_bos))
    head.o.add(out.directions[0], 0, 1.0)
    _reads_value(head, sop, bos, layout)
    return head


def width_head(terms: Sequence[Term], out: Variable, layout: Layout) -> Head:
    """A head whose output is BOS's share of the attention, 1 / (width + 1)."""
    head = attend(terms, layout, bos_score=0.0)
    head.v.add(layout.constants.bos.directions[0], 0, 1.0)
    head.o.add(out.directions[0], 0, 1.0)
    head.reads["v"].append(Read(layout.constants.bos, False))
    return head


def _value_into(head: Head, sop: Variable) -> None:
    """The variable as a number, in the head's first dimension."""
    if sop.numerical:
        head.v.add(sop.directions[0], 0, 1.0)
    else:
        for value, direction in zip(sop.values, sop.directions, strict=True):
            head.v.add(direction, 0, number(value))


def _reads_value(head: Head, sop: Variable, bos: int, layout: Layout) -> None:
    matters = sop.numerical or len(sop.values) + sop.nullable > 1
    head.reads["v"].append(Read(sop, matters))
    if any(direction == bos for direction, _ in head.v.entries):
        head.reads["v"].append(Read(layout.constants.bos, False))
