"""Options that make slow methods quick, for tests of all methods."""

from typing import Any

# Options that make methods quick which learn masks, draw, or run others.
QUICK: dict[str, dict[str, Any]] = {
    "sp": {"steps": 3},
    "edge-sp": {"steps": 3},
    "edge-pruning": {"steps": 3},
    "ugs": {"steps": 3, "pairs": 2},
    "optimal-ablation": {"steps": 3, "pairs": 2},
    "multi-restart": {"steps": 3, "restarts": 2},
    "discogp": {"steps": 3},
    "ibcircuit": {"steps": 3},
    "shapley": {"rounds": 4},
    "ensemble": {"of": ["eap", "exact"]},
    "vote": {"subsets": 4},
    "circuit-probing": {"steps": 3, "sizes": [4, 40]},
    "acdc": {"thresholds": [0.01, 0.1]},
}

# What takes weights apart, and so is for models of ours only.
OURS_ONLY = {"cd-t"}
