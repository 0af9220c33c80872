"""Gradients of components, and gradients integrated from their clean to their corrupted values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import UnknownNameError
from knowncircuits.evaluation.choices import Along, Level
from knowncircuits.evaluation.components.parts import ComponentScores, Parts, Rows, cuts, parts_of
from knowncircuits.evaluation.components.patched import (
    empty_effects,
    item_differences,
    moved_items,
    put,
    run_items,
)
from knowncircuits.evaluation.methods.batches import batches
from knowncircuits.evaluation.methods.gradients import default_run
from knowncircuits.evaluation.methods.integrated import Rule, quadrature
from knowncircuits.evaluation.task import Task
from knowncircuits.inference import recorded_gradients

ALONG: tuple[Along, ...] = get_args(Along)
Effects = Float[Tensor, "pair component *pos"]


@takes(task=Task)
def component_gradients(
    task: Task,
    level: Level = "head",
    *,
    along: Along = "alone",
    per_position: bool = False,
    steps: int = 5,
    rule: Rule = "midpoint",
    batch_size: int = 64,
) -> ComponentScores:
    """Score components by the metric's gradient in what they write, times how far that moves.

    At one run this is attribution patching (Nanda, 2023; Kramár et al., 2024). Averaged over runs
    on a way from the clean to the corrupted value it is integrated gradients (Sundararajan, Taly
    and Yan, 2017), and the way matters:

    - `alone`: one component moves, and what is behind it is computed anew. The sum over the way is
      the component's own patching effect (completeness), but for the error of the quadrature.
    - `layer`: all heads of a layer move at once, or all neurons of an MLP, or both inputs. The sum
      over the layer is the effect of patching the layer; at an AND or an OR of two components each
      has a half of it.
    - `inputs`: the embeddings move, and all else is computed from them (Hanna, Pezzelle and
      Belinkov, 2024, for edges).
    - `clean`, `corrupted`: at that run alone; steps and rule are not used.

    Args:
        task: what to look at; its ablation says what the corrupted value is.
        level: `node`, all that write; `head`; or `neuron`, the hidden units of MLPs.
        along: where gradients are taken, see above.
        per_position: a score for each position. Along `alone` each moves by itself then; along the
            others the scores are parts of those without.
        steps: how many runs on the way; 5 in Hanna, Pezzelle and Belinkov (2024), 10 in Marks et
            al. (2024).
        rule: where they lie: `riemann`, `midpoint` or `gauss`; see `quadrature`.
        batch_size: runs at a time.

    Returns:
        The score of each component on each pair; positive where the metric grows, that is, where
        behaviour is lost.

    Cost: for each pair and step a forward and a backward pass, along `alone` for each component
    that moves (and position), else for each layer's heads and each MLP; along `inputs` a second
    forward pass.

    Raises:
        UnknownNameError: for another level or way.
        MethodError: for fewer than one step or row, another rule, or gradients of a divergence at
            the clean run, where they are zero.
        ModelError: for neurons of a model that does not show them.
    """
    if along not in ALONG:
        raise UnknownNameError("way", along, ALONG)
    points, weights = (torch.from_numpy(x).to(task.clean.device) for x in quadrature(steps, rule))
    options: dict[str, Any] = {"along": along, "per_position": per_position}
    if along in ("clean", "corrupted"):
        default_run(task, along)
        points, weights = points.new_tensor([along == "corrupted"]), weights.new_ones(1)
    else:
        options |= {"steps": steps, "rule": rule}
    parts = parts_of(task, level)
    way = Way(task, parts, points.to(task.differences.dtype), weights, batch_size)
    with recorded_gradients():
        if along == "alone":
            effects, n_runs, n_backward = way.alone(per_position)
        elif along == "layer":
            effects, n_runs, n_backward = way.by_layer(per_position)
        else:
            effects, n_runs, n_backward = way.of_inputs(per_position)
    names = {"alone": "ig-alone", "layer": "ig-layer", "inputs": "ig-inputs"}
    return ComponentScores(
        level,
        names.get(along, "gradient"),
        parts.names,
        effects.cpu().numpy(),
        options,
        2 * task.n_pairs + n_runs,
        n_backward,
    )


class Way:
    """Shares of the way from clean (0) to corrupted (1), and what gradients there come to.

    Each method returns scores, forward and backward passes.
    """

    def __init__(
        self,
        task: Task,
        parts: Parts,
        points: Float[Tensor, " step"],
        weights: Float[Tensor, " step"],
        batch_size: int,
    ) -> None:
        self.task, self.parts, self.batch_size = task, parts, batch_size
        self.points, self.weights = points, weights
        self._source_of_edge = torch.from_numpy(task.graph.source_of_edge).to(task.clean.device)

    def alone(self, per_position: bool) -> tuple[Effects, int, int]:
        """Effects of components that move alone: the slope in the share of a component's way."""
        task, parts, steps = self.task, self.parts, len(self.points)
        items = moved_items(parts, per_position).repeat_interleave(steps, 0)
        pairs, sources = items[:, 0], parts.sources[items[:, 1]]
        effects, clean = empty_effects(parts, per_position), task.clean_run.outputs
        shares = self.points.new_empty(0)

        def values(rows: Rows) -> Float[Tensor, "chunk pos d_model"]:
            nonlocal shares
            shares = self.points[rows % steps].requires_grad_()
            moves = item_differences(parts, items[rows])
            return clean[pairs[rows], sources[rows]] + shares[:, None, None] * moves

        for rows, logits in run_items(task, parts, items, values, self.batch_size):
            (slopes,) = torch.autograd.grad(task.measure(logits, pairs[rows]).sum(), shares)
            put(effects, items[rows], self.weights[rows % steps] * slopes)
        return effects, len(items), len(items)

    def by_layer(self, per_position: bool) -> tuple[Effects, int, int]:
        """Effects of components while all of a layer and kind move; see `cuts`."""
        clean = self.task.clean_run.outputs
        effects, n_runs = empty_effects(self.parts, per_position), 0
        for cut, pairs, step in self._rows():
            own = cut[:, :, None, None].to(clean.dtype)
            moves = self.points[step, None, None, None] * own * self.parts.together(pairs)
            gradients = self._gradients(clean[pairs] + moves, cut, pairs)
            self._add(effects, gradients, pairs, step, per_position)
            n_runs += len(pairs)
        return effects, n_runs, n_runs

    def of_inputs(self, per_position: bool) -> tuple[Effects, int, int]:
        """Effects of components while the embeddings move, and all else with them.

        Gradients are those of a run in which the component's layer reads what it writes anyway.
        """
        task, graph, clean = self.task, self.task.graph, self.task.clean_run.outputs
        inputs = torch.arange(len(graph.sources), device=clean.device) < len(graph.inputs)
        effects, n_runs = empty_effects(self.parts, per_position), 0
        for cut, pairs, step in self._rows():
            moves = self.points[step, None, None, None] * task.differences[pairs]
            moved = torch.where(inputs[:, None, None], clean[pairs] + moves, clean[pairs])
            mask = inputs[None, self._source_of_edge].to(clean.dtype)
            with torch.no_grad():
                written = task.model.run(task.clean[pairs], moved, mask).outputs
            written = torch.where(inputs[:, None, None], moved, written)
            gradients = self._gradients(written, cut | inputs, pairs)
            gradients = gradients * cut[:, :, None, None].to(clean.dtype)
            self._add(effects, gradients, pairs, step, per_position)
            n_runs += len(pairs)
        return effects, 2 * n_runs, n_runs

    def _rows(self) -> Iterator[tuple[Bool[Tensor, "row source"], Rows, Rows]]:
        """Sources of a cut, pair and step, for all of each, so many at a time.

        One cut after the other: then a batch's masks leave most layers unpatched.
        """
        steps, n_pairs = len(self.points), self.task.n_pairs
        cut_sources = cuts(self.parts)[1]
        n_rows = len(cut_sources) * n_pairs * steps
        for rows in batches(n_rows, self.batch_size, cut_sources.device):
            yield cut_sources[rows // (n_pairs * steps)], rows // steps % n_pairs, rows % steps

    def _gradients(
        self,
        written: Float[Tensor, "row source pos d_model"],
        sources: Bool[Tensor, "row source"],
        pairs: Rows,
    ) -> Float[Tensor, "row source pos d_model"]:
        """The metric's gradient in what these sources write, each row's where they write so."""
        task = self.task
        written = written.detach().requires_grad_()
        mask = sources[:, self._source_of_edge].to(written.dtype)
        logits = task.model.run(task.clean[pairs], written, mask).logits
        (gradients,) = torch.autograd.grad(task.measure(logits, pairs).sum(), written)
        return gradients

    def _add(
        self,
        effects: Effects,
        gradients: Float[Tensor, "row source pos d_model"],
        pairs: Rows,
        step: Rows,
        per_position: bool,
    ) -> None:
        found = self.parts.project(gradients, pairs).double()
        found = self.weights[step, None, None] * found
        effects.index_add_(0, pairs, found if per_position else found.sum(-1))
