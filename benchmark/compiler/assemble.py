"""Pass 6: places in the residual stream, and weights in the stacks of a Transformer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from knowncircuits.compiler.components import (
    Constants,
    Head,
    Mlp,
    Read,
    Variable,
    aggregate,
    attend,
    constant_unit,
    decode_sum,
    decode_width,
    dilution_score,
    linear_units,
    map_units,
    pair_units,
    total,
)
from knowncircuits.compiler.program import Program
from knowncircuits.compiler.schedule import decodes, needs_mlp
from knowncircuits.compiler.selectors import Joint, is_head
from knowncircuits.compiler.values import Domain, try_call
from knowncircuits.errors import CompileError
from knowncircuits.rasp.expressions import (
    Aggregate,
    AggregateSum,
    Encoding,
    Full,
    IndicesType,
    LinearSequenceMap,
    Map,
    SelectorWidth,
    SequenceMap,
    SOp,
    TokensType,
    Value,
    is_categorical,
)
from knowncircuits.transformer import Transformer, TransformerConfig
from knowncircuits.vocabulary import BOS, Vocabulary


@dataclass(frozen=True)
class Component:
    """A node that computes something: what each of its inputs reads, and what it writes."""

    node: str
    reads: dict[str, tuple[Read, ...]]  # by destination: `a1.h0<q>`, or the MLP itself
    writes: tuple[Variable, ...]


@dataclass(frozen=True)
class Layout:
    """Every variable with its place, by name, and how wide the residual stream is."""

    variables: dict[str, Variable]
    by_expr: dict[int, Variable]
    raw: dict[int, Variable]  # what a head leaves for its MLP to decode
    constants: Constants
    d_model: int


def lay_out(
    program: Program, domains: dict[int, Domain], layers: dict[int, int], vocabulary: Vocabulary
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
        variables[name] = variable
        return variable

    def constant(name: str, varies: bool = False) -> Variable:
        return place(name, "embed", Encoding.NUMERICAL, (), varies=varies, at_bos=1.0)

    constants = Constants(
        constant("one"),
        constant("tokens:BOS"),
        constant("tokens:PAD", varies=True) if vocabulary.pad else None,
    )
    # The input is embedded whether or not the program reads it.
    place("tokens", "embed", Encoding.CATEGORICAL, vocabulary.tokens)
    place("indices", "pos", Encoding.CATEGORICAL, tuple(range(vocabulary.max_len)), varies=False)
    for expr in program.dependency_order():
        name, domain = program.names[id(expr)], domains[id(expr)]
        if isinstance(expr, (TokensType, IndicesType)):
            by_expr[id(expr)] = variables[expr.default_name]
        elif isinstance(expr, Full) and is_categorical(expr):
            values = domain.listed
            variables[name] = Variable(
                name,
                "embed",
                Encoding.CATEGORICAL,
                values,
                constants.one.directions[: len(values)],
                nullable=domain.nullable,
                varies=False,
                at_bos=expr.fill,
            )
            by_expr[id(expr)] = variables[name]
        else:
            if decodes(expr):
                raw[id(expr)] = place(
                    f"{name}_attention",
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
    return Layout(variables, by_expr, raw, constants, size)


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


def _at_bos(expr: SOp, by_expr: dict[int, Variable], domains: dict[int, Domain]) -> Value:
    """What a variable holds at BOS, where each head attends to BOS alone."""
    value: Value = None
    if isinstance(expr, Aggregate):
        value = expr.default
    elif isinstance(expr, (SelectorWidth, AggregateSum)):
        value = 0
    elif isinstance(expr, Full):
        value = expr.fill
    elif isinstance(expr, LinearSequenceMap) and expr.fst is not expr.snd:
        fst, snd = by_expr[id(expr.fst)].at_bos, by_expr[id(expr.snd)].at_bos
        value = expr.f(fst, snd)
    elif isinstance(expr, Map):
        value = _map_at_bos(expr, expr.inner, expr.f, by_expr, domains)
    elif isinstance(expr, SequenceMap) and expr.fst is expr.snd:
        value = _map_at_bos(expr, expr.fst, lambda x: expr.f(x, x), by_expr, domains)
    elif isinstance(expr, SequenceMap):
        fst, snd = by_expr[id(expr.fst)].at_bos, by_expr[id(expr.snd)].at_bos
        present = [x is not None for x in (fst, snd)]
        if all(present) or (isinstance(expr, Joint) and any(present)):
            value = try_call(expr.f, expr.name, fst, snd)[1]
    if is_categorical(expr):  # a pair that occurs at BOS alone has no unit
        return value if value in domains[id(expr)].listed else None
    return 0.0 if value is None else float(value)  # type: ignore[arg-type]


def _map_at_bos(
    expr: SOp, inner: SOp, f: object, by_expr: dict[int, Variable], domains: dict[int, Domain]
) -> Value:
    x = by_expr[id(inner)].at_bos
    if x is None or x not in domains[id(inner)].listed:
        return None
    return try_call(f, expr.name, x)[1]  # type: ignore[arg-type]


def build(
    program: Program,
    domains: dict[int, Domain],
    layers: dict[int, int],
    layout: Layout,
    vocabulary: Vocabulary,
) -> tuple[dict[str, Head], dict[str, list[Mlp]], list[Component]]:
    """The heads and MLP parts of every node, and what they read and write."""
    heads: dict[str, Head] = {}
    mlps: dict[str, list[Mlp]] = {}
    components: dict[str, Component] = {}

    def lookup(expr: SOp) -> Variable:
        return layout.by_expr[id(expr)]

    def record(node: str, reads: dict[str, Iterable[Read]], writes: Variable) -> None:
        old = components.get(node, Component(node, {}, ()))
        merged = {key: (*old.reads.get(key, ()), *(r for r in new)) for key, new in reads.items()}
        components[node] = Component(node, merged, (*old.writes, writes))

    reasons: list[str] = []
    for expr in program.sops:
        if id(expr) not in layers:
            continue
        out, layer = lookup(expr), layers[id(expr)]
        raw = layout.raw.get(id(expr))
        if is_head(expr):
            head = _head(expr, program, lookup, domains, layout, raw)
            node = out.node if raw is None else raw.node
            heads[node] = head
            record(node, {f"{node}<{x}>": reads for x, reads in head.reads.items()}, raw or out)
        if needs_mlp(expr):
            try:
                piece = _mlp(expr, lookup, domains, layout, raw, vocabulary)
            except CompileError as error:
                reasons += [f"{program.names[id(expr)]}: {reason}" for reason in error.reasons]
                continue
            mlps.setdefault(f"m{layer}", []).append(piece)
            record(f"m{layer}", {f"m{layer}": piece.reads}, out)
    if reasons:
        raise CompileError(reasons)
    return heads, mlps, list(components.values())


def _head(
    expr: SOp,
    program: Program,
    lookup: object,
    domains: dict[int, Domain],
    layout: Layout,
    raw: Variable | None,
) -> Head:
    constants = layout.constants
    bos_score = {SelectorWidth: 0.0, AggregateSum: dilution_score()}.get(type(expr), -0.5)
    head = attend(
        program.terms(expr),
        lambda e: layout.by_expr[id(e)],
        domains,
        constants,
        bos_score=bos_score,
    )
    if isinstance(expr, Aggregate):
        out, sop = layout.by_expr[id(expr)], layout.by_expr[id(expr.sop)]
        aggregate(expr, head, sop, out, constants)
    else:
        assert isinstance(expr, (AggregateSum, SelectorWidth))
        assert raw is not None
        sop_variable = layout.by_expr[id(expr.sop)] if isinstance(expr, AggregateSum) else None
        total(expr, head, sop_variable, raw, constants)
    return head


def _mlp(
    expr: SOp,
    lookup: object,
    domains: dict[int, Domain],
    layout: Layout,
    raw: Variable | None,
    vocabulary: Vocabulary,
) -> Mlp:
    constants, out = layout.constants, layout.by_expr[id(expr)]
    if isinstance(expr, SelectorWidth):
        assert raw is not None
        return decode_width(raw, out, vocabulary.max_len, constants)
    if isinstance(expr, AggregateSum):
        assert raw is not None
        values = domains[id(expr.sop)].listed
        return decode_sum(raw, out, values, vocabulary.max_len, constants)
    if isinstance(expr, Full):
        return constant_unit(expr, out, constants)
    if isinstance(expr, Map):
        inner = layout.by_expr[id(expr.inner)]
        return map_units(expr, expr.f, inner, domains[id(expr.inner)], out, constants)
    assert isinstance(expr, SequenceMap)
    fst, snd = layout.by_expr[id(expr.fst)], layout.by_expr[id(expr.snd)]
    if expr.fst is expr.snd:
        domain = domains[id(expr.fst)]
        return map_units(expr, lambda x: expr.f(x, x), fst, domain, out, constants)
    if isinstance(expr, LinearSequenceMap):
        return linear_units(expr, fst, snd, out)
    return pair_units(expr, fst, snd, domains, out, constants)


def to_transformer(
    heads: dict[str, Head],
    mlps: dict[str, list[Mlp]],
    layers: dict[int, int],
    layout: Layout,
    output: Variable,
    vocabulary: Vocabulary,
    *,
    causal: bool,
    dtype: torch.dtype,
) -> Transformer:
    """Fill a transformer without norms, with ReLU, and as small as the components allow."""
    per_layer: dict[int, int] = {}
    for node in heads:
        layer, head_number = _split(node)
        per_layer[layer] = max(per_layer.get(layer, 0), head_number + 1)
    widths = {node: sum(piece.into.size for piece in pieces) for node, pieces in mlps.items()}
    config = TransformerConfig(
        n_layers=max(layers.values(), default=0) + 1,
        n_heads=max(per_layer.values(), default=1),
        d_model=layout.d_model,
        d_head=max((max(h.k.size, h.v.size) for h in heads.values()), default=1),
        d_mlp=max(widths.values(), default=1),
        n_ctx=vocabulary.n_ctx,
        d_vocab=vocabulary.size,
        d_vocab_out=len(output.directions),
        causal=causal,
        activation="relu",
    )
    model = Transformer(config, dtype=dtype)
    D, K, M = config.d_model, config.d_head, config.d_mlp
    with torch.no_grad():
        model.W_E.copy_(torch.from_numpy(_embedding(layout, vocabulary)))
        places = layout.variables["indices"].directions
        for position, direction in enumerate(places, start=1):
            model.W_pos[position, direction] = 1.0
        for node, head in heads.items():
            layer, number = _split(node)
            q = head.q.matrix(D, K) * math.sqrt(K)
            for i, matrix in enumerate((q, head.k.matrix(D, K), head.v.matrix(D, K))):
                model.W_QKV[layer, i, number] = torch.from_numpy(matrix)
            model.W_O[layer, number] = torch.from_numpy(head.o.matrix(D, K).T.copy())
        for node, pieces in mlps.items():
            layer = int(node[1:])
            start = 0
            for piece in pieces:
                stop = start + piece.into.size
                into, out = piece.into.matrix(D, M), piece.out.matrix(D, M)
                model.W_in[layer, :, start:stop] = torch.from_numpy(into[:, : stop - start])
                model.W_out[layer, start:stop] = torch.from_numpy(out[:, : stop - start].T.copy())
                start = stop
        for i, direction in enumerate(output.directions):
            model.W_U[direction, i] = 1.0
    return model.requires_grad_(False)


def _embedding(layout: Layout, vocabulary: Vocabulary) -> np.ndarray:
    embedding = np.zeros((vocabulary.size, layout.d_model))
    constants = layout.constants
    embedding[:, constants.one.directions[0]] = 1.0
    embedding[BOS, constants.bos.directions[0]] = 1.0
    if constants.pad is not None:
        embedding[vocabulary.pad_id, constants.pad.directions[0]] = 1.0
    for i, direction in enumerate(layout.variables["tokens"].directions, start=1):
        embedding[i, direction] = 1.0
    return embedding


def _split(head: str) -> tuple[int, int]:
    layer, _, number = head[1:].partition(".h")
    return int(layer), int(number)
