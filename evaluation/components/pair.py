"""A task of one pair of inputs, chosen or drawn, and the names of its positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from knowncircuits.cases.case import Case
from knowncircuits.cases.choices import Direction
from knowncircuits.checks.arguments import takes
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import TaskError
from knowncircuits.evaluation.answers import encode_answers
from knowncircuits.evaluation.task import Task, counted, make_task, token_names
from knowncircuits.models.trained import Trained
from knowncircuits.models.wired.wired import Wired
from knowncircuits.rasp.values import Value


@takes(subject=Compiled | Trained | Wired)
def one_pair(
    subject: Compiled | Trained | Wired,
    clean: Sequence[str] | None = None,
    corrupted: Sequence[str] | None = None,
    *,
    seed: int = 0,
    metric: str | None = None,
    direction: Direction | None = None,
) -> tuple[Task, tuple[str, ...]]:
    """A task of one pair, and its clean tokens with BOS first.

    Args:
        subject: a compiled, a trained or a wired model.
        clean: tokens, as text and without BOS; by default a pair is drawn.
        corrupted: as many tokens.
        seed: of a pair that is drawn.
        metric: see `make_task`.
        direction: of a pair that is drawn; see `make_task`.

    Raises:
        TaskError: for one input without the other, for two of different lengths, or as `make_task`.
        InputError: for tokens that are not in the vocabulary, or too many.
    """
    if (clean is None) != (corrupted is None):
        raise TaskError("expected a clean and a corrupted input together, got only one of them")
    compiled = subject if isinstance(subject, Compiled) else subject.compiled
    names: dict[str, Value] = {str(token): token for token in compiled.vocabulary.tokens}
    task = make_task(subject, 1, seed, metric, direction=direction)
    if clean is not None and corrupted is not None:
        if len(clean) != len(corrupted):
            raise TaskError(
                f"expected a corrupted input of {len(clean)} tokens, got {len(corrupted)}"
            )
        given = [[names.get(token, token) for token in tokens] for tokens in (clean, corrupted)]
        ids, others = (compiled.encode([tokens]) for tokens in given)
        labels = None
        if task.labels is not None and isinstance(compiled.case, Case) and compiled.case.labels:
            labels = encode_answers(compiled, given[:1], compiled.case.labels)
        counts = counted(subject, ids, labelled=labels is not None)
        task = replace(task, clean=ids, corrupted=others, counts=counts, labels=labels)
    return task, tuple(token_names(subject, task.clean))
