"""Pass 2: places: which node writes a variable, and along which residual directions.

The residual stream has a direction for each value of a categorical variable and one for a numerical
variable; None is the zero vector. Two directions are constants of the embedding: `one`, everywhere
1, and `tokens:BOS`. BOS attends to itself alone, so what every variable holds there is known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from knowncircuits.compiler.variables import Constants, Variable, number
from knowncircuits.names import EMBED, POS, Node
from knowncircuits.rasp.domains import Domains, value_of
from knowncircuits.rasp.expressions import Encoding
from knowncircuits.rasp.program import (
    BOS_FLAG,
    INDICES,
    ONE,
    PAD_FLAG,
    RESERVED,
    TOKENS,
    Kind,
    Program,
    Step,
    unique_name,
)
from knowncircuits.rasp.values import Value
from knowncircuits.rasp.vocabulary import Vocabulary


@dataclass(frozen=True)
class Layout:
    """Every variable with its place, by name, and how wide the residual stream is."""

    variables: dict[str, Variable]
    tokens: Variable
    indices: Variable
    by_step: dict[Step, Variable]
    raw: dict[Step, Variable]  # what a head leaves for its MLP to decode
    constants: Constants
    domains: Domains
    d_model: int

    @property
    def max_len(self) -> int:
        """The longest input, without BOS."""
        return len(self.indices.values)

    def of(self, step: Step) -> Variable:
        """The variable that a step is."""
        return self.by_step[step]


class _Places:
    """Gives out directions, one after the other."""

    def __init__(self) -> None:
        self.variables: dict[str, Variable] = {}
        self.size = 0

    def put(self, variable: Variable) -> Variable:
        """The variable with directions of its own."""
        n = 1 if variable.numerical else len(variable.values)
        directions = tuple(range(self.size, self.size + n))
        self.size += n
        return self.keep(replace(variable, directions=directions))

    def keep(self, variable: Variable) -> Variable:
        """The variable, whose directions are another's, or its own."""
        assert variable.name not in self.variables, f"two variables of the name {variable.name}"
        self.variables[variable.name] = variable
        return variable


def lay_out(
    program: Program, domains: Domains, layers: Mapping[Step, int], vocabulary: Vocabulary
) -> Layout:
    """Give every variable a node and its directions."""
    places, nodes = _Places(), _nodes(program, layers)
    constants = _constants(places, vocabulary)
    inputs = _inputs(places, vocabulary)
    taken = {*RESERVED, *(step.name for step in program.steps)}
    by_step: dict[Step, Variable] = {}
    raw: dict[Step, Variable] = {}
    for step in program.in_order:
        if step.kind in inputs:
            by_step[step] = inputs[step.kind]
            continue
        if step.is_head and step.needs_mlp:
            name = unique_name(f"{step.name}_attention", taken)
            taken.add(name)
            raw[step] = places.put(_raw(step, name, nodes[step][0], domains))
        variable = _variable(step, domains, by_step, nodes.get(step, (EMBED,))[-1])
        if step in nodes:
            by_step[step] = places.put(variable)
        else:  # a category of one value or none, which holds wherever `one` does
            directions = constants.one.directions[: len(variable.values)]
            by_step[step] = places.keep(replace(variable, directions=directions))
    tokens, indices = inputs[Kind.TOKENS], inputs[Kind.INDICES]
    return Layout(places.variables, tokens, indices, by_step, raw, constants, domains, places.size)


def _constants(places: _Places, vocabulary: Vocabulary) -> Constants:
    one = places.put(_number(ONE, EMBED, varies=False, at_bos=1.0))
    bos = places.put(_number(BOS_FLAG, EMBED, varies=False, at_bos=1.0))
    if not vocabulary.pad:
        return Constants(one, bos, None)
    return Constants(one, bos, places.put(_number(PAD_FLAG, EMBED, varies=True, at_bos=1.0)))


def _inputs(places: _Places, vocabulary: Vocabulary) -> dict[Kind, Variable]:
    """They are embedded whether or not the program reads them."""
    positions = tuple(range(vocabulary.max_len))
    tokens = Variable(TOKENS, EMBED, Encoding.CATEGORICAL, vocabulary.tokens, ())
    indices = Variable(INDICES, POS, Encoding.CATEGORICAL, positions, (), varies=False)
    return {Kind.TOKENS: places.put(tokens), Kind.INDICES: places.put(indices)}


def _raw(step: Step, name: str, node: Node, domains: Domains) -> Variable:
    """What a step's head leaves for its MLP: at BOS all of the attention, or nothing summed."""
    at_bos = 1.0 if step.kind is Kind.WIDTH else 0.0
    return _number(name, node, varies=domains[step].varies, at_bos=at_bos)


def _number(name: str, node: Node, *, varies: bool, at_bos: float) -> Variable:
    """A number of the compiler's own."""
    return Variable(name, node, Encoding.NUMERICAL, (), (), varies=varies, at_bos=at_bos)


def _variable(
    step: Step, domains: Domains, by_step: Mapping[Step, Variable], node: Node
) -> Variable:
    """The variable that a step is, without its directions."""
    domain = domains[step]
    values = () if step.numerical else domain.listed
    at_bos = _at_bos(step, domains, by_step)
    if step.numerical:
        at_bos = number(at_bos)
    elif at_bos not in values:  # a pair that occurs at BOS alone has no unit
        at_bos = None
    facts = (domain.nullable, domain.varies, at_bos)
    return Variable(step.name, node, step.encoding, values, (), *facts)


def _nodes(program: Program, layers: Mapping[Step, int]) -> dict[Step, tuple[Node, ...]]:
    """The head, the MLP, or both, that compute each step."""
    heads: Counter[int] = Counter()
    nodes: dict[Step, tuple[Node, ...]] = {}
    for step in program.steps:
        if step not in layers:
            continue
        layer = layers[step]
        parts = []
        if step.is_head:
            parts.append(Node.of_head(layer, heads[layer]))
            heads[layer] += 1
        if step.needs_mlp:
            parts.append(Node.of_mlp(layer))
        nodes[step] = tuple(parts)
    return nodes


def _at_bos(step: Step, domains: Domains, by_step: Mapping[Step, Variable]) -> Value:
    """What a step gives at BOS, where each head attends to BOS alone."""
    arguments = [by_step[part].at_bos for part in step.inputs]
    present = [x is not None for x in arguments]
    defined = any(present) if step.takes_none else all(present)
    match step.kind:
        case Kind.MEAN | Kind.CONSTANT:
            return step.constant
        case Kind.MAP if arguments[0] not in domains[step.inputs[0]].listed:
            return None
        case Kind.TABLE if not defined:
            return None
        case Kind.MAP | Kind.TABLE | Kind.LINEAR:
            return value_of(step, *arguments)[1]
        case _:
            return 0  # a width or a sum
