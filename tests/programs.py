"""Programs for tests: the twelve that tracr was recorded on, gates of flags, and random ones.

Random programs use every primitive, small alphabets, and values that may be None.
"""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st

from knowncircuits import rasp
from knowncircuits.rasp.text import program_text
from knowncircuits.rasp.vocabulary import Vocabulary

TWELVE = (
    "fraction_of_x",
    "histogram",
    "frequency_class",
    "count_greater",
    "sort_unique_numbers",
    "unique_tokens_first",
    "reverse",
    "double_minus_index",
    "oscillation",
    "contains_abc",
    "zero_duplicates",
    "balanced_parentheses",
)

GATE_LETTERS = ("a", "b", "c", "d", "e", "f")


def flag(letter: str) -> rasp.SOp:
    """Whether the input has a letter anywhere: a head that counts it, and a step."""
    same = rasp.Select(rasp.tokens, rasp.Full(letter), rasp.Comparison.EQ)
    return rasp.Map(lambda count: count > 0, rasp.SelectorWidth(same))


def either_flag() -> rasp.SOp:
    """An OR of two flags: where both are on, neither matters alone."""
    return rasp.SequenceMap(lambda x, y: x or y, flag("a"), flag("b"))


def majority_of_flags() -> rasp.SOp:
    """Whether two of three flags are on, of three heads: where all are on, none matters alone."""
    two = rasp.SequenceMap(lambda x, y: int(x) + int(y), flag("a"), flag("b"))
    return rasp.SequenceMap(lambda count, z: count + int(z) >= 2, two, flag("c"))


TOKENS = (0, 1, 2)
PREDICATES = (
    *rasp.Comparison,
    lambda key, query: (key + query) % 2 == 0,
    lambda key, query: key == 1,
)
UNARY = (
    lambda x: x + 1,
    lambda x: -x,
    lambda x: x % 2,
    lambda x: None if x == 1 else x,
    lambda x: 1 / x,  # undefined at 0
    lambda x: 7,
    lambda x: x > 0,
)
BINARY = (
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: max(x, y),
    lambda x, y: x if x == y else None,
    lambda x, y: x,
    lambda x, y: x < y,
)
FACTORS = (-1, 0, 0.5, 1, 2)
SQUARES = (
    [[True]],
    [[False, True], [True, False]],
    [[True, True, False], [False, False, False], [True, False, True]],
)


@dataclasses.dataclass(repr=False)
class RandomProgram:
    """A program with what it is compiled for."""

    output: rasp.SOp
    vocabulary: Vocabulary
    causal: bool

    def __repr__(self) -> str:
        return f"{program_text(self.output)}\n{self.vocabulary}, causal={self.causal}"


VOCABULARIES = st.builds(Vocabulary, st.just(TOKENS), st.integers(1, 4), pad=st.booleans())


@st.composite
def programs(
    draw: st.DrawFn, vocabularies: st.SearchStrategy[Vocabulary] = VOCABULARIES
) -> RandomProgram:
    """Programs of up to seven steps; many cannot be compiled, and must then say so."""
    constant = rasp.ConstantSOp([2, None, 0], check_length=False)
    categorical: list[rasp.SOp] = [rasp.tokens, rasp.indices, rasp.Full(1), constant]
    numerical: list[rasp.SOp] = []

    def cat() -> rasp.SOp:
        return draw(st.sampled_from(categorical))

    def selector(depth: int = 0) -> rasp.Selector:
        kinds = ["select", "constant", "and", "or", "not"] if depth < 2 else ["select"]
        kind = draw(st.sampled_from(kinds))
        if kind == "select":
            return rasp.Select(cat(), cat(), draw(st.sampled_from(PREDICATES)))
        if kind == "constant":
            rows = draw(st.sampled_from(SQUARES))
            return rasp.ConstantSelector(rows, check_length=False)
        if kind == "not":
            return ~selector(depth + 1)
        fst, snd = selector(depth + 1), selector(depth + 1)
        return fst & snd if kind == "and" else fst | snd

    def step() -> rasp.SOp:
        kind = draw(
            st.sampled_from(
                [
                    *("map", "to_number", "pair", "table", "width", "move", "mean", "sum"),
                    *("linear", "decode"),
                ]
            )
        )
        if kind in ("linear", "decode") and not numerical:
            kind = "to_number"
        if kind == "map":
            return rasp.Map(draw(st.sampled_from(UNARY)), cat(), simplify=draw(st.booleans()))
        if kind == "to_number":
            return rasp.numerical(rasp.Map(draw(st.sampled_from(UNARY)), cat()))
        if kind == "pair":
            return rasp.SequenceMap(draw(st.sampled_from(BINARY)), cat(), cat())
        if kind == "table":
            pick = draw(st.sampled_from([0, 1, 2]))
            second = draw(st.sampled_from(BINARY))
            return rasp.NarySequenceMap(
                lambda *xs: second(xs[pick], xs[pick - 1]), cat(), cat(), rasp.tokens
            )
        if kind == "width":
            return rasp.SelectorWidth(selector())
        if kind == "move":
            default = draw(st.sampled_from([None, 0, 9]))
            return rasp.Aggregate(selector(), cat(), default=default)
        if kind == "mean":
            source = draw(st.sampled_from(categorical + numerical))
            default = draw(st.sampled_from([0, 0.5]))
            return rasp.numerical(rasp.Aggregate(selector(), source, default=default))
        if kind == "sum":
            total = rasp.AggregateSum(selector(), draw(st.sampled_from(categorical + numerical)))
            return rasp.numerical(total) if draw(st.booleans()) else total
        fst, snd = draw(st.sampled_from(numerical)), draw(st.sampled_from(numerical))
        if kind == "linear":
            factors = draw(st.sampled_from(FACTORS)), draw(st.sampled_from(FACTORS))
            return rasp.numerical(rasp.LinearSequenceMap(fst, snd, *factors))
        function = draw(st.sampled_from(UNARY))
        decoded = rasp.Map(function, fst, simplify=False)
        return rasp.numerical(decoded) if draw(st.booleans()) else decoded

    for _ in range(draw(st.integers(1, 7))):
        expr = step()
        (categorical if rasp.is_categorical(expr) else numerical).append(expr)
    output = draw(st.sampled_from((categorical + numerical)[-2:]))
    return RandomProgram(output, draw(vocabularies), draw(st.booleans()))
