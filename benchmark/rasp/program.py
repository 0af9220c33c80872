"""The program as steps: every S-Op classified once, with all that is asked of it afterwards.

Steps are in the order of a breadth-first walk from the output. That order decides which of several
heads in a layer comes first; it is tracr's, so that the circuits of both compilers can be compared
name by name.
"""

from __future__ import annotations

import enum
import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knowncircuits.errors import CompileError
from knowncircuits.rasp.aggregates import Aggregate, AggregateSum, SelectorWidth
from knowncircuits.rasp.expressions import (
    BinaryFunction,
    ConstantSOp,
    Encoding,
    Expression,
    Full,
    IndicesType,
    LinearSequenceMap,
    Map,
    NarySequenceMap,
    SequenceMap,
    SOp,
    TokensType,
    UnaryFunction,
)
from knowncircuits.rasp.selectors import Selector
from knowncircuits.rasp.terms import Conjunctions, Joint, Term
from knowncircuits.rasp.values import Value

# The compiler's own variables: the input, and the constants of the embedding.
TOKENS, INDICES = TokensType.default_name, IndicesType.default_name
ONE, BOS_FLAG, PAD_FLAG = "one", "tokens:BOS", "tokens:PAD"
RESERVED = frozenset({TOKENS, INDICES, ONE, BOS_FLAG, PAD_FLAG})

Parts = Callable[[Expression], Sequence[Expression]]  # what an expression is walked on to


class Kind(enum.Enum):
    """What a step computes, whichever expression it comes from."""

    TOKENS = enum.auto()  # the input
    INDICES = enum.auto()  # the positions
    CONSTANT = enum.auto()  # the same everywhere
    MAP = enum.auto()  # a function of one variable
    TABLE = enum.auto()  # a function of several categorical variables
    LINEAR = enum.auto()  # one or two numbers, each times its factor
    WIDTH = enum.auto()  # how many positions are selected
    MEAN = enum.auto()  # of a variable, over the selected positions
    SUM = enum.auto()  # of a variable, over the selected positions


INPUTS = (Kind.TOKENS, Kind.INDICES)  # which are given, and not computed


@dataclass(frozen=True, eq=False)
class Step:
    """One S-Op of a program. A step is itself alone: of two equal S-Ops there are two."""

    sop: SOp  # where it comes from
    name: str  # no two variables of a program share one, see `_unique_names`
    encoding: Encoding
    kind: Kind
    inputs: tuple[Step, ...]  # what the function, the mean or the sum is of
    terms: tuple[Term[Step], ...]  # all of them hold where something is selected
    reads: tuple[Step, ...]  # all that it is computed from: what the terms compare, and the inputs
    is_head: bool  # whether an attention head computes it, alone or before an MLP
    needs_mlp: bool = False  # whether an MLP computes it, alone or after a head
    function: Callable[..., Value] | None = None  # of MAP, TABLE and LINEAR: of as many inputs
    takes_none: bool = False  # whether the function has a value where an input is None
    factors: tuple[float, ...] = ()  # of LINEAR: one for each input
    constant: Value = None  # of CONSTANT: its value; of MEAN: where nothing is selected

    @property
    def numerical(self) -> bool:
        """Whether it is held as a number along one direction."""
        return self.encoding is Encoding.NUMERICAL


@dataclass(frozen=True)
class Program:
    """The steps of a program, in two orders."""

    output: Step  # whose value the program has
    steps: tuple[Step, ...]  # breadth first from the output
    in_order: tuple[Step, ...]  # each after all that it reads


def flatten(output: SOp) -> Program:
    """Classify every S-Op of a program; raises CompileError for what is no program."""
    if not isinstance(output, SOp):
        raise CompileError([f"expected an S-Op as the program's output, got {output!r}"])
    conjunctions = Conjunctions()
    sops = _breadth_first(output, conjunctions.parts)
    names = _unique_names(sops)
    steps: dict[SOp, Step] = {}
    for sop in _dependency_order(output, conjunctions.parts):
        steps[sop] = _classify(sop, names[sop], steps, conjunctions)
    return Program(steps[output], tuple(steps[sop] for sop in sops), tuple(steps.values()))


def _classify(sop: SOp, name: str, steps: Mapping[SOp, Step], conjunctions: Conjunctions) -> Step:
    """The one place that tells kinds of S-Ops apart, given the steps of what this one reads."""

    def step(kind: Kind, *parts: SOp, selector: Selector | None = None, **facts: Any) -> Step:
        found = () if selector is None else conjunctions.terms(selector)
        terms = tuple(Term(steps[t.keys], steps[t.queries], t.holds) for t in found)
        inputs = tuple(steps[part] for part in parts)
        reads = (*(read for term in terms for read in (term.keys, term.queries)), *inputs)
        is_head = selector is not None
        return Step(sop, name, sop.encoding, kind, inputs, terms, reads, is_head, **facts)

    match sop:
        case TokensType():
            return step(Kind.TOKENS)
        case IndicesType():
            return step(Kind.INDICES)
        case Full():
            is_number = sop.encoding is Encoding.NUMERICAL
            return step(Kind.CONSTANT, constant=sop.fill, needs_mlp=is_number)
        case ConstantSOp():
            return step(Kind.MAP, sop.positions, function=sop.at, needs_mlp=True)
        case Map():
            return step(Kind.MAP, sop.inner, function=sop.f, needs_mlp=True)
        case LinearSequenceMap() if sop.fst is sop.snd:
            once, total = _of_one(sop.f), (sop.fst_fac + sop.snd_fac,)
            return step(Kind.LINEAR, sop.fst, function=once, factors=total, needs_mlp=True)
        case LinearSequenceMap():
            pair, factors = (sop.fst, sop.snd), (sop.fst_fac, sop.snd_fac)
            return step(Kind.LINEAR, *pair, function=sop.f, factors=factors, needs_mlp=True)
        case SequenceMap() if sop.fst is sop.snd:
            return step(Kind.MAP, sop.fst, function=_of_one(sop.f), needs_mlp=True)
        case SequenceMap():
            pair, joint = (sop.fst, sop.snd), isinstance(sop, Joint)
            return step(Kind.TABLE, *pair, function=sop.f, takes_none=joint, needs_mlp=True)
        case NarySequenceMap():
            return step(Kind.TABLE, *sop.sops, function=sop.f, needs_mlp=True)
        case SelectorWidth():
            return step(Kind.WIDTH, selector=sop.selector, needs_mlp=True)
        case Aggregate():
            return step(Kind.MEAN, sop.sop, selector=sop.selector, constant=sop.default)
        case AggregateSum():
            return step(Kind.SUM, sop.sop, selector=sop.selector, needs_mlp=True)
    raise CompileError([f"{name}: cannot compile a {type(sop).__name__}"])


def _of_one(pair: BinaryFunction) -> UnaryFunction:
    """A function of a variable with itself."""
    return lambda x: pair(x, x)


def _breadth_first(output: SOp, parts: Parts) -> list[SOp]:
    """The S-Ops of a program from its output on."""
    seen: dict[Expression, None] = {output: None}
    queue: deque[Expression] = deque([output])
    while queue:
        for part in parts(queue.popleft()):
            if part not in seen:
                seen[part] = None
                queue.append(part)
    return [expr for expr in seen if isinstance(expr, SOp)]


def _dependency_order(output: SOp, parts: Parts) -> list[SOp]:
    """The S-Ops of a program, each after all that it is computed from."""
    done: dict[Expression, None] = {}
    stack: list[tuple[Expression, bool]] = [(output, False)]
    while stack:
        expr, expanded = stack.pop()
        if expr in done:
            continue
        if expanded:
            done[expr] = None
        else:
            stack.append((expr, True))
            stack += [(part, False) for part in reversed(parts(expr))]
    return [expr for expr in done if isinstance(expr, SOp)]


def unique_name(name: str, taken: Collection[str]) -> str:
    """The name itself, or where that is taken with the first number that makes it free."""
    numbered = (f"{name}_{n}" for n in itertools.count(2))
    return name if name not in taken else next(new for new in numbered if new not in taken)


def _unique_names(sops: Iterable[SOp]) -> dict[SOp, str]:
    """Every S-Op's own name, as far as no other, and nothing of the compiler's, has it already.

    Names that a program gives go before those that kinds of S-Ops have by default. The input is
    one variable under whatever name it is used, and keeps its own.
    """
    names: dict[SOp, str] = {}
    taken = set(RESERVED)
    for sop in sorted(sops, key=lambda sop: "name" not in sop.annotations):
        given = isinstance(sop, (TokensType, IndicesType))
        names[sop] = sop.default_name if given else unique_name(sop.name, taken)
        taken.add(names[sop])
    return names
