"""Pass 3, first half: attention heads, by the weights of their q, k, v and o."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from knowncircuits.compiler.layout import Layout
from knowncircuits.compiler.variables import Read, Variable, Weights, number
from knowncircuits.names import Letter
from knowncircuits.rasp.domains import term_matters
from knowncircuits.rasp.program import Kind, Step
from knowncircuits.rasp.terms import Term
from knowncircuits.rasp.values import Value

# A selected key scores this much more than one that is not: exp(-50) of the weight goes astray.
COLDNESS = 100.0
# In a sum, BOS weighs as much as so many selected keys, which makes the mean nearly linear in it.
SUM_DILUTION = 10_000.0


@dataclass
class Head:
    """An attention head: the weights, and what its q, k and v read."""

    reads: dict[Letter, list[Read]]
    q: Weights = field(default_factory=Weights)
    k: Weights = field(default_factory=Weights)
    v: Weights = field(default_factory=Weights)
    o: Weights = field(default_factory=Weights)


def _attend(terms: Sequence[Term[Step]], layout: Layout, *, bos_score: float) -> Head:
    """The q and k of a head in which a key scores COLDNESS for each term that holds.

    Args:
        terms: the conjunction; keys for which all terms hold are selected.
        layout: the places of variables.
        bos_score: the score of BOS for every query, in units of COLDNESS beyond the terms' number:
            -0.5 makes it what is attended to where nothing is selected, 0 always attends to it too.
    """
    constants, n = layout.constants, len(terms)
    one, bos = constants.one.directions[0], constants.bos.directions[0]
    head = Head({"q": [], "k": [], "v": []})
    to_bos, to_all, free = 0, 1, itertools.count(2)  # dimensions between q and k
    head.k.add(bos, to_bos, 1.0)
    head.q.add(one, to_bos, COLDNESS * (n + bos_score))
    head.q.add(bos, to_bos, COLDNESS * (n + 1))  # BOS attends to itself alone
    for term in terms:
        keys, queries = layout.of(term.keys), layout.of(term.queries)
        score = _scores(term, layout)
        # The table over (key or None) x (query or None) as a bilinear form of one-hot vectors and
        # 1: what holds for None is the constant part, and values add their difference from it.
        rows = dict(zip(queries.values, queries.directions, strict=True))
        known = np.array([score(None, query) for query in rows])
        for key, direction in zip(keys.values, keys.directions, strict=True):
            dimension = next(free)
            head.k.add(direction, dimension, 1.0)
            of_key = score(key, None) - score(None, None)
            head.q.add(one, dimension, of_key)
            differences = np.array([score(key, query) for query in rows]) - known - of_key
            for i in np.flatnonzero(differences):
                head.q.add(queries.directions[i], dimension, float(differences[i]))
        head.q.add(one, to_all, score(None, None))
        # BOS holds a key that is known: what that scores is taken out again.
        head.q.add(one, to_bos, -score(keys.at_bos, None))
        for query, row in rows.items():
            head.q.add(row, to_all, score(None, query) - score(None, None))
            head.q.add(row, to_bos, score(keys.at_bos, None) - score(keys.at_bos, query))
        by_key, by_query = term_matters(term, layout.domains)
        head.reads["k"].append(Read(keys, by_key))
        head.reads["q"].append(Read(queries, by_query))
    head.reads["q"] += [Read(constants.one, False), Read(constants.bos, False)]
    head.reads["k"] += constants.flags
    if any(dimension == to_all for _, dimension in head.q.entries):
        head.k.add(one, to_all, 1.0)
        head.reads["k"].append(Read(constants.one, False))
    if constants.pad is not None:
        dimension = next(free)
        head.k.add(constants.pad.directions[0], dimension, 1.0)
        head.q.add(one, dimension, -COLDNESS * (4 * n + 4))
    return head


def _scores(term: Term[Step], layout: Layout) -> Callable[[Value, Value], float]:
    """COLDNESS where a term holds for a key and a query; 0 for None where that cannot be."""
    domains = layout.domains
    keys_can, queries_can = domains[term.keys].nullable, domains[term.queries].nullable

    def score(key: Value, query: Value) -> float:
        impossible = (key is None and not keys_can) or (query is None and not queries_can)
        return 0.0 if impossible else COLDNESS * term.holds(key, query)

    return score


def build_head(step: Step, layout: Layout) -> Head:
    """The head that computes a step, or what an MLP decodes to it."""
    return _BUILDERS[step.kind](step, layout)


def _mean_head(step: Step, layout: Layout) -> Head:
    """A head that moves or averages a variable; BOS holds the default."""
    sop, out, default = layout.of(step.inputs[0]), layout.of(step), step.constant
    head = _attend(step.terms, layout, bos_score=-0.5)
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


def _sum_head(step: Step, layout: Layout) -> Head:
    """A head that averages over the selected keys and a BOS that weighs as SUM_DILUTION of them.

    Its output is sum / (width + SUM_DILUTION), which tells the sum.
    """
    sop, out = layout.of(step.inputs[0]), layout.raw[step]
    head = _attend(step.terms, layout, bos_score=math.log(SUM_DILUTION) / COLDNESS)
    bos = layout.constants.bos.directions[0]
    _value_into(head, sop)
    head.v.add(bos, 0, -number(sop.at_bos))
    head.o.add(out.directions[0], 0, 1.0)
    _reads_value(head, sop, bos, layout)
    return head


def _width_head(step: Step, layout: Layout) -> Head:
    """A head whose output is BOS's share of the attention, 1 / (width + 1)."""
    head = _attend(step.terms, layout, bos_score=0.0)
    head.v.add(layout.constants.bos.directions[0], 0, 1.0)
    head.o.add(layout.raw[step].directions[0], 0, 1.0)
    head.reads["v"].append(Read(layout.constants.bos, False))
    return head


_BUILDERS: dict[Kind, Callable[[Step, Layout], Head]] = {
    Kind.MEAN: _mean_head,
    Kind.SUM: _sum_head,
    Kind.WIDTH: _width_head,
}


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
