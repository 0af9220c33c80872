"""How far a trained model is from a natural one, which learns the same answers by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from knowncircuits.cases.case import Case
from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Label
from knowncircuits.errors import ModelError
from knowncircuits.evaluation.effects.causal import SCALES, causal_effects
from knowncircuits.evaluation.effects.natural import train_natural
from knowncircuits.models.certificates.agreement import ABLATIONS, measure
from knowncircuits.models.certificates.pairs import certificate_pairs
from knowncircuits.models.certificates.sets import NOTHING, edge_set
from knowncircuits.models.trained import Trained
from knowncircuits.models.zoo.shelf import load_model
from knowncircuits.names import Node
from knowncircuits.transformer import Transformer
from knowncircuits.work.progress import part

COLUMNS = ["case", "measure", "of", "status", "ablation", "scale", "model", "value"]
CORRELATIONS = ("pearson", "spearman")


@takes(subject=str | Case | Trained, natural=Trained | None)
def realism(
    subject: str | Case | Trained,
    natural: Trained | None = None,
    *,
    ablations: Sequence[str] = ("resample",),
    scales: Sequence[float] = SCALES,
    n_inputs: int = 100,
    n_pairs: int = 1_000,
    seed: int = 0,
    mlp_at: str = "post",
) -> pd.DataFrame:
    """Compare a trained model with a natural one, in behaviour, weights and effects.

    Args:
        subject: a trained model, or a case whose shipped model is taken.
        natural: of the same graph and placement; by default it is trained, which takes a while.
        ablations: of `causal_effects`.
        scales: of `causal_effects`.
        n_inputs: of `causal_effects`, which takes all their pairs.
        n_pairs: for accuracies.
        seed: of inputs and pairs.
        mlp_at: of `causal_effects`; by default at the hidden units, as in InterpBench's study.

    Returns:
        Tidy rows: case, measure, of, status, ablation, scale, model (trained, natural or both) and
        value. Measures are

        - `accuracy`: the share of positions at which the model agrees with the compiled one;
        - `accuracy without the outside`: the same with all nodes outside the circuit ablated at
          once, by resampling, by their mean and by zero;
        - `weight norm`: the Euclidean norm of all weights of a node (`of`);
        - `effect`: of a node, under an ablation at a scale;
        - `pearson` and `spearman`: of both models' effects over all nodes, at one scale or, where
          scale is missing, at all of them together. Missing where the effects of one model are the
          same for all nodes.

    Raises:
        ModelError: for a case without a trained model, or models of different placements.
        UnknownNameError, TaskError: as `causal_effects`.
    """
    trained = subject if isinstance(subject, Trained) else load_model(_name(subject))
    natural = natural or train_natural(trained)
    if trained.correspondence.low != natural.correspondence.low or dict(
        trained.correspondence.nodes
    ) != dict(natural.correspondence.nodes):
        raise ModelError(
            "expected models of one graph and placement, got "
            f"{trained.model.graph.summary()} and {natural.model.graph.summary()}"
        )
    models = {"trained": trained, "natural": natural}
    frames = []
    for kind in ablations:
        for name, model in models.items():
            with part(f"effects in the {name} model: {kind}"):
                frames.append(
                    causal_effects(
                        model,
                        ablation=kind,
                        scales=scales,
                        n_inputs=n_inputs,
                        seed=seed,
                        mlp_at=mlp_at,
                        name=name,
                    )
                )
    effects = pd.concat(frames, ignore_index=True)
    parts = [_behaviour(name, model, n_pairs, seed) for name, model in models.items()]
    parts += [_norms(name, model) for name, model in models.items()]
    parts += [_effects(effects), pd.DataFrame(_correlations(effects))]
    table = pd.concat(parts, ignore_index=True)
    table["case"] = trained.compiled.name
    return table.reindex(columns=COLUMNS)


def effects_of(table: pd.DataFrame) -> pd.DataFrame:
    """The effects in a table of `realism`, with the columns that figures take."""
    effects = table[table["measure"] == "effect"]
    return effects.rename(columns={"of": "node", "value": "effect"})


def accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each accuracy in a table of `realism`, a column for each model."""
    rows = table[table["measure"].str.startswith("accuracy")].fillna({"ablation": ""})
    return _wide(rows, "measure", "ablation")


def node_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each node in a table of `realism`: norms, and effects at scale 1, by model."""
    norms = table[table["measure"] == "weight norm"]
    effects = table[(table["measure"] == "effect") & (table["scale"] == 1)]
    parts = {"norm": _wide(norms, "of", "status")} | {
        f"effect ({ablation})": _wide(rows, "of", "status")
        for ablation, rows in effects.groupby("ablation", sort=False)
    }
    wide = pd.concat(parts, axis=1)
    wide.columns = pd.Index([" ".join(names[::-1]) for names in wide.columns.to_flat_index()])
    return wide


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each ablation and coefficient in a table of `realism`, a column for each scale."""
    rows = table[table["measure"].isin(CORRELATIONS)]
    rows = rows.assign(scale=rows["scale"].map("{:g}".format).replace("nan", "all scales"))
    return _wide(rows, "ablation", "measure", columns="scale")


def _wide(rows: pd.DataFrame, *keys: str, columns: str = "model") -> pd.DataFrame:
    """A row for each of the keys, a column for each model, in the order of the rows."""
    order = pd.MultiIndex.from_frame(rows[list(keys)].drop_duplicates())
    wide = rows.pivot(index=list(keys), columns=columns, values="value")
    return wide.reindex(index=order, columns=rows[columns].unique())


def weight_norms(model: Transformer) -> dict[str, float]:
    """The Euclidean norm of all weights that belong to a node, and of the unembedding at `logits`.

    Norms and biases that nodes share belong to none.
    """
    with torch.no_grad():
        return {str(node): _norm(*_weights(model, node)) for node in model.graph.nodes}


def _name(case: str | Case) -> str:
    return case if isinstance(case, str) else case.name


def _behaviour(name: str, model: Trained, n_pairs: int, seed: int) -> pd.DataFrame:
    """Accuracies as it is, and with the nodes outside the circuit ablated."""
    graph = model.model.graph
    outside = [n for n, label in model.circuit.project("node").items() if label == Label.OUT]
    places: list[int] = [int(edge) for node in outside for edge in graph.edges_from(node)]
    pairs = certificate_pairs(model.compiled, n_pairs, seed)
    sets = {NOTHING: edge_set(graph, []), "outside": edge_set(graph, places)}
    rows = []
    for ablation in ABLATIONS:
        found = measure(
            model.placed,
            pairs.base,
            pairs.source,
            sets,
            ablation=ablation,
        )
        if ablation == ABLATIONS[0]:
            rows.append({"measure": "accuracy", "value": found[NOTHING].share})
        share = found["outside"].share
        rows.append(
            {"measure": "accuracy without the outside", "ablation": ablation, "value": share}
        )
    return pd.DataFrame(rows).assign(model=name)


def _norms(name: str, model: Trained) -> pd.DataFrame:
    labels = model.circuit.project("node")
    rows = [
        {"measure": "weight norm", "of": node, "status": labels[node].name.lower(), "value": norm}
        for node, norm in weight_norms(model.model).items()
        if node in labels
    ]
    return pd.DataFrame(rows).assign(model=name)


def _effects(effects: pd.DataFrame) -> pd.DataFrame:
    named = effects.rename(columns={"node": "of", "effect": "value"}).assign(measure="effect")
    return named[["measure", "of", "status", "ablation", "scale", "model", "value"]]


def _correlations(effects: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for ablation, of_ablation in effects.groupby("ablation", sort=False):
        both = of_ablation.pivot(index=["scale", "node"], columns="model", values="effect")
        scales = both.index.get_level_values("scale")
        for scale in (np.nan, *scales.unique()):
            some = both if np.isnan(scale) else both[scales == scale]
            for kind in CORRELATIONS:
                value = _correlation(some.rank() if kind == "spearman" else some)
                yield {"measure": kind, "ablation": ablation, "scale": scale, "value": value} | {
                    "model": "both"
                }


def _correlation(both: pd.DataFrame) -> float:
    """Pearson's; NaN, without a warning, where one of the two is constant."""
    x: Float[np.ndarray, "row 2"] = both[["trained", "natural"]].to_numpy()
    if (np.ptp(x, axis=0) == 0).any():
        return float("nan")
    return float(np.corrcoef(x.T)[0, 1])


def _weights(model: Transformer, node: Node) -> list[torch.Tensor]:
    ends = {"embed": ["W_E"], "pos": ["W_pos"], "logits": ["W_U", "b_U"]}
    if node in ends:
        return [model.get_parameter(name) for name in ends[node]]
    layer = node.layer
    if node.kind == "mlp":
        names = ["W_in", "b_in", "W_out", "b_out"]
        names += ["W_gate", "b_gate"] if model.config.gated else []
        return [model.get_parameter(name)[layer] for name in names]
    head = node.head
    return [model.W_QKV[layer, :, head], model.b_QKV[layer, :, head], model.W_O[layer, head]]


def _norm(*weights: torch.Tensor) -> float:
    return float(torch.cat([w.flatten() for w in weights]).norm())
