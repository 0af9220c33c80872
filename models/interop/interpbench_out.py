"""Out to InterpBench: a model in the format of its release, which its loader and ours read."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from knowncircuits.cases.case import Case
from knowncircuits.checks.arguments import expect
from knowncircuits.circuit import Circuit
from knowncircuits.errors import ModelError
from knowncircuits.files.writing import whole_folder, write_bytes, write_text
from knowncircuits.models.interop.interpbench import FILES, TRACR_BOS, TRACR_PAD, tracr_order
from knowncircuits.models.interop.lens_out import OfProgram, lens_fields, strict_state_dict
from knowncircuits.names import QKV, Edge, Node
from knowncircuits.rasp.vocabulary import Vocabulary

Hooks = tuple[str, str]
EMBEDDED = {
    "embed": "hook_embed",
    "pos": "hook_pos_embed",
    "input": "blocks.0.hook_resid_pre",
}


def export_interpbench(subject: OfProgram, folder: str | Path) -> Path:
    """Write a model of one of InterpBench's cases as its release has it; returns the case's folder.

    The folder is named by InterpBench's number: `ll_model.pth`, a state dict that HookedTransformer
    loads strictly; `ll_model_cfg.pkl`, its configuration as a dict; `edges.pkl`, the circuit as
    pairs of hooks, with those within nodes; `meta.json`, what is known of its training. Ids are
    tracr's: tokens, BOS and PAD in their order. Where the model has no PAD, its embedding is 0:
    inputs are then of one length, as they are there.

    Args:
        subject: a trained or a wired model, with `circuit` beside `model` and `compiled`.
        folder: of the release; other cases' folders stay.

    Raises:
        ModelError: for a case that is not InterpBench's, or a model that HookedTransformer lacks.
        ResultError: if writing fails.
    """
    circuit = getattr(subject, "circuit", None)
    expect(circuit, Circuit, "subject.circuit")
    assert isinstance(circuit, Circuit)
    case = subject.compiled.case
    if not isinstance(case, Case) or case.interpbench_id is None:
        raise ModelError(f"expected a case of InterpBench's, got {subject.compiled.name}")
    place = Path(folder) / str(case.interpbench_id)
    state = {name: t.float() if t.is_floating_point() else t for name, t in _state(subject).items()}
    fields = lens_fields(subject.model) | {
        "d_vocab": len(state["embed.W_E"]),
        "dtype": torch.float32,
        "device": "cpu",
    }
    meta = {"case": case.name, "training": dict(getattr(subject, "training", {}))}
    weights, configuration, edges, description = FILES
    with whole_folder(place, FILES.__contains__) as new:
        write_bytes(new / weights, _saved(state), lasting=False)
        write_bytes(new / configuration, pickle.dumps(fields), lasting=False)
        write_bytes(new / edges, pickle.dumps(list(hooks_of(circuit))), lasting=False)
        write_text(new / description, json.dumps(meta, indent=1) + "\n", lasting=False)
    return place


def _state(subject: OfProgram) -> dict[str, Tensor]:
    """The weights with the embeddings of tokens in the order of tracr's ids."""
    state = strict_state_dict(subject.model)
    embedding = state["embed.W_E"]
    ours = _our_ids(subject.compiled.vocabulary)
    rows = [
        embedding[ours[token]] if token in ours else torch.zeros_like(embedding[0])
        for token in tracr_order([*subject.compiled.vocabulary.tokens, TRACR_BOS, TRACR_PAD])
    ]
    return state | {"embed.W_E": torch.stack(rows)}


def _our_ids(vocabulary: Vocabulary) -> dict[Any, int]:
    """Our id of each of tracr's tokens that the model has."""
    ids = {TRACR_BOS: 0, **{token: i + 1 for i, token in enumerate(vocabulary.tokens)}}
    return ids | ({TRACR_PAD: vocabulary.pad_id} if vocabulary.pad else {})


def _saved(state: dict[str, Tensor]) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def hooks_of(circuit: Circuit) -> Iterator[Hooks]:
    """The circuit as InterpBench records one: edges that are in, and the ways through nodes.

    Edges along which only positions are read are recorded, too, although no pair can tell.
    """
    positions = [e for e in circuit.carrying_edges if e.source.kind == "pos" and circuit.carries[e]]
    last = circuit.graph.n_layers - 1
    seen: set[str] = set()
    for edge in (*circuit.edges(), *positions):
        entered = _entered(edge, last)
        yield _written(edge.source), entered
        if edge.destination not in seen:
            seen.add(edge.destination)
            yield from _through(edge, entered)


def _written(node: Node) -> str:
    """The hook of what a node writes."""
    if node.kind == "head":
        return f"blocks.{node.layer}.attn.hook_result[{node.head}]"
    return EMBEDDED.get(node.kind) or f"blocks.{node.layer}.hook_mlp_out"


def _entered(edge: Edge, last: int) -> str:
    """The hook of what an edge enters."""
    node = edge.target
    if node.kind == "logits":
        return f"blocks.{last}.hook_resid_post"
    if node.kind == "mlp":
        return f"blocks.{node.layer}.hook_mlp_in"
    return f"blocks.{node.layer}.hook_{edge.destination.letter}_input[{node.head}]"


def _through(edge: Edge, entered: str) -> Iterator[Hooks]:
    """From what a node reads to what it writes."""
    node, letter = edge.target, edge.destination.letter
    if node.kind == "mlp":
        yield entered, _written(node)
    if letter in QKV:
        inner = f"blocks.{node.layer}.attn.hook_{letter}[{node.head}]"
        yield entered, inner
        yield inner, _written(node)
