"""What a result file says beside its scores: checked field by field before anything reads it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from knowncircuits.evaluation.choices import RankBy
from knowncircuits.models.choices import ZooVersion

# What results are grouped by and folders are called; nothing that leads elsewhere.
Name = Annotated[str, StringConstraints(pattern=r"^\w[\w.+-]*$", max_length=200)]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class Part(BaseModel):
    """Nothing is converted; what this version does not know is passed over."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class StoredSettings(Part):
    """What a run did to a model, and to which."""

    label: Name
    method: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    case: Name
    variant: Name
    seed: Count
    n_pairs: Annotated[int, Field(ge=1, lt=2**31)]
    metric: str | None
    corruption: str
    ablation: str
    options: dict[str, Any]
    model: str  # hash of its weights
    zoo: ZooVersion | None = None  # of a shipped one; older results are all of zoo 1
    version: str


class StoredResult(Part):
    """What came of it."""

    threshold: float | None
    options: dict[str, Any]
    details: dict[str, Any]
    seconds: Annotated[float, Field(ge=0)]
    forward_passes: Count | None
    backward_passes: Count | None
    peak_memory: Count | None


class StoredRun(Part):
    """A result file's fields beside those of EAP-IG's format."""

    rank_by: RankBy
    settings: StoredSettings
    result: StoredResult
