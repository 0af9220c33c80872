"""The weights of several models of one shape with what their optimizers remember, in stacks.

A stack has a leading dimension, `model`. It is taken from the models' own steppers and handed back
to them, so that a model can enter and leave a stack between any two steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from knowncircuits.models.training.muon import MATRICES, Muon, moves
from knowncircuits.models.training.stepping import Stepper, kept_share

Weights = dict[str, Tensor]
PerModel = Float[Tensor, " model"]

NEVER = -1e9  # the logit of an answer that a model does not have


class StackedWeights:
    """Stacks of what steppers step; models of fewer tokens or answers are filled up.

    What they are filled up with has no gradient and does not move: embeddings of tokens that never
    come, readouts of answers that are never given.
    """

    def __init__(self, steppers: Sequence[Stepper]) -> None:
        """Settings must be the same but for seeds, sizes but for tokens and answers."""
        self.steppers, self.config = list(steppers), steppers[0].config
        models = [dict(stepper.moving.named_parameters()) for stepper in steppers]
        self.trained = [name for name, weight in models[0].items() if weight.requires_grad]
        self.options = _options(steppers[0])
        self.memories = [_memory(stepper) for stepper in steppers]
        self.values = {name: _stack(name, [of[name] for of in models]) for name in models[0]}
        for name in self.trained:
            self.values[name].requires_grad_()
        self.state = {
            name: {key: _stack("", [of[name][key] for of in self.memories]) for key in memory}
            for name, memory in self.memories[0].items()
        }
        self.means: Weights = {}
        if self.config.average:
            averages = [dict(stepper.model.named_parameters()) for stepper in steppers]
            self.means = {name: _stack(name, [of[name] for of in averages]) for name in models[0]}

    @torch.no_grad()
    def update(self, gradients: Weights, rates: PerModel, n_steps: Sequence[int]) -> PerModel:
        """Move all weights as each model's own stepper would.

        Args:
            gradients: of what is trained.
            rates: the learning rates, as a share of the highest; in float64 on the CPU.
            n_steps: how many steps this one makes of each model's.

        Returns:
            The norm of each model's gradients before they are clipped.
        """
        each = [gradient.flatten(1).norm(dim=1) for gradient in gradients.values()]
        norms: Tensor = torch.stack(each).norm(dim=0)
        clipped = (self.config.clip / (norms + 1e-6)).clamp(max=1)
        gradients = {name: g * _beside(clipped, g) for name, g in gradients.items()}
        matrices = [name for name in MATRICES if "momentum" in self.state.get(name, {})]
        if matrices:
            self._step_muon(matrices, gradients, rates)
        for name in self.trained:
            if name not in matrices:
                self._step_adam(name, gradients[name], rates)
        if self.means:
            kept = rates.new_tensor([kept_share(self.config, n) for n in n_steps])
            for name, mean in self.means.items():
                mean.lerp_(self.values[name], _beside(1 - kept, mean))
        return norms

    def _step_muon(self, names: Sequence[str], gradients: Weights, rates: PerModel) -> None:
        """As `Muon.step`."""
        updates = []
        for name in names:
            momentum, gradient = self.options[name]["momentum"], gradients[name]
            average = self.state[name]["momentum"].lerp_(gradient, 1 - momentum)
            updates.append(gradient.lerp(average, momentum))
        for name, (move, scale) in zip(names, moves(updates), strict=True):
            sizes = self.options[name]["peak"] * scale * rates
            self.values[name].sub_(move * _beside(sizes, move))

    def _step_adam(self, name: str, gradient: Tensor, rates: PerModel) -> None:
        """As `torch.optim.Adam` (Kingma and Ba, 2015), each model by its own count of steps."""
        state, options = self.state[name], self.options[name]
        first, second = options["betas"]
        state["step"] += 1
        steps = state["step"].to(rates.dtype)
        state["exp_avg"].lerp_(gradient, 1 - first)
        state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        spread = state["exp_avg_sq"].sqrt() / _beside((1 - second**steps).sqrt(), gradient)
        sizes = options["peak"] * rates / (1 - first**steps)
        move = state["exp_avg"] / (spread + options["eps"])
        self.values[name].sub_(move * _beside(sizes, move))

    @torch.no_grad()
    def hand_back(self) -> None:
        """Give each stepper its weights, their average, and its optimizers' memory."""
        for i, (stepper, memory) in enumerate(zip(self.steppers, self.memories, strict=True)):
            pairs = [*_pairs(self.values, stepper.moving.named_parameters())]
            if self.means:
                pairs += _pairs(self.means, stepper.model.named_parameters())
            for name, of_weight in memory.items():
                pairs += _pairs(self.state[name], of_weight.items())
            for stack, tensor in pairs:
                tensor.copy_(stack[i][tuple(slice(n) for n in tensor.shape)])


def _options(stepper: Stepper) -> dict[str, Mapping[str, Any]]:
    """The options of each weight's optimizer."""
    names = {weight: name for name, weight in stepper.moving.named_parameters()}
    groups = (group for optimizer in stepper.optimizers for group in optimizer.param_groups)
    return {names[weight]: group for group in groups for weight in group["params"]}


def _memory(stepper: Stepper) -> dict[str, Weights]:
    """What optimizers remember of each weight that is trained; before its first step, zeros."""
    found = {}
    for optimizer in stepper.optimizers:
        kept = ("momentum",) if isinstance(optimizer, Muon) else ("exp_avg", "exp_avg_sq")
        for name, weight in stepper.moving.named_parameters():
            if weight.requires_grad and any(
                weight is other for group in optimizer.param_groups for other in group["params"]
            ):
                state = optimizer.state[weight]
                if not state:
                    state.update({key: torch.zeros_like(weight) for key in kept})
                    if not isinstance(optimizer, Muon):  # whose first step is like the others
                        state["step"] = torch.zeros((), dtype=torch.float32, device="cpu")
                found[name] = state
    return found


def _stack(name: str, tensors: Sequence[Tensor]) -> Tensor:
    """One on top of the other, each filled up to the size of the largest."""
    shape = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    fill = NEVER if name == "b_U" else 0.0
    stack = tensors[0].new_full((len(tensors), *shape), fill)
    for place, tensor in zip(stack, tensors, strict=True):
        place[tuple(slice(n) for n in tensor.shape)] = tensor.detach()
    return stack


def _pairs(
    stacks: Weights, tensors: Iterable[tuple[str, Tensor]]
) -> Iterable[tuple[Tensor, Tensor]]:
    """Stacks with the tensors of the same names."""
    return ((stacks[name], tensor) for name, tensor in tensors)


def _beside(numbers: PerModel, stack: Tensor) -> Tensor:
    """A number for each model, as a stack's like."""
    return numbers.to(stack).reshape(-1, *[1] * (stack.ndim - 1))
