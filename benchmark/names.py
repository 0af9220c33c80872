"""The names of nodes, of what they read and of edges: strings that know their parts.

They are those of EAP-IG and MIB (`a1.h2`, `m0`, `logits`, `m0->a1.h2<v>`), with the token embedding
`embed` and the position embedding `pos` kept apart; both merge to `input`. Heads that share a key
and a value (grouped queries) read them together: `a1.h4-7<k>` is the key of heads 4 to 7. `Node`,
`Destination` and `Edge` raise GraphError for a string that is no such name; whether a graph has the
node or the edge is for the graph to say. To dictionaries, comparisons and files they are strings as
any other; tables and certificates hold plain ones, `str(name)`, as some libraries look at the exact
type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, Self, cast

from knowncircuits.errors import GraphError

Kind = Literal["embed", "pos", "input", "head", "mlp", "logits"]
Letter = Literal["q", "k", "v", ""]  # of what a head reads; "" of all that a node reads

QKV: tuple[Letter, ...] = ("q", "k", "v")

NUMBER = "(0|[1-9][0-9]*)"
HEAD = rf"a{NUMBER}\.h{NUMBER}"
NODE = re.compile(rf"{HEAD}|m{NUMBER}|embed|pos|input|logits")
GROUP = re.compile(rf"{HEAD}-{NUMBER}(?:<([kv])>)?")
DESTINATION = re.compile(rf"{HEAD}<[qkv]>|{NODE.pattern}|{GROUP.pattern}")


class Node(str):
    """An input, a head, an MLP or `logits`."""

    __slots__ = ()

    def __new__(cls, name: str) -> Self:
        """Raises GraphError for what is no such name."""
        _node_parts(name)
        return super().__new__(cls, name)

    @classmethod
    def of_head(cls, layer: int, head: int) -> Self:
        """`a1.h2`."""
        return cls(f"a{layer}.h{head}")

    @classmethod
    def of_mlp(cls, layer: int) -> Self:
        """`m0`."""
        return cls(f"m{layer}")

    @property
    def kind(self) -> Kind:
        """What it is; each input and `logits` is of a kind of its own."""
        return _node_parts(self)[0]

    @property
    def layer(self) -> int:
        """The layer of a head or an MLP, -1 for an input; raises GraphError for `logits`."""
        if self.kind == "logits":
            raise GraphError("expected a node in a layer or an input, got logits")
        return _node_parts(self)[1]

    @property
    def head(self) -> int:
        """The place of a head among those of its layer; raises GraphError for other nodes."""
        if self.kind != "head":
            raise GraphError(f"expected a head, got {self}")
        return _node_parts(self)[2]

    @property
    def depth(self) -> float:
        """How deep it sits: inputs -1, heads of layer l at l, its MLP at l + 0.5, logits last."""
        if self.kind == "logits":
            return float("inf")
        return self.layer + 0.5 * (self.kind == "mlp")


class Destination(str):
    """What can be patched on its own, or a whole head: `a1.h2<v>`, `m0`, `logits`, `a1.h2`.

    Or the key or the value of a group of heads, `a1.h4-7<k>`, or all that the group reads.
    """

    __slots__ = ()

    def __new__(cls, name: str) -> Self:
        """Raises GraphError for what is no such name."""
        if not DESTINATION.fullmatch(name) or not _heads_ascend(name):
            raise GraphError(f"expected a destination like 'a1.h2<v>', got {name!r}")
        return super().__new__(cls, name)

    @classmethod
    def of(cls, node: Node, letter: Letter = "") -> Self:
        """One of a head's inputs, or all that a node reads."""
        return cls(f"{node}<{letter}>" if letter else node)

    @classmethod
    def of_group(cls, layer: int, heads: range, letter: Letter = "") -> Self:
        """What neighbouring heads read together; of a single one, as `of`."""
        first = Node.of_head(layer, heads[0])
        group = f"{first}-{heads[-1]}" if len(heads) > 1 else first
        return cls(f"{group}<{letter}>" if letter else group)

    @property
    def node(self) -> Node:
        """The node that it feeds; of a group's key or value, the first of `nodes`."""
        return Node(self.partition("<")[0].partition("-")[0])

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes that it feeds: of a group's key or value, the heads of the group."""
        match = GROUP.fullmatch(self)
        if match is None:
            return (self.node,)
        layer, first, last = map(int, match.groups()[:3])
        return tuple(Node.of_head(layer, head) for head in range(first, last + 1))

    @property
    def letter(self) -> Letter:
        """Which of a head's inputs it is; "" for an MLP, `logits` or a whole head."""
        return cast(Letter, self.partition("<")[2][:1])


class Edge(str):
    """From a node to a destination: `m0->a1.h2<v>`."""

    __slots__ = ()

    def __new__(cls, name: str) -> Self:
        """Raises GraphError for what is no such name."""
        source, arrow, destination = name.partition("->")
        known = NODE.fullmatch(source) and DESTINATION.fullmatch(destination)
        if not (arrow and known and _heads_ascend(destination)):
            raise GraphError(f"expected an edge like 'm0->a1.h2<v>', got {name!r}")
        return super().__new__(cls, name)

    @classmethod
    def between(cls, source: Node, destination: Destination) -> Self:
        """The edge from one to the other."""
        return super().__new__(cls, f"{source}->{destination}")

    @property
    def source(self) -> Node:
        """The node that it leads from."""
        return Node(self.partition("->")[0])

    @property
    def destination(self) -> Destination:
        """What it leads to."""
        return Destination(self.partition("->")[2])

    @property
    def target(self) -> Node:
        """The node that its destination feeds; of a group of heads, the first."""
        return self.destination.node

    @property
    def targets(self) -> tuple[Node, ...]:
        """All nodes that its destination feeds: several where heads share a key or a value."""
        return self.destination.nodes

    def placed(self, places: Mapping[str, str]) -> Self:
        """The edge of the same letter between the places of its two ends."""
        node, letter = Node(places[self.target]), self.destination.letter
        return self.between(Node(places[self.source]), Destination.of(node, letter))

    @property
    def ends(self) -> tuple[Node, Node]:
        """Source and target."""
        return self.source, self.target


def is_edge(name: str) -> bool:
    """Whether a name is to be that of an edge, not of a node."""
    return "->" in name


def edge_names(sources: Iterable[Node], destination: Destination | Node) -> list[str]:
    """The names of the edges from many nodes to one destination, as plain strings.

    A graph can have half a million. As `Edge`s they would take twenty times as long, most of it in
    the garbage collector, and two thirds more memory.
    """
    ending = f"->{destination}"
    return [source + ending for source in sources]


def _heads_ascend(destination: str) -> bool:
    """Whether a group's last head comes behind its first one."""
    match = GROUP.fullmatch(destination)
    return match is None or int(match[2]) < int(match[3])


@lru_cache(maxsize=4096)  # placements ask for depths many thousand times
def _node_parts(name: str) -> tuple[Kind, int, int]:
    """Kind, layer and head; -1 where there is none."""
    match = NODE.fullmatch(name)
    if match is None:
        raise GraphError(f"expected a node like 'a1.h2', got {name!r}")
    layer, head, mlp = match.groups()
    if head:
        return "head", int(layer), int(head)
    return ("mlp", int(mlp), -1) if mlp else (cast(Kind, str(name)), -1, -1)


EMBED, POS, LOGITS = Node("embed"), Node("pos"), Node("logits")
