"""Groups of processes that tests start: whether anything of one still runs."""

from __future__ import annotations

import os


def alive(group: int) -> bool:
    """Whether a process of the group runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
