"""What `submission.json` says: a published and versioned schema, checked strictly."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from knowncircuits.evaluation.choices import RankBy
from knowncircuits.files.writing import write_text
from knowncircuits.leaderboard.choices import Division
from knowncircuits.leaderboard.divisions import (
    BUDGETS,
    Budget,
    least_budget,
    most_passes,
)
from knowncircuits.models.choices import BoardZoo

VERSION: Literal[2] = 2
PUBLISHED = Path(__file__).with_name("submission.schema.json")

# Names of devices on Windows, with any ending.
RESERVED = {"CON", "PRN", "AUX", "NUL"} | {
    f"{name}{i}" for name in ("COM", "LPT") for i in range(10)
}
MAX_OPTIONS = 20_000  # characters of all options together

# Not seen, or turning around what stands beside them: refused, as control characters are.
UNSEEN = set("\u00ad\u061c\u115f\u1160\u200b\u200e\u200f\u2028\u2029\u2800\u3164\ufeff\uffa0") | {
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2060, 0x2070))
}


def check_text(text: str, allowed: str = "") -> str:
    """The text, if all of it can be seen; raises ValueError for the first character that is not."""
    for character in text:
        control = unicodedata.category(character) in ("Cc", "Cs")
        if (control and character not in allowed) or character in UNSEEN:
            raise ValueError(f"expected text that can be seen, got U+{ord(character):04X}")
    return text


def check_line(text: str) -> str:
    """As `check_text`; something of it can be seen, from its beginning to its end."""
    if text != text.strip():
        raise ValueError("expected text that neither begins nor ends with blanks")
    return check_text(text)


def check_id(text: str) -> str:
    """A name that every file system can have; raises ValueError for one that Windows keeps."""
    if text.partition(".")[0].upper() in RESERVED or text.endswith("."):
        raise ValueError("expected a name that a folder can have on every system")
    return text


def check_long_text(text: str) -> str:
    """As `check_text`; the text may have several lines."""
    return check_text(text, allowed="\n\t")


Line = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(check_line)]
LongText = Annotated[str, StringConstraints(max_length=4000), AfterValidator(check_long_text)]
Link = Annotated[
    str,
    StringConstraints(max_length=500, pattern=r"^https?://[A-Za-z0-9][^\s<>\"'`\\]*$"),
    AfterValidator(check_text),
]
MethodId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}$"),
    AfterValidator(check_id),
]
ModelKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,80}/[a-z0-9_]{1,40}$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(ge=-1e300, le=1e300)]
Whole = Annotated[int, Field(gt=-(2**63), lt=2**63)]
Scalar = bool | Whole | Number | Annotated[str, StringConstraints(max_length=500)] | None
Option = Scalar | Annotated[list[Scalar], Field(max_length=1000)]


class Part(BaseModel):
    """What all parts have: nothing is converted, and unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Author(Part):
    """Who made the method, or ran it."""

    name: Line
    url: Link | None = None


class Reference(Part):
    """A paper, code, or the like."""

    title: Line
    url: Link


class Conventions(Part):
    """How the method was run: of what its scores are scores."""

    n_pairs: Annotated[int, Field(ge=1, lt=2**31, description="clean/corrupted pairs")]
    seeds: Annotated[
        tuple[Seed, ...],
        Field(min_length=1, max_length=20, description="of the pairs; the columns of the scores"),
    ]
    metric: Annotated[
        Line | None, Field(description="null: KL for categorical outputs, L2 for numbers")
    ] = None
    ablation: Line = "resample"
    corruption: Line = "resample"


class Cost(Part):
    """What one run cost, as the submitter says."""

    seconds: Annotated[float, Field(ge=0, le=1e9)]
    forward_passes: Annotated[
        Count | None, Field(description="of one example each; null where they were not counted")
    ] = None
    backward_passes: Count | None = None
    peak_memory_bytes: Count | None = None


class Description(Part):
    """`submission.json`."""

    schema_version: Literal[2]
    id: Annotated[MethodId, Field(description="the submission's folder has this name")]
    title: Line
    kind: Annotated[
        Literal["method", "control"],
        Field(description="controls look at no model, or know the truth; they are not ranked"),
    ] = "method"
    version: Annotated[Line, Field(description="of the method")]
    authors: Annotated[tuple[Author, ...], Field(min_length=1, max_length=50)]
    links: Annotated[tuple[Reference, ...], Field(max_length=10)] = ()
    description: LongText = ""
    command: Annotated[LongText, Field(description="what to run to get the same scores")]
    options: Annotated[dict[Line, Option], Field(max_length=100)] = {}
    division: Annotated[
        Division,
        Field(
            description="closed: these options for every model, and passes that were counted, at "
            "most 100,000 for each pair; open: anything"
        ),
    ] = "open"
    rank_by: Annotated[
        RankBy, Field(description="by size, or by value: higher is more in the circuit")
    ]
    conventions: Conventions
    benchmark: Annotated[Line, Field(description="the version of knowncircuits it was run with")]
    zoo: Annotated[
        BoardZoo, Field(description="the release that the models are of; own: the submitter's")
    ] = 1
    models: Annotated[
        dict[ModelKey, Hash],
        Field(min_length=1, max_length=5000, description="CASE/VARIANT: SHA-256 of the weights"),
    ]
    tables: Annotated[
        dict[ModelKey, Hash],
        Field(max_length=5000, description="SHA-256 of each model's table; `submit` writes them"),
    ] = {}
    costs: Annotated[
        dict[ModelKey, Annotated[tuple[Cost, ...], Field(max_length=20)]],
        Field(max_length=5000, description="a run for each seed, in their order"),
    ] = {}
    claims: Annotated[
        dict[Line, Number],
        Field(max_length=20, description="numbers of one's own, never used: all are recomputed"),
    ] = {}

    @property
    def most_passes(self) -> float | None:
        """For each pair, on the model that took most; None where some were not counted."""
        if set(self.costs) != set(self.models):
            return None
        runs = (run for runs in self.costs.values() for run in runs)
        counts = ((run.forward_passes, run.backward_passes) for run in runs)
        return most_passes(counts, self.conventions.n_pairs)

    @property
    def budget(self) -> Budget | None:
        """The least that all models stay within; None in the open division."""
        return least_budget(self.most_passes) if self.division == "closed" else None

    @property
    def contradictions(self) -> list[str]:
        """What does not go together, in words."""
        seeds, n = self.conventions.seeds, len(self.conventions.seeds)
        problems = []
        if len(set(seeds)) < n:
            problems.append(f"conventions.seeds: expected different seeds, got {list(seeds)}")
        if (size := len(json.dumps(self.options, ensure_ascii=False))) > MAX_OPTIONS:
            problems.append(f"options: expected at most {MAX_OPTIONS} characters, got {size}")
        problems += [
            f"costs.{key}: expected one of `models`"
            for key in sorted(set(self.costs) - set(self.models))
        ]
        problems += [
            f"costs.{key}: expected one for each of {n} seeds, got {len(runs)}"
            for key, runs in self.costs.items()
            if len(runs) != n
        ]
        if self.division == "closed" and self.budget is None:
            found = "uncounted ones" if self.most_passes is None else f"{self.most_passes:,.2f}"
            problems.append(
                f"division: expected of a closed one counted passes on every model, at most "
                f"{BUDGETS[-1]:,} for each pair, got {found}"
            )
        return problems

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def json_schema() -> dict[str, Any]:
    """The schema as JSON Schema (draft 2020-12), for other tools."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Description.model_json_schema(),
        "title": "A submission to the leaderboard of knowncircuits, version 2",
    }


def write_schema(path: Path = PUBLISHED) -> None:
    """Write the schema; raises ResultError if that fails."""
    write_text(path, json.dumps(json_schema(), indent=1) + "\n")
