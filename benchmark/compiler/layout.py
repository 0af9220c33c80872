"""Pass 5: places: which node writes a variable, and along which residual directions.

The residual stream has a direction for each value of a categorical variable and one for a numerical
variable; None is the zero vector. Two directions are constants of the embedding: `one`, everywhere
1, and `tokens:BOS`. BOS attends to itself alone, so what every variable holds there is known here.
"""

from __future__ import annotations

from dataclasses import dataclass

from knowncircuits.compiler.program import (
    BOS_FLAG,
    INDICES,
    ONE,
    PAD_FLAG,
    RESERVED,
    TOKENS,
    Program,
    unique_name,
)
from knowncircuits.compiler.schedule import decodes, is_head, needs_mlp
from knowncircuits.compiler.selectors import Joint, as_map
from knowncircuits.compiler.values import Domains, try_call
from knowncircuits.compiler.variables import Constants, Variable, number
from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    Encoding,
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
from knowncircuits.vocabulary import Vocabulary


@dataclass(frozen=True)
class Layout:
    """Every variable with its place, by name, and how wide the residual stream is."""

    variables: dict[str, Variable]
    tokens: Variable
    indices: Variable
    by_expr: dict[int, Variable]
    raw: dict[int, Variable]  # what a head leaves for its MLP to decode
    constants: Constants
    domains: Domains
    d_model: int

    def of(self, expr: SOp) -> Variable:
        """The variable that an S-Op is."""
        return self.by_expr[id(expr)]


def lay_out(
    program: Program, domains: Domains, layers: dict[int, int], vocabulary: Vocabulary
) -> Layout:
    """Give every variable a node and its directions."""
    nodes = _nodes(program, layers)
    variables: dict[str, Variable] = {}
    by_expr: dict[int, Variable] = {}
    raw: dict[int, Variable] = {}
    size = 0

    def place(
        name: str, node: str, encoding: Encoding, values: tuple[Value, ...], **facts: object
    ) -> Variable:
        nonlocal size
        n = 1 if encoding is Encoding.NUMERICAL else len(values)
        kept = () if encoding is Encoding.NUMERICAL else values
        directions = tuple(range(size, size + n))
        size += n
        variable = Variable(name, node, encoding, kept, directions, **facts)  # type: ignore[arg-type]
        return keep(variable)

    def keep(variable: Variable) -> Variable:
        assert variable.name not in variables, f"two variables of the name {variable.name}"
        variables[variable.name] = variable
        return variable

    def constant(name: str, varies: bool = False) -> Variable:
        return place(name, "embed", Encoding.NUMERICAL, (), varies=varies, at_bos=1.0)

    constants = Constants(
        constant(ONE),
        constant(BOS_FLAG),
        constant(PAD_FLAG, varies=True) if vocabulary.pad else None,
    )
    # The input is embedded whether or not the program reads it.
    tokens = place(TOKENS, "embed", Encoding.CATEGORICAL, vocabulary.tokens)
    positions = tuple(range(vocabulary.max_len))
    indices = place(INDICES, "pos", Encoding.CATEGORICAL, positions, varies=False)
    taken = {*RESERVED, *program.names.values()}
    for expr in program.dependency_order():
        name, domain = program.names[id(expr)], domains[id(expr)]
        if isinstance(expr, (TokensType, IndicesType)):
            by_expr[id(expr)] = tokens if isinstance(expr, TokensType) else indices
        elif isinstance(expr, Full) and is_categorical(expr):
            values = domain.listed
            by_expr[id(expr)] = keep(
                Variable(
                    name,
                    "embed",
                    Encoding.CATEGORICAL,
                    values,
                    constants.one.directions[: len(values)],
                    nullable=domain.nullable,
                    varies=False,
                    at_bos=expr.fill,
                )
            )
        else:
            if decodes(expr):
                attention = unique_name(f"{name}_attention", taken)
                taken.add(attention)
                raw[id(expr)] = place(
                    attention,
                    nodes[id(expr)][0],
                    Encoding.NUMERICAL,
                    (),
                    varies=domain.varies,
                    at_bos=1.0 if isinstance(expr, SelectorWidth) else 0.0,
                )
            by_expr[id(expr)] = place(
                name,
                nodes[id(expr)][-1],
                expr.encoding,
                domain.values or (),
                nullable=domain.nullable,
                varies=domain.varies,
                at_bos=_at_bos(expr, by_expr, domains),
            )
    return Layout(variables, tokens, indices, by_expr, raw, constants, domains, size)


def _nodes(program: Program, layers: dict[int, int]) -> dict[int, tuple[str, ...]]:
    """The head, the MLP, or both, that compute each S-Op."""
    heads: dict[int, int] = {}
    nodes: dict[int, tuple[str, ...]] = {}
    for expr in program.sops:
        if id(expr) not in layers:
            continue
        layer = layers[id(expr)]
        parts = []
        if is_head(expr):
            parts.append(f"a{layer}.h{heads.get(layer, 0)}")
            heads[layer] = heads.get(layer, 0) + 1
        if needs_mlp(expr):
            parts.append(f"m{layer}")
        nodes[id(expr)] = tuple(parts)
    return nodes


def _at_bos(expr: SOp, by_expr: dict[int, Variable], domains: Domains) -> Value:
    """What a variable holds at BOS, where each head attends to BOS alone."""
    value: Value = None
    mapped = as_map(expr)
    if isinstance(expr, Aggregate):
        value = expr.default
    elif isinstance(expr, (SelectorWidth, AggregateSum)):
        value = 0
    elif isinstance(expr, Full):
        value = expr.fill
    elif mapped is not None:
        inner, f = mapped
        x = by_expr[id(inner)].at_bos
        if x is not None and x in domains[id(inner)].listed:
            value = try_call(f, expr.name, x)[1]
    elif isinstance(expr, LinearSequenceMap):
        fst, snd = by_expr[id(expr.fst)].at_bos, by_expr[id(expr.snd)].at_bos
        value = expr.f(fst, snd)
    elif isinstance(expr, SequenceMap):
        fst, snd = by_expr[id(expr.fst)].at_bos, by_expr[id(expr.snd)].at_bos
        present = [x is not None for x in (fst, snd)]
        if all(present) or (isinstance(expr, Joint) and any(present)):
            value = try_call(expr.f, expr.name, fst, snd)[1]
    if is_categorical(expr):  # a pair that occurs at BOS alone has no unit
        return value if value in domains[id(expr)].listed else None
    return number(value)
