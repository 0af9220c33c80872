"""How methods are told apart in figures."""

from __future__ import annotations

from collections.abc import Sequence

from knowncircuits.evaluation.methods.controls import CONTROLS

# Told apart with any kind of colour blindness where neighbours differ in dash too (Okabe and Ito).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("solid", "dash", "dashdot")
CONTROL_DASHES = ("dot", "dash", "longdash", "dashdot", "longdashdot")


def method_lines(methods: Sequence[str]) -> dict[str, dict[str, object]]:
    """A look for each method, in order, as plotly takes it; controls are thin and grey."""
    looks: dict[str, dict[str, object]] = {}
    for i, method in enumerate(m for m in methods if m not in CONTROLS):
        dash = DASHES[i // len(PALETTE) % len(DASHES)]
        looks[method] = {"color": PALETTE[i % len(PALETTE)], "dash": dash, "width": 2}
    for i, method in enumerate(m for m in methods if m in CONTROLS):
        dash = CONTROL_DASHES[i % len(CONTROL_DASHES)]
        looks[method] = {"color": "#999999", "dash": dash, "width": 1.2}
    return {method: looks[method] for method in methods}
