"""The prompts of the suite `modalities`, whose answers and circuits are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from knowncircuits.cases.modalities import (
    LENGTH,
    MODALITIES,
    N_DATA,
    data_prompts,
    load_modality_case,
    right_colours,
)
from knowncircuits.checks.arguments import takes
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import TaskError
from knowncircuits.evaluation.modalities.positions import position_classes
from knowncircuits.evaluation.modalities.prompts import Prompts, hooked_model
from knowncircuits.models.trained import Trained
from knowncircuits.models.wired.wired import Wired

N_PROMPTS = 50


@takes(subject=Compiled | Trained | Wired)
def modality_prompts(
    subject: Compiled | Trained | Wired, n_prompts: int = N_PROMPTS, seed: int = 0
) -> dict[str, Prompts]:
    """Prompts of each modality for a model of a case of the suite `modalities`, by its name.

    Corrupted prompts are others of the same modality with another answer, as in the study.

    Raises:
        UnknownNameError: for a model of another case.
        TaskError: for no prompt.
    """
    compiled = subject if isinstance(subject, Compiled) else subject.compiled
    load_modality_case(compiled.name)
    if n_prompts < 1:
        raise TaskError(f"expected at least one prompt, got {n_prompts}")
    model = hooked_model(subject.model)
    classes = position_classes(1 + LENGTH, range(1, 1 + N_DATA))  # behind BOS
    colours: Sequence[object] = compiled.output.values
    found = {}
    for place, name in enumerate(MODALITIES):
        rng = np.random.default_rng([seed, place])
        clean = data_prompts(name, rng, n_prompts)
        right = np.array([colours.index(colour) for colour in right_colours(clean)])
        corrupted, wrong = clean.copy(), right.copy()
        while (same := wrong == right).any():
            corrupted[same] = data_prompts(name, rng, int(same.sum()))
            wrong = np.array([colours.index(colour) for colour in right_colours(corrupted)])
        found[name] = Prompts(
            name,
            model,
            clean=compiled.to_ids(clean),
            corrupted=compiled.to_ids(corrupted),
            right=torch.from_numpy(right).to(subject.model.device),
            wrong=torch.from_numpy(wrong).to(subject.model.device),
            classes=classes,
        )
    return found
