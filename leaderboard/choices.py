"""What can be chosen of the board; light, since the command line's help reads it."""

from __future__ import annotations

from typing import Literal

BoardFormat = Literal["csv", "json", "markdown"]
Division = Literal["closed", "open"]
HubKind = Literal["models", "results", "submissions", "board"]
