"""What a node is for, in the words of those who found such nodes in real models.

The names are those of the circuit for indirect object identification in GPT-2 (Wang et al., 2022).
A role is a label for people and for scores by role; nothing is computed of it.
"""

from __future__ import annotations

from typing import Final

DUPLICATE_TOKEN: Final = "duplicate token"  # tells that a token was there before
S_INHIBITION: Final = "S-inhibition"  # says which name the movers are to leave alone
NAME_MOVER: Final = "name mover"  # copies the name that it attends to
NEGATIVE_MOVER: Final = "negative mover"  # a mover that writes against the name
BACKUP_MOVER: Final = "backup mover"  # copies only where the mover has written nothing

ROLES = (DUPLICATE_TOKEN, S_INHIBITION, NAME_MOVER, NEGATIVE_MOVER, BACKUP_MOVER)


def of_kind(kind: str, role: str) -> str:
    """The role of a head made of another: the `backup` of a name mover is a backup mover."""
    return f"{kind} {role.removeprefix('name ')}"
