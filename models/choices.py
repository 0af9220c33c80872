"""What can be chosen in models; light, since the command line's help reads it."""

from __future__ import annotations

from typing import Literal

# What a step of training minimises.
ObjectiveName = Literal["edges", "guided", "nodes", "behaviour"]

# A release of the shipped models. What is said of a model of one says nothing of another's.
ZooVersion = Literal[1, 2]
DEFAULT_ZOO: ZooVersion = 1
