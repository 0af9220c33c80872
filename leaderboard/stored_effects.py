"""Causal-effect curves of the certified models, measured once and stored by their weights' hash."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd
from pydantic import TypeAdapter

from knowncircuits.files.reading import read_as
from knowncircuits.files.writing import write_text
from knowncircuits.leaderboard.truth import Certified
from knowncircuits.models.choices import ZooVersion
from knowncircuits.models.trained import load_trained
from knowncircuits.work.progress import part

STORED: Mapping[ZooVersion, Path] = {
    zoo: Path(__file__).parent / "effects" / f"zoo{zoo}.json" for zoo in get_args(ZooVersion)
}
N_INPUTS = 20  # of which all ordered pairs are taken


@dataclass(frozen=True)
class Curves:
    """How effects of a model's nodes depend on the scale of another input's outputs."""

    weights: str  # the hash of those that were measured
    scales: tuple[float, ...]
    nodes: Mapping[str, tuple[str, tuple[float, ...]]]  # status, and the effect at each scale

    def frame(self, name: str) -> pd.DataFrame:
        """As `causal_effects` gives them."""
        rows = [
            (name, node, status, "resample", scale, effect)
            for node, (status, effects) in self.nodes.items()
            for scale, effect in zip(self.scales, effects, strict=True)
        ]
        columns = ["model", "node", "status", "ablation", "scale", "effect"]
        return pd.DataFrame(rows, columns=columns)

    def at(self, scale: float) -> dict[str, tuple[str, float]]:
        """The status of each node, and its effect at one of the scales."""
        place = self.scales.index(scale)
        return {node: (status, effects[place]) for node, (status, effects) in self.nodes.items()}


SCHEMA = TypeAdapter(dict[str, Curves])


def measure_curves(model: Certified) -> Curves:
    """Measure the effects of all nodes at several scales, resampled; see `causal_effects`."""
    from knowncircuits.evaluation.effects.causal import causal_effects

    trained = load_trained(model.folder)
    with part(f"effects of {model.key}"):
        frame = causal_effects(trained, n_inputs=N_INPUTS)
    nodes = {
        str(node): (rows["status"].iloc[0], tuple(rows["effect"].round(4).tolist()))
        for node, rows in frame.groupby("node", sort=False)
    }
    return Curves(model.weights, tuple(frame["scale"].unique().tolist()), nodes)


def read_curves(path: Path) -> dict[str, Curves]:
    """The stored curves by the models' keys; raises ResultError for a broken file."""
    if not path.exists():
        return {}
    return read_as(SCHEMA, path, "curves of effects by model")


def curves_of(
    models: Iterable[Certified],
    stored: Path | None,
    *,
    on_measure: Callable[[str], None] = lambda key: None,
) -> dict[str, Curves]:
    """The curves of these models: stored ones, and for models that have none or changed, new ones.

    `on_measure` hears of each that has to be measured.
    """
    known = read_curves(stored) if stored else {}
    found = {}
    for model in models:
        there = known.get(model.key)
        if there is None or there.weights != model.weights:
            on_measure(model.key)
            there = measure_curves(model)
        found[model.key] = there
    return found


def write_curves(curves: Mapping[str, Curves], path: Path) -> None:
    """Store curves, a line for each model; raises ResultError if that fails."""
    lines = [
        f"{json.dumps(key)}: "
        + json.dumps({"weights": c.weights, "scales": c.scales, "nodes": dict(c.nodes)})
        for key, c in sorted(curves.items())
    ]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def shown_models(models: Mapping[str, Certified]) -> list[Certified]:
    """The first model of each case: the one whose curves and circuit are shown."""
    first: dict[str, Certified] = {}
    for model in models.values():
        first.setdefault(model.case, model)
    return list(first.values())
