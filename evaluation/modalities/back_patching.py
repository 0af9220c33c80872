"""Late activations at the data's positions put back into an earlier layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from knowncircuits.checks.arguments import takes
from knowncircuits.errors import InputError
from knowncircuits.evaluation.modalities.prompts import BATCH_SIZE, Prompts, rows_at_a_time
from knowncircuits.evaluation.modalities.running import (
    Hook,
    keep,
    residual_hooks,
    see,
)
from knowncircuits.models.interop.lens_library import HookPoint

if TYPE_CHECKING:
    import pandas as pd

WINDOWS = (1, 3, 5)
N_LOOPS = 4
UNPATCHED = -1  # in place of a layer to read from

# For each layer the layer whose activations it is given, or UNPATCHED.
Plan = Int[Tensor, " layer"]
Streams = Float[Tensor, "layer row pos d_model"]


@dataclass(frozen=True, eq=False)
class BackPatching:
    """The accuracy of back-patched runs, by window, source layer and target layer."""

    name: str  # of the prompts
    windows: tuple[int, ...]
    accuracy: Float[np.ndarray, "window source target"]  # NaN where not computed
    computed: Bool[np.ndarray, "window source target"]  # where the source is the later layer
    base: float  # accuracy of the unpatched run
    control: Float[np.ndarray, "window source target"] | None = None  # of other prompts
    control_base: float = float("nan")
    looped: tuple[int, int, int] | None = None  # window, source and target of `loops`
    loops: tuple[float, ...] = ()  # accuracy of the unpatched run, then of each loop

    @property
    def best(self) -> tuple[int, int, int]:
        """The window, source and target of the highest accuracy, the first of several.

        Raises InputError where nothing was computed.
        """
        if not self.computed.any():
            raise InputError("expected a source behind a target, got none that was computed")
        window, source, target = np.unravel_index(np.nanargmax(self.accuracy), self.accuracy.shape)
        return self.windows[window], int(source), int(target)

    @property
    def gap_closed(self) -> float:
        """How much of the way from the base to the control's the best comes.

        NaN without a gap, or where nothing was computed.
        """
        gap = self.control_base - self.base
        if not gap > 0 or not self.computed.any():
            return float("nan")
        return float((np.nanmax(self.accuracy) - self.base) / gap)

    def to_frame(self) -> pd.DataFrame:
        """A row for each window, source and target that was computed."""
        import pandas as pd

        rows = []
        for at in np.argwhere(self.computed).tolist():
            window, source, target = at
            control = np.nan if self.control is None else float(self.control[tuple(at)])
            accuracy = float(self.accuracy[tuple(at)])
            rows.append((self.windows[window], source, target, accuracy, control))
        columns = ["window", "source", "target", "accuracy", "control"]
        return pd.DataFrame(rows, columns=columns)


@takes(prompts=Prompts, control=Prompts | None)
def back_patch(
    prompts: Prompts,
    control: Prompts | None = None,
    *,
    windows: Sequence[int] = WINDOWS,
    sources: Sequence[int] | None = None,
    targets: Sequence[int] | None = None,
    repeat: bool = True,
    n_loops: int = N_LOOPS,
    loop: tuple[int, int, int] | None = None,
    batch_size: int = BATCH_SIZE,
) -> BackPatching:
    """Put what late layers have at the data's positions back into earlier layers, and ask again.

    Nikankin et al. (2025), "Same Task, Different Circuits", after Biran et al. (2024), "Hopping Too
    Late": data that are understood late are read too early. The residual stream behind a source
    layer replaces that behind an earlier target layer, at the data's positions alone; all that
    follows is computed anew. With a window of w the (w - 1) / 2 layers on either side of the source
    go to those beside the target, as far as there are such layers.

    Args:
        prompts: of the modality that is to gain.
        control: of the other one, which is back-patched at its own data, and whose accuracy as it
            is is what is to be reached.
        windows: odd numbers of layers; the study's are 1, 3 and 5.
        sources: layers to read from; by default all.
        targets: layers to write to; by default all. Only targets before the source are computed.
        repeat: let layers behind the target process the data again. If not, the data there are as
            in the unpatched run from the window on.
        n_loops: runs of `loops`, the unpatched one among them: each reads from the run before. 0
            for none.
        loop: its window, source and target; by default the best ones.
        batch_size: runs at a time.

    Cost: a forward pass of each prompt for every combination, of the control as many.

    Raises:
        InputError: for layers that there are not, even windows, less than no loops, and a loop that
            does not lead back.
    """
    if n_loops < 0 or (loop is not None and len(loop) != 3):
        raise InputError(
            f"expected loops from 0 on, of a window, a source and a target, got {n_loops} of {loop}"
        )
    n_layers = int(prompts.model.cfg.n_layers)
    every = range(n_layers)
    chosen = (every if sources is None else sources, every if targets is None else targets)
    _check(n_layers, windows, chosen)
    computed = np.zeros((len(windows), n_layers, n_layers), dtype=bool)
    computed[np.ix_(range(len(windows)), *map(list, chosen))] = True
    computed &= np.tri(n_layers, k=-1, dtype=bool)
    combinations = [(windows[w], s, t) for w, s, t in np.argwhere(computed).tolist()]

    plans = [_plan(n_layers, *each, repeat=repeat) for each in combinations]

    def patched(of: Prompts) -> np.ndarray:
        accuracy = np.full(computed.shape, np.nan)
        accuracy[computed] = _accuracies(of, plans, batch_size)
        return accuracy

    found = BackPatching(
        name=prompts.name,
        windows=tuple(windows),
        accuracy=patched(prompts),
        computed=computed,
        base=prompts.accuracy,
        control=None if control is None else patched(control),
        control_base=float("nan") if control is None else control.accuracy,
    )
    if not n_loops or not combinations:
        return found
    looped = loop or found.best
    _check(n_layers, looped[:1], (looped[1:2], looped[2:]))
    if looped[1] <= looped[2]:
        raise InputError(f"expected a loop from a later layer to an earlier one, got {looped[1:]}")
    loops = _looped(prompts, _plan(n_layers, *looped, repeat=True), n_loops, batch_size)
    return BackPatching(**{**vars(found), "looped": looped, "loops": loops})


def _check(n_layers: int, windows: Sequence[int], layers: tuple[Sequence[int], ...]) -> None:
    strange = [layer for some in layers for layer in some if not 0 <= layer < n_layers]
    if strange:
        raise InputError(f"expected layers from 0 to {n_layers - 1}, got {strange[0]}")
    even = [window for window in windows if window < 1 or window % 2 != 1]
    if even or not windows:
        raise InputError(f"expected odd windows from 1 on, got {list(windows)}")


def _plan(n_layers: int, window: int, source: int, target: int, *, repeat: bool) -> Plan:
    """Which layer's stream each layer is given at the data's positions."""
    plan = torch.full((n_layers,), UNPATCHED)
    half = window // 2
    for step in range(-half, half + 1):
        if 0 <= source + step < n_layers and 0 <= target + step < n_layers:
            plan[target + step] = source + step
    if not repeat:
        behind = min(n_layers, target + half + 1)
        plan[behind:] = torch.arange(behind, n_layers)
    return plan


def _accuracies(
    prompts: Prompts, plans: Sequence[Plan], batch_size: int
) -> Float[np.ndarray, " plan"]:
    """The accuracy under each plan; every plan and prompt is a row of batches."""
    if not plans:
        return np.zeros(0)
    model, device = prompts.model, prompts.clean.device
    table, found = torch.stack(list(plans)).to(device), []
    for pairs in rows_at_a_time(prompts.n_pairs, batch_size, device):
        streams = torch.stack(see(model, prompts.clean[pairs], residual_hooks(model)))
        right = []
        for chunk in rows_at_a_time(len(plans) * len(pairs), batch_size, device):
            which, place = chunk // len(pairs), chunk % len(pairs)
            hooks = _hooks(prompts, streams[:, place], table[which])
            with torch.no_grad():
                logits = model.run_with_hooks(prompts.clean[pairs[place]], fwd_hooks=hooks)
            right.append(prompts.answered(prompts.at_answer(logits), pairs[place]))
        found.append(torch.cat(right).reshape(len(plans), -1))
    accuracies: np.ndarray = torch.cat(found, 1).double().mean(1).cpu().numpy()
    return accuracies


def _hooks(
    prompts: Prompts, streams: Streams, plans: Int[Tensor, "row layer"]
) -> list[tuple[str, Hook]]:
    """Hooks that give each layer, at the data's positions, what each row's plan says."""
    data = list(prompts.classes.data)
    rows = torch.arange(len(plans), device=plans.device)

    def give(sources: Int[Tensor, " row"]) -> Hook:
        patched = (sources != UNPATCHED)[:, None, None]

        def hook_fn(value: Tensor, hook: HookPoint) -> Tensor:
            given, new = streams[sources.clamp(min=0), rows], value.clone()
            new[:, data] = torch.where(patched, given[:, data].to(value), value[:, data])
            return new

        return hook_fn

    names = residual_hooks(prompts.model)
    return [
        (name, give(plans[:, layer]))
        for layer, name in enumerate(names)
        if (plans[:, layer] != UNPATCHED).any()
    ]


def _looped(prompts: Prompts, plan: Plan, n_loops: int, batch_size: int) -> tuple[float, ...]:
    """The accuracy of runs one after the other, each given what the one before came to."""
    model, device = prompts.model, prompts.clean.device
    names, found = residual_hooks(model), []
    for pairs in rows_at_a_time(prompts.n_pairs, batch_size, device):
        hooks: list[tuple[str, Hook]] = []  # none in the first run
        right = []
        for _ in range(n_loops):
            seen: dict[str, Tensor] = {}
            with torch.no_grad():
                logits = model.run_with_hooks(
                    prompts.clean[pairs],
                    fwd_hooks=[*hooks, *((name, keep(seen, name)) for name in names)],
                )
            right.append(prompts.answered(prompts.at_answer(logits), pairs))
            streams = torch.stack([seen[name] for name in names])
            hooks = _hooks(prompts, streams, plan.to(device).expand(len(pairs), -1))
        found.append(torch.stack(right))
    return tuple(torch.cat(found, 1).double().mean(1).tolist())
