"""One edge or one node patched on its own, without computing again what comes before it.

An edge that is patched alone changes what its destination writes and nothing else directly: every
later node reads the residual stream of the clean run plus that change. A node patched alone changes
the stream behind it. Either way the rest of the model is an ordinary, unpatched pass from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.errors import MethodError, ShapeError
from knowncircuits.names import QKV
from knowncircuits.primitive import Patchable, Run
from knowncircuits.transformer import Transformer

NUMBERS = 2**18  # in the widest activation of the rows that are run at once: what caches hold
WHOLE_RUNS = 64  # rows at a time where every row is a whole run
# Numbers that there is room for, however many rows are asked for: in the widest activation or the
# logits of rows behind a patch; in the outputs and masks of whole runs.
ROOM_BEHIND, ROOM_WHOLE = 2**24, 2**26

Rows = Int[Tensor, " row"]
# For some rows, what the source of each writes instead of the alternative's value.
Values = Callable[[Rows], Float[Tensor, "chunk seq d_model"]]
# Some of the rows, by their places, and their logits, or what else is asked for.
Patched = Iterator[tuple[Rows, Float[Tensor, "chunk seq _"]]]


class SinglePatches:
    """Patched runs of a batch of pairs, a row for each edge or node and each pair asked for.

    What a row gives is what `Transformer.run` gives under a mask of that edge, or of all edges out
    of that node, to within rounding. With `values` a pair may be patched in many ways.
    """

    def __init__(
        self,
        model: Transformer,
        clean: Run,
        alternative: Float[Tensor, "#pair source seq d_model"] | None = None,
        *,
        n_rows: int | None = None,
    ) -> None:
        """Remember what every part of the model reads in a clean run.

        Args:
            model: the model.
            clean: its unpatched run on a batch, one input for each pair.
            alternative: for each source, another value of what it writes; see `Transformer.run`.
                Not needed where `values` are given.
            n_rows: how many to run at a time, at most; by default as suits the model's sizes.

        Raises:
            ShapeError: for an alternative that does not fit the run.
        """
        outputs = clean.outputs
        alternative = outputs if alternative is None else alternative
        if alternative.shape not in (outputs.shape, outputs[:1].shape):
            raise ShapeError(
                f"expected alternative of shape {list(outputs.shape)}, "
                f"got {list(alternative.shape)}"
            )
        c = model.config
        self.model, self.graph = model, model.graph
        self._outputs = outputs
        self._differences = alternative - outputs
        # The parts in order: a layer's attention, its MLP, the next layer's attention.
        kinds = ("attention", "mlp") if c.d_mlp else ("attention",)
        self._parts = [(kind, layer) for layer in range(c.n_layers) for kind in kinds]
        # For each destination the part that it feeds, and which head's q, k or v; `logits` is last.
        self._reads: list[tuple[int, int, int]] = []
        # The residual stream before each part and at the end; for each source, the first it is in.
        n_inputs = len(self.graph.inputs)
        self._streams = [outputs[:, :n_inputs].sum(1)]
        self._written_by = [0] * n_inputs
        self._qkv: list[Tensor] = []  # of each layer, [q/k/v, head, pair, seq, d_head]
        for part, (kind, layer) in enumerate(self._parts):
            stream, first = self._streams[-1], len(self._written_by)
            if kind == "attention":
                self._qkv.append(model.qkv(stream, None, layer).transpose(1, 2).contiguous())
                heads = range(c.n_heads)
                self._reads += [
                    (part, letter, head) for letter in range(len(QKV)) for head in heads
                ]
                self._written_by += [part + 1 for _ in heads]
                stream = stream + outputs[:, first : first + c.n_heads].sum(1) + model.b_O[layer]
            else:
                self._reads.append((part, 0, 0))
                self._written_by.append(part + 1)
                stream = stream + outputs[:, first]
            self._streams.append(stream)
        self._reads.append((len(self._parts), 0, 0))
        seq, widest = outputs.shape[2], max(c.d_model, c.d_mlp, len(QKV) * c.n_heads * c.d_head)
        most = max(1, ROOM_BEHIND // (seq * max(widest, c.d_vocab_out)))
        self._n_rows = min(n_rows or max(1, NUMBERS // (seq * widest)), most)
        source, destination = self.graph.source_of_edge, self.graph.destination_of_edge
        self._source_of_edge = torch.from_numpy(source).to(outputs.device)
        self._destination_of_edge = torch.from_numpy(destination).to(outputs.device)

    @property
    def device(self) -> torch.device:
        """Where rows are."""
        return self._outputs.device

    @property
    def moved(self) -> Bool[Tensor, "pair source"]:
        """Whether the alternative differs from what a source writes: else no row can change."""
        return (self._differences != 0).flatten(2).any(2)

    def edges(self, edges: Rows, pairs: Rows, values: Values | None = None) -> Patched:
        """The logits of runs in which one edge reads the alternative.

        Args:
            edges: the edge of each row, by its place in the graph's order.
            pairs: the pair of each row.
            values: what the edges read instead, for a few rows at a time, by their places in
                `edges`; by default the alternative.

        Yields:
            Some of the rows, by their places in `edges`, and their logits; in no particular order.
        """
        sources, destinations = self._source_of_edge[edges], self._destination_of_edge[edges]
        for destination, rows in self._chunks(destinations):
            part, letter, head = self._reads[destination]
            new = None if values is None else values(rows)
            difference = self._difference(sources[rows], pairs[rows], new)
            stream = self._patch(difference, pairs[rows], part, letter, head)
            yield rows, self._finish(stream, part + 1)

    def changes(self, edges: Rows, pairs: Rows, targets: Rows | None = None) -> Patched:
        """As `edges`, but by how much what an edge's target writes changes: [row, seq, d_model].

        For edges into `logits`, which writes nothing, by how much the final residual stream does.
        An edge into the key of several heads has several targets, of which one is to be given; no
        `Transformer` has such.
        """
        sources, destinations = self._source_of_edge[edges], self._destination_of_edge[edges]
        for destination, rows in self._chunks(destinations):
            part, letter, head = self._reads[destination]
            difference = self._difference(sources[rows], pairs[rows], None)
            behind = self._streams[min(part + 1, len(self._parts))].index_select(0, pairs[rows])
            yield rows, self._patch(difference, pairs[rows], part, letter, head) - behind

    def nodes(self, sources: Rows, pairs: Rows, values: Values | None = None) -> Patched:
        """As `edges`, but all edges out of one source read the alternative."""
        written_by = torch.tensor(self._written_by, device=sources.device)
        for part, rows in self._chunks(written_by[sources]):
            stream = self._streams[part].index_select(0, pairs[rows])
            new = None if values is None else values(rows)
            stream = stream + self._difference(sources[rows], pairs[rows], new)
            yield rows, self._finish(stream, part)

    def _chunks(self, groups: Rows) -> Iterator[tuple[int, Rows]]:
        """Rows of one group at a time, and not too many."""
        counts = groups.bincount()
        for group, rows in enumerate(torch.split(groups.argsort(), counts.tolist())):
            if len(rows):
                yield from ((group, chunk) for chunk in torch.split(rows, self._n_rows))

    def _difference(
        self, sources: Rows, pairs: Rows, new: Float[Tensor, "row seq d_model"] | None
    ) -> Float[Tensor, "row seq d_model"]:
        """The new value, by default the alternative's, minus what each source writes."""
        # Faster than indexing with both.
        places = pairs * self._outputs.shape[1] + sources
        if new is None:
            return self._differences.flatten(0, 1).index_select(0, places)
        return new - self._outputs.flatten(0, 1).index_select(0, places)

    def _patch(
        self, difference: Tensor, pairs: Rows, part: int, letter: int, head: int
    ) -> Float[Tensor, "row seq d_model"]:
        """The stream behind a part one of whose inputs is changed by the difference."""
        model, stream = self.model, self._streams[part].index_select(0, pairs)
        if part == len(self._parts):
            return stream + difference
        kind, layer = self._parts[part]
        if kind == "mlp":
            return stream + model.mlp(stream + difference, layer)
        inputs = [x.index_select(0, pairs) for x in self._qkv[layer][:, head]]
        weight, bias = model.W_QKV[layer, letter, head], model.b_QKV[layer, letter, head]
        projected = model.norm(stream + difference, layer) @ weight + bias
        inputs[letter] = model.rotate(projected, letter)
        q, k, v = (x[:, None] for x in inputs)
        new = model.heads(q, k, v, model.W_O[layer, head : head + 1])[0]
        source = self._written_by.index(part + 1) + head  # a layer's heads lie next to each other
        old = self._outputs[:, source].index_select(0, pairs)
        behind: Tensor = self._streams[part + 1].index_select(0, pairs)
        return behind + (new - old)

    def _finish(self, stream: Tensor, part: int) -> Float[Tensor, "row seq d_vocab_out"]:
        """The logits, from the stream before a part on."""
        model = self.model
        for kind, layer in self._parts[part:]:
            if kind == "mlp":
                stream = stream + model.mlp(stream, layer)
            else:
                q, k, v = model.qkv(stream, None, layer)
                stream = stream + model.heads(q, k, v, model.W_O[layer]).sum(0) + model.b_O[layer]
        return model.unembed(stream)


class MaskedPatches:
    """What `SinglePatches` gives, for any model that has the primitive: whole runs under masks."""

    def __init__(
        self,
        model: Patchable,
        tokens: Int[Tensor, "pair seq"],
        clean: Run,
        alternative: Float[Tensor, "#pair source seq d_model"] | None = None,
        *,
        n_rows: int = WHOLE_RUNS,
    ) -> None:
        """See `SinglePatches`; `tokens` are what `clean` is a run on."""
        self.model, self.graph, self._tokens = model, model.graph, tokens
        self._outputs = clean.outputs
        one = self.graph.n_edges + self._outputs[0].numel()
        self._n_rows = min(n_rows, max(1, ROOM_WHOLE // one))
        alternative = self._outputs if alternative is None else alternative
        self._alternative = alternative.expand_as(self._outputs)

    @property
    def device(self) -> torch.device:
        """Where rows are."""
        return self._outputs.device

    def edges(self, edges: Rows, pairs: Rows, values: Values | None = None) -> Patched:
        """The logits of runs in which one edge reads the alternative; see `SinglePatches`."""
        every = torch.arange(self.graph.n_edges, device=edges.device)
        sources = torch.from_numpy(self.graph.source_of_edge).to(edges.device)
        return self._run(every, sources, edges, pairs, values)

    def changes(self, edges: Rows, pairs: Rows, targets: Rows | None = None) -> Patched:
        """As `edges`, but by how much what an edge's target writes changes; see `SinglePatches`."""
        graph, device = self.graph, edges.device
        every = torch.arange(graph.n_edges, device=device)
        sources, first_targets = (
            torch.from_numpy(ends).to(device)[edges]
            for ends in (graph.source_of_edge, graph.target_of_edge)
        )
        targets = first_targets if targets is None else targets
        n_sources = len(graph.sources)
        for rows in torch.split(edges.argsort(), self._n_rows):
            mask = self._masks(every, edges[rows])
            patched = self.model.run(
                self._tokens[pairs[rows]], self._alternative[pairs[rows]], mask
            )
            # `logits` reads the final residual stream, which changes as the source does.
            writes = targets[rows] < n_sources
            ends = torch.where(writes, targets[rows], sources[rows])
            after = torch.where(
                writes[:, None, None],
                patched.outputs[torch.arange(len(rows), device=device), ends],
                self._alternative[pairs[rows], ends],
            )
            yield rows, after - self._outputs[pairs[rows], ends]

    def nodes(self, sources: Rows, pairs: Rows, values: Values | None = None) -> Patched:
        """As `edges`, but all edges out of one source read the alternative."""
        source_of_edge = torch.from_numpy(self.graph.source_of_edge).to(sources.device)
        every = torch.arange(len(self.graph.sources), device=sources.device)
        return self._run(source_of_edge, every, sources, pairs, values)

    def _run(
        self,
        item_of_edge: Int[Tensor, " edge"],
        source_of_item: Int[Tensor, " item"],
        items: Rows,
        pairs: Rows,
        values: Values | None,
    ) -> Patched:
        """Runs in which all edges of an item read the alternative of its source."""
        # Item by item: then a batch's masks leave most layers unpatched.
        for rows in torch.split(items.argsort(), self._n_rows):
            alternative = self._alternative[pairs[rows]]
            if values is not None:
                sources = source_of_item[items[rows]]
                alternative[torch.arange(len(rows), device=sources.device), sources] = values(rows)
            mask = self._masks(item_of_edge, items[rows])
            yield rows, self.model.run(self._tokens[pairs[rows]], alternative, mask).logits

    def _masks(self, item_of_edge: Int[Tensor, " edge"], items: Rows) -> Float[Tensor, "row edge"]:
        """Masks of a few items: those of all would be a matrix of items and edges."""
        return (item_of_edge == items[:, None]).to(self._alternative.dtype)


def single_patches(
    model: Patchable,
    tokens: Int[Tensor, "pair seq"],
    clean: Run,
    alternative: Float[Tensor, "#pair source seq d_model"] | None = None,
    *,
    n_rows: int | None = None,
) -> SinglePatches | MaskedPatches:
    """Single patches in the way that is fastest for this model; see `SinglePatches`.

    Raises MethodError for less than one row at a time.
    """
    if n_rows is not None and n_rows < 1:
        raise MethodError(f"expected a batch_size of at least 1, got {n_rows}")
    if isinstance(model, Transformer):
        return SinglePatches(model, clean, alternative, n_rows=n_rows)
    return MaskedPatches(model, tokens, clean, alternative, n_rows=n_rows or WHOLE_RUNS)
