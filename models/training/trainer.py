"""Interchange training: an ordinary transformer learns a compiled model's function and circuit.

One loss does both. Draw a base and a source input and a random set E of low-level edges; run the
low-level model on the base with E reading its own run on the source; run the compiled model with
the images of E, edges without one being dropped; train the first output to equal the second. E
within the circuit is interchange intervention training (Geiger et al., 2022), E outside it is
strictness, edge by edge; both are drawn together. This and the other choice, strict interchange
training of nodes as published, are in `knowncircuits.models.training.objectives`.
"""

from __future__ import annotations

import io
import json
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.cases.case import Case
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError, ResultError
from knowncircuits.files.writing import write_bytes
from knowncircuits.inference import ordinary_tensors, recorded_gradients
from knowncircuits.models.certificates.agreement import says_none
from knowncircuits.models.certificates.certificate import (
    QuickAgreement,
    accuracy_alone,
    certify,
    quick_agreement,
)
from knowncircuits.models.certificates.identity import TRAINED_DTYPE
from knowncircuits.models.choices import ObjectiveName
from knowncircuits.models.interop.tensors import check_sizes
from knowncircuits.models.trained import Trained
from knowncircuits.models.training.balance import balanced_weights
from knowncircuits.models.training.muon import Muon
from knowncircuits.models.training.objectives import (
    OBJECTIVES,
    Emphasis,
    Step,
    Term,
    draw_uniform,
)
from knowncircuits.transformer import Transformer, TransformerConfig, weights_hash
from knowncircuits.vocabulary import BOS
from knowncircuits.work.progress import part, report

# Weights start at half the usual scale. From full scale the noise of a thousand random edges
# drowns the few that matter: under Adam, `histogram`'s circuit formed in 1,000 steps with half of
# it, and with all of it not in 4,000.
GAIN = 0.5
# A cosine's highest rates, as a share of those of the one before.
RESTART = 0.3
# Pairs on which edges that are not inside must pass before training ends early.
ENDING = 1_000
# The sizes of the models that InterpBench trains, by case.
SIZES = Path(__file__).with_name("low_level.json")
Schedule = Literal["cosine", "constant"]
OptimizerName = Literal["muon", "adam"]
CHOICES = {"objective": ObjectiveName, "optimizer": OptimizerName, "schedule": Schedule}
SHARES = ("balanced", "lagging", "average")
STEPS = ("cooldown", "quiet", "ramp", "warmup")  # which may be none


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained; equal settings give equal weights on one machine."""

    objective: ObjectiveName = "edges"
    steps: int = 2_000
    batch_size: int = 64  # pairs of inputs in each step
    balanced: float = 0.3  # share of inputs drawn so that rare answers are as frequent as others
    optimizer: OptimizerName = "muon"  # for attention's and MLPs' matrices; others are Adam's
    muon_rate: float = 0.02  # Muon's learning rate at the end of the warm-up
    learning_rate: float = 5e-3  # Adam's, likewise
    schedule: Schedule = "cosine"  # of both rates, to zero, or constant
    # Steps at which a cosine has ended and another begins, from `RESTART` of the rates before.
    restarts: tuple[int, ...] = ()
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0  # of the gradient's norm
    behaviour_weight: float = 1.0  # of the loss where nothing is patched
    patched_weight: float = 2.0  # of the loss under interchange
    strict_weight: float = 0.4  # of `nodes`'s loss under interchange outside the circuit
    # Share of the single inside edges that are drawn by how far each fell short in validation.
    lagging: float = 0.0
    # Share of its past that the weights' moving average keeps in a step, the average being the
    # model that results: high rates shake the weights more than it. 0: the weights themselves.
    average: float = 0.0
    quiet: int = 0  # steps before outside edges read the source at all
    ramp: int = 0  # steps after that until they read nothing else
    guide_weight: float = 0.5  # of `guided`'s loss where variables cannot be read off their nodes
    n_inputs: int = 100_000  # training inputs that are drawn once
    validate_every: int = 100
    n_validation: int = 1_000  # pairs of test inputs
    # Steps from a validation that passes to an early end, rates falling to zero.
    cooldown: int = 100
    ending_pairs: int = ENDING  # on which each inside edge must pass then
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in get_args(known):
                expected = " or ".join(get_args(known))
                raise ModelError(f"expected {name} {expected}, got {getattr(self, name)!r}")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ModelError(f"expected {name} from 0 to 1, got {getattr(self, name)}")
        for name in STEPS:
            if getattr(self, name) < 0:
                raise ModelError(f"expected {name} of at least 0, got {getattr(self, name)}")
        for name, value in asdict(self).items():
            if name not in (*CHOICES, *SHARES, *STEPS, "betas", "restarts", "seed") and value <= 0:
                raise ModelError(f"expected {name} above 0, got {value}")
        if any(a >= b for a, b in pairwise((0, *self.restarts))):
            raise ModelError(f"expected restarts at rising steps above 0, got {self.restarts}")


# What InterpBench's code trains its models with by default (Gupta et al., 2024): Adam at a constant
# rate, both betas 0.9, gradients clipped to 0.1, weights 1, 1 and 0.4. Its up to 2,000 epochs over
# 12,000 inputs and more are left to `steps`.
SIIT = TrainingConfig(
    objective="nodes",
    batch_size=256,
    balanced=0.0,
    optimizer="adam",
    learning_rate=1e-3,
    schedule="constant",
    warmup=0,
    betas=(0.9, 0.9),
    clip=0.1,
    behaviour_weight=1.0,
    patched_weight=1.0,
    strict_weight=0.4,
    cooldown=0,
)


def from_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `TrainingConfig` as it has them: JSON has no tuples."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}


@dataclass(frozen=True)
class Losses:
    """What one step has seen, before weights; zero for what the objective does not have."""

    behaviour: float = 0.0
    patched: float = 0.0
    strict: float = 0.0
    guide: float = 0.0
    gradient_norm: float = 0.0  # before clipping; the largest, if there are several updates


def low_level_config(
    compiled: Compiled,
    *,
    n_layers: int | None = None,
    n_heads: int | None = None,
    d_model: int | None = None,
    d_head: int | None = None,
    layer_norm: bool = False,
    none: bool = False,
) -> TransformerConfig:
    """Sizes for a model to be trained: InterpBench's for its cases, or those that are given.

    Without InterpBench's, at least two layers and four heads, and half the compiled model's width,
    so that variables are in superposition; heads that share out the width, unless `d_head` is
    given: heads that compare as many keys as a program may have need more. GELU, and no norm unless
    asked for. With `none` the
    model has one output more, for where the compiled one says None; see `says_none`.

    Raises ModelError where `none` is asked of a model of numbers, and for sizes beyond all bounds.
    """
    high = compiled.model.config
    if none and compiled.output.numerical:
        raise ModelError(f"expected values for an answer none, got numbers of {compiled.name}")
    derived = {
        "n_layers": max(2, high.n_layers),
        "n_heads": max(4, high.n_heads),
        "d_model": max(12, math.ceil(high.d_model / 2)),
    }
    sizes = json.loads(SIZES.read_text()).get(compiled.name, derived)
    given = {"n_layers": n_layers, "n_heads": n_heads, "d_model": d_model}
    if any(given.values()):
        sizes = {name: given[name] or sizes[name] for name in derived}
    width, heads = sizes["d_model"], sizes["n_heads"]
    config = TransformerConfig(
        n_layers=sizes["n_layers"],
        n_heads=heads,
        d_model=width,
        d_head=d_head or sizes.get("d_head", max(1, width // heads)),
        d_mlp=sizes.get("d_mlp", 4 * width),
        n_ctx=high.n_ctx,
        d_vocab=high.d_vocab,
        d_vocab_out=high.d_vocab_out + none,
        causal=high.causal,
        activation="gelu",
        layer_norm=layer_norm,
    )
    check_sizes(config)
    return config


def start_from(model: Transformer, compiled: Compiled, start: Trained) -> None:
    """Give a model of a compiled one the weights of another: its first layers and its embeddings.

    Tokens have the embeddings that they have there. Of layers that the other lacks, and of a
    readout for another number of answers, the weights stay as they are. Where one program begins
    as another does, such as `median`, which sorts, the model then has that part of the circuit.

    Raises ModelError for other widths or kinds of layers, for fewer layers than `start` has, and
    for tokens that it does not know.
    """
    wanted, got = asdict(model.config), asdict(start.model.config)
    most, layers = wanted.pop("n_layers"), got.pop("n_layers")
    for free in ("d_vocab", "d_vocab_out"):
        del wanted[free], got[free]
    if other := {name: value for name, value in wanted.items() if got[name] != value}:
        found = {name: got[name] for name in other}
        raise ModelError(f"expected a model to start from with {other}, got one with {found}")
    if model.config.layer_norm:  # whose gains are stacked over layers in another order
        raise ModelError("expected models without norms where one starts from another")
    if layers > most:
        raise ModelError(f"expected at most {most} layers to start from, got {layers}")
    known, tokens = start.compiled.vocabulary.tokens, compiled.vocabulary.tokens
    if unknown := [token for token in tokens if token not in known]:
        raise ModelError(f"expected a model to start from that knows the tokens {unknown}")
    ids = [BOS, *(BOS + 1 + known.index(token) for token in tokens)]
    with torch.no_grad():
        for name, parameter in start.model.named_parameters():
            weights = parameter[ids] if name == "W_E" else parameter
            place = getattr(model, name)[: len(weights)]
            if place.shape == weights.shape:
                place.copy_(weights)


class Trainer:
    """Trains one model, step by step; its state can be saved and loaded between any two."""

    @ordinary_tensors()
    def __init__(
        self,
        compiled: Compiled,
        correspondence: Correspondence,
        low: TransformerConfig,
        config: TrainingConfig,
        device: str | torch.device = "cpu",
        start: Trained | None = None,
    ) -> None:
        """Draw inputs and initial weights by the config's seed.

        All is in float32: of a model compiled in another dtype a copy is followed.

        With `start`, a model of the same widths, of at most as many layers and of at least the same
        tokens, its weights take the place of those that are drawn; see `start_from`.

        Raises ModelError where the sizes do not fit the compiled model and the correspondence, or
        those of `start`.
        """
        high = compiled.model.config
        outputs = high.d_vocab_out + says_none(compiled, low.d_vocab_out)
        wanted = (correspondence.low, high.n_ctx, high.d_vocab, outputs, high.causal)
        got = (low.graph, low.n_ctx, low.d_vocab, low.d_vocab_out, low.causal)
        if wanted != got:
            raise ModelError(
                f"expected graph, n_ctx, d_vocab, d_vocab_out and causality {wanted}, got {got}"
            )
        self.config, self.correspondence = config, correspondence
        self.compiled = compiled = compiled.to(dtype=TRAINED_DTYPE, device=device)
        self.model = Transformer(low, device=device).initialise(config.seed, gain=GAIN)
        self.start = weights_hash(start.model) if start else None
        if start:
            start_from(self.model, compiled, start)
        # What is stepped; the model is its average, or the same.
        self.moving = deepcopy(self.model) if config.average else self.model
        self.objective = OBJECTIVES[config.objective](compiled, correspondence, device)
        if not isinstance(compiled.case, Case):
            raise ModelError("expected a compiled case, whose inputs can be drawn, got a program")
        train, test = (
            compiled.to_ids(compiled.case.draw(n, config.seed, split=split)).to(device)
            for n, split in ((config.n_inputs, "train"), (2 * config.n_validation, "test"))
        )
        self.inputs, self.validation = train, test.chunk(2)
        self.cumulative = balanced_weights(compiled, train).cumsum(0) if config.balanced else None
        self.optimizers = _optimizers(self.moving, config)
        # Everything random is drawn on the CPU, so that devices see the same batches.
        self.generator = torch.Generator("cpu").manual_seed(config.seed)
        self.n_steps = 0
        self.lags: list[float] = []  # of the inside edges, in the last validation
        self.cooling_since: int | None = None  # the step at which a validation passed
        self.done = False

    @recorded_gradients()
    def step(self) -> Losses:
        """Draw pairs, and take a step on each of the objective's losses in turn.

        Gradients are recorded, whatever the caller has switched off.
        """
        c = self.config
        weights: dict[Term, float] = {
            "behaviour": c.behaviour_weight,
            "patched": c.patched_weight,
            "strict": c.strict_weight,
            "guide": c.guide_weight,
        }
        step = Step(*self._pairs(), self.generator, self.emphasis)
        seen: dict[Term, float] = {}
        norm, rate = 0.0, self.rate
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
        for losses in self.objective.losses(self.moving, step):
            self.moving.zero_grad()
            weighted = [weights[name] * loss for name, loss in losses.items()]
            torch.autograd.backward(torch.stack(weighted).sum())
            clipped = torch.nn.utils.clip_grad_norm_(self.moving.parameters(), c.clip)
            with torch.device("cpu"):  # on which Adam counts its steps
                for optimizer in self.optimizers:
                    optimizer.step()
            seen |= {name: loss.item() for name, loss in losses.items()}
            norm = max(norm, float(clipped))
        self.n_steps += 1
        self._average()
        return Losses(**seen, gradient_norm=norm)

    @torch.no_grad()
    def _average(self) -> None:
        """Let the model follow the weights that are stepped; closely at first, from any start."""
        if self.config.average:
            kept = min(self.config.average, self.n_steps / (self.n_steps + 9))
            for mean, moving in zip(self.model.parameters(), self.moving.parameters(), strict=True):
                mean.lerp_(moving, 1 - kept)

    @property
    def rate(self) -> float:
        """The next step's learning rates, as a share of the highest."""
        c = self.config
        rate = min(1.0, (self.n_steps + 1) / max(1, c.warmup))
        if c.schedule == "cosine":
            bounds = [0, *(step for step in c.restarts if step < c.steps), c.steps]
            cycle = bisect_right(bounds[1:-1], self.n_steps)
            start, end = bounds[cycle : cycle + 2]
            rate *= RESTART**cycle
            share = (self.n_steps - start) / (end - start)
            rate *= (1 + math.cos(math.pi * min(1.0, share))) / 2
        if self.cooling_since is not None:
            rate *= 1 - (self.n_steps - self.cooling_since) / max(1, c.cooldown)
        return rate

    @property
    def emphasis(self) -> Emphasis:
        """What the next step's interchanges dwell on."""
        c = self.config
        chances = None
        if c.lagging and any(self.lags):
            lags = torch.tensor(self.lags, dtype=torch.float32, device="cpu")
            chances = (1 - c.lagging) / len(lags) + c.lagging * lags / lags.sum()
        strength = 1.0
        if self.n_steps < c.quiet + c.ramp:
            strength = max(0.0, (self.n_steps - c.quiet) / max(1, c.ramp))
        return Emphasis(chances, strength)

    @property
    def due(self) -> bool:
        """Whether it is time to validate."""
        c = self.config
        return self.n_steps % c.validate_every == 0 or self.n_steps in (c.steps, self._cooled)

    @property
    def _cooled(self) -> int | None:
        """The step at which the present cool-down ends."""
        return None if self.cooling_since is None else self.cooling_since + self.config.cooldown

    def validate(self) -> QuickAgreement:
        """The certificate's quick form on pairs of inputs that are never trained on.

        Training for behaviour is judged by behaviour.
        """
        base, source = self.validation
        if self.config.objective == "behaviour":
            return accuracy_alone(self.model, self.compiled, self.correspondence, base)
        generator = torch.Generator("cpu").manual_seed(self.config.seed)
        return quick_agreement(
            self.model, self.compiled, self.correspondence, base, source, generator
        )

    def judge(self, agreement: QuickAgreement) -> None:
        """Cool down after a validation that passes; after that, end if every edge passes, or go on.

        Validation sees outside edges dealt out over its pairs, too few for each to be certain.
        """
        # An edge under which no position counts cannot lag.
        self.lags = [1 - a.share if a.positions else 0.0 for a in agreement.inside.values()]
        if self.cooling_since is None and agreement.passed:
            self.cooling_since = self.n_steps
        if self.n_steps == self._cooled:
            natural = self.config.objective == "behaviour"
            self.done = agreement.passed and (natural or self._every_edge_passes())
            self.cooling_since = None
        self.done |= self.n_steps >= self.config.steps

    def _every_edge_passes(self) -> bool:
        """By a certificate of few pairs, not those of the model's own.

        Inside edges come first, on as many pairs as are asked for: there are few, and it is they
        that fall short.
        """
        c = self.config
        certificate = partial(
            certify,
            self.model,
            self.compiled,
            self.correspondence,
            seed=c.seed + 1,
            ablations=("resample",),
        )
        edges = self.correspondence.circuit.edges()
        if certificate(n_pairs=c.ending_pairs, edges=edges).misses:
            return False
        others = [edge for edge in self.correspondence.low.edges if edge not in edges]
        return not certificate(n_pairs=min(c.ending_pairs, ENDING), edges=others).misses

    def save(self, path: Path) -> None:
        """Write all that a later `load` needs to go on exactly; whole or not at all."""
        state = {
            "settings": self._settings(),
            "steps": self.n_steps,
            "lags": self.lags,
            "cooling_since": self.cooling_since,
            "done": self.done,
            "model": self.model.state_dict(),
            "moving": self.moving.state_dict() if self.config.average else {},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generator": self.generator.get_state(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; raises ResultError for one of other settings, or none at all."""
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            settings = state["settings"]
        except Exception as error:  # a broken archive can fail in any way
            raise ResultError(f"{path}: expected a checkpoint, got {error}") from error
        if settings != self._settings():
            raise ResultError(
                f"{path}: expected a checkpoint of {self._settings()}, got one of {settings}"
            )
        self.model.load_state_dict(state["model"])
        if self.config.average:
            self.moving.load_state_dict(state["moving"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        self.n_steps, self.done = state["steps"], state["done"]
        self.lags, self.cooling_since = state["lags"], state["cooling_since"]

    def _settings(self) -> str:
        """What a checkpoint must agree in."""
        nodes = sorted(self.correspondence.nodes.items())
        settings = f"{self.compiled.name}, {self.config}, {self.model.config}, {nodes}"
        return f"{settings}, from {self.start}" if self.start else settings

    def _pairs(self) -> tuple[Int[Tensor, "pair pos"], Int[Tensor, "pair pos"]]:
        shape = (2, self.config.batch_size)
        chosen = torch.randint(len(self.inputs), shape, generator=self.generator, device="cpu")
        if self.cumulative is not None:
            draws = draw_uniform(*shape, generator=self.generator, dtype=torch.float64)
            rare = torch.searchsorted(self.cumulative, draws).clamp(max=len(self.inputs) - 1)
            balanced = draw_uniform(*shape, generator=self.generator) < self.config.balanced
            chosen = torch.where(balanced, rare, chosen)
        base, source = self.inputs[chosen.to(self.inputs.device)]
        return base, source


def _optimizers(model: Transformer, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """Muon, if it is asked for, and Adam for the rest; groups know their highest rate, `peak`."""
    optimizers: list[torch.optim.Optimizer] = []
    rest = list(model.parameters())
    if config.optimizer == "muon":
        muon = Muon(model, config.muon_rate)
        taken = {id(p) for p in muon.parameters}
        rest = [p for p in rest if id(p) not in taken]
        optimizers.append(muon)
    optimizers.append(torch.optim.Adam(rest, lr=config.learning_rate, betas=config.betas))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def train(
    trainer: Trainer,
    *,
    checkpoint: Path | None = None,
    on_step: Callable[[int, Losses], None] = lambda step, losses: None,
    on_validation: Callable[[int, QuickAgreement], None] = lambda step, agreement: None,
) -> QuickAgreement:
    """Train to the last step, or until the certificate passes on few pairs.

    Args:
        trainer: the model, the compiled one and the settings.
        checkpoint: a file to go on from, if it is there, and to write at each validation.
        on_step: told of every step.
        on_validation: told of every validation.

    Returns:
        The last validation.

    Raises:
        ResultError: for a checkpoint of other settings.
        ModelError: if the loss is no longer finite.
    """
    if checkpoint is not None and checkpoint.exists():
        trainer.load(checkpoint)
    agreement = trainer.validate()
    with part(f"training {trainer.compiled.name}"):
        while not trainer.done:
            losses = _checked_step(trainer)
            on_step(trainer.n_steps, losses)
            report(trainer.n_steps, trainer.config.steps, _progress_text(losses, agreement))
            if trainer.due:
                agreement = trainer.validate()
                trainer.judge(agreement)
                on_validation(trainer.n_steps, agreement)
                if checkpoint is not None:
                    trainer.save(checkpoint)
    return agreement


def _checked_step(trainer: Trainer) -> Losses:
    """A step; raises ModelError if the loss is no longer finite."""
    losses, config = trainer.step(), trainer.config
    if not math.isfinite(losses.behaviour + losses.patched + losses.strict + losses.guide):
        raise ModelError(
            f"training diverged at step {trainer.n_steps} ({losses}); lower learning rates "
            f"than {config.learning_rate:g} (Adam) and {config.muon_rate:g} (Muon) may help"
        )
    return losses


def _progress_text(losses: Losses, agreement: QuickAgreement) -> str:
    """How training goes: losses of this step, and what the last validation found."""
    edge, worst = agreement.worst_inside
    return (
        f"loss {losses.behaviour:.3f} + {losses.patched + losses.strict:.3f}, "
        f"agreement {agreement.accuracy.share:.2%}" + (f", {edge} {worst:.2%}" if edge else "")
    )
