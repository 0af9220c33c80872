"""In from tracr: a model that its compiler assembled, as one of ours, with its circuit.

Neither tracr nor jax is imported: a model is read by its attributes. The circuit is recovered from
the weights: a node reads the variables whose rows of its input weights are not zero, and writes
those whose columns of its output weights are not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowncircuits.architecture import TransformerConfig
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.compiler.variables import Component, Read, Variable
from knowncircuits.compiler.wiring import wire
from knowncircuits.errors import ModelError
from knowncircuits.names import EMBED, POS, Destination, Letter, Node
from knowncircuits.rasp.expressions import Encoding
from knowncircuits.rasp.meant import ProgramInputs
from knowncircuits.rasp.values import Value
from knowncircuits.rasp.vocabulary import BOS, Vocabulary
from knowncircuits.transformer import Transformer

# Where a program says None, tracr's models hold less than 0.001 of every value. Where it does not,
# they may hold as little as 0.38: at its usual exactness tracr blurs widths from 9 on.
LEAST_ANSWER = 0.1


def from_tracr(
    model: Any, *, output_label: str | None = None, dtype: torch.dtype = torch.float32
) -> Compiled:
    """Read a model that `tracr.compiler.compiling.compile_rasp_to_model` returned.

    The residual stream keeps tracr's directions in their order, and tokens keep the order of
    tracr's ids, with BOS moved first and PAD last. The circuit is that of inputs of one length: PAD
    has an id, but tracr's attention does not mask it. Variables are named by tracr's labels. These
    hold values as text, which is read as Python literals where all values of a variable are such.

    What a node reads is found in its weights. They show whether a selector ignores its queries or
    its keys, but not that a function of two variables ignores one: that one counts as read.

    Args:
        model: an `AssembledTransformerModel`, or what has its `params`, `model_config`,
            `residual_labels`, `input_encoder` and `output_encoder`.
        output_label: the variable to unembed, which the parameters do not tell. By default the one
            that fits the output encoder and that no component reads.
        dtype: of the weights.

    Returns:
        The model, its circuit and the place of every variable. Where tracr answers with the largest
        of values that are all near zero, ours says None. Variables that tracr blurs are let pass,
        as it does: its answer is still the largest.

    Raises:
        ModelError: for fields or parameters that are missing or of another shape, an activation
            other than relu, layer norm, or an output variable that cannot be told.
    """
    fields = ("params", "model_config", "residual_labels", "input_encoder", "output_encoder")
    params, config, labels, input_encoder, output_encoder = _fields(model, "model", *fields)
    vocabulary, order, constants = _read_tokens(input_encoder, params)
    # The encoder of a numerical output has no ids.
    answers = _by_id(getattr(output_encoder, "encoding_map", {}))
    sizes = _read_config(config, len(labels), vocabulary, max(len(answers), 1))
    transformer = _load(params, sizes, order, dtype)
    at_bos = transformer.run(torch.tensor([[BOS]], device=transformer.device)).outputs.sum(1)[0, 0]
    places = _read_labels(labels, vocabulary, constants, at_bos)
    variables, components = _trace(transformer, places)
    output = _find_output(variables, components, answers, output_label)
    variables[output.name] = output
    transformer.W_U[list(output.directions), range(len(output.directions))] = 1.0
    if answers:  # `Compiled` takes logits of 0.5 for an answer; a constant changes no softmax
        transformer.b_U.fill_(0.5 - LEAST_ANSWER)
    circuit = wire(transformer.graph, components, output, variables.values())
    return Compiled(
        transformer,
        circuit,
        vocabulary,
        variables,
        tuple(components),
        output,
        ProgramInputs(vocabulary),
        tolerance=1.0,
    )


def _fields(owner: Any, what: str, *names: str) -> list[Any]:
    """Attributes; ModelError names all that are missing."""
    missing = [name for name in names if getattr(owner, name, None) is None]
    if missing:
        raise ModelError(
            f"expected a tracr {what} with {', '.join(names)}; got one without {', '.join(missing)}"
        )
    return [getattr(owner, name) for name in names]


def _by_id(encoding: Mapping[Value, int]) -> tuple[Value, ...]:
    return tuple(sorted(encoding, key=encoding.__getitem__))


def _read_tokens(encoder: Any, params: Any) -> tuple[Vocabulary, list[int], dict[str, str]]:
    """The vocabulary, tracr's id for each of ours, and our names for the labels of BOS and PAD."""
    ids, bos = _fields(encoder, "input_encoder", "encoding_map", "bos_token")
    pad = getattr(encoder, "pad_token", None)
    tokens = tuple(token for token in _by_id(ids) if token not in (bos, pad))
    n_positions = len(_array(params, "pos_embed", "embeddings"))
    vocabulary = Vocabulary(tokens, n_positions - 1, pad is not None)
    order = [ids[token] for token in (bos, *tokens)]
    constants = {f"tokens:{bos}": "tokens:BOS"}
    if pad is not None:
        order.append(ids[pad])
        constants[f"tokens:{pad}"] = "tokens:PAD"
    return vocabulary, order, constants


def _read_config(
    config: Any, d_model: int, vocabulary: Vocabulary, d_vocab_out: int
) -> TransformerConfig:
    sizes = ("num_layers", "num_heads", "key_size", "mlp_hidden_size")
    choices = ("causal", "layer_norm", "activation_function")
    n_layers, n_heads, d_head, d_mlp, causal, layer_norm, activation = _fields(
        config, "model_config", *sizes, *choices
    )
    name = getattr(activation, "__name__", activation)
    if name != "relu":
        raise ModelError(f"expected activation_function relu, got {name}")
    if layer_norm:
        raise ModelError(f"expected layer_norm False, got {layer_norm}")
    return TransformerConfig(
        n_layers=n_layers,
        n_heads=n_heads,
        d_model=d_model,
        d_head=d_head,
        d_mlp=d_mlp,
        n_ctx=vocabulary.n_ctx,
        d_vocab=vocabulary.size,
        d_vocab_out=d_vocab_out,
        causal=causal,
        activation="relu",
    )


def _array(params: Any, module: str, name: str, *shape: int) -> np.ndarray:
    """A parameter; ModelError where it is missing or, if a shape is given, of another."""
    if module not in params or name not in params[module]:
        raise ModelError(f"expected a parameter {module}/{name}, got {', '.join(sorted(params))}")
    array = np.asarray(params[module][name])
    if shape and array.shape != shape:
        raise ModelError(
            f"expected {module}/{name} of shape {list(shape)}, got {list(array.shape)}"
        )
    return array


def _load(
    params: Any, config: TransformerConfig, order: list[int], dtype: torch.dtype
) -> Transformer:
    """Tracr's weights in our stacks; the unembedding is left at zero."""
    c, model = config, Transformer(config, dtype=dtype).requires_grad_(False)
    D, H, K, M = c.d_model, c.n_heads, c.d_head, c.d_mlp

    def array(module: str, name: str, *shape: int) -> Tensor:
        return torch.tensor(_array(params, module, name, *shape), device=model.device)

    model.W_E.copy_(array("token_embed", "embeddings", c.d_vocab, D)[order])
    model.W_pos.copy_(array("pos_embed", "embeddings", c.n_ctx, D))
    for layer in range(c.n_layers):
        attn, mlp = f"transformer/layer_{layer}/attn", f"transformer/layer_{layer}/mlp"
        for i, letter in enumerate(("query", "key", "value")):
            weight = array(f"{attn}/{letter}", "w", D, H * K)
            model.W_QKV[layer, i] = weight.reshape(D, H, K).transpose(0, 1)
            model.b_QKV[layer, i] = array(f"{attn}/{letter}", "b", H * K).reshape(H, K)
        model.W_O[layer] = array(f"{attn}/linear", "w", H * K, D).reshape(H, K, D)
        model.b_O[layer] = array(f"{attn}/linear", "b", D)
        model.W_in[layer] = array(f"{mlp}/linear_1", "w", D, M)
        model.b_in[layer] = array(f"{mlp}/linear_1", "b", M)
        model.W_out[layer] = array(f"{mlp}/linear_2", "w", M, D)
        model.b_out[layer] = array(f"{mlp}/linear_2", "b", D)
    return model


def _read_labels(
    labels: Sequence[str], vocabulary: Vocabulary, constants: Mapping[str, str], at_bos: Tensor
) -> dict[str, Variable]:
    """Variables from directions labelled `name` or `name:value`, as if `embed` wrote all."""
    directions: dict[str, dict[str, int]] = {}  # by name and by text of the value, "" for a number
    for direction, label in enumerate(labels):
        name, _, text = (constants[label], "", "") if label in constants else label.partition(":")
        directions.setdefault(name, {})[text] = direction
    tokens = {str(token): token for token in vocabulary.tokens}
    if directions.get("tokens", {}).keys() != tokens.keys():
        got = ", ".join(directions.get("tokens", {})) or "none"
        raise ModelError(f"expected residual_labels for tokens {', '.join(tokens)}, got {got}")
    places: dict[str, Variable] = {}
    for name, direction_of in directions.items():
        where = tuple(direction_of.values())
        held = at_bos[list(where)].tolist()
        if list(direction_of) == [""]:
            places[name] = Variable(name, EMBED, Encoding.NUMERICAL, (), where, at_bos=held[0])
            continue
        # A token's type is known: a digit may be a string.
        values = (
            tuple(map(tokens.get, direction_of)) if name == "tokens" else _literals(direction_of)
        )
        value = next((v for v, x in zip(values, held, strict=True) if x > 0.5), None)
        places[name] = Variable(name, EMBED, Encoding.CATEGORICAL, values, where, at_bos=value)
    return places


def _literals(texts: Iterable[str]) -> tuple[Value, ...]:
    """Values from their text, if all of them are Python literals as `str` writes them."""
    texts = tuple(texts)
    try:
        values = tuple(ast.literal_eval(text) for text in texts)
    except (ValueError, SyntaxError):
        return texts
    return values if tuple(map(str, values)) == texts else texts


def _trace(
    model: Transformer, places: Mapping[str, Variable]
) -> tuple[dict[str, Variable], list[Component]]:
    """Every variable with the node that writes it first, and every node that reads and writes.

    Nodes come in the order of writing, so that all that one can read is known when it is reached.
    A second writer carries nothing: it is the MLP that clears BOS of what its head left there.
    """
    variables: dict[str, Variable] = {}
    components: list[Component] = []
    for node, embedding in ((EMBED, model.W_E), (POS, model.W_pos)):
        for name, place in places.items():
            if embedding[:, list(place.directions)].any():
                variables[name] = replace(place, node=node, varies=name == "tokens")
    for node in model.graph.sources[2:]:
        inputs, out = _weights(model, node)
        if not out.any():
            continue
        is_head = node.kind == "head"
        writes: dict[str, Variable] = {}
        for name, place in places.items():
            units = out[:, list(place.directions)].any(1)
            if name in variables or not units.any():
                continue
            # A head is one function; an MLP holds several side by side, each with its own units.
            columns = slice(None) if is_head else units
            causes = [r for w in inputs.values() for r in _reads(w[:, columns], variables)]
            # Where nothing is selected, a head moves nothing.
            nullable = is_head or any(r.variable.nullable for r in causes)
            writes[name] = replace(
                place,
                node=node,
                nullable=nullable and not place.numerical,
                varies=any(r.matters and r.variable.varies for r in causes),
            )
        reads = {destination: _reads(w, variables) for destination, w in inputs.items()}
        components.append(Component(node, reads, tuple(writes.values())))
        variables |= writes
    return variables, components


def _weights(model: Transformer, node: Node) -> tuple[dict[Destination, Tensor], Tensor]:
    """A node's input weights [d_model, any] by destination, and its output weights [any, d_model].

    A head's q only acts through its k and the other way round, so each stands with the other.
    """
    layer = node.layer
    if node.kind == "mlp":
        return {Destination(node): model.W_in[layer]}, model.W_out[layer]
    head = node.head
    q, k, v = model.W_QKV[layer, :, head]
    b_q, b_k, _ = model.b_QKV[layer, :, head]
    out = model.W_O[layer, head]
    inputs: dict[Letter, Tensor] = {
        "q": q @ torch.cat([k, b_k[None]]).T,
        "k": k @ torch.cat([q, b_q[None]]).T,
        "v": v @ out,
    }
    return {Destination.of(node, letter): weights for letter, weights in inputs.items()}, out


def _reads(weights: Tensor, variables: Mapping[str, Variable]) -> tuple[Read, ...]:
    """The variables whose rows are not zero, and whether their values make a difference.

    Equal rows tell no value from another, only any value from None.
    """
    reads = []
    for variable in variables.values():
        rows = weights[list(variable.directions)]
        if rows.any():
            differ = variable.numerical or variable.nullable or bool((rows != rows[0]).any())
            reads.append(Read(variable, differ))
    return tuple(reads)


def _find_output(
    variables: Mapping[str, Variable],
    components: Sequence[Component],
    answers: tuple[Value, ...],
    label: str | None,
) -> Variable:
    """The variable that is unembedded, with the output encoder's values in the order of its ids."""
    typed = {str(value): value for value in answers}
    fitting = {
        v.name: v
        for v in variables.values()
        if v.node not in (EMBED, POS) and {str(x) for x in v.values} == typed.keys()
    }
    read = {r.variable.name for c in components for reads in c.reads.values() for r in reads}
    found = [name for name in fitting if (name not in read if label is None else name == label)]
    if len(found) != 1:
        wanted = "that no component reads" if label is None else f"named {label}"
        what = f"with values {', '.join(typed)}" if typed else "that is a number"
        raise ModelError(
            f"expected one output variable {what} {wanted}, got {', '.join(found) or 'none'}; "
            f"output_label may be one of: {', '.join(fitting) or 'none'}"
        )
    output = fitting[found[0]]
    if output.numerical:
        return output
    place = {str(value): direction for value, direction in output.direction_of.items()}
    return replace(output, values=answers, directions=tuple(place[text] for text in typed))
