"""The reference page of the cases: what each computes, its circuit, an example, its difficulty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import get_args

from knowncircuits.cases.case import Case
from knowncircuits.cases.difficulty import Difficulty, load_difficulty
from knowncircuits.cases.registry import CASES, FAMILIES, list_cases
from knowncircuits.evaluation.figures.drawing import circuit_text
from knowncircuits.evaluation.hardness.measuring import Hardness
from knowncircuits.evaluation.hardness.stored import read_hardness
from knowncircuits.models.choices import ZooVersion
from knowncircuits.models.zoo.shelf import shipped
from knowncircuits.rasp.text import program_text
from knowncircuits.rasp.values import Value

# Their circuits are all alike, so they share a table.
COMPACT = "elementwise"
TOKENS_SHOWN = 3

INTRODUCTION = """\
# The cases

Written by `knowncircuits maintain docs`; a test checks that this page is current. The
difficulties are those that `knowncircuits maintain difficulty` has measured and stored in
`cases/difficulty.json`.

{n} cases: {structural} in the suite `structural`, over which headline numbers are means; the others
are *degenerate*: their true edges are a chain of MLPs without attention, or fewer than three.

Columns of the tables:

- **#**: the number of InterpBench's case. **size**: layers x heads.
- **variables**: values of the program's expressions, tokens and indices among them.
- **depth**: edges on the longest path of true edges.
- **true edges / of**: edges in the circuit, among determined edges, at q, k and v.
- **true heads**: edges in the circuit with q, k and v of a head merged. **true nodes**: nodes
  that a true edge leaves.
- **detected**: true edges whose interchange alone changes the compiled model's output for some pair
  of inputs. **rarest**: the share of {pairs} pairs for which the least visible of them does.
- **late, short, embed**: AUROC of scores that look at no model: late edges first, short edges
  first, every edge out of `embed`. Random scores have 0.5 on average. Less than 0.5 means that the
  opposite order is as much better than chance.

Below a circuit stand the trained models that compute it, and how hard it is to find there (see
[models.md](models.md#how-hard)): the smallest effect inside over the largest one outside; of
outside edges, the share between nodes that are alive; the median spread of what nodes outside write
over that of nodes inside; and the best average precision of scores that neither patch nor take
gradients.

In the circuits, `<-` marks true edges and `<?` edges that are read but that no pair can tell; what
each carries stands beside it. In the programs, a `Map` is shown by what it computes of what it
reads, `Map(tokens % 2)`; functions that have a name follow the program.
"""


def cases_page() -> str:
    """The page in Markdown; the same text at every call."""
    structural = list_cases("structural")
    pairs = {load_difficulty(name).pairs for name in CASES}
    parts = [
        INTRODUCTION.format(n=len(CASES), structural=len(structural), pairs=min(pairs)),
        "## Structural cases\n",
        _difficulties(structural),
        "## Degenerate cases\n",
        _difficulties(n for n in CASES if n not in structural and CASES[n].family != COMPACT),
        f"And all {len(list_cases(family=COMPACT))} of the family [{COMPACT}](#{COMPACT}).\n",
    ]
    for module in FAMILIES:
        family = module.CASES[0].family
        parts.append(
            f"## {family}\n\n{module.__doc__} Source: [cases/{family}.py](../cases/{family}.py)\n"
        )
        cases = [CASES[name] for name in list_cases(family=family)]
        parts += [_compact(cases)] if family == COMPACT else map(_section, cases)
    return "\n".join(parts)


def _difficulties(names: Iterable[str]) -> str:
    sizes = ["size", "variables", "depth", "nodes", "edges", "true edges / of"]
    truth = ["true heads", "true nodes", "detected", "rarest", "late", "short", "embed"]
    rows = []
    for name in names:
        d = load_difficulty(name)
        of = f"{d.true_edges} / {d.edges - d.undetermined_edges}"
        row: list[object] = [f"[{name}](#{name})", CASES[name].interpbench_id]
        row += [f"{d.layers}x{d.heads}", d.variables, d.depth, d.nodes, d.edges, of]
        row += [d.true_head_edges, d.true_nodes, d.detected_edges, f"{d.rarest:.0%}"]
        row += [_number(d.auroc[control]) for control in ("depth", "shortness", "from_embed")]
        rows.append(row)
    return _table(["case", "#", *sizes, *truth], rows)


def _section(case: Case) -> str:
    difficulty = load_difficulty(case.name)
    example = case.sample(1, seed=0)[0]
    circuit = case.compile().circuit
    number = "" if case.interpbench_id is None else f" InterpBench's case {case.interpbench_id}."
    return f"""\
### {case.name}

{case.description}{number}

Alphabet of {_alphabet(case.vocab)}. {_inputs(case)}

```text
{program_text(case.program)}

{_values(example)}
-> {_values(case.interpret([example])[0])}

{circuit_text(circuit)}
```

{_difficulty(difficulty)}
{_trained(case.name)}"""


def _difficulty(d: Difficulty) -> str:
    """What the tables do not say: what no pair detects, and why."""
    kind = "Degenerate" if d.degenerate else "Structural"
    seen = f"{d.detected_edges} of them detected, the rarest in {d.rarest:.0%} of {d.pairs} pairs"
    lines = [f"{kind}: {d.true_edges} true edges, {seen}."]
    edges_by_reason: dict[str, list[str]] = {}
    for edge, reason in d.undetected.items():
        edges_by_reason.setdefault(reason, []).append(f"`{edge}`")
    if edges_by_reason:
        lines.append("Read, but no pair can tell:\n")
    lines += [f"- {', '.join(edges)}: {reason}" for reason, edges in edges_by_reason.items()]
    return "\n".join(lines)


def _trained(name: str) -> str:
    """A line for each trained model that was measured."""
    lines = []
    for version in get_args(ZooVersion):
        for variant, found in _hardness(version).get(name, {}).items():
            gap = "-" if found.gap is None else f"{found.gap:.2g}"
            lines.append(
                f"- `{variant}` of zoo {version}: gap {gap}; living edges "
                f"{_number(found.living_edges)}, spread outside over inside "
                f"{_number(found.spread)}; best cheap score {_number(found.best_cheap)}"
            )
    return "\n".join(["\nTrained models:\n", *lines, ""]) if lines else ""


@cache
def _hardness(version: ZooVersion) -> dict[str, dict[str, Hardness]]:
    """What was measured of a zoo's models, by case and variant."""
    found: dict[str, dict[str, Hardness]] = {}
    for (name, variant), measured in read_hardness(shipped(version)).items():
        found.setdefault(name, {})[variant] = measured.hardness
    return found


def _compact(cases: Sequence[Case]) -> str:
    """A line for each case, under the one circuit that they share."""
    rows = []
    for case in cases:
        example = case.sample(1, seed=0)[0][:TOKENS_SHOWN]
        answer = case.interpret([example])[0]
        shown = f"{_values(example)} -> {_values(answer)}"
        facts = (case.interpbench_id, case.description, _alphabet(case.vocab))
        rows.append((f"`{case.name}`", *facts, f"`{shown}`"))
    first, circuit = cases[0], circuit_text(cases[0].compile().circuit)
    return f"""\
{_inputs(first)}

They share one circuit, but for the name of the variable. Here it is {first.name}'s:

```text
{program_text(first.program)}

{circuit}
```

{_table(("case", "#", "what it computes", "alphabet", "example"), rows)}"""


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("|", "\\|")


def _inputs(case: Case) -> str:
    attention = "causal" if case.causal else "bidirectional"
    return f"Inputs of up to {case.max_len} tokens; {attention} attention. {case.sampling}"


def _alphabet(vocab: Sequence[Value]) -> str:
    shown = (
        [*map(str, vocab)] if len(vocab) <= 12 else [*map(str, vocab[:5]), "...", str(vocab[-1])]
    )
    return f"{len(vocab)}: `{' '.join(shown)}`"


def _values(values: Iterable[Value]) -> str:
    return " ".join(map(_value, values))


def _value(value: Value) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
