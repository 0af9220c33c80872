"""The command line: a file for each group of commands. Heavy imports wait until a command runs."""

from knowncircuits.cli.app import app, main

__all__ = ["app", "main"]
