"""A trained model of a case in one call: sizes, training, a certificate, and its folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from knowncircuits.cases.case import Case
from knowncircuits.cases.registry import load_case
from knowncircuits.checks.arguments import takes
from knowncircuits.errors import InputError
from knowncircuits.files.writing import check_replaceable, check_writable
from knowncircuits.models.choices import DEFAULT_ZOO, ObjectiveName, ZooVersion
from knowncircuits.models.trained import Trained, save_trained
from knowncircuits.models.training.trainer import CHECKPOINT
from knowncircuits.models.training.trainer import train as run
from knowncircuits.models.zoo.check import CERTIFIED_PAIRS
from knowncircuits.models.zoo.plans import Plan, plan_model
from knowncircuits.models.zoo.produce import freeze, train_until_certified
from knowncircuits.rasp.expressions import SOp
from knowncircuits.rasp.values import Value
from knowncircuits.work.progress import who_hears
from knowncircuits.work.showing import show_progress


@takes(case=Case | str | SOp, folder=str | Path | None)
def train(
    case: Case | str | SOp,
    *,
    vocab: Sequence[Value] | None = None,
    max_len: int | None = None,
    causal: bool = False,
    folder: str | Path | None = None,
    objective: ObjectiveName | None = None,
    shuffle: int | None = None,
    seed: int = 0,
    certify: bool = True,
    n_pairs: int = CERTIFIED_PAIRS,
    zoo: ZooVersion = DEFAULT_ZOO,
    device: str = "cpu",
    progress: bool = True,
    **settings: Any,
) -> Trained:
    """Train a transformer to share a case's circuit, by interchanges, and certify it.

    What is not said is as in the recipe of the case's shipped model, or else the default, as with
    the command `knowncircuits train`; equal arguments give equal weights on one machine. Where the
    certificate fails and steps are left, training goes on.

    Args:
        case: a case, the name of one, or a program, which is given its inputs here.
        vocab: a program's tokens.
        max_len: a program's longest input.
        causal: whether positions of a program's model attend to earlier ones alone.
        folder: where the model and its certificate are written; training that was interrupted goes
            on from a checkpoint there. By default nothing is written.
        objective: `edges`, `guided`, `nodes` (SIIT as published) or `behaviour`.
        shuffle: the seed of a random placement of the circuit's nodes.
        seed: of weights, inputs, drawn edges and the certificate's pairs.
        certify: measure every edge once training has ended; else the model has no certificate.
        n_pairs: of the certificate.
        zoo: the release whose recipes and certificates are meant; from 2 on these are of every
            stratum of inputs.
        device: `cpu`, `cuda` or another that torch has.
        progress: show how far it is, unless somebody listens; see `knowncircuits.work.progress`.
        settings: `TrainingConfig`'s, such as `steps` and `batch_size`; the model's `layers`,
            `heads`, `d_model`, `d_head`, `activation`, `norm`, `gated`, `positions` and `none`; and
            `start`.

    Returns:
        The model, with its certificate, which may have failed: `.certificate.passed` says.

    Raises:
        UnknownNameError: for a case that there is not.
        InputError: for a program without its inputs, or a case with some.
        ModelError: for settings that there are not, or where training diverges.
        GraphError: where the sizes leave no room for the circuit.
        ResultError: for a folder that cannot be written, or holds something else.
    """
    made = _case_of(case, vocab, max_len, causal)
    plan = _plan(made, zoo, shuffle, objective, {"seed": seed, **settings})
    place = None if folder is None else Path(folder)
    if place is not None:
        check_replaceable(place)
        check_writable(place)
    checkpoint = None if place is None else place / CHECKPOINT
    with _shown(progress):
        trainer = plan.trainer(device, made)
        if certify:
            trained = train_until_certified(
                trainer, n_pairs=n_pairs, zoo=zoo, checkpoint=checkpoint
            )
        else:
            run(trainer, checkpoint=checkpoint)
            trained = freeze(trainer).to(device="cpu")
    if place is not None and checkpoint is not None:
        save_trained(trained, place)
        checkpoint.unlink(missing_ok=True)
    return trained


def _case_of(
    given: Case | str | SOp, vocab: Sequence[Value] | None, max_len: int | None, causal: bool
) -> Case:
    """The case itself; of a program one without a name of its own."""
    if not isinstance(given, SOp):
        if vocab is not None or max_len is not None or causal:
            raise InputError("expected vocab, max_len and causal with a program, got a case")
        return load_case(given) if isinstance(given, str) else given
    if vocab is None or max_len is None:
        raise InputError("expected vocab and max_len with a program, got none")
    return Case("program", "own", "A program.", given, tuple(vocab), max_len=max_len, causal=causal)


def _plan(
    case: Case,
    zoo: ZooVersion,
    shuffle: int | None,
    objective: ObjectiveName | None,
    settings: dict[str, Any],
) -> Plan:
    plan = plan_model(case, zoo=zoo)
    if shuffle is not None:
        plan = replace(plan, shuffle=shuffle)
    if objective is not None:
        plan = plan.trained_by(objective)
    return plan.changed(settings)


def _shown(progress: bool) -> AbstractContextManager[Any]:
    return show_progress("train") if progress and who_hears() is None else nullcontext()
