"""How far a command is, on standard error; Python's users have the same."""

from knowncircuits.work.showing import Shown, show_progress

__all__ = ["Shown", "show_progress"]
