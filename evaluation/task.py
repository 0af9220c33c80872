"""A task: all that a discovery method may see. Never the circuit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from knowncircuits.cases.case import N_PAIRS, Case
from knowncircuits.cases.choices import Direction
from knowncircuits.cases.pairs import Pairs, draw_pairs, resample
from knowncircuits.checks.arguments import expect, takes
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError, TaskError, UnknownNameError
from knowncircuits.evaluation.answers import Answers, Wanted, encode_answers, said_tokens
from knowncircuits.evaluation.choices import Ablation
from knowncircuits.evaluation.metrics import METRICS, Metric, Own, load_metric, own_metric
from knowncircuits.graph import Graph
from knowncircuits.inference import make_ordinary, ordinary, ordinary_tensors
from knowncircuits.models.certificates.placed import says_none
from knowncircuits.models.interop.interpbench import InterpBenchModel
from knowncircuits.models.trained import Trained
from knowncircuits.models.wired.wired import Wired
from knowncircuits.primitive import Patchable, Run
from knowncircuits.shown import Card, Shown, Table
from knowncircuits.shown import counted as number_of
from knowncircuits.transformer import Transformer

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from knowncircuits.models.interop.hooked import HookedTwin

ABLATIONS: tuple[Ablation, ...] = get_args(Ablation)
OF_LABELS = ("logit_diff", "prob_diff")  # metrics for which a task may have labels of its own
PAIRS_SHOWN = 3  # in a notebook
Outputs = Float[Tensor, "pair source pos d_model"]


@dataclass(frozen=True, eq=False, repr=False)
class Task(Shown):
    """A model, pairs of clean and corrupted inputs, and a metric on the outputs."""

    name: str
    model: Patchable
    clean: Int[Tensor, "pair pos"]
    corrupted: Int[Tensor, "pair pos"]
    counts: Bool[Tensor, "pair pos"]  # the positions that the metric looks at
    metric: str = "kl"
    ablation: Ablation = "resample"  # what patched edges read; see `alternative`
    labels: Answers | None = None  # by default the clean run's answers, against the corrupted one's
    # Of each token's id the output that says the same, or -1; by default its id.
    said: Int[Tensor, " token"] | None = None
    own: Metric | None = None  # a user's metric, which `metric` is the name of

    def __post_init__(self) -> None:
        expect(self.model, Patchable, "model")
        for name in ("clean", "corrupted", "counts"):
            expect(getattr(self, name), Tensor, name)
        if self.clean.shape != self.corrupted.shape or self.clean.ndim != 2:
            raise TaskError(
                f"expected clean and corrupted inputs of one shape [pair, pos], got "
                f"{list(self.clean.shape)} and {list(self.corrupted.shape)}"
            )
        if self.counts.shape != self.clean.shape or not self.counts.any():
            raise TaskError("expected a position that counts for at least one pair, got none")
        equal = (self.clean == self.corrupted).all(1)
        if equal.any():
            raise TaskError(
                f"expected corrupted inputs that differ from the clean ones, "
                f"got {int(equal.sum())} equal pairs of {len(equal)}, "
                f"the first at {int(equal.nonzero()[0])}"
            )
        _ = self.measured_by  # raises for a name of none
        if self.ablation not in ABLATIONS:
            raise UnknownNameError("ablation", self.ablation, ABLATIONS)
        if self.labels is not None:
            if self.own is not None or self.metric not in OF_LABELS:
                raise TaskError(
                    f"expected a metric of labels ({', '.join(OF_LABELS)}), got {self.metric!r}"
                )
            if len(self.labels) != len(self.clean):
                raise TaskError(
                    f"expected labels of {len(self.clean)} pairs, got those of {len(self.labels)}"
                )
        for name in ("clean", "corrupted", "counts"):
            object.__setattr__(self, name, ordinary(getattr(self, name)))
        if isinstance(self.model, nn.Module):
            make_ordinary(self.model)

    def _card(self) -> Card:
        pairs = f"{number_of(self.n_pairs, 'pair')} of {number_of(self.clean.shape[1], 'position')}"
        facts = (pairs, f"metric {self.metric}", f"{self.ablation} ablation", self.graph.summary())
        return Card(self.name, facts, self._tables)

    def _tables(self) -> list[Table]:
        some = self.clean[:PAIRS_SHOWN].tolist(), self.corrupted[:PAIRS_SHOWN].tolist()
        rows = [tuple(" ".join(map(str, ids)) for ids in pair) for pair in zip(*some, strict=True)]
        title = "Pairs, as ids of tokens"
        return [Table(title, ("clean", "corrupted"), rows, total=self.n_pairs)]

    @property
    def graph(self) -> Graph:
        """The edges to be scored."""
        return self.model.graph

    @property
    def measured_by(self) -> Metric:
        """The metric itself; raises UnknownNameError for a name of none."""
        return load_metric(self.metric) if self.own is None else self.own

    @property
    def n_pairs(self) -> int:
        """How many pairs there are."""
        return len(self.clean)

    @cached_property
    def clean_run(self) -> Run:
        """Logits and outputs on the clean inputs, without gradients.

        Raises TaskError for labels that are no outputs of the model.
        """
        with ordinary_tensors(), torch.no_grad():
            run = self.model.run(self.clean)
        if self.labels is not None:
            self.labels.check(run.logits.shape[-1])
        return run

    @cached_property
    def corrupted_run(self) -> Run:
        """Logits and outputs on the corrupted inputs, without gradients."""
        with ordinary_tensors(), torch.no_grad():
            return self.model.run(self.corrupted)

    @cached_property
    @ordinary_tensors()
    def alternative(self) -> Outputs:
        """What a patched edge reads instead of what its source writes.

        By ablation: `resample`, what the source writes on the corrupted input of the pair; `mean`,
        the mean of that over all pairs, at each position; `zero`, nothing.
        """
        corrupted = self.corrupted_run.outputs
        if self.ablation == "resample":
            return corrupted
        if self.ablation == "mean":
            return corrupted.mean(0, keepdim=True).expand_as(corrupted)
        return corrupted.new_zeros(1).expand_as(corrupted)

    @cached_property
    @ordinary_tensors()
    def differences(self) -> Outputs:
        """By how much a patched edge's value moves: the alternative less the clean outputs."""
        return self.alternative - self.clean_run.outputs

    def measure(
        self, logits: Float[Tensor, "batch pos d_vocab_out"], pairs: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """The metric between each run and the clean run of its pair, averaged over what counts.

        In float32 at least: in a model's own bfloat16 a softmax rounds by more than edges' effects.
        """
        runs = (logits, self.clean_run.logits[pairs], self.corrupted_run.logits[pairs])
        logits, clean, corrupted = (run.to(at_least_float32(run.dtype)) for run in runs)
        if self.labels is None:
            distance = self.measured_by.distance(logits, clean, corrupted)
        else:
            distance = self._lead(clean, pairs) - self._lead(logits, pairs)
        return self._mean(distance, pairs)

    def value(
        self,
        logits: Float[Tensor, "batch some d_vocab_out"],
        pairs: Int[Tensor, " batch"],
        *,
        first: int = 0,
    ) -> Float[Tensor, " batch"]:
        """What the metric is about, more being better, averaged over what counts.

        The lead of the right answer for `logit_diff` and `prob_diff`, its log probability for
        `label_loss`, and for divergences their negative. `measure` is that of the clean run less
        this. The logits may be those of the positions from `first` on, if no other one counts.
        """
        logits = logits.to(at_least_float32(logits.dtype))
        if self.labels is not None:
            value = self._lead(logits, pairs)
        else:
            runs = (self.clean_run, self.corrupted_run)
            others = (run.logits[:, first:][pairs].to(logits.dtype) for run in runs)
            value = self.measured_by.value(logits, *others)
        return self._mean(value, pairs, first)

    def lead(
        self, logits: Float[Tensor, "batch pos d_vocab_out"], pairs: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """The right answers' logits less the wrong ones', whatever the metric; a number as it is.

        Averaged over what counts.
        """
        logits = logits.to(at_least_float32(logits.dtype))
        if logits.shape[-1] == 1:
            return self._mean(logits[..., 0], pairs)
        if self.labels is not None:
            return self._mean(self.labels.lead(logits, pairs), pairs)
        others = (
            run.logits[pairs].to(logits.dtype) for run in (self.clean_run, self.corrupted_run)
        )
        return self._mean(load_metric("logit_diff").value(logits, *others), pairs)

    @property
    def counted(self) -> tuple[int, int]:
        """The first and the last position that counts for any pair."""
        places = self.counts.any(0).nonzero().flatten().tolist()
        return places[0], places[-1]

    @property
    def reversed(self) -> Task:
        """The task from the corrupted inputs' point of view: their answers are right."""
        labels = self.labels and self.labels.swapped
        return replace(self, clean=self.corrupted, corrupted=self.clean, labels=labels)

    def of_pairs(self, pairs: Int[Tensor, " chosen"]) -> Task:
        """The task on some of its pairs; what the ablation `mean` takes the mean of is theirs."""
        clean, corrupted, counts = (x[pairs] for x in (self.clean, self.corrupted, self.counts))
        labels = self.labels and self.labels.of_pairs(pairs)
        return replace(self, clean=clean, corrupted=corrupted, counts=counts, labels=labels)

    def _lead(self, logits: Tensor, pairs: Tensor) -> Float[Tensor, "batch pos"]:
        assert self.labels is not None
        if self.metric == "prob_diff":
            return self.labels.gap(logits.softmax(-1), pairs)
        return self.labels.lead(logits, pairs)

    def _mean(self, values: Tensor, pairs: Tensor, first: int = 0) -> Float[Tensor, " batch"]:
        """Over the positions that count."""
        counts = self.counts[pairs, first:].to(values.dtype)
        return (values * counts).sum(1) / counts.sum(1).clamp(min=1)

    def to_transformer_lens(self) -> TransformerBridge:
        """The model as a TransformerLens bridge; ModelError for a model that cannot be one."""
        from knowncircuits.models.interop.bridge import BridgedModel, to_transformer_lens

        if isinstance(self.model, BridgedModel):
            return self.model.bridge
        return to_transformer_lens(self._transformer("TransformerLens bridge"))

    def to_hooked(self) -> HookedTwin:
        """The model with HookedTransformer's hooks; ModelError for a model that is not ours."""
        from knowncircuits.models.interop.hooked import HookedTwin, to_hooked

        if isinstance(self.model, HookedTwin):
            return self.model
        return to_hooked(self._transformer("hooked twin"))

    def _transformer(self, wanted: str) -> Transformer:
        if not isinstance(self.model, Transformer):
            kind = type(self.model).__name__
            raise ModelError(f"expected a Transformer to make a {wanted} of, got a {kind}")
        return self.model


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """The dtype that a metric is computed in: the model's own, or float32 where that is shorter."""
    return torch.promote_types(dtype, torch.float32)


@takes(subject=Compiled | Trained | Wired | InterpBenchModel)
def make_task(
    subject: Compiled | Trained | Wired | InterpBenchModel,
    n_pairs: int | None = None,
    seed: int = 0,
    metric: str | Metric | Own | None = None,
    corruption: str = "resample",
    *,
    direction: Direction | None = None,
    split: str | None = None,
    ablation: Ablation = "resample",
    labels: tuple[Wanted, Wanted] | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Task:
    """Draw pairs of clean and corrupted inputs for a model.

    Args:
        subject: a compiled, a trained or a wired model, with its vocabulary and its case; or one of
            InterpBench's of a case of ours.
        n_pairs: how many pairs; by default as many as the case says, which is 100 for all but those
            of the experiment `few`.
        seed: of the inputs; equal seeds give equal tasks.
        metric: of `knowncircuits.evaluation.metrics`: `kl`, `l2`, `logit_diff`, `prob_diff` or
            `label_loss`; by default KL for categorical outputs and L2 for numerical ones. Or a
            function of one's own, of a run's logits, more being better, or of `logits, clean,
            corrupted`, the distance from the clean run; see
            `knowncircuits.evaluation.metrics.own_metric`. Or a `Metric`.
        corruption: `resample`, other inputs of the same distribution; `minimal`, the smallest
            change that alters the output; `variable:NAME`, a change of one variable. See
            `knowncircuits.cases.draw_pairs`.
        direction: `on-off`, clean inputs that have the property that the case names and corrupted
            ones that lack it; `off-on`, the reverse. It is a corruption by its own name.
        split: `train` or `test`; by default pairs of all inputs.
        ablation: what patched edges read: `resample`, `mean` or `zero`; see `Task.alternative`.
        labels: the right and the wrong answers, whose logits' difference is then the metric, by
            default; `prob_diff` takes them too. Each is a value of the program, a set of such,
            whose logits are averaged and whose probabilities are added, a list of one or the other
            for each pair, or a function of a pair's clean tokens that returns one. By default those
            that the case names, as `ioi` does, if the metric takes labels; else the model's own
            answers to the clean and to the corrupted input.
        device: where the model runs: a copy of it, where it is elsewhere.
        dtype: of the copy's weights, float64 for effects without rounding; by default its own.

    Raises:
        TaskError: if no such pairs can be drawn, for a direction beside another corruption, for
            a metric of categories on numbers, for labels that are no answers of the program, or
            beside a metric of one's own, or for a function that is no metric.
        UnknownNameError: for another metric, corruption, variable, split or ablation.
    """
    subject = subject.to(device=device, dtype=dtype)
    n_pairs = default_pairs(subject) if n_pairs is None else n_pairs
    if n_pairs < 1:
        raise TaskError(f"expected at least one pair, got {n_pairs}")
    compiled = subject if isinstance(subject, Compiled) else subject.compiled
    corruption = directed(corruption, direction)
    pairs = _draw_pairs(compiled, n_pairs, seed, corruption, split)
    clean, corrupted = compiled.to_ids(pairs.clean), compiled.to_ids(pairs.corrupted)
    if labels is None and isinstance(compiled.case, Case) and metric in OF_LABELS:
        labels = compiled.case.labels
    counts = counted(subject, clean, labelled=labels is not None)
    answers = None
    if labels is not None:
        names = compiled.vocabulary.tokens
        inputs = [[names[code] for code in row] for row in pairs.clean.tolist()]
        answers = encode_answers(compiled, inputs, labels)
    usual = "l2" if compiled.output.numerical else "kl"
    metric = metric or (usual if labels is None else "logit_diff")
    if callable(metric) or isinstance(metric, Metric):
        name, own = _own(metric, subject, clean, corrupted)
    else:
        name, own = metric, None
    if compiled.output.numerical and not (own or load_metric(name)).numbers:
        fit = ", ".join(name for name, entry in METRICS.items() if entry.numbers)
        raise TaskError(
            f"expected a metric for the numbers of {compiled.name} ({fit}), got {name!r}"
        )
    said = said_tokens(compiled)
    model = subject.model
    return Task(compiled.name, model, clean, corrupted, counts, name, ablation, answers, said, own)


def _own(
    metric: Metric | Own,
    subject: Compiled | Trained | Wired | InterpBenchModel,
    clean: Tensor,
    corrupted: Tensor,
) -> tuple[str, Metric]:
    """A metric of a user's, with what it is called."""
    function = metric.distance if isinstance(metric, Metric) else metric
    name = f"own:{getattr(function, '__name__', type(function).__name__).strip('<>')}"
    if isinstance(metric, Metric):
        return name, metric
    with ordinary_tensors(), torch.no_grad():
        runs = [subject.model.run(tokens).logits for tokens in (clean, corrupted)]
        clean_run, corrupted_run = (run.to(at_least_float32(run.dtype)) for run in runs)
        return name, own_metric(metric, clean_run, corrupted_run)


def counted(
    subject: Compiled | Trained | Wired | InterpBenchModel,
    clean: Int[Tensor, "pair pos"],
    *,
    labelled: bool = False,
) -> Bool[Tensor, "pair pos"]:
    """The positions at which the program says something of these inputs, or the model says None.

    Where the program says None no label is right: of a task with labels these do not count.
    """
    compiled = subject if isinstance(subject, Compiled) else subject.compiled
    with torch.no_grad():
        counts: Tensor = compiled.defined(compiled.model.run(clean).logits)
    if not labelled and says_none(compiled, subject.model.config.d_vocab_out):
        counts[:, 1:] = True
    return counts


def token_names(subject: Compiled | Trained | Wired, clean: Int[Tensor, "pair pos"]) -> list[str]:
    """What positions are called: the token there, BOS first; nothing where inputs differ."""
    compiled = subject if isinstance(subject, Compiled) else subject.compiled
    texts = ["BOS", *map(str, compiled.vocabulary.tokens)]
    same = (clean == clean[0]).all(0).tolist()
    return [
        texts[token] if there else "" for token, there in zip(clean[0].tolist(), same, strict=True)
    ]


def default_pairs(subject: Compiled | Trained | Wired | InterpBenchModel) -> int:
    """How many pairs its tasks have where nothing else is said."""
    case = (subject if isinstance(subject, Compiled) else subject.compiled).case
    return case.n_pairs if isinstance(case, Case) else N_PAIRS


def directed(corruption: str, direction: Direction | None) -> str:
    """The corruption of a task: its direction, where it has one.

    Raises TaskError for a direction beside another corruption.
    """
    if direction is None:
        return corruption
    if corruption not in ("resample", direction):
        raise TaskError(
            f"expected a direction or a corruption, got {direction!r} and {corruption!r}"
        )
    return direction


def _draw_pairs(subject: Compiled, n: int, seed: int, corruption: str, split: str | None) -> Pairs:
    if isinstance(subject.case, Case):
        return draw_pairs(subject.case, n, seed, corruption, split=split)
    if corruption != "resample" or split is not None:
        asked = f"{corruption!r} pairs" + (f" of the {split} split" if split else "")
        raise TaskError(
            f"expected a model that was compiled from a Case for {asked}, got {subject.name!r} "
            "without one"
        )
    return resample(subject.draw_codes, n, seed)
