"""Tasks of prompts in words: a CSV file, a tokenizer, and any model that has the primitive."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from knowncircuits.checks.arguments import expect
from knowncircuits.errors import TaskError
from knowncircuits.evaluation.answers import Answers, padded
from knowncircuits.evaluation.choices import Ablation, MetricName
from knowncircuits.evaluation.task import Task
from knowncircuits.files.reading import read_bytes
from knowncircuits.primitive import Patchable
from knowncircuits.transformer import Transformer

PROMPTS = ("clean", "corrupted")
ANSWERS = ("answer", "wrong")
BETWEEN = "|"  # several answers of one prompt
Rows = Sequence[Mapping[str, str]]


def text_task(
    model: Patchable,
    prompts: str | Path | pd.DataFrame | Rows,
    tokenizer: Any,
    *,
    metric: MetricName | None = None,
    ablation: Ablation = "resample",
    name: str = "text",
) -> Task:
    """Make a task of prompts, which asks for the token behind each.

    The metric looks at the last token of a prompt. Prompts may be of different lengths, the two of
    a pair may not; shorter ones are filled up behind their end, which a causal model does not see.

    Args:
        model: a `BridgedModel`, say, whose inputs and outputs are the tokenizer's ids.
        prompts: a CSV file with a header, a frame, or rows: `clean` and `corrupted`, prompts as the
            tokenizer takes them; for metrics of labels also `answer`, what is right behind the
            clean one, and `wrong`, what is right behind the corrupted one or wrong otherwise.
            Answers are tokens, several with `|` between them.
        tokenizer: of Hugging Face, of `transformers` or of `tokenizers`. Prompts are encoded with
            its special tokens, such as BOS; answers without.
        metric: by default `logit_diff` of the answers where there are some, otherwise `kl`.
        ablation: what patched edges read; see `make_task`. A mean is over all prompts, by position,
            with what fills up the shorter ones.
        name: of the task.

    Raises:
        TaskError: for a file that lacks a column or has no rows, prompts of a pair that differ in
            length, answers that are not one token, tokens that the model does not have, a model
            that is not causal and prompts of several lengths, and answers beside a metric that
            takes none.
        ResultError: for a file that cannot be read.
        UnknownNameError: for another metric or ablation.
    """
    expect(model, Patchable, "model")
    rows = _read(prompts)
    clean, corrupted = ([_encode(tokenizer, row[column]) for row in rows] for column in PROMPTS)
    lengths = [len(ids) for ids in clean]
    for i, (one, other) in enumerate(zip(clean, corrupted, strict=True)):
        if len(one) != len(other) or not one:
            raise TaskError(
                f"expected prompts of one length in tokens, got {len(one)} and {len(other)} in row "
                f"{i + 1}: {rows[i]['clean']!r} and {rows[i]['corrupted']!r}"
            )
    if len(set(lengths)) > 1 and isinstance(model, Transformer) and not model.config.causal:
        raise TaskError(
            f"expected prompts of one length for a model that is not causal, got "
            f"{min(lengths)} to {max(lengths)} tokens"
        )
    labels = None
    device = torch.device(getattr(model, "device", "cpu"))
    if ANSWERS[0] in rows[0]:
        right, wrong = ([_answers(tokenizer, row, column) for row in rows] for column in ANSWERS)
        labels = Answers(padded(right, device), padded(wrong, device))
    _check_known([*clean, *corrupted], model)
    first, second = (_filled(side, max(lengths), device) for side in (clean, corrupted))
    ends = torch.tensor(lengths, device=device)[:, None] - 1
    counts = torch.arange(max(lengths), device=device) == ends
    chosen = metric or ("logit_diff" if labels is not None else "kl")
    return Task(name, model, first, second, counts, chosen, ablation, labels)


def _read(prompts: str | Path | pd.DataFrame | Rows) -> list[Mapping[str, str]]:
    """The rows of a file, a frame or a sequence; TaskError for missing columns."""
    if isinstance(prompts, str | Path):
        text = read_bytes(prompts, "a CSV file of prompts").decode("utf-8-sig", "replace")
        rows: list[Mapping[str, Any]] = list(csv.DictReader(io.StringIO(text, newline="")))
        where = f"{prompts}: "
    elif isinstance(prompts, pd.DataFrame):
        records = prompts.to_dict("records")
        rows, where = [{str(key): value for key, value in row.items()} for row in records], ""
    else:
        rows, where = list(prompts), ""
    if not rows:
        raise TaskError(f"{where}expected at least one row of prompts, got none")
    has_answers = any(column in rows[0] for column in ANSWERS)
    wanted = (*PROMPTS, *ANSWERS) if has_answers else PROMPTS
    for i, row in enumerate(rows):
        for column in wanted:
            if not isinstance(row.get(column), str):
                raise TaskError(
                    f"{where}expected columns {', '.join(wanted)}, got no {column} in row {i + 1}"
                )
    return rows


def _encode(tokenizer: Any, text: str, *, special: bool = True) -> list[int]:
    """Ids of a text, by either library's tokenizers."""
    found = tokenizer.encode(text, add_special_tokens=special)
    return list(getattr(found, "ids", found))


def _answers(tokenizer: Any, row: Mapping[str, str], column: str) -> list[int]:
    """The ids of the answers in a row; TaskError for what is not one token."""
    found = []
    for answer in row[column].split(BETWEEN):
        ids = _encode(tokenizer, answer, special=False)
        if len(ids) != 1:
            raise TaskError(
                f"expected answers of one token, got {len(ids)} in {answer!r}, {column} of "
                f"{row['clean']!r}"
            )
        found += ids
    return sorted(set(found))


def _filled(
    side: Sequence[Sequence[int]], length: int, device: torch.device
) -> Int[Tensor, "prompt pos"]:
    """Prompts in rows, whose last token is repeated as far as they are shorter."""
    rows = [[*ids, *[ids[-1]] * (length - len(ids))] for ids in side]
    return torch.tensor(rows, device=device)


def _check_known(rows: Sequence[Sequence[int]], model: Patchable) -> None:
    """Raise TaskError for a token beyond the model's vocabulary."""
    size = model.config.d_vocab if isinstance(model, Transformer) else None
    size = getattr(model, "d_vocab", size)
    largest = max(max(ids) for ids in rows)
    if size is not None and largest >= size:
        raise TaskError(f"expected tokens below the model's {size}, got {largest}")
