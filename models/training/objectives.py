"""What a step of training minimises: interchanges of sets of edges, or of one node at a time.

All but `behaviour` draw a base and a source input, let parts of the low-level model read its run on
the source, and train its output to equal that of the compiled model under the same interchange.
`edges` is this project's own, and `guided` the same with a guide for deep chains; `nodes` is strict
interchange intervention training (SIIT) as InterpBench trains its models (Gupta et al., 2024),
which builds on Geiger et al. (2022). `behaviour` has no interchange: it makes the natural models
that the others are compared with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from knowncircuits.correspondence import FIXED
from knowncircuits.errors import ModelError
from knowncircuits.graph import Graph
from knowncircuits.models.certificates.placed import Placed
from knowncircuits.models.choices import ObjectiveName
from knowncircuits.models.training.busy import Busy
from knowncircuits.models.training.readout import OtherLengths, rows_of, unexplained
from knowncircuits.models.training.replay import Interchanges
from knowncircuits.primitive import Run

Term = Literal["behaviour", "patched", "strict", "guide", "busy"]
INTERCHANGES: tuple[Term, ...] = ("patched", "strict")  # terms that compare answers under them
Tokens: TypeAlias = Int[Tensor, "pair pos"]


@dataclass(frozen=True)
class Emphasis:
    """What the interchanges of a step dwell on; by default nothing in particular."""

    inside: Float[Tensor, " inside"] | None = None  # chances of single inside edges; None: equal
    outside: float = 1.0  # how far outside edges read the source; the rest is their own run
    # How loud outside nodes are, from 0, where an answer can only come by the circuit: busy ones
    # would soon be used for behaviour, and stand in its way.
    volume: float = 1.0
    together: float = 0.5  # share of pairs in which all outside edges read the source at once

    @property
    def settled(self) -> bool:
        """Whether outside edges and nodes are what they will be to the end."""
        return self.outside == self.volume == 1


EVEN = Emphasis()


@dataclass(frozen=True)
class Step:
    """What the losses of one step are computed on."""

    base: Tokens  # to run on
    source: Tokens  # whose run is read instead
    generator: torch.Generator  # of what is drawn, on the CPU, so that devices see the same
    emphasis: Emphasis = EVEN  # of interchanges of edges
    again: Interchanges | None = None  # what the last pairs of base and source are
    kept: bool = False  # whether the objective is to keep what it ran, as `seen`


class Objective(ABC):
    """What a step minimises, of two models and what is drawn for the step."""

    placed: Placed  # the model that is trained, on the device of the compiled one
    silent_weight: float = 1.0  # in the mean, of positions without any answer; of others 1
    terms: tuple[Term, ...]  # that its losses are of, though not each of them in every step
    # For objectives of edges: what the last step ran, and what readouts are to explain as well.
    seen: Interchanges | None = None
    others: OtherLengths | None = None

    @abstractmethod
    def losses(self, step: Step) -> Iterator[dict[Term, Tensor]]:
        """The losses of one step, to be minimised one after another.

        Args:
            step: its pairs of inputs, and what else is drawn with.

        Yields:
            Scalars by name, to be weighted and summed; weights are the caller's alone. The model
            is to be updated before the next are asked for, which are computed with what it is then.
        """

    def answer_loss(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """How far answers are from those that are wanted, on [pair, pos, out] each."""
        return answer_loss(self.placed, logits, wanted, self.silent_weight)


class EdgeInterchanges(Objective):
    """`edges`: one loss for behaviour, for the circuit's edges and for all others.

    Each pair has its own random set of edges, within the circuit and outside it together. Gradients
    flow through the run on the source too: with it cut off, signals and the noise of outside edges
    outgrow each other.

    `guided`: what the compiled model's nodes write under the interchange is to be readable off the
    nodes that stand for them, too. Where several steps of a chain must be there before the answer
    shows anything of them, the answer alone does not lead to them.

    Outside nodes may have work, which is trained under the same interchanges: see `occupy`.
    """

    busy: Busy | None = None

    def __init__(self, placed: Placed, *, guided: bool = False) -> None:
        """Both models must be on one device."""
        self.placed, correspondence, device = placed, placed.correspondence, placed.model.device
        self.terms = ("behaviour", "patched", "guide") if guided else ("behaviour", "patched")
        nodes = {h: l for h, l in correspondence.nodes.items() if h not in FIXED}
        self.guided = guided and bool(nodes)
        self.high_nodes = [correspondence.high.graph.sources.index(node) for node in nodes]
        self.low_nodes = [correspondence.low.sources.index(node) for node in nodes.values()]
        inside = correspondence.inside
        if not inside.any():
            raise ModelError(
                f"expected an edge inside the circuit of {placed.compiled.name}, got none"
            )
        self.inside = torch.from_numpy(inside.nonzero()[0]).to(device)
        self.images = torch.from_numpy(correspondence.image[inside]).to(device)
        self.outside = torch.from_numpy(~inside).to(device, torch.float32)
        known = (*FIXED, *correspondence.nodes.values())
        idle = [node not in known for node in correspondence.low.sources]
        self.idle = torch.tensor(idle, device=device)  # heads and MLPs outside the circuit

    def occupy(self, busy: Busy) -> None:
        """Give outside nodes work of their own, on which no answer depends."""
        self.busy = busy
        self.terms = (*self.terms, "busy")

    def losses(self, step: Step) -> Iterator[dict[Term, Tensor]]:
        """Behaviour, on the source, agreement under a set of edges, and the rest, all at once."""
        high = self.placed.compiled.model
        n_again = 0 if step.again is None else len(step.again.loss)
        inside, outside = self.draw(len(step.base) - n_again, step.generator, step.emphasis)
        if step.again is not None:
            inside = torch.cat([inside, step.again.inside])
            outside = torch.cat([outside, step.again.outside])
        high_mask, mask = self.masks(inside, outside)
        with torch.no_grad():
            high_source = high.run(step.source)
            wanted = high.run(step.base, high_source.outputs, high_mask)
        low_source, got = self._runs(step, mask)
        losses: dict[Term, Tensor] = {
            "behaviour": self.answer_loss(low_source.logits, high_source.logits),
            "patched": self.answer_loss(got.logits, wanted.logits),
        }
        if step.kept:
            logits = got.logits.detach()
            each = pair_losses(self.placed, logits, wanted.logits, self.silent_weight)
            self.seen = Interchanges(step.base, step.source, inside, outside, each)
        if self.guided:
            written = got.outputs[:, self.low_nodes], wanted.outputs[:, self.high_nodes]
            length, others = step.base.shape[1], self.others
            beside = others.beside(length) if others else []
            losses["guide"] = unexplained(*written, beside).sum()
            if others:
                others.keep(length, rows_of(*written))
        if self.busy is not None and step.emphasis.volume:
            signals = self.busy.signals
            with torch.no_grad():
                other = signals(step.source, high_source.outputs)
                other = other.where(~self.idle, step.emphasis.volume * other)
                side = signals(step.base, wanted.outputs, other, mask)
            losses["busy"] = self.busy.loss(got.outputs, side, low_source.outputs)
        yield losses

    def masks(
        self, inside: Float[Tensor, "pair inside"], outside: Float[Tensor, "pair low_edge"]
    ) -> tuple[Float[Tensor, "pair high_edge"], Float[Tensor, "pair low_edge"]]:
        """What the compiled and the low-level model's edges read of the source; see `draw`."""
        high = outside.new_zeros(len(inside), self.placed.compiled.model.graph.n_edges)
        high[:, self.images] = inside
        low = outside.clone()
        low[:, self.inside] = inside
        return high, low

    def _runs(self, step: Step, mask: Float[Tensor, "pair low_edge"]) -> tuple[Run, Run]:
        """The low-level model's on the source, and on the base under the mask."""
        model, volume = self.placed.model, step.emphasis.volume
        if volume == 1:
            source = model.run(step.source)
            return source, model.run(step.base, source.outputs, mask)
        hushed = (1 - volume) * self.idle[model.graph.source_of_edge].to(mask.dtype)
        shape = 1, len(self.idle), step.source.shape[1], model.config.d_model
        source = model.run(step.source, mask.new_zeros(shape), hushed[None])
        loud = torch.where(self.idle, volume, 1.0)[:, None, None]
        alternative = source.outputs * loud
        return source, model.run(step.base, alternative, mask.maximum(hushed))

    def draw(
        self, n: int, generator: torch.Generator, emphasis: Emphasis = EVEN
    ) -> tuple[Float[Tensor, "pair inside"], Float[Tensor, "pair low_edge"]]:
        """Which inside and which outside edges read the source, in each of n pairs.

        Inside, a third of the pairs none, a third one, a third a random subset: with single edges
        alone, patching several together lags. Outside, a share of the pairs all edges at once,
        the others a random density.
        """
        n_inside = len(self.inside)

        uniform = partial(draw_uniform, generator=generator)
        subset = (uniform(n, n_inside) < uniform(n, 1)).float()
        if emphasis.inside is None:
            chosen = torch.randint(n_inside, (n,), generator=generator, device="cpu")
        else:
            chosen = torch.multinomial(emphasis.inside, n, replacement=True, generator=generator)
        one = functional.one_hot(chosen, n_inside).float()
        kind = uniform(n, 1)
        inside = torch.where(kind < 1 / 3, 0.0, torch.where(kind < 2 / 3, one, subset))
        together = torch.arange(n, device="cpu")[:, None] < n * emphasis.together
        density = torch.where(together, 1.0, uniform(n, 1))
        outside = (uniform(n, len(self.outside)) < density).float() * emphasis.outside
        device = self.outside.device
        return inside.to(device), outside.to(device) * self.outside


class NodeInterchanges(Objective):
    """`nodes`: SIIT as published, in three losses, each with an update of its own.

    First the whole output of one node of the circuit is that on the source, in both models (IIT).
    Then that of one low-level node outside the circuit is, which must not change the answer
    (strictness). Last comes behaviour. Nodes are heads and MLPs, one drawn for the whole batch, and
    no gradients flow through the runs on the source; both as in InterpBench's code. That code
    scales the strict loss twice, where it is computed and where it is used, so that its weight of
    0.4 acts as 0.16; here a weight acts once, as in the paper.
    """

    terms = ("patched", "strict", "behaviour")

    def __init__(self, placed: Placed) -> None:
        """Both models must be on one device."""
        self.placed, correspondence, device = placed, placed.correspondence, placed.model.device
        high, low = correspondence.high.graph, correspondence.low
        nodes = {h: l for h, l in correspondence.nodes.items() if h not in FIXED}
        outside = [n for n in low.sources if n not in (*nodes.values(), *FIXED)]
        self.high_inside = _node_masks(high, list(nodes)).to(device)
        self.low_inside = _node_masks(low, list(nodes.values())).to(device)
        self.low_outside = _node_masks(low, outside).to(device)

    def losses(self, step: Step) -> Iterator[dict[Term, Tensor]]:
        """IIT as `patched` and `strict`, each where there are such nodes, and then `behaviour`."""
        model, high = self.placed.model, self.placed.compiled.model
        with torch.no_grad():
            clean = high.run(step.base).logits
        if len(self.low_inside):
            node = draw_place(len(self.low_inside), step.generator)
            with torch.no_grad():
                high_outputs = high.run(step.source).outputs
                wanted = high.run(step.base, high_outputs, self.high_inside[node]).logits
            got = self._interchange(step, self.low_inside[node])
            yield {"patched": self.answer_loss(got, wanted)}
        if len(self.low_outside):
            node = draw_place(len(self.low_outside), step.generator)
            got = self._interchange(step, self.low_outside[node])
            yield {"strict": self.answer_loss(got, clean)}
        yield {"behaviour": self.answer_loss(model.run(step.base).logits, clean)}

    def _interchange(self, step: Step, mask: Tensor) -> Tensor:
        """Logits on base, with the mask's edges reading the run on the source."""
        model = self.placed.model
        with torch.no_grad():
            outputs = model.run(step.source).outputs
        return model.run(step.base, outputs, mask).logits


class Behaviour(Objective):
    """`behaviour`: the compiled model's answers, by whatever circuit comes of it."""

    terms = ("behaviour",)

    def __init__(self, placed: Placed) -> None:
        """Both models must be on one device; the correspondence plays no part."""
        self.placed = placed

    def losses(self, step: Step) -> Iterator[dict[Term, Tensor]]:
        """Behaviour, on base and source: the inputs that the other objectives see."""
        tokens = torch.cat((step.base, step.source))
        with torch.no_grad():
            wanted = self.placed.compiled.model.run(tokens).logits
        got = self.placed.model.run(tokens).logits
        yield {"behaviour": self.answer_loss(got, wanted)}


OBJECTIVES: Mapping[ObjectiveName, Callable[[Placed], Objective]] = {
    "edges": EdgeInterchanges,
    "guided": partial(EdgeInterchanges, guided=True),
    "nodes": NodeInterchanges,
    "behaviour": Behaviour,
}


def answer_loss(
    placed: Placed,
    logits: Float[Tensor, "pair pos low_out"],
    wanted: Float[Tensor, "pair pos out"],
    silent_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Where the compiled model has an answer: cross-entropy to it, or squared error.

    A model that can say "none" is trained to where there is no answer. Positions at which there
    is one in none of the pairs have the weight `silent_weight` in the mean, where others have 1.
    """
    compiled = placed.compiled
    counts = compiled.defined(wanted)
    if compiled.output.numerical:
        return (logits - wanted)[counts].square().mean()
    answers = wanted.argmax(-1)
    if placed.says_none and silent_weight != 1:
        each = pair_losses(placed, logits, wanted, silent_weight)
        return each.mean() / _weights(placed, wanted, silent_weight)[1:].sum()
    if placed.says_none:
        answers = answers.where(counts, logits.shape[-1] - 1)[:, 1:]
        return functional.cross_entropy(logits[:, 1:].flatten(0, 1), answers.flatten())
    return functional.cross_entropy(logits[counts], answers[counts])


def pair_losses(
    placed: Placed,
    logits: Float[Tensor, "pair pos low_out"],
    wanted: Float[Tensor, "pair pos out"],
    silent_weight: float = 1.0,
) -> Float[Tensor, " pair"]:
    """Each pair's loss, as `answer_loss`: the sum over its positions that count, by weight."""
    lost = losses_at(logits, *targets(placed, wanted))
    return (lost * _weights(placed, wanted, silent_weight)).sum(1)


def _weights(
    placed: Placed, wanted: Float[Tensor, "pair pos out"], silent_weight: float
) -> Float[Tensor, " pos"]:
    """The weight of each position: 1 where any pair has an answer, else `silent_weight`."""
    weights = wanted.new_ones(wanted.shape[1])
    return weights.where(placed.compiled.defined(wanted).any(0), silent_weight)


def targets(
    placed: Placed, wanted: Float[Tensor, "pair pos out"]
) -> tuple[Tensor, Bool[Tensor, "pair pos"]]:
    """The compiled model's answers, [pair, pos] or of numbers [pair, pos, 1], and which count."""
    counts = placed.compiled.defined(wanted)
    if placed.compiled.output.numerical:
        return wanted, counts
    answers = wanted.argmax(-1)
    if placed.says_none:
        answers = answers.where(counts, placed.model.config.d_vocab_out - 1)
        counts = torch.ones_like(counts)
        counts[:, 0] = False
    return answers, counts


def losses_at(
    logits: Float[Tensor, "pair pos low_out"], answers: Tensor, counts: Bool[Tensor, "pair pos"]
) -> Float[Tensor, "pair pos"]:
    """The loss at each position, by `targets`; 0 where none counts."""
    if answers.is_floating_point():
        return (logits - answers).square().sum(-1) * counts
    return functional.cross_entropy(logits.movedim(-1, 1), answers, reduction="none") * counts


def draw_uniform(
    *shape: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Numbers from 0 to 1 on the CPU: the same whatever torch's default device and dtype are."""
    return torch.rand(shape, generator=generator, dtype=dtype, device="cpu")


def _node_masks(graph: Graph, nodes: Sequence[str]) -> Float[Tensor, "node 1 edge"]:
    """For each node the mask that patches it, shared by a batch: all edges out of it."""
    masks = torch.zeros(len(nodes), 1, graph.n_edges, dtype=torch.float32, device="cpu")
    for mask, node in zip(masks, nodes, strict=True):
        mask[0, torch.from_numpy(graph.edges_from(node))] = 1.0
    return masks


def draw_place(n: int, generator: torch.Generator) -> int:
    """One of n places."""
    return int(torch.randint(n, (), generator=generator, device="cpu"))
