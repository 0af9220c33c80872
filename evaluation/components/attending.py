"""Where heads attend, and what they write of what they attend to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import ShapeError, TaskError, UnknownNameError
from knowncircuits.evaluation.components.copying import said_outputs
from knowncircuits.evaluation.components.direct import direct_effects
from knowncircuits.evaluation.components.insides import insides_of
from knowncircuits.evaluation.components.views import describe_node
from knowncircuits.evaluation.task import Task
from knowncircuits.names import Node

Places = int | Sequence[int] | Int[Tensor, " pair"]  # of all pairs, or of each pair


@dataclass(frozen=True, eq=False)
class Attention:
    """Attention patterns of heads on the inputs of a task."""

    task: str
    nodes: tuple[Node, ...]
    patterns: Float[Tensor, "pair node query key"]
    tokens: Int[Tensor, "pair pos"]

    def to_frame(self) -> pd.DataFrame:
        """Means over pairs, a row each: node, kind, layer, head, query, key, attention."""
        means = self.patterns.double().mean(0).cpu().numpy()
        node, query, key = np.indices(means.shape).reshape(3, -1)
        about = pd.DataFrame([describe_node(node) for node in self.nodes])
        frame = about.iloc[node].reset_index(drop=True)
        frame = frame.assign(query=query, key=key, attention=means.reshape(-1))
        frame.attrs |= {"task": self.task, "n_pairs": len(self.patterns)}
        return frame

    def between(self, query: Places, key: Places) -> Float[Tensor, "pair node"]:
        """How much each head attends from one position to another, which pairs may have their own.

        Raises ShapeError for positions of another number of pairs, or outside the inputs.
        """
        rows = torch.arange(len(self.patterns), device=self.patterns.device)
        places = (positions(where, self.tokens) for where in (query, key))
        return self.patterns.movedim(1, -1)[rows, *places]


def positions(where: Places, tokens: Int[Tensor, "pair pos"]) -> Int[Tensor, " pair"]:
    """A position of each pair; raises ShapeError for another number of them, or outside."""
    n, seq = tokens.shape
    wrong = ShapeError(f"expected a position of 0 to {seq - 1} of each of {n} pairs, got {where}")
    try:
        found = torch.as_tensor(where, device=tokens.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise wrong from error
    found = found.expand(n) if found.ndim == 0 else found
    if found.shape != (n,) or found.is_floating_point() or found.dtype == torch.bool:
        raise wrong
    if not ((found >= 0) & (found < seq)).all():
        raise wrong
    return found


@takes(task=Task)
def attention(
    task: Task, only: Sequence[str] | None = None, *, corrupted: bool = False
) -> Attention:
    """The attention patterns of heads on the clean inputs, or the corrupted ones.

    Args:
        task: whose inputs.
        only: heads by name; by default all.
        corrupted: on the corrupted inputs.

    Raises:
        UnknownNameError: for a head that there is not.
        TaskError: for no head.
        ModelError: for a model that is neither ours nor a TransformerLens bridge.
    """
    heads = chosen_heads(task, only)
    tokens, insides = task.corrupted if corrupted else task.clean, insides_of(task.model)
    with torch.no_grad():
        layers = {
            layer: insides.patterns(tokens, layer) for layer in {node.layer for node in heads}
        }
    patterns = torch.stack([layers[node.layer][:, node.head] for node in heads], 1)
    return Attention(task.name, heads, patterns, tokens)


@takes(task=Task)
def attention_output(
    task: Task, query: Places, keys: Mapping[str, Places], only: Sequence[str] | None = None
) -> pd.DataFrame:
    """How much heads attend to a token, and how much of that token's logit they write.

    Wang et al. (2023), figure 3: a name mover writes the name that it attends to, and the more so
    the more it attends; a negative one writes against it. What a head writes is its part of the
    logit at the query, with the scale of the last norm held.

    Args:
        task: whose clean inputs.
        query: the position that attends, of all pairs or of each.
        keys: names of the positions that are attended to, with these, of all pairs or of each.
        only: heads by name; by default all.

    Returns:
        A row for each head, key and pair: node, kind, layer, head, key, pair, attention, output.

    Raises:
        UnknownNameError: for a head that there is not.
        ShapeError: for positions that the inputs have not.
        TaskError: for no head, no keys, or a token there that no output says.
        ModelError: for a model that is neither ours nor a TransformerLens bridge.
    """
    looked = attention(task, only)
    rows = torch.arange(task.n_pairs, device=task.clean.device)
    at = positions(query, task.clean)
    places = [task.graph.sources.index(node) for node in looked.nodes]
    about = pd.DataFrame([describe_node(node) for node in looked.nodes])
    if not keys:
        raise TaskError("expected the positions of at least one key, got none")
    frames = []
    for name, where in keys.items():
        answers = said_outputs(task)[task.clean[rows, positions(where, task.clean)]]
        if (answers < 0).any():
            raise TaskError(
                f"expected tokens at {name} that an output says, got one that none says"
            )
        logit_of = _LogitsAt(rows, at, answers)
        found, _ = direct_effects(task.model, task.clean, task.clean_run.outputs, logit_of)
        seen = looked.between(at, where)
        pair, node = np.indices(tuple(seen.shape)).reshape(2, -1)
        frame = about.iloc[node].reset_index(drop=True)
        values = (x.double().cpu().numpy().reshape(-1) for x in (seen, found[:, places]))
        frame["key"], frame["pair"], (frame["attention"], frame["output"]) = name, pair, values
        frames.append(frame)
    both = pd.concat(frames, ignore_index=True)
    both.attrs["task"] = task.name
    return both


@dataclass(frozen=True, eq=False)
class _LogitsAt:
    """One logit of each pair."""

    rows: Int[Tensor, " pair"]
    position: Int[Tensor, " pair"]
    output: Int[Tensor, " pair"]

    def __call__(self, logits: Tensor) -> Tensor:
        return logits[self.rows, self.position, self.output]


def chosen_heads(task: Task, only: Sequence[str] | None) -> tuple[Node, ...]:
    """All heads, or these, in the graph's order.

    Raises UnknownNameError for others, TaskError for none.
    """
    heads = [node for node in task.graph.sources if node.kind == "head"]
    for name in only or ():
        if name not in heads:
            raise UnknownNameError("head", name, heads)
    chosen = tuple(node for node in heads if only is None or node in only)
    if not chosen:
        raise TaskError("expected at least one head, got none")
    return chosen
