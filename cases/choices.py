"""What can be chosen in cases; light, since the command line's help reads it."""

from __future__ import annotations

from typing import Literal

# Which of a pair has the property that a case names: the clean input, or the corrupted one.
Direction = Literal["on-off", "off-on"]
