"""Grammars: inputs that are sentences, made of templates whose slots are filled with words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from knowncircuits.cases.sampling import Codes, Sampler
from knowncircuits.errors import InputError


@dataclass(frozen=True, eq=False)
class Grammar:
    """A finite set of sentences; what a case is meant for, and a sampler that draws of it.

    Iterated over, it gives each sentence once, as a tuple of words: as the `inputs` of a case, it
    has the compiler check exactly these.
    """

    templates: tuple[str, ...]  # words and names of slots, with blanks between them
    slots: Mapping[str, tuple[str, ...]]  # by name, the words that fill it
    different: frozenset[str] = frozenset()  # slots no two of which have the same word

    def __post_init__(self) -> None:
        if not self.templates or not all(template.split() for template in self.templates):
            raise InputError(f"expected templates with words, got {list(self.templates)}")
        if unknown := self.different - self.slots.keys():
            raise InputError(
                f"expected slots among {', '.join(self.slots)}, got {', '.join(sorted(unknown))}"
            )

    @property
    def words(self) -> tuple[str, ...]:
        """Every word once: those of slots first, in their order, then the templates'."""
        of_slots = (word for words in self.slots.values() for word in words)
        written = (word for template in self.templates for word in template.split())
        return tuple(dict.fromkeys([*of_slots, *(w for w in written if w not in self.slots)]))

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of its sentences in words."""
        return tuple(sorted({len(template.split()) for template in self.templates}))

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        seen: set[tuple[str, ...]] = set()
        for template in self.templates:
            parts = template.split()
            slots = [slot for slot in self.slots if slot in parts]
            apart = [i for i, slot in enumerate(slots) if slot in self.different]
            for filling in product(*(self.slots[slot] for slot in slots)):
                if len({filling[i] for i in apart}) == len(apart):
                    word = dict(zip(slots, filling, strict=True))
                    sentence = tuple(word.get(part, part) for part in parts)
                    if sentence not in seen:
                        seen.add(sentence)
                        yield sentence

    def sampler(self, vocab: Sequence[str]) -> Sampler:
        """Draws sentences of a length, every one equally likely, as indices into an alphabet."""

        @cache
        def codes(length: int) -> Codes:
            place = {word: i for i, word in enumerate(vocab)}
            sentences = [sentence for sentence in self if len(sentence) == length]
            if not sentences:
                raise InputError(
                    f"expected sentences of {', '.join(map(str, self.lengths))} words, got {length}"
                )
            return np.array([[place[word] for word in sentence] for sentence in sentences])

        def sample(rng: np.random.Generator, n: int, length: int, n_tokens: int) -> Codes:
            every = codes(length)
            return np.asarray(every[rng.integers(len(every), size=n)])

        sample.__doc__ = f"Every sentence of a grammar of {len(self.templates)} templates alike."
        return sample
