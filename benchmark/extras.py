"""What only some uses need: packages that an extra installs, and the error where one is missing."""

from __future__ import annotations

from knowncircuits.errors import MissingExtraError

# By the name that is imported, the extra of pyproject.toml that installs it.
EXTRAS = {
    "transformer_lens": "lens",
    "wandb": "wandb",
    "huggingface_hub": "hub",
    "kaleido": "pictures",
    "submitit": "slurm",
    "ray": "ray",
}


def install_line(package: str) -> str:
    """The command that installs a package of an extra."""
    return f"pip install 'knowncircuits[{EXTRAS[package]}]'"


def missing(package: str) -> MissingExtraError:
    """The error for a package of an extra that cannot be imported."""
    return MissingExtraError(f"this needs {package}: {install_line(package)}")
