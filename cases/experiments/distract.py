"""Side programs whose answers are read and make no difference: are their circuits left out?

Heads look for letters, as those of the gates do. One MLP reads all of these flags, with a hidden
unit for each combination of them, and writes only what the first one says: where another flag
changes, another unit says the same. Patches (`exact`, `acdc`) see that nothing changes. A gradient
sees the unit that is on, and not the one that takes over: `eap` gives flags that do not matter half
of what it gives the one that does. `eap-ig-inputs` adds up gradients at points between two inputs
and keeps a third of that, far more than the keys of the head that matters have. `edge-sp` trains
masks that are half on, under which no unit takes over: it is almost as sure of edges that are out
as of those that are in, and the order is right all the same.
"""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.experiments.experiment import Experiment
from knowncircuits.cases.experiments.gates import (
    LENGTH,
    LETTERS,
    TOKENS,
    has_letter,
    letters_there,
)

NAME = "distract"


def build(n_sides: int) -> Case:
    """The case with `n_sides` flags beside the one that is asked for."""
    letters = LETTERS[: n_sides + 1]
    flags = [has_letter(letter) for letter in letters]
    unread = [f"has_{letter}" for letter in letters[1:]]
    return Case(
        name=f"{NAME}_{n_sides}",
        family=NAME,
        description=f"Whether the letter {LETTERS[0]} is in the input, beside {n_sides} others.",
        program=rasp.NarySequenceMap(lambda first, *others: first, *flags).named(NAME),
        vocab=TOKENS,
        max_len=LENGTH,
        only_lengths=(LENGTH,),
        sampler=letters_there(n_sides + 1, 0.5),
        wiring=(("confine", {"unread": unread}),) if unread else (),
    )


DISTRACT = Experiment(
    name=NAME,
    question="Are circuits left out whose answers make no difference?",
    dial="side programs",
    levels=(0, 1, 2, 4),
    tags=("sharing",),
    build=build,
)
