"""Every experiment by its name, and every case of the hard suite by its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments.backup import BACKUP
from knowncircuits.cases.experiments.cancel import CANCEL
from knowncircuits.cases.experiments.copies import COPIES
from knowncircuits.cases.experiments.deep import DEEP
from knowncircuits.cases.experiments.distract import DISTRACT
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.faint import FAINT
from knowncircuits.cases.experiments.fan_in import FAN_IN
from knowncircuits.cases.experiments.few import FEW
from knowncircuits.cases.experiments.gate_and import GATE_AND
from knowncircuits.cases.experiments.gate_majority import GATE_MAJORITY
from knowncircuits.cases.experiments.gate_or import GATE_OR
from knowncircuits.cases.experiments.gate_xor import GATE_XOR
from knowncircuits.cases.experiments.large import LARGE
from knowncircuits.cases.experiments.norm import NORM
from knowncircuits.cases.experiments.position import POSITION
from knowncircuits.cases.experiments.rare import RARE
from knowncircuits.cases.experiments.saturate import SATURATE
from knowncircuits.cases.experiments.shared import SHARED
from knowncircuits.cases.experiments.sign import SIGN
from knowncircuits.cases.experiments.sink import SINK

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        *(GATE_OR, GATE_AND, GATE_XOR, GATE_MAJORITY),
        *(COPIES, BACKUP),
        *(DEEP, SATURATE, FAINT),
        *(CANCEL, SIGN, SINK, RARE, FAN_IN),
        *(DISTRACT, SHARED, NORM, POSITION, FEW, LARGE),
    )
}


@cache
def hard_cases() -> Mapping[str, Case]:
    """The cases of all levels, experiment by experiment."""
    cases = (case for each in EXPERIMENTS.values() for case in each.cases.values())
    return {case.name: case for case in cases}
