"""What a transformer may be made of; light, since the command line's help reads it."""

from __future__ import annotations

from typing import Literal

Activation = Literal["relu", "gelu", "gelu_new", "silu"]
Norm = Literal["none", "layer", "rms"]
Positions = Literal["learned", "rotary"]
