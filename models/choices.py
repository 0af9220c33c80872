"""What can be chosen in models; light, since the command line's help reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

# What a step of training minimises.
ObjectiveName = Literal["edges", "guided", "nodes", "behaviour"]

# How a trained model's weights are stored; they are computed with in float32.
Storage = Literal["float32", "bfloat16", "float16"]

# A release of the shipped models. What is said of a model of one says nothing of another's.
ZooVersion = Literal[1, 2]
DEFAULT_ZOO: ZooVersion = 1
# What a board is about: a release, or the models in a folder of a user's own.
OWN: Literal["own"] = "own"
BoardZoo = Literal[ZooVersion, "own"]
# A release, or a folder of a user's own models.
ZooChoice = ZooVersion | Path
OWN_ZOO = "KNOWNCIRCUITS_ZOO"  # the environment variable of the zoo where none is said
