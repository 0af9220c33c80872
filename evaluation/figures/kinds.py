"""How ribbons of a Sankey diagram look: colour by sign, pattern and outline by what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from knowncircuits.names import Edge

# Blue and red, for scores above and below 0, by theme; missed edges have no sign.
SIGNS = {"default": ("#2468b0", "#c23b3b"), "colourblind": ("#0072B2", "#D55E00")}
MISSED = "#666666"

Kind = Literal[
    "score",
    "member",
    "company",
    "true",
    "false",
    "undetermined",
    "missed",
    "activation",
    "patched",
]
MEMBERS: tuple[Kind, ...] = ("member", "company")  # of a circuit, which have no score
OF_RUNS: tuple[Kind, ...] = ("activation", "patched")  # how much is read, which has no sign


@dataclass(frozen=True)
class Style:
    """How a ribbon looks beside its colour, so that every figure reads in greyscale."""

    name: str  # in the legend
    words: str  # when hovering
    pattern: str = ""  # of plotly's fill patterns
    dash: str = "solid"  # of the outline
    opacity: float = 0.7


STYLES: dict[Kind, Style] = {
    "score": Style("", ""),
    "member": Style("", "in the circuit"),
    "company": Style("in company", "in the circuit, only with others", "", "7px,3px", 0.35),
    "true": Style("true positive", "true positive: in the circuit"),
    "false": Style("false positive", "false positive: outside the circuit", "/", "7px,3px", 0.12),
    "undetermined": Style(
        "undetermined", "undetermined: no interchange can tell", ".", "dot", 0.12
    ),
    "missed": Style(
        "missed", "missed: in the circuit, but not among these edges", "", "3px,3px", 0
    ),
    "activation": Style("", ""),
    "patched": Style("reads the other input", "reads the other input", "x", "7px,3px", 0.12),
}


@dataclass(frozen=True)
class Ribbon:
    """An edge to be drawn."""

    edge: Edge
    position: int
    value: float
    kind: Kind
    width: float  # pixels
    mask: float = 0.0  # how far it reads another input, of a run

    @property
    def amount(self) -> str:
        """Its value in words, for hovering; members of a circuit have none."""
        if self.kind in MEMBERS:
            return ""
        if self.kind not in OF_RUNS:
            return f"score {self.value:.4g}"
        return f"length {self.value:.4g}" + (f", mask {self.mask:.3g}" if self.mask else "")

    def colour(self, theme: str) -> str:
        """Blue or red by the sign of a score; red of what is patched in."""
        if self.kind == "missed":
            return MISSED
        return SIGNS[theme][int(self.value < 0 or self.kind == "patched")]


def paint(kind: Kind, colour: str) -> dict[str, Any]:
    """Fill and outline of a kind of ribbon."""
    from plotly.colors import hex_to_rgb

    style = STYLES[kind]
    fill = "rgba({},{},{},{})".format(*hex_to_rgb(colour), style.opacity)
    painted: dict[str, Any] = {
        "mode": "lines",
        "fill": "toself",
        "fillcolor": fill,
        "hoveron": "fills",
        "line": {"color": colour, "width": 0.5 if style.dash == "solid" else 1, "dash": style.dash},
    }
    if style.pattern:
        pattern = {"shape": style.pattern, "fgcolor": colour, "bgcolor": fill, "size": 6}
        painted["fillpattern"] = pattern | {"solidity": 0.25, "fillmode": "replace"}
    return painted
