"""The command line. Only here do errors become messages and exit codes: 2 for bad input.

Each command imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from knowncircuits.errors import InputError, KnownCircuitsError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    import pandas as pd

    from knowncircuits.models.zoo import Zoo

app = typer.Typer(
    name="knowncircuits",
    help="Score circuit-discovery methods against circuits that are known.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
bench_app = typer.Typer(help="Measure speed against a baseline in the same process.")
app.add_typer(bench_app, name="bench")


class ListByDefault(TyperGroup):
    """A group of commands that runs `list` where none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put it before the arguments."""
        named = args and (args[0] == "--help" or not args[0].startswith("-"))
        return super().parse_args(ctx, args if named else ["list", *args])


models_app = typer.Typer(
    cls=ListByDefault,
    help="Trained models: list them, measure them again, make them. By itself: list.",
)
app.add_typer(models_app, name="models")

CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="A case; see `cases`.")]


class Metric(StrEnum):
    """Metrics of a task."""

    kl = "kl"
    l2 = "l2"
    logit_diff = "logit_diff"
    prob_diff = "prob_diff"
    label_loss = "label_loss"


class PatchedEdges(StrEnum):
    """Ablations of a task."""

    resample = "resample"
    mean = "mean"
    zero = "zero"


class Objective(StrEnum):
    """What a step of training minimises."""

    edges = "edges"
    nodes = "nodes"
    behaviour = "behaviour"


class EffectMetric(StrEnum):
    """How the effect of an ablation is measured."""

    flips = "flips"
    kl = "kl"


class Granularity(StrEnum):
    """What is ablated, one at a time."""

    node = "node"
    head = "head"
    edge = "edge"


class Figure(StrEnum):
    """Figures of effects."""

    curves = "curves"
    heatmap = "heatmap"
    circuit = "circuit"


class Theme(StrEnum):
    """Colours of figures."""

    default = "default"
    colourblind = "colourblind"


class WandbMode(StrEnum):
    """Where W&B's runs go."""

    online = "online"
    offline = "offline"
    disabled = "disabled"


class Look(StrEnum):
    """What `cases` prints."""

    list = "list"
    check = "check"


def main() -> None:
    """The entry point: runs a command, turns the library's errors into one line and exit code 2."""
    # The models are so small that threads wait for each other more than they work: up to 30 times
    # slower where another program uses a core. Whoever has reason to can set more.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        app()
    except KnownCircuitsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


@app.command()
def score(
    method: Annotated[
        str, typer.Argument(help="A discovery method; see `methods`. Or your own: MODULE:FUNCTION.")
    ],
    case: Annotated[
        list[str] | None, typer.Option("--case", "-c", help="Only this case; may be repeated.")
    ] = None,
    suite: Annotated[str, typer.Option(help="Which cases to run on.")] = "all",
    variant: Annotated[
        str | None, typer.Option(help="Of the trained models: seed0 (default), seed1, shuffled.")
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="On compiled models, not trained ones.")
    ] = False,
    model: Annotated[
        Path | None, typer.Option(help="On your own trained model: its folder.")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Clean/corrupted pairs for each case.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the pairs.")] = 0,
    metric: Annotated[
        Metric | None, typer.Option(help="Default: KL for categorical outputs, L2 for numbers.")
    ] = None,
    corruption: Annotated[
        str,
        typer.Option(help="Corrupted inputs: resample, minimal, or variable:NAME of the program."),
    ] = "resample",
    ablation: Annotated[
        PatchedEdges, typer.Option(help="What patched edges read.")
    ] = PatchedEdges.resample,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-x", help="NAME=VALUE for the method; may be repeated."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the result files.")
    ] = Path("results"),
) -> None:
    """Run a discovery method on trained models and score it against their circuits.

    Writes OUTPUT/METHOD/CASE.json for each case. A run that was killed goes on where it was.
    """
    from knowncircuits.evaluation.discover import bind_options, load_method
    from knowncircuits.evaluation.runs import COMPILED, Settings, run
    from knowncircuits.exchange import check_writable

    if sum((compiled, model is not None, variant is not None)) > 1:
        raise InputError("expected one of --variant, --compiled and --model, got several")
    sys.path.insert(0, "")  # as `python -m` has it, so that MODULE may lie beside
    bind_options(load_method(method), method, given := _options(option))
    subject = model or (COMPILED if compiled else variant or "seed0")
    names = _names(subject, case, suite)
    settings = Settings(
        method,
        pairs,
        seed,
        metric.value if metric else None,
        given,
        corruption,
        subject,
        ablation.value,
    )
    folder = output / settings.folder
    check_writable(folder)
    with _progress() as progress:
        bar = progress.add_task(method, total=len(names))

        def tick(result: Any) -> None:
            progress.update(bar, advance=1, description=f"{method}: {result.case}")

        table = run(settings, names, output, tick)
    what = "compiled models" if compiled else model or f"trained models ({subject})"
    _print_scores(f"{method} on {what}", table)
    _console().print(f"[dim]{len(table)} result files in {folder}[/dim]", highlight=False)


@app.command()
def cases(
    look: Annotated[
        Look, typer.Argument(help="list: what they compute and how hard they are; check: the data.")
    ] = Look.list,
    suite: Annotated[str, typer.Option(help="all, interpbench or structural.")] = "all",
    family: Annotated[str | None, typer.Option(help="Only the cases of this family.")] = None,
    pairs: Annotated[int, typer.Option(help="check: pairs for each case.")] = 1000,
    seed: Annotated[int, typer.Option(help="check: seed of the pairs.")] = 0,
) -> None:
    """List the cases with how hard their circuits are to find, or check their data.

    `cases check` looks at inputs, pairs and outputs, and exits with 1 if anything is wrong.
    """
    from knowncircuits.cases import list_cases

    names = list_cases(suite, family=family)
    if look is Look.list:
        _print_cases(names)
    else:
        _check_cases(names, pairs, seed)


@app.command()
def difficulty() -> None:
    """Measure how hard each case is, anew, and store it where `cases` and the suites look it up."""
    from rich.progress import track

    from knowncircuits.cases import CASES
    from knowncircuits.cases.difficulty import STORED, write_difficulties
    from knowncircuits.evaluation.difficulty import measure_difficulty

    cases = track(CASES.values(), "difficulty", console=_console(True), transient=True)
    write_difficulties(map(measure_difficulty, cases))
    print(f"wrote {STORED}")


@app.command()
def docs(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the page.")] = Path(
        "docs/cases.md"
    ),
) -> None:
    """Write the reference page of the cases."""
    from knowncircuits.evaluation.reference import cases_page
    from knowncircuits.exchange import write_text

    write_text(output, cases_page())
    print(f"wrote {output}")


@app.command()
def methods() -> None:
    """List the discovery methods and the controls, with their options and defaults."""
    from knowncircuits.evaluation.discover import default_options, describe_methods

    rows = []
    for name, method, kind in describe_methods():
        first = (method.run.__doc__ or "").strip().partition("\n")[0]
        options = " ".join(
            f"{key}={_short(value)}" for key, value in default_options(method).items()
        )
        rows.append((name, kind, method.rank_by, options, first))
    _print_table(("method", "kind", "ranks by", "options (-x)", "what it computes"), rows)


@app.command()
def show(
    case: CaseArgument,
    save: Annotated[
        Path | None,
        typer.Option(help="Write the circuit: .json (EAP-IG's format), .html, .svg, .png or .pdf."),
    ] = None,
) -> None:
    """Show a case's program, its compiled model and its circuit."""
    from knowncircuits.cases import load_case
    from knowncircuits.cases.difficulty import load_difficulty
    from knowncircuits.describe import program_text
    from knowncircuits.drawing import circuit_text, save_circuit

    chosen = load_case(case)
    compiled = chosen.compile()
    if save is not None:
        save_circuit(
            compiled.circuit, save, title=chosen.name, d_model=compiled.model.config.d_model
        )
    config = compiled.model.config
    example = chosen.sample(1, seed=0)[0]
    answer = chosen.interpret([example])[0]
    print(f"{chosen.name}: {chosen.description}\n")
    print(program_text(chosen.program))
    print(f"\non {_values(example)}\n-> {_values(answer)}\n")
    print(
        f"{config.n_layers} layers, {config.n_heads} heads, d_model {config.d_model}, "
        f"{'causal' if config.causal else 'bidirectional'} attention\n"
    )
    print(circuit_text(compiled.circuit))
    untold = load_difficulty(chosen.name).undetected
    if untold:
        print("\nread, but no interchange can tell:")
    for edge, why in untold.items():
        print(f"  {edge}: {why}")
    if save is not None:
        print(f"\nwrote {save}")


@app.command()
def run(
    case: CaseArgument,
    tokens: Annotated[list[str] | None, typer.Argument(help="The input, token by token.")] = None,
) -> None:
    """Run a case's program and its compiled model on one input, side by side."""
    from knowncircuits.cases import load_case

    chosen = load_case(case)
    by_text = {str(value): value for value in chosen.vocab}
    unknown = [token for token in tokens or () if token not in by_text]
    if unknown:
        raise InputError(
            f"expected tokens among {', '.join(by_text)}; got {', '.join(map(repr, unknown))}"
        )
    values = [by_text[token] for token in tokens or ()]
    wanted = chosen.interpret([values])[0]
    got = chosen.compile()(values)
    rows = [tuple(map(_value, row)) for row in zip(values, wanted, got, strict=True)]
    _print_table(("token", "program", "compiled model"), rows)


@app.command()
def train(
    case: CaseArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder; by default trained/CASE.")
    ] = None,
    objective: Annotated[
        Objective,
        typer.Option(
            help="Interchanges of sets of edges, or of single nodes (SIIT as published), or none."
        ),
    ] = Objective.edges,
    steps: Annotated[
        int | None, typer.Option(help="At most; fewer where the certificate passes before.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", "-x", help="NAME=VALUE of TrainingConfig, batch_size=128; may be repeated."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, inputs and drawn edges.")] = 0,
    shuffle: Annotated[
        int | None, typer.Option(help="Seed of a random placement, instead of the same names.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="By default the recipe's.")] = None,
    heads: Annotated[int | None, typer.Option(help="By default the recipe's.")] = None,
    d_model: Annotated[int | None, typer.Option(help="By default the recipe's.")] = None,
    layer_norm: Annotated[bool, typer.Option(help="Pre-LN instead of no norm.")] = False,
    pairs: Annotated[int, typer.Option(help="Pairs of the certificate.")] = 20_000,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    wandb: Annotated[
        str | None, typer.Option(metavar="PROJECT", help="Log to Weights & Biases.")
    ] = None,
    wandb_mode: Annotated[
        WandbMode | None, typer.Option(help="By default what WANDB_MODE says, or online.")
    ] = None,
) -> None:
    """Train a transformer to share a case's circuit, by interchanges, and certify it.

    What is not said is as in the recipe of the case's shipped model, or else the default. Writes
    the model and its certificate to OUTPUT; exits with 1 if it is not certified. Training that was
    killed goes on where it last validated.
    """
    from contextlib import nullcontext
    from dataclasses import replace

    from knowncircuits.exchange import check_writable
    from knowncircuits.models import training
    from knowncircuits.models.certificate import read_certificate
    from knowncircuits.models.tracking import track
    from knowncircuits.models.zoo import freeze, plan_model

    if wandb_mode and not wandb:
        raise InputError("expected --wandb PROJECT with --wandb-mode, got no project")
    plan = replace(plan_model(case), shuffle=shuffle)
    if objective is Objective.nodes:
        plan = replace(plan, config=training.SIIT)
    else:
        plan = plan.changed({"objective": objective.value})
    sizes = {"layers": layers, "heads": heads, "d_model": d_model, "layer_norm": layer_norm or None}
    settings = {"seed": seed, "steps": steps, **sizes, **_options(option)}
    plan = plan.changed({name: value for name, value in settings.items() if value is not None})
    _check_device(device)
    trainer = plan.trainer(device)
    folder = output or Path("trained") / case
    check_writable(folder)
    checkpoint = folder / "checkpoint.pt"
    tracking: Any = nullcontext()
    if wandb:
        tracking = track(trainer, wandb, folder, mode=wandb_mode.value if wandb_mode else None)
    with tracking as tracker:
        _train(trainer, checkpoint, tracker)
        passed = _certify(freeze(trainer), folder, pairs, seed)
        if tracker:
            tracker.certified(read_certificate(folder / "certificate.json"), folder)
    checkpoint.unlink(missing_ok=True)
    print(f"{trainer.n_steps} steps; model and certificate in {folder}")
    raise typer.Exit(0 if passed else 1)


@app.command()
def certify(
    folder: Annotated[Path, typer.Argument(help="The folder of a trained model.")],
    pairs: Annotated[int, typer.Option(help="Pairs of inputs.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Of pairs and random sets of edges.")] = 0,
) -> None:
    """Measure every edge of a trained model anew and write its certificate.

    A sample of the edges is computed again through hooks, and must agree. Exits with 1 if the
    certificate fails.
    """
    from knowncircuits.models.recheck import recheck
    from knowncircuits.models.trained import load_trained

    trained = load_trained(folder)
    passed = _certify(trained, folder, pairs, seed)
    certificate = load_trained(folder).certificate
    assert certificate is not None
    edges = recheck(
        trained.model, trained.compiled, trained.correspondence, certificate, n_pairs=500
    )
    print(f"computed again through hooks: {', '.join(edges)}")
    raise typer.Exit(0 if passed else 1)


SaveOption = Annotated[
    list[Path] | None,
    typer.Option(help="A file: .csv, .json, .html, .png, .pdf or .svg; may be repeated."),
]
AblationOption = Annotated[
    list[str] | None,
    typer.Option(
        help="resample, mean, zero, self-inside, self-outside, resample-inside or "
        "resample-outside; may be repeated; default: resample."
    ),
]
VariantOption = Annotated[
    str | None, typer.Option(help="Of the trained models: seed0 (default), seed1, shuffled.")
]
ThemeOption = Annotated[Theme, typer.Option(help="Colours of figures.")]


@app.command()
def effects(
    case: CaseArgument,
    ablation: AblationOption = None,
    scales: Annotated[
        str | None,
        typer.Option(
            help="Numbers with commas; default: 0,0.1,0.2,0.5,0.7,0.8,1,1.2,1.4,2,5,10, and 1 "
            "for edges and positions."
        ),
    ] = None,
    granularity: Annotated[
        Granularity, typer.Option(help="What is ablated, one at a time.")
    ] = Granularity.node,
    inputs: Annotated[int, typer.Option(help="All ordered pairs of so many are taken.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the inputs.")] = 0,
    metric: Annotated[
        EffectMetric, typer.Option(help="Share of changed answers, or KL divergence.")
    ] = EffectMetric.flips,
    per_position: Annotated[
        bool, typer.Option("--per-position", help="At one position at a time.")
    ] = False,
    variant: VariantOption = None,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Of the compiled model, not a trained one.")
    ] = False,
    model: Annotated[
        Path | None, typer.Option(help="Of your own trained model: its folder.")
    ] = None,
    save: SaveOption = None,
    figure: Annotated[
        Figure | None, typer.Option(help="What is drawn; by default what suits the effects.")
    ] = None,
    theme: ThemeOption = Theme.default,
) -> None:
    """Measure how much each node or edge matters: the effect of ablating it, at several scales.

    Prints a table, and writes tables and figures by their endings: --save effects.html.
    """
    import pandas as pd

    from knowncircuits.evaluation.effects import SCALES, causal_effects
    from knowncircuits.evaluation.figures import check_files, draw_effects, save_effects

    subject, name = _subject(case, variant, compiled, model)
    check_files(save or ())
    one = per_position or granularity is Granularity.edge
    chosen = _scales(scales) if scales else [1.0] if one else SCALES
    frames = []
    with _progress() as progress:
        for kind in progress.track(ablation or ["resample"], description=case):
            frame = causal_effects(
                subject,
                ablation=kind,
                scales=chosen,
                granularity=granularity.value,
                n_inputs=inputs,
                seed=seed,
                metric=metric.value,
                per_position=per_position,
                name=name,
            )
            frames.append(frame)
    table = pd.concat(frames, ignore_index=True)
    drawn = None
    if any(path.suffix not in (".csv", ".json") for path in save or ()):
        drawn = draw_effects(
            table, subject.circuit, figure.value if figure else None, theme=theme.value
        )
    _print_effects(table)
    for path in save or ():
        save_effects(table, drawn, path)
        print(f"wrote {path}")


@app.command()
def realism(
    case: CaseArgument,
    variant: VariantOption = None,
    model: Annotated[Path | None, typer.Option(help="Your own trained model: its folder.")] = None,
    natural: Annotated[
        Path | None,
        typer.Option(help="Folder of the natural model, used if it is there; natural/CASE."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", "-x", help="NAME=VALUE of its TrainingConfig, optimizer=adam; repeatable."
        ),
    ] = None,
    ablation: AblationOption = None,
    scales: Annotated[
        str | None, typer.Option(help="Numbers with commas; by default those of `effects`.")
    ] = None,
    inputs: Annotated[int, typer.Option(help="For effects, which take all their pairs.")] = 100,
    pairs: Annotated[int, typer.Option(help="For accuracies.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Of inputs and pairs.")] = 0,
    save: SaveOption = None,
    theme: ThemeOption = Theme.default,
) -> None:
    """Compare a trained model with a natural one, which learns the same answers freely.

    The natural model has the same sizes, initial weights and settings, but is trained for behaviour
    alone. Compared are accuracy with the rest of the model ablated, weight norms and node effects;
    figures show the effects side by side.
    """
    from knowncircuits.evaluation import realism as study
    from knowncircuits.evaluation.effects import SCALES
    from knowncircuits.evaluation.figures import check_files, effects_figure, save_effects

    trained, _ = _subject(case, variant, False, model)
    folder = natural or Path("natural") / case
    config = study.natural_config(trained, **_options(option))
    check_files(save or ())
    table = study.realism(
        trained,
        _natural(trained, config, folder),
        ablations=ablation or ["resample"],
        scales=_scales(scales) if scales else SCALES,
        n_inputs=inputs,
        n_pairs=pairs,
        seed=seed,
    )
    _print_realism(table)
    figure = None
    if any(path.suffix not in (".csv", ".json") for path in save or ()):
        title = f"Causal effects in {case}, trained with its circuit and naturally"
        figure = effects_figure(study.effects_of(table), theme=theme.value, title=title)
    for path in save or ():
        save_effects(table, figure, path)
        print(f"wrote {path}")


def _subject(case: str, variant: str | None, compiled: bool, model: Path | None) -> tuple[Any, str]:
    """The compiled or trained model that options ask for, and its name."""
    from knowncircuits.cases import load_case
    from knowncircuits.models.trained import load_trained
    from knowncircuits.models.zoo import load_model

    if sum((compiled, model is not None, variant is not None)) > 1:
        raise InputError("expected one of --variant, --compiled and --model, got several")
    if compiled:
        return load_case(case).compile(), f"{case} (compiled)"
    if model is None:
        return load_model(case, variant or "seed0"), f"{case} ({variant or 'seed0'})"
    trained = load_trained(model)
    if trained.compiled.name != case:
        raise InputError(f"expected a model of {case} in {model}, got {trained.compiled.name}")
    return trained, f"{case} ({model})"


def _scales(text: str) -> list[float]:
    """Numbers with commas between them."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"expected scales like 0,0.5,1, got {text!r}") from None


def _natural(trained: Any, config: Any, folder: Path) -> Any:
    """The natural model of a folder, or one that is trained and written there."""
    from dataclasses import asdict

    from knowncircuits.errors import ResultError
    from knowncircuits.evaluation.realism import natural_trainer
    from knowncircuits.exchange import check_writable
    from knowncircuits.models.trained import load_trained, save_trained
    from knowncircuits.models.zoo import freeze

    if (folder / "config.json").exists():
        found = load_trained(folder)
        expected = asdict(config) | {"betas": list(config.betas)}
        if found.training.get("config") != expected:
            raise ResultError(
                f"{folder}: expected a natural model of these settings, got another; "
                "name another folder with --natural"
            )
        return found
    check_writable(folder)
    trainer = natural_trainer(trained, config)
    _train(trainer, folder / "checkpoint.pt", None)
    found = freeze(trainer)
    save_trained(found, folder)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    print(f"natural model: {trainer.n_steps} steps, in {folder}")
    return found


def _print_effects(table: pd.DataFrame) -> None:
    """A row for each node or edge, a column for each scale or position."""
    import pandas as pd

    from knowncircuits.evaluation.effects import wide_effects

    wide, across = wide_effects(table), "scales"
    if "position" in table:
        keys = [k for k in ("ablation", "scale") if table[k].nunique() > 1] + ["node", "status"]
        order = pd.MultiIndex.from_frame(table[keys].drop_duplicates())
        wide = table.pivot(index=keys, columns="position", values="effect").reindex(order)
        wide, across = wide.rename(columns={0: "BOS"}), "positions"
    print(
        f"{', '.join(table['model'].unique())}: effects on up to {table['n'].max()} answers that "
        f"differ between base and source; columns: {across}"
    )
    _print_indexed(wide)


def _print_realism(table: pd.DataFrame) -> None:
    from knowncircuits.evaluation.realism import accuracies, correlations, node_table

    print("agreement with the compiled model in %, as it is and with the outside ablated")
    _print_indexed(accuracies(table), _share)
    print("nodes: norms of their weights, and effects at scale 1")
    _print_indexed(node_table(table))
    print("correlation over all nodes of the two models' effects, by scale")
    _print_indexed(correlations(table))


def _print_indexed(frame: pd.DataFrame, form: Callable[[float | None], str] | None = None) -> None:
    """Print a frame of numbers with the names in its index."""
    form = form or _number
    names = [name if isinstance(name, tuple) else (name,) for name in frame.index]
    columns = [f"{c:g}" if isinstance(c, float) else str(c) for c in frame.columns]
    rows = [
        (*map(str, name), *map(form, row))
        for name, row in zip(names, frame.to_numpy(), strict=True)
    ]
    header = (*map(str, frame.index.names), *columns)
    _print_table(header, rows, numbers=range(frame.index.nlevels, len(header)))


def _train(trainer: Any, checkpoint: Path, tracker: Any) -> None:
    """Train with a progress bar, telling the tracker, if there is one, of all that happens."""
    from knowncircuits.models import training

    name = trainer.compiled.name
    with _progress() as progress:
        bar = progress.add_task(name, total=trainer.config.steps)
        agreements = ""

        def step(n: int, losses: Any) -> None:
            patched = losses.patched + losses.strict
            text = f"{name}: loss {losses.behaviour:.3f} + {patched:.3f}{agreements}"
            progress.update(bar, completed=n, description=text)
            if tracker:
                tracker.step(n, losses)

        def validation(n: int, agreement: Any) -> None:
            nonlocal agreements
            edge, worst = agreement.worst_inside
            agreements = f", agreement {agreement.accuracy.share:.2%}"
            agreements += f", {edge} {worst:.2%}" if edge else ""
            if tracker:
                tracker.validation(n, agreement)

        training.train(trainer, checkpoint=checkpoint, on_step=step, on_validation=validation)


def _certify(trained: Any, folder: Path, pairs: int, seed: int) -> bool:
    """Certify a model, save it with its certificate, and print what came of it."""
    from knowncircuits.models.trained import save_trained
    from knowncircuits.models.zoo import with_certificate

    with _progress() as progress:
        bar = progress.add_task("certificate")
        trained = with_certificate(
            trained,
            n_pairs=pairs,
            seed=seed,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    save_trained(trained, folder)
    certificate = trained.certificate
    outside, inside = certificate.largest_outside_effect, certificate.smallest_inside_effect
    print(f"accuracy {certificate.accuracy.share:.3%} on {certificate.n_pairs} pairs")
    print(f"largest effect of an outside edge: {outside[1]:.3%} ({outside[0]})")
    print(f"smallest effect of an inside edge: {inside[1]:.3%} ({inside[0]})")
    for failure in certificate.failures:
        print(f"failed: {failure}")
    print("certified" if certificate.passed else "not certified")
    return bool(certificate.passed)


def _check_device(device: str) -> None:
    """Raise InputError for a device that there is not."""
    import torch

    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"expected device cpu, or cuda where there is one, got {device!r}")


FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="A folder of models; default: the shipped ones.")
]


@models_app.command("list")
def models_list(
    suite: Annotated[str, typer.Option(help="all, interpbench or structural.")] = "all",
    variant: Annotated[str | None, typer.Option(help="seed0, seed1 or shuffled.")] = None,
    folder: FolderOption = None,
) -> None:
    """List the trained models with what their certificates say, and those that are missing."""
    from knowncircuits.models.zoo import SHIPPED, Zoo

    zoo = Zoo(folder) if folder else SHIPPED
    _print_models(zoo, [(n, v) for v in _variants(variant) for n in zoo.names(suite, v)])
    _print_missing(zoo, suite, variant)


@models_app.command("check")
def models_check(
    suite: Annotated[str, typer.Option(help="all, interpbench or structural.")] = "all",
    variant: Annotated[str | None, typer.Option(help="seed0, seed1 or shuffled.")] = None,
    folder: FolderOption = None,
    pairs: Annotated[int | None, typer.Option(help="New pairs for each model.")] = None,
) -> None:
    """Measure the trained models again on new pairs, by the certificate's quick form.

    Files, hashes and labels are compared too. Exits with 1 if anything is wrong.
    """
    from knowncircuits.models.zoo import PAIRS, SHIPPED, Zoo, check_model

    zoo = Zoo(folder) if folder else SHIPPED
    chosen = [(n, v) for v in _variants(variant) for n in zoo.names(suite, v)]
    if not chosen:
        raise InputError(f"expected trained models in {zoo.folder}, got none")
    wrong = 0
    with _progress() as progress:
        bar = progress.add_task("models", total=len(chosen))
        for name, kind in chosen:
            problems = check_model(zoo, name, kind, pairs or PAIRS)
            wrong += bool(problems)
            for problem in problems:
                print(f"{name} {kind}: {problem}")
            progress.update(bar, advance=1, description=name)
    print(f"{len(chosen)} models, {wrong} with problems")
    raise typer.Exit(1 if wrong else 0)


@models_app.command("train")
def models_train(
    case: Annotated[
        list[str] | None, typer.Argument(metavar="[CASE]...", help="Default: those of the suite.")
    ] = None,
    suite: Annotated[str, typer.Option(help="all, interpbench or structural.")] = "all",
    variant: Annotated[str, typer.Option(help="seed0, seed1 or shuffled.")] = "seed0",
    processes: Annotated[
        int, typer.Option("--processes", "-j", min=1, help="Models at a time, a thread each.")
    ] = 1,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the models and of missing.json.")
    ] = Path("zoo"),
    recipes: Annotated[
        Path | None, typer.Option(help="Settings by case and variant; default: the shipped ones.")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Also what these settings were tried on in vain.")
    ] = False,
    pairs: Annotated[int, typer.Option(help="Pairs of the certificates.")] = 20_000,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Train and certify models by their recipes; this makes the shipped ones.

    Certified models go to OUTPUT/CASE/VARIANT, all others into OUTPUT/missing.json. Models that are
    there are left alone, and what was killed goes on where it last validated. Exits with 1 if a
    model is not certified.
    """
    from knowncircuits.cases import list_cases
    from knowncircuits.models.zoo import RECIPES, Outcome, Zoo, make_models

    _check_device(device)
    zoo, names = Zoo(output), case or list_cases(suite)

    def say(outcome: Outcome) -> None:
        what = "certified" if outcome.certified else "not certified"
        size = f"{outcome.steps} steps, {outcome.seconds:.0f} s"
        print(f"{outcome.case} {outcome.variant}: {what}, {size}: {outcome.reason}", flush=True)

    done = make_models(
        zoo,
        [(name, variant) for name in names],
        processes=processes,
        n_pairs=pairs,
        device=device,
        recipes=recipes or RECIPES,
        retry=retry,
        on_outcome=say,
    )
    there = sum(zoo.holds(name, variant) for name in names)
    print(
        f"{len(names)} models: {there} certified, {len(names) - there} not; {len(done)} trained "
        f"now; in {output}"
    )
    raise typer.Exit(0 if there == len(names) else 1)


@bench_app.command("patching")
def bench_patching(
    masks: Annotated[int, typer.Option(help="How many patched runs.")] = 256,
) -> None:
    """Many masks in one batch, against the same through the hooked module one by one."""
    from knowncircuits.evaluation.bench.patching import bench_patching as bench

    _print_frame(bench(n_masks=masks))


@bench_app.command("effects")
def bench_effects(
    inputs: Annotated[int, typer.Option(help="Inputs, of which all pairs are patched.")] = 100,
) -> None:
    """Effects of all nodes at twelve scales, against a hook for each node and scale."""
    from knowncircuits.evaluation.bench.effects import bench_effects as bench

    _print_frame(bench(n_inputs=inputs))


@bench_app.command("sampling")
def bench_sampling() -> None:
    """Inputs with outputs in one batch, against a call of the program for each."""
    from knowncircuits.evaluation.bench.sampling import bench_sampling as bench

    _print_frame(bench())


@bench_app.command("compiling")
def bench_compiling() -> None:
    """Seconds to compile each case, checks included; the slowest ten and the sum."""
    from knowncircuits.evaluation.bench.compiling import bench_compiling as bench

    _print_frame(bench())


@bench_app.command("methods")
def bench_methods(
    pairs: Annotated[int, typer.Option(help="Clean/corrupted pairs.")] = 100,
    method: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="Only this; may be repeated.")
    ] = None,
) -> None:
    """Seconds and passes of every method, on a small trained model and on one of four layers."""
    from knowncircuits.evaluation.bench.methods import bench_methods as bench

    _print_frame(bench(pairs, method))


@bench_app.command("training")
def bench_training(
    case: Annotated[
        list[str] | None,
        typer.Option("--case", "-c", help="May be repeated; default: fraction_of_x, histogram."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also Adam, unbalanced inputs, and SIIT.")
    ] = False,
    steps: Annotated[int | None, typer.Option(help="At most; default: as `train`.")] = None,
    pairs: Annotated[int, typer.Option(help="Pairs of the certificates.")] = 20_000,
) -> None:
    """Train and certify models from scratch on one core; what each part of the training buys."""
    from knowncircuits.evaluation.bench import training

    with _progress() as progress:
        bar = progress.add_task("")
        table = training.bench_training(
            case or training.CASES,
            compare=compare,
            steps=steps,
            n_pairs=pairs,
            on_row=lambda text: progress.update(bar, description=text),
        )
    _print_frame(table)


def _print_cases(names: Sequence[str]) -> None:
    from knowncircuits.cases import CASES
    from knowncircuits.cases.difficulty import load_difficulty

    rows = []
    for name in names:
        case, hard = CASES[name], load_difficulty(name)
        trivial = [_number(hard.auroc[control]) for control in ("depth", "shortness", "from_embed")]
        rows.append(
            (
                name,
                "-" if hard.degenerate else "yes",
                f"{len(case.vocab)}^{case.max_len}",
                f"{hard.layers}x{hard.heads}",
                str(hard.variables),
                str(hard.depth),
                str(hard.edges),
                str(hard.edges - hard.undetermined_edges),
                f"{hard.true_edges}/{hard.true_head_edges}/{hard.true_nodes}",
                str(hard.detected_edges),
                *trivial,
                case.description,
            )
        )
    header = "case structural inputs heads variables depth edges determined true detected"
    columns = (*header.split(), "late", "short", "embed", "what it computes")
    print(
        "heads: layers x heads; true: edges/head edges/nodes; detected: by some interchange;\n"
        "late, short, embed: AUROC of late edges, short edges, edges out of embed"
    )
    _print_table(columns, rows, numbers=range(2, 13))
    structural = sum(row[1] == "yes" for row in rows)
    print(f"{len(rows)} cases, {structural} structural. Details: knowncircuits show CASE")


def _variants(variant: str | None) -> list[str]:
    """This one, or all."""
    from knowncircuits.models.zoo import VARIANTS, check_variant

    if variant is None:
        return list(VARIANTS)
    check_variant(variant)
    return [variant]


def _print_models(zoo: Zoo, chosen: Sequence[tuple[str, str]]) -> None:
    from knowncircuits.models.zoo import Summary

    rows = []
    for name, variant in chosen:
        config, certificate = zoo.describe(name, variant)
        found = Summary.of(certificate)
        rows.append(
            (
                name,
                variant,
                f"{config.n_layers}x{config.n_heads}x{config.d_model}",
                f"{found.edges_in}/{found.edges_out}",
                _share(found.accuracy),
                _share(found.worst_inside[1]),
                _share(found.worst_outside[1]),
                _share(found.all_outside),
                _share(found.random_sets[1]),
                _share(found.largest_outside_effect[1]),
                _share(found.smallest_inside_effect[1]),
                f"{found.pairs}" + (" (all)" if certificate.enumerated else ""),
            )
        )
    print(
        "sizes: layers x heads x d_model; edges: in/out. Agreement with the compiled model when\n"
        "nothing is patched, one edge, all outside edges, random sets; effects: share of answers\n"
        "that an edge changes"
    )
    columns = ["accuracy", "inside edge", "outside edge", "all outside", "random sets"]
    effects = ("largest outside effect", "smallest inside effect", "pairs")
    _print_table(
        ("case", "variant", "sizes", "edges", *columns, *effects), rows, numbers=range(2, 12)
    )
    print(f"{len(rows)} models")


def _print_missing(zoo: Zoo, suite: str, variant: str | None) -> None:
    from knowncircuits.cases import list_cases

    names = list_cases(suite)
    rows = [
        (case, kind, str(attempts[0].get("steps", "")), str(attempts[0].get("reason", "")))
        for case, variants in zoo.missing().items()
        for kind, attempts in variants.items()
        if case in names and kind == (variant or kind) and attempts
    ]
    if rows:
        print(f"\n{len(rows)} could not be certified:")
        _print_table(("case", "variant", "steps", "best attempt"), rows, numbers=[2])


def _share(value: float | None) -> str:
    """A percentage, rounded down: 100 is only what is 100."""
    return "-" if value is None else f"{int(value * 1e5) / 1e3:.3f}"


def _check_cases(names: Sequence[str], pairs: int, seed: int) -> None:
    from knowncircuits.cases import CASES, check_cases

    table = check_cases([CASES[name] for name in names], n=pairs, seed=seed)
    shown = {
        "case": "case",
        "duplicates": "repeated",
        "changed_inputs": "corrupted differs",
        "label_change": "output differs",
        "label_change_at": "least at a position",
        "constant_positions": "constant positions",
        "entropy": "bits",
        "none": "None",
        "unreached_tokens": "unreached tokens",
        "problems": "problems",
    }
    _print_frame(table[list(shown)].rename(columns=shown))
    wrong = int((table["problems"] != "").sum())
    print(f"{len(table)} cases, {wrong} with problems")
    if wrong:
        raise typer.Exit(1)


def _options(texts: Sequence[str] | None) -> dict[str, Any]:
    """NAME=VALUE pairs; values that read as JSON are what they say, others are text."""
    import json

    options: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError(f"expected an option like batch_size=64, got {text!r}")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _short(value: object) -> str:
    """A default for a table: of a long sequence its ends."""
    if isinstance(value, (list, tuple)) and len(value) > 3:
        return f"{value[0]},{value[1]},..,{value[-1]}"
    return str(value)


def _progress() -> Any:
    """A bar on standard error that leaves nothing behind."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), transient=True, console=_console(stderr=True))


def _console(stderr: bool = False) -> Any:
    from rich.console import Console

    # A table that is piped into a file must not be cut to an imagined terminal.
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 200)


def _print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Container[int] = ()
) -> None:
    """Print rows; columns in `numbers` are set flush right, and only the last one wraps."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        side: Literal["left", "right"] = "right" if i in numbers else "left"
        table.add_column(name, justify=side, no_wrap=i < len(header) - 1, overflow="fold")
    for row in rows:
        table.add_row(*row)
    _console().print(table, highlight=False, markup=False)


def _names(subject: str | Path, cases: Sequence[str] | None, suite: str) -> Sequence[str]:
    """The cases to score on; of a suite those that have a model, and the others are named."""
    from knowncircuits.cases import list_cases, load_case
    from knowncircuits.evaluation.runs import COMPILED
    from knowncircuits.models.trained import load_trained
    from knowncircuits.models.zoo import list_models, load_model

    if isinstance(subject, Path):
        trained = load_trained(subject)
        name = trained.compiled.name
        if cases and set(cases) != {name}:
            raise InputError(f"expected no case but {name}, got {', '.join(cases)}")
        if trained.certificate is None or not trained.certificate.passed:
            print(f"not certified: {subject}; truth is what it was trained for", file=sys.stderr)
        return [name]
    if cases:
        for name in cases:  # so that a name that there is not is found before anything runs
            load_case(name) if subject == COMPILED else load_model(name, subject)
        return list(cases)
    names = list_cases(suite)
    if subject == COMPILED:
        return names
    there = list_models(suite, subject)
    if not there:
        raise InputError(f"expected a trained model {subject} of some case of {suite}, got none")
    if missing := [name for name in names if name not in there]:
        print(f"no trained model {subject}: {', '.join(missing)}", file=sys.stderr)
    return there


def _print_scores(title: str, table: pd.DataFrame) -> None:
    from knowncircuits.cases import list_cases

    rows: list[tuple[str, ...]] = [
        (
            row["case"],
            _number(row["auroc"]),
            _number(row["average_precision"]),
            _number(row["precision_at_size"]),
            _number(row["prevalence"]),
            str(row["n_edges"]),
            str(row["n_true"]),
            f"{row['seconds']:.2f}",
        )
        for _, row in table.iterrows()
    ]
    structural = table[table["case"].isin(list_cases("structural"))]
    for what, part in (("structural", structural), ("all", table)):
        if len(part) > 1 and not (what == "all" and len(structural) == len(table)):
            means = part[["auroc", "average_precision", "precision_at_size", "prevalence"]].mean()
            seconds = f"{part['seconds'].sum():.2f}"
            rows.append((f"mean of {len(part)} {what}", *map(_number, means), "", "", seconds))
    header = (
        "case",
        "AUROC",
        "AP",
        "precision at size",
        "AP at random",
        "edges",
        "true",
        "seconds",
    )
    print(f"{title} (AUROC at random: 0.5)")
    _print_table(header, rows, numbers=range(1, 8))


def _print_frame(frame: pd.DataFrame) -> None:
    rows = [tuple(_cell(value) for value in row) for row in frame.itertuples(index=False)]
    _print_table(tuple(map(str, frame.columns)), rows, numbers=range(1, len(frame.columns)))


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3f}"


def _value(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _values(values: Sequence[object]) -> str:
    return " ".join(map(_value, values))


if __name__ == "__main__":
    main()
