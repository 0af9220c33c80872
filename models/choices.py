"""What can be chosen in models; light, since the command line's help reads it."""

from __future__ import annotations

from typing import Literal

# What a step of training minimises.
ObjectiveName = Literal["edges", "guided", "nodes", "behaviour"]
