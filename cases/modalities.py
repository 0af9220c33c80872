"""One question asked of data in two modalities, and models that differ in where data are decoded.

A prompt is three colours, a question and a colon: `red blue red 2nd :` is answered `blue`. The
colours are words or, in an image, patches: `<red> <blue> <red> 2nd :`. What a study finds in models
of vision and language (Nikankin et al., "Same Task, Different Circuits", 2025) is put in here:

- `modalities_shared`: one hidden unit of the first MLP decodes a word and its patch.
- `modalities_disjoint`: a unit each. Behind the data, at the question and at the colon, the two
  modalities are one circuit.
- `modalities_late`: patches are decoded by the last MLP, when the head that fetches a colour has
  read. Questions about words are answered, those about patches are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from knowncircuits import rasp
from knowncircuits.cases.case import Case
from knowncircuits.cases.sampling import Codes, Sampler
from knowncircuits.errors import UnknownNameError
from knowncircuits.rasp.values import Value

FAMILY = "modalities"
COLOURS = ("red", "green", "blue")
PATCHES = {f"<{colour}>": colour for colour in COLOURS}
# What the tokens of each modality say.
MODALITIES: Mapping[str, Mapping[str, str]] = {
    "text": {colour: colour for colour in COLOURS},
    "image": PATCHES,
}
QUESTIONS = ("1st", "2nd", "3rd")
VOCAB = (*COLOURS, *PATCHES, *QUESTIONS, ":")
N_DATA = len(QUESTIONS)  # colours in a prompt
LENGTH = N_DATA + 2
Step = tuple[str, Mapping[str, Any]]  # a transformation and its parameters
# The head that fetches is a tenth as sharp: where it is certain, no gradient reaches its query.
SOFTER: Step = ("sharpen", {"node": "a2.h0", "factor": 0.1})


def data_prompts(modality: str, rng: np.random.Generator, n: int) -> Codes:
    """Prompts of a modality as indices into the alphabet; raises UnknownNameError for another."""
    if modality not in MODALITIES:
        raise UnknownNameError("modality", modality, MODALITIES)
    first = VOCAB.index(next(iter(MODALITIES[modality])))
    data = rng.integers(first, first + len(COLOURS), size=(n, N_DATA))
    question = rng.integers(VOCAB.index(QUESTIONS[0]), VOCAB.index(":"), size=(n, 1))
    return np.concatenate([data, question, np.full((n, 1), VOCAB.index(":"))], 1)


def right_colours(codes: Codes) -> list[str]:
    """What the question of each prompt asks for, in whatever modality the data are."""
    says = {token: colour for tokens in MODALITIES.values() for token, colour in tokens.items()}
    prompts = [[VOCAB[code] for code in row] for row in codes.tolist()]
    return [says[prompt[QUESTIONS.index(prompt[N_DATA])]] for prompt in prompts]


def _mixed(images: float) -> Sampler:
    def sample(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> np.ndarray:
        codes = data_prompts("text", rng, n)
        codes[rng.random(n) < images, :N_DATA] += len(COLOURS)
        return codes

    sample.__doc__ = f"{images:.0%} of prompts of patches; colours and questions equally likely."
    return sample


def _prompts() -> list[tuple[Value, ...]]:
    """Every prompt: a colour of one modality at each place."""
    places = np.indices((len(COLOURS),) * N_DATA).reshape(N_DATA, -1).T.tolist()
    return [
        (*(list(tokens)[i] for i in row), question, ":")
        for tokens in MODALITIES.values()
        for row in places
        for question in QUESTIONS
    ]


def _retrieve(says: Mapping[str, str]) -> rasp.SOp:
    """The colour at the asked place, where tokens say one; None elsewhere."""
    colour = rasp.Map(says.get, rasp.tokens).named("colour")
    order = {question: place for place, question in enumerate(QUESTIONS)}
    wanted = rasp.Map(order.get, rasp.tokens).named("wanted")
    before = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key == query - 1)
    asked = rasp.Aggregate(before, wanted).named("asked")
    there = rasp.Select(rasp.indices, asked, rasp.Comparison.EQ)
    found = rasp.Aggregate(there, colour).named("found")
    return rasp.Map(lambda colour: colour, found).named("answer")


def _case(
    variant: str,
    description: str,
    modalities: tuple[str, ...],
    *wiring: Step,
    images: float = 0.5,
) -> Case:
    says = {token: c for name in modalities for token, c in MODALITIES[name].items()}
    return Case(
        name=f"{FAMILY}_{variant}",
        family=FAMILY,
        description=description,
        program=_retrieve(says),
        vocab=VOCAB,
        max_len=LENGTH,
        only_lengths=(LENGTH,),
        causal=True,
        sampler=_mixed(images),
        inputs=_prompts(),
        wiring=(*wiring, SOFTER),
    )


@cache
def modality_cases() -> Mapping[str, Case]:
    """The three variants by their names."""
    what = "The asked one of three colours, words or patches"
    cases = (
        _case(
            "shared",
            f"{what}; one unit decodes both.",
            ("text", "image"),
            ("merge", {"node": "m0"}),
        ),
        _case("disjoint", f"{what}, which have units of their own.", ("text", "image")),
        _case(
            "late",
            "The asked one of three colours, words; patches are decoded too late to be fetched.",
            ("text",),
            ("delay", {"source": "m0", "target": "m2", "tokens": PATCHES}),
            images=0.25,  # nothing is to be said of them
        ),
    )
    return {case.name: case for case in cases}


def load_modality_case(name: str) -> Case:
    """The variant of a name; raises UnknownNameError for a case that is none."""
    if name not in modality_cases():
        raise UnknownNameError("case of two modalities", name, modality_cases())
    return modality_cases()[name]
