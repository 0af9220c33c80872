"""What edges do together: alone or in company, which sets of them are enough, gates of nodes.

In the interchange game of a model the players are its edges: `y(E)` is the answer to a clean input
while the edges E read the corrupted one. What follows depends on the pairs that the game is played
on: where a clean input has both of two flags, an OR of them has two sets of edges that are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from knowncircuits.errors import ResultError

# By which edges into a node have to be kept for what it writes: all, any, all but an even number,
# more than half. `add`: what it writes is a sum of what each edge adds. `table`: none of these.
GateKind = Literal["and", "or", "xor", "majority", "add", "table"]


@dataclass(frozen=True)
class Gate:
    """Which of the edges into a node are enough for what it writes."""

    node: str
    edges: tuple[str, ...]
    kind: GateKind
    # For each set of edges that is kept while the others read the corrupted input, 1 where the node
    # writes the same for every pair. The set's place has bit i for edge i.
    table: str


@dataclass(frozen=True)
class SetTruth:
    """What a circuit's edges do together, on the pairs of a task."""

    pairs: str  # how clean and corrupted inputs differ: a corruption, or a direction
    n_pairs: int
    alone: tuple[str, ...]  # y({e}) differs from y({}) on some pair
    company: tuple[str, ...]  # not so, but y(E with e) differs from y(E) for some set E
    idle: tuple[str, ...]  # inside, but on these pairs they make no difference to any set
    # Sets of edges that are enough: the answer to every pair stays when all others read the
    # corrupted input, and of no proper subset this is true.
    minimal: tuple[tuple[str, ...], ...]
    gates: tuple[Gate, ...] = ()

    @property
    def smallest(self) -> tuple[str, ...]:
        """The first of the smallest minimal sets."""
        return min(self.minimal, key=len)

    def renamed(self, name: Callable[[str], str], node: Callable[[str], str]) -> SetTruth:
        """The same of a model whose edges and nodes are called otherwise."""

        def each(edges: Iterable[str]) -> tuple[str, ...]:
            return tuple(map(name, edges))

        return replace(
            self,
            alone=each(self.alone),
            company=each(self.company),
            idle=each(self.idle),
            minimal=tuple(map(each, self.minimal)),
            gates=tuple(replace(g, node=node(g.node), edges=each(g.edges)) for g in self.gates),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON can have it; see `parse_sets`."""
        return asdict(self)


def parse_sets(document: Any, edges: Mapping[str, Any], path: str) -> SetTruth:
    """What `SetTruth.to_dict` gave; raises ResultError, with `path`, for anything else."""
    try:
        found = SetTruth(
            pairs=str(document["pairs"]),
            n_pairs=int(document["n_pairs"]),
            **{name: tuple(map(str, document[name])) for name in ("alone", "company", "idle")},
            minimal=tuple(tuple(map(str, each)) for each in document["minimal"]),
            gates=tuple(_parse_gate(gate) for gate in document["gates"]),
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ResultError(f"{path}: expected truth under sets, got {error!r}"[:300]) from None
    groups = [found.alone, found.company, found.idle, *found.minimal]
    groups += [gate.edges for gate in found.gates]
    unknown = sorted({edge for group in groups for edge in group} - set(edges))
    if unknown:
        raise ResultError(f"{path}: expected sets of the graph's edges, got {unknown[0]!r}")
    return found


def _parse_gate(document: Mapping[str, Any]) -> Gate:
    kind = document["kind"]
    edges, table = tuple(map(str, document["edges"])), str(document["table"])
    if kind not in get_args(GateKind) or len(table) != 2 ** len(edges) or set(table) - {*"01"}:
        raise ValueError(f"a gate {kind!r} of {len(edges)} edges with a table of {len(table)}")
    return Gate(str(document["node"]), edges, kind, table)
