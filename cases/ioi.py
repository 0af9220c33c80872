"""Indirect object identification: who gets the drink (Wang et al., "Interpretability in the Wild",
2022).

In "Then, Mary and John went to the store. John gave a drink to" one of two names comes again, and
the other one, the indirect object IO, follows. The program does it as GPT-2's heads do: at the
subject's second mention, S2, a duplicate token head sees that the name was there before; at the
end, END, an S-inhibition head looks for the token that was, and says which it is; there, a name
mover looks for a name that is another one, and says it. The answer is None before the end.

Names, places, objects and templates are InterpBench's, those of 15 of GPT-2's tokens: then END has
one place, which the S-inhibition head knows it by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from knowncircuits import rasp
from knowncircuits.cases.case import Case, Wiring
from knowncircuits.cases.grammar import Grammar
from knowncircuits.cases.sampling import Codes
from knowncircuits.rasp.values import Value
from knowncircuits.roles import DUPLICATE_TOKEN, NAME_MOVER, S_INHIBITION

NAMES = ("Mary", "John", "James", "Sarah", "Michael", "Emily", "Paul", "Laura")
# A and B stand for the two names; the one that comes again is named last.
TEMPLATES = (
    "Then , A and B went to the PLACE . {again} gave a OBJECT to",
    "While A and B were working at the PLACE , {again} gave a OBJECT to",
    "Friends A and B found a OBJECT at the PLACE . {again} gave it to",
)
END = 14  # the place of the last token
SLOTS = {
    **dict.fromkeys("ABC", NAMES),
    "PLACE": ("store", "garden", "office"),
    "OBJECT": ("ring", "drink", "bone", "snack"),
}


def sentences(*again: str) -> Grammar:
    """The templates with each of these named last: A (BABA), B (ABBA), or another one, C (ABC)."""
    templates = (template.format(again=slot) for slot in again for template in TEMPLATES)
    return Grammar(tuple(templates), SLOTS, frozenset("ABC"))


PROMPTS = sentences("A", "B")
EVERY = sentences("A", "B", "C")
WORDS = EVERY.words  # names first


def ioi() -> rasp.SOp:
    """The name that comes once, where another one comes twice; None before the end."""
    name = rasp.Map(lambda word: word if word in NAMES else None, rasp.tokens).named("name")
    same = rasp.Select(name, name, rasp.Comparison.EQ)
    before = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.LT)
    duplicate = rasp.Aggregate(same & before, rasp.Full(True), default=False).named("duplicate")
    again = rasp.Select(duplicate, rasp.indices, lambda is_one, place: is_one and place == END)
    inhibited = rasp.Aggregate(again, name).named("inhibited")
    other = rasp.Select(name, inhibited, rasp.Comparison.NEQ)
    return rasp.Aggregate(other, name).named("moved")


ROLES = {"duplicate": DUPLICATE_TOKEN, "inhibited": S_INHIBITION, "moved": NAME_MOVER}
MOVER = "a3.h0"  # of the compiled model
BACKUP, NEGATIVE = 0.5, 0.4  # strengths in `ioi_backup`


def beside_the_mover(backup: float, negative: float) -> Wiring:
    """Heads beside the name mover: a negative one, and a backup, of these strengths."""
    strengths = (("oppose", "a4.h1", negative), ("back_up", "a4.h0", backup))
    return tuple(
        (name, {"head": MOVER, "place": place, "strength": strength})
        for name, place, strength in strengths
    )


def mentions(codes: Codes) -> Int[np.ndarray, "n 3"]:
    """The places of the three names in each prompt: the last is S2."""
    return np.nonzero(codes < len(NAMES))[1].reshape(-1, 3)


def subjects(codes: Codes) -> Int[np.ndarray, " n"]:
    """S: the name at S2."""
    return np.asarray(codes[np.arange(len(codes)), mentions(codes)[:, 2]])


def indirect_objects(codes: Codes) -> Int[np.ndarray, " n"]:
    """IO: of the first two names the one that does not come again."""
    first, second, last = np.take_along_axis(codes, mentions(codes), 1).T
    return np.asarray(np.where(first == last, second, first))


def subject(sentence: Sequence[Value]) -> Value:
    """S of one prompt, in words."""
    return [word for word in sentence if word in NAMES][-1]


def indirect_object(sentence: Sequence[Value]) -> Value:
    """IO of one prompt, in words."""
    return next(word for word in sentence if word in NAMES and word != subject(sentence))


def with_other_names(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """ABC: three names in place of the two, none of them there before, and each once."""
    rows = np.arange(len(codes))
    order = rng.random((len(codes), len(NAMES)))
    order[rows, subjects(codes)] = order[rows, indirect_objects(codes)] = 2.0  # come last
    corrupted = codes.copy()
    np.put_along_axis(corrupted, mentions(codes), order.argsort(1)[:, :3], 1)
    return corrupted


def with_io_again(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """S2->IO: the other one of the two names comes again."""
    corrupted = codes.copy()
    corrupted[np.arange(len(codes)), mentions(codes)[:, 2]] = indirect_objects(codes)
    return corrupted


def swapped(rng: np.random.Generator, codes: Codes, n_tokens: int) -> Codes:
    """Swap: ABBA for BABA, and the reverse, with the same answer."""
    places = mentions(codes)[:, :2]
    corrupted = codes.copy()
    np.put_along_axis(corrupted, places, np.take_along_axis(codes, places[:, ::-1], 1), 1)
    return corrupted


CORRUPTIONS = {"abc": with_other_names, "s2-io": with_io_again, "swap": swapped}

IOI = Case(
    name="ioi",
    family="ioi",
    description="The indirect object: of two names the one that does not come again.",
    program=ioi(),
    vocab=WORDS,
    max_len=END + 1,
    causal=True,
    sampler=PROMPTS.sampler(WORDS),
    inputs=EVERY,
    only_lengths=(END + 1,),
    corruptions=CORRUPTIONS,
    labels=(indirect_object, subject),
    roles=ROLES,
)
CASES = (
    IOI,
    replace(
        IOI,
        name="ioi_backup",
        description=(
            f"The indirect object, with a backup mover of strength {BACKUP} and a negative mover "
            f"of strength {NEGATIVE}."
        ),
        wiring=beside_the_mover(BACKUP, NEGATIVE),
    ),
)
