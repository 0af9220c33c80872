"""Plans of models: all that they follow from, as the recipes of a zoo give it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from knowncircuits.cases.case import Case
from knowncircuits.cases.registry import load_case
from knowncircuits.checks.values import annotations_of, fit, fit_all
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError, ResultError
from knowncircuits.files.reading import read_json
from knowncircuits.models.choices import DEFAULT_ZOO, ObjectiveName, Storage, ZooVersion
from knowncircuits.models.trained import Trained
from knowncircuits.models.training.config import SIIT, TrainingConfig
from knowncircuits.models.training.sizes import low_level_config
from knowncircuits.models.training.stack import shape_of
from knowncircuits.models.training.trainer import Trainer
from knowncircuits.models.zoo.shelf import Zoo, shipped
from knowncircuits.models.zoo.variants import VARIANTS, check_variant
from knowncircuits.work.progress import part

# A recipe's sizes, with the names that `low_level_config` has for them. The seed is the variant's.
SIZES = {
    "layers": "n_layers",
    "heads": "n_heads",
    "d_model": "d_model",
    "d_head": "d_head",
    "activation": "activation",
    "norm": "norm",
    "gated": "gated",
    "positions": "positions",
    "none": "none",
}
SETTINGS = {field.name for field in fields(TrainingConfig)}
EVERY = "*"  # in a file of recipes, beside the cases; with a family behind it, of its cases

SHUFFLES = 20  # random placements that are tried for one that moves something


@dataclass(frozen=True)
class Plan:
    """All that a model follows from: equal plans give equal weights on one machine."""

    case: str
    config: TrainingConfig = field(default_factory=TrainingConfig)
    sizes: Mapping[str, Any] = field(default_factory=dict)  # as `low_level_config` takes them
    shuffle: int | None = None  # seed of a random placement, instead of the same names
    start: str | None = None  # a shipped model whose weights it starts from; see `find_start`
    zoo: ZooVersion = DEFAULT_ZOO  # of which `start` names a model
    storage: Storage = "float32"  # that the weights are rounded to before they are certified

    def trainer(self, device: str = "cpu", case: Case | None = None) -> Trainer:
        """A trainer before its first step; the case is by default that of the plan's name.

        A model that starts from another is shuffled as that one is: its nodes are where they are
        there, and only those that it has beside them are drawn.

        Raises GraphError where the sizes leave no room for the circuit, ModelError where they are
        not those of the model to start from, and UnknownNameError where that is not shipped.
        """
        start = load_start(self.start, self.zoo) if self.start else None
        compiled = (case or load_case(self.case)).compile()
        low = low_level_config(compiled, **self.sizes)
        placement = Correspondence.same_names(compiled.circuit, low.graph)
        if self.shuffle is not None:
            there = dict(start.correspondence.nodes) if start else {}
            placement = _shuffled(placement, self.shuffle, there)
        with part(f"preparing to train {self.case}"):
            return Trainer(compiled, placement, low, self.config, device, start)

    def shape(self) -> Hashable | None:
        """What its model has in common with others that can be trained in one stack with it.

        None for a model that is trained alone; see `shape_of`. Raises ModelError for sizes that no
        model has.
        """
        compiled = load_case(self.case).compile()
        low = low_level_config(compiled, **self.sizes)
        return shape_of(low, self.config, numerical=compiled.output.numerical)

    def trained_by(self, objective: ObjectiveName) -> Plan:
        """The plan with another objective: `nodes` has InterpBench's published settings, `SIIT`."""
        if objective == "nodes":
            return replace(self, config=SIIT)
        return self.changed(TrainingConfig.following(objective))

    def changed(self, settings: Mapping[str, Any]) -> Plan:
        """The plan with other settings: `TrainingConfig`'s, those of `SIZES`, or `start`.

        Raises ModelError for settings that there are not, or values that they do not take.
        """
        settings = dict(settings)
        start = settings.pop("start", self.start)
        if unknown := set(settings) - set(SIZES) - SETTINGS:
            raise ModelError(
                f"expected settings among {', '.join(sorted({*SETTINGS, *SIZES, 'start'}))}; "
                f"got {', '.join(sorted(unknown))}"
            )
        if not isinstance(start, str | None):
            raise ModelError(f"expected the name of a model to start from, got {start!r}")
        known = annotations_of(low_level_config)
        sizes = {
            SIZES[name]: fit(value, known[SIZES[name]], name, ModelError)
            for name, value in settings.items()
            if name in SIZES
        }
        config = {name: value for name, value in settings.items() if name not in SIZES}
        return replace(
            self,
            config=replace(self.config, **fit_all(config, TrainingConfig, ModelError)),
            sizes={**self.sizes, **sizes},
            start=start,
        )

    def settings(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        settings: dict[str, Any] = {"config": asdict(self.config), "sizes": dict(self.sizes)}
        settings |= {"shuffle": self.shuffle, "start": self.start}
        if self.storage != "float32":  # which earlier attempts do not say
            settings["storage"] = self.storage
        plain: dict[str, Any] = json.loads(json.dumps(settings))
        return plain


def plan_model(
    case: str | Case,
    variant: str = "seed0",
    zoo: ZooVersion = DEFAULT_ZOO,
    recipes: Path | None = None,
) -> Plan:
    """A model's plan by its recipe: what departs from the defaults.

    A variant without a recipe has that of `seed0`, and a case without any the defaults. What stands
    under EVERY departs from them in all of the file's recipes that do not say otherwise, and under
    EVERY and a family's name in those of the family's cases.

    Args:
        case: its name, or a user's own.
        variant: one of the zoo's.
        zoo: the release that it is of, which says how its variants are placed.
        recipes: a JSON file; by default the zoo's own.

    Raises:
        UnknownNameError: for an unknown case or variant.
        ResultError: for recipes that cannot be read, or settings that there are not.
    """
    case = load_case(case) if isinstance(case, str) else case
    name = case.name
    recipes = recipes or shipped(zoo).recipes
    check_variant(variant, zoo)
    chosen = VARIANTS[zoo][variant]
    try:
        document = read_json(recipes)
        of_case = document.get(name, {})
        of_all = document.get(EVERY, {}) | document.get(f"{EVERY}{case.family}", {})
        recipe = of_all | of_case.get(variant, of_case.get("seed0", {}))
        if "seed" in recipe:
            raise ValueError("expected no seed, which is the variant's")
        plan = Plan(name, shuffle=chosen.shuffle(name), zoo=zoo).changed(recipe)
        if plan.start:
            find_start(plan.start, zoo)
    except (ResultError, ValueError, TypeError, AttributeError, ModelError) as error:
        raise ResultError(f"{recipes}: no recipe for {variant} of {name}: {error}") from error
    return plan.changed({"seed": chosen.seed})


def find_start(start: str, zoo: ZooVersion) -> tuple[Zoo, str, str]:
    """The shipped model that a recipe of a zoo starts from: its zoo, case and variant.

    `CASE` or `CASE/VARIANT` is of the same zoo, `zoo1/CASE` or `zoo1/CASE/VARIANT` of another;
    the variant is seed0 where it is not said.

    Raises ModelError where there is none.
    """
    named = {f"zoo{version}": version for version in VARIANTS}
    first, *rest = start.split("/")
    names = rest if first in named else [first, *rest]
    of = shipped(named.get(first, zoo))
    case, variant = (*names, "seed0")[:2] if names else ("", "")
    if len(names) > 2 or not of.holds(case, variant):
        raise ModelError(f"expected a shipped model to start from, got {start}")
    return of, case, variant


def load_start(start: str, zoo: ZooVersion) -> Trained:
    """The model itself; see `find_start`."""
    of, case, variant = find_start(start, zoo)
    return of.load(case, variant)


def _shuffled(same: Correspondence, seed: int, fixed: Mapping[str, str]) -> Correspondence:
    """A random placement that is not the usual one, which one in twenty is; by the next seed then.

    Where several seeds in a row move nothing, there is no other place.
    """
    for chosen in range(seed, seed + SHUFFLES):
        found = Correspondence.shuffled(same.high, same.low, chosen, fixed)
        if found.nodes != same.nodes:
            break
    return found
