"""A wired model: a compiled one after exact transformations, each of which says what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from knowncircuits.cases.case import Case
from knowncircuits.cases.registry import load_case
from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, Label
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.names import Edge
from knowncircuits.rasp.values import Value
from knowncircuits.shown import Card, Shown, Table
from knowncircuits.transformer import Transformer

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from knowncircuits.models.interop.hooked import HookedTwin


@dataclass(frozen=True)
class Step:
    """A transformation with its parameters: with them it can be made again."""

    transformation: str
    parameters: Mapping[str, Any]
    found: Mapping[str, float] = field(default_factory=dict)  # measured of what came of it


@dataclass(frozen=True, eq=False, repr=False)
class Wired(Shown):
    """A compiled model that was transformed, and which compiled edges its own edges stand for.

    Several edges may stand for one, as those of copies of a head do, and one for several. Where a
    transformation is exact, the model answers under any set E of edges as the compiled one does
    under the images of E, if of the edges that share an image E has all or none.
    """

    model: Transformer
    compiled: Compiled
    # Edge: the compiled edges that it stands for; none where it reads nothing but constants.
    images: Mapping[str, tuple[str, ...]]
    varying: frozenset[str]  # nodes that write something that differs between inputs
    recipe: tuple[Step, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)  # by node; see `knowncircuits.roles`

    def _card(self) -> Card:
        wiring = ", ".join(step.transformation for step in self.recipe) or "as compiled"
        facts = (self.model.graph.summary(), self.circuit.label_counts(), wiring)
        return Card(self.compiled.name, facts, self._tables)

    def _tables(self) -> list[Table]:
        steps = [
            (step.transformation, ", ".join(f"{k}={v}" for k, v in step.parameters.items()))
            for step in self.recipe
        ]
        return [Table("Wired by", ("step", "parameters"), steps), *self.circuit._tables()]

    def to(
        self, *, dtype: torch.dtype | None = None, device: str | torch.device | None = None
    ) -> Wired:
        """The same with a copy of the model in another dtype or on another device, if it is one."""
        model = self.model
        dtype, device = dtype or model.dtype, torch.device(device or model.device)
        if (dtype, device) == (model.dtype, model.device):
            return self
        moved = deepcopy(model).to(device=device, dtype=dtype)
        return replace(self, model=moved, compiled=self.compiled.to(device=device))

    @classmethod
    @takes(compiled=Compiled)
    def of(cls, compiled: Compiled) -> Wired:
        """The compiled model as it is."""
        images = {str(edge): (str(edge),) for edge in compiled.circuit.carries}
        varying = {str(v.node) for v in compiled.variables.values() if v.varies}
        roles = compiled.circuit.roles
        return cls(compiled.model, compiled, images, frozenset(varying), roles=roles)

    @cached_property
    def circuit(self) -> Circuit:
        """In: an edge that stands for one that is in. Undetermined: for others; nothing varies.

        All other edges are out: nothing that differs between inputs goes along them to an answer.
        """
        graph, high = self.model.graph, self.compiled.circuit
        varies = np.array([node in self.varying for node in graph.sources])
        found = np.where(varies[graph.source_of_edge], Label.OUT, Label.UNDETERMINED)
        labels = found.astype(np.int8)
        carries = {}
        for edge, images in self.images.items():
            inside = any(high.label(image) == Label.IN for image in images)
            inside = inside and Edge(edge).source in self.varying
            labels[graph.index(edge)] = Label.IN if inside else Label.UNDETERMINED
            if images:
                carried = (variable for image in images for variable in high.carries[image])
                carries[edge] = tuple(dict.fromkeys(carried))
        return Circuit(graph, labels, carries, roles=self.roles)

    @property
    def case(self) -> Case:
        """The case that it computes."""
        case = self.compiled.case
        return case if isinstance(case, Case) else load_case(self.compiled.name)

    def __call__(self, tokens: Sequence[Value]) -> list[Value]:
        """The model's answer for one input, decoded as the compiled model's is.

        Raises InputError for tokens that the model has no ids for and for inputs that the program
        is not meant for.
        """
        if self.compiled.case.meant is not None:
            self.compiled.case.meant.check([tokens])
        return self.compiled.decode(self.model(self.compiled.encode([tokens])))[0]

    def to_transformer_lens(self) -> TransformerBridge:
        """A native TransformerLens bridge; see `knowncircuits.models.interop.bridge`."""
        from knowncircuits.models.interop.bridge import to_transformer_lens

        return to_transformer_lens(self.model)

    def to_hooked(self) -> HookedTwin:
        """A module with HookedTransformer's hooks; see `knowncircuits.models.interop.hooked`."""
        from knowncircuits.models.interop.hooked import to_hooked

        return to_hooked(self)


def renamed(edge: str, old: str, new: str) -> str:
    """The edge with one of its ends another node."""
    parts = Edge(edge)
    return str(parts.placed({**{str(node): str(node) for node in parts.ends}, old: new}))
