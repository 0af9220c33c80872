"""What is chosen by name in models; light, since the command line's help reads it."""

from __future__ import annotations

from typing import Literal

ObjectiveName = Literal[
    "edges", "guided", "nodes", "behaviour"
]  # what a step of training minimises
